# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""What only a raw server can do: odd bytes, odd ends, odd HTTP."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable

import pytest

from hybrid_nb.core.errors import (
    ConnectionFailedError,
    ContentFilterError,
    InferenceError,
    InvalidRequestError,
    MalformedResponseError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServiceUnavailableError,
    StreamInterruptedError,
)
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import (
    HANG,
    KEEP,
    RESET,
    RawServer,
    answer,
    chunked,
    delta,
    events,
    finish,
    head,
    said,
    spoken,
)

Raw = Callable[..., RawServer]
MB = 2**20


def test_a_line_of_fifty_megabytes_is_refused_in_bounded_memory(raw: Raw, make_router: MakeRouter) -> None:
    piece = b"x" * MB
    server = raw([head(200, "text/event-stream"), b"data: ", *[piece] * 50])
    router = make_router([at(server)], retries=0)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedResponseError, match="longer than 16 MB"):
            list(router.stream("hi", model="a/m"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * MB


@pytest.mark.parametrize("endless", [b"data: x\n", b"{\n"])
def test_an_event_without_end_is_refused(endless: bytes, raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *[endless * (MB // len(endless))] * 50])
    router = make_router([at(server)], retries=0)
    with pytest.raises(MalformedResponseError):
        list(router.stream("hi", model="a/m"))


def test_an_unstreamed_answer_of_fifty_megabytes_is_refused(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(), *[b" " * MB] * 50])
    with pytest.raises(MalformedResponseError, match="longer than 32 MB"):
        make_router([at(server)], retries=0).chat("hi", model="a/m")


def test_a_large_error_page_does_not_hold_up_the_loop(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(b"<" * (4 * MB), 502, "text/html"))
    started = time.monotonic()
    with pytest.raises(ServiceUnavailableError):
        make_router([at(server)], retries=0).chat("hi", model="a/m")
    assert time.monotonic() - started < 2


def test_text_and_error_in_one_packet_lose_nothing_of_a_begun_answer(raw: Raw, make_router: MakeRouter) -> None:
    frames = events(delta("one "), delta("two "), {"error": {"message": "boom", "code": 500}}, b"[DONE]")
    server = raw(
        [head(200, "text/event-stream"), *events(delta("zero ")), 0.05, b"".join(frames)],
    )
    router = make_router([at(server)], retries=0)
    stream = router.stream("hi", model="a/m")
    with pytest.raises(StreamInterruptedError) as caught:
        list(stream)
    assert caught.value.partial_text == stream.text == "zero one two "
    assert isinstance(caught.value.__cause__, ServiceUnavailableError)


def test_text_and_error_in_the_first_packet_fail_over_cleanly(raw: Raw, make_router: MakeRouter) -> None:
    bad = raw([head(200, "text/event-stream"), b"".join(events(delta("half "), {"error": {"message": "boom"}}))])
    good = raw(spoken("whole"))
    stream = make_router([at(bad), at(good, "b")]).stream("hi")
    assert "".join(stream) == "whole"
    assert stream.reply.provider == "b"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_line_end_in_pieces_of_any_size(
    end: bytes, bom: bytes, size: int, raw: Raw, make_router: MakeRouter
) -> None:
    text = "a\u2028b\u0085c é 🙂"
    body = bom + b"".join([*events(delta(text)), b": ping\n\n", *events(finish())]).replace(b"\n", end)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    server = raw(chunked(*pieces))
    stream = make_router([at(server)], retries=0).stream("hi", model="a/m")
    assert "".join(stream) == stream.reply.text == text


def test_the_last_blank_line_may_be_missing(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(chunked(b"".join(events(delta("hi"), finish())).rstrip(b"\n")))
    assert make_router([at(server)], retries=0).stream("hi", model="a/m").reply.text == "hi"


def test_data_without_a_space_and_over_several_lines(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(chunked(b'data:{"choices":[{"delta":\ndata: {"content":"hi"},"finish_reason":"stop"}]}\n\n'))
    assert make_router([at(server)], retries=0).stream("hi", model="a/m").reply.text == "hi"


def test_a_whole_answer_in_reply_to_a_stream(raw: Raw, make_router: MakeRouter) -> None:
    for kind in ("application/json", "text/plain", "text/event-stream"):
        server = raw(answer(said("hi there"), 200, kind))
        stream = make_router([at(server)], retries=0).stream("hi", model="a/m")
        assert "".join(stream) == "hi there"
        assert stream.reply.finish == "stop"


@pytest.mark.parametrize("body", [{}, [], [1], 5, "text", None, True, {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{"message": "hi"}]}, {"choices": [{"message": {"content": [5]}}]}, {"choices": [{"message": {"tool_calls": [{}, 7]}}]}])  # fmt: skip
@pytest.mark.parametrize("kind", ["custom", "anthropic", "gemini", "ollama"])
def test_json_that_is_no_answer_is_malformed(body: object, kind: str, raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(answer(body)), type=kind)], retries=0)
    with pytest.raises(MalformedResponseError):
        router.chat("hi", model="a/m")
    with pytest.raises((MalformedResponseError, StreamInterruptedError)):
        list(router.stream("hi", model="a/m"))


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        {"type": "message_start"},
        {"type": "content_block_start", "index": 0, "content_block": 7},
        {"candidates": [7]},
        {"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]},
        {"message": {"tool_calls": [{}]}},
        {"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]},
        {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}], "usage": 7},
        {"choices": 7},
    ],
)
@pytest.mark.parametrize("kind", ["custom", "anthropic", "gemini", "ollama"])
def test_frames_of_odd_shape_end_in_a_typed_error(frame: object, kind: str, raw: Raw, make_router: MakeRouter) -> None:
    mark = b"" if kind == "ollama" else b"data: "
    import orjson

    server = raw(chunked(mark + orjson.dumps(frame) + b"\n\n", kind="text/event-stream"))
    with pytest.raises(InferenceError):
        make_router([at(server, type=kind)], retries=0).stream("hi", model="a/m").reply  # noqa: B018


@pytest.mark.parametrize(
    "script",
    [
        [b"garbage that is no HTTP\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nBroken header line\r\n\r\n"],
        [b"HTTP/1.1 abc OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"],
        [RESET],
        [],
        [head(200, "application/json", "Content-Length: 100"), b"{"],
        chunked(b'{"choices"', kind="application/json", end=False),
        [head(200, "application/json", "Transfer-Encoding: chunked"), b"zz\r\nnot a size\r\n"],
    ],
)
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_broken_http_is_a_failed_connection(script: list[bytes], way: str, raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(script))], retries=0, timeout=0.5)
    kinds: tuple[type[InferenceError], ...] = (ConnectionFailedError,)
    if script and script[-1] == b"zz\r\nnot a size\r\n":
        kinds = (ConnectionFailedError, ProviderTimeoutError)  # aiohttp now and then does not tell of a bad chunk size
    with pytest.raises(kinds) as caught:
        router.chat("hi", model="a/m") if way == "chat" else list(router.stream("hi", model="a/m"))
    assert "raw-key" not in repr(caught.value)
    assert caught.value.provider == "a"


def test_a_redirect_is_not_followed(raw: Raw, make_router: MakeRouter) -> None:
    thief = raw(answer(said("stolen")))
    server = raw([head(307, "text/plain", f"Location: {thief.url}/chat/completions", "Content-Length: 0")])
    with pytest.raises(ProviderError):
        make_router([at(server)], retries=0).chat("hi", model="a/m")
    assert thief.seen == []


def test_compressed_answers_are_read(raw: Raw, make_router: MakeRouter) -> None:
    import orjson

    packed = gzip.compress(orjson.dumps(said("small")))
    server = raw(answer(packed, 200, "application/json", "Content-Encoding: gzip"))
    assert make_router([at(server)], retries=0).chat("hi", model="a/m").text == "small"


def test_broken_compression_is_a_typed_error(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(b"this is not gzip", 200, "application/json", "Content-Encoding: gzip"))
    with pytest.raises(InferenceError):
        make_router([at(server)], retries=0).chat("hi", model="a/m")


def test_a_kept_connection_is_used_again_and_its_loss_is_no_error(raw: Raw, make_router: MakeRouter) -> None:
    body = [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"]
    import orjson

    data = orjson.dumps(said("hi"))
    whole = [*body, f"Content-Length: {len(data)}\r\n\r\n".encode(), data]
    server = raw([*whole, KEEP], [*whole, KEEP], [*whole])
    router = make_router([at(server)])
    for _ in range(2):
        assert router.chat("hi", model="a/m").text == "hi"
    assert server.connections == 1
    assert router.chat("hi", model="a/m").text == "hi"
    time.sleep(0.02)  # the server closes after the third answer
    assert router.chat("hi", model="a/m").text == "hi"


def test_a_stream_of_comments_only_is_no_first_token(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *[b": ping\n\n", 0.05] * 20, HANG])
    router = make_router([at(server)], retries=0, ttft_timeout=0.15)
    with pytest.raises(ProviderTimeoutError, match=r"no first token after 0\.15 s"):
        list(router.stream("hi", model="a/m"))


def test_pings_keep_a_begun_stream_alive(raw: Raw, make_router: MakeRouter) -> None:
    pings = [piece for _ in range(6) for piece in (b": ping\n\n", 0.05)]
    server = raw([head(200, "text/event-stream"), *events(delta("a")), *pings, *events(delta("b"), finish())])
    router = make_router([at(server)], retries=0, stall_timeout=0.15)
    assert router.stream("hi", model="a/m").reply.text == "ab"


def test_a_stall_after_the_first_token(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *events(delta("a")), HANG])
    router = make_router([at(server)], retries=0, stall_timeout=0.1, ttft_timeout=0.1)
    with pytest.raises(StreamInterruptedError, match=r"stalled: nothing for 0\.1 s") as caught:
        list(router.stream("hi", model="a/m"))
    assert caught.value.partial_text == "a"
    assert isinstance(caught.value.__cause__, ProviderTimeoutError)


def test_the_total_timeout_bounds_an_endless_stream(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *[piece for _ in range(50) for piece in (*events(delta("a")), 0.02)]])
    started = time.monotonic()
    with pytest.raises(StreamInterruptedError, match="total timeout"):
        list(make_router([at(server)], retries=0).stream("hi", model="a/m", timeout=0.15))
    assert time.monotonic() - started < 0.5


def test_the_total_timeout_bounds_retries_and_waits(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "busy"}}, 503))
    started = time.monotonic()
    with pytest.raises(ServiceUnavailableError):
        make_router([at(server)], retries=50, retry_delay=0.2).chat("hi", model="a/m", timeout=0.2)
    assert time.monotonic() - started < 0.6


def test_a_rate_limit_says_when_to_come_back(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "slow down"}}, 429, "application/json", "Retry-After: 30"))
    router = make_router([at(server), at(server, "b", api_key="another-key")], retries=2)
    with pytest.raises(RateLimitError) as caught:
        router.chat("hi", model="a/m", timeout=1)
    assert caught.value.retry_after == 30
    from hybrid_nb.core.errors import NoProviderAvailableError

    for asked in (["b"], []):  # its breaker is open now, and after this call the other's too
        with pytest.raises(NoProviderAvailableError) as nobody:
            router.chat("hi", timeout=1)
        assert nobody.value.retry_at == pytest.approx(time.time() + 30, abs=2)
        assert [a.provider for a in nobody.value.attempts] == asked
    assert len(server.seen) == 2


def test_a_blocked_prompt_of_gemini_goes_nowhere_else(raw: Raw, make_router: MakeRouter) -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    server, other = raw(answer(blocked)), raw(answer(said("hi")))
    router = make_router([at(server, type="gemini"), at(other, "b")])
    with pytest.raises(ContentFilterError, match="PROHIBITED_CONTENT"):
        router.chat("hi")
    assert other.seen == []


def test_what_cannot_be_written_as_json_is_the_callers_error(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([at(server)])
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        router.chat("lone \ud800 surrogate", model="a/m")
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        router.chat("hi", model="a/m", tools=[{"name": "f", "parameters": {"type": {1, 2}}}])
    assert server.seen == []
    assert router.chat("hi", model="a/m").text == "hi"
