"""Faults of servers and lines: a call ends with the right text or a typed error, and the next one works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hybrid_nb.core.errors import (
    ConnectionFailedError,
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    ProviderError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
    ServiceUnavailableError,
    StreamInterruptedError,
)
from hybrid_nb.router import Router
from hybrid_nb.sim import FAULT_KINDS, Fault, Fleet, RequestLog, tokens
from tests.conftest import WIRES, MakeRouter, model_of

PROMPT = "Tell me about tidal energy."
WHOLE = "the whole text"
AFTER = 3  # tokens that come before a fault in a stream
HUGE = 200_000

# what chat() ends with; stream() does the same unless it stands in STREAMED
EXPECTED: dict[str, object] = {
    "status": ServiceUnavailableError,
    "context_overflow": ContextLengthError,
    "quota": (QuotaExceededError, RateLimitError),  # Ollama says both in the same words
    "reset": ConnectionFailedError,
    "silence": ProviderTimeoutError,
    "stall": ProviderTimeoutError,
    "cut": ConnectionFailedError,
    "cut_mid_char": ConnectionFailedError,
    "empty200": MalformedResponseError,
    "html200": MalformedResponseError,
    "malformed_chunk": MalformedResponseError,
    "invalid_utf8": MalformedResponseError,
    "json_error_200": (ServiceUnavailableError, ProviderError),
    "error_in_stream": ServiceUnavailableError,
    "error_then_done": ServiceUnavailableError,
    "raw_error": ServiceUnavailableError,
    "slow_first": WHOLE,
    "end_without_finish": WHOLE,
    "no_done": WHOLE,
    "no_usage": WHOLE,
    "wrong_content_type": WHOLE,
    "duplicate_chunk": "Tell Tell",
    "split_bytes": "naïve Ω 日本語 🙂",
    "u2028": "one\u2028two\u0085three",
    "content_filter": "filtered",
    "huge_line": "x" * HUGE,
}
# the error of a stream that was cut; it is StreamInterruptedError when pieces had come before
STREAMED: dict[str, object] = {
    "end_without_finish": MalformedResponseError,
    "error_in_stream": (ServiceUnavailableError, ProviderError),
    "error_then_done": (ServiceUnavailableError, ProviderError),
    "raw_error": (ServiceUnavailableError, MalformedResponseError),
}


# only where the server keeps silent is the limit short: an honest answer may take its time on a loaded machine
SHORT = {"silence": {"ttft_timeout": 0.25}, "stall": {"stall_timeout": 0.25}}


@pytest.fixture(scope="module")
def shared(running_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Router]]:
    limits = {"retries": 0, "failover": False, "ttft_timeout": 20, "stall_timeout": 20}
    limits["breaker_threshold"] = 10_000  # each fault by itself; what breakers do stands in tests/engine
    made: dict[str, Router] = {}
    for kind, short in {"": {}, **SHORT}.items():
        ledger = {"url": f"sqlite:///{tmp_path_factory.mktemp('faults')}/ledger.db"}
        made[kind] = Router({**running_fleet.config(), "router": {**limits, **short}, "ledger": ledger})
    yield made
    for router in made.values():
        router.close()


@pytest.fixture
def one_try(fleet: Fleet, shared: dict[str, Router]) -> Router:
    """A router that asks one target once."""
    return shared[""]


def test_every_kind_of_fault_is_expected_here() -> None:
    assert set(EXPECTED) == FAULT_KINDS


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", sorted(EXPECTED))
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_fault_ends_in_the_text_or_a_typed_error_and_leaves_nothing_behind(
    wire: str, kind: str, way: str, fleet: Fleet, shared: dict[str, Router]
) -> None:
    one_try, model = shared.get(kind, shared[""]), model_of(wire)
    whole = one_try.chat(PROMPT, model=model).text
    after = HUGE if kind == "huge_line" else AFTER
    fleet[wire].fail(Fault(kind, seconds=0.01 if kind == "slow_first" else 0.0, after_tokens=after))
    limit = 0.3 if way == "chat" and kind in ("silence", "stall") else None
    expected = EXPECTED[kind] if way == "chat" else STREAMED.get(kind, EXPECTED[kind])
    if kind == "end_without_finish" and wire == "ollama":
        expected = MalformedResponseError  # its wire has no other word for the end

    if not isinstance(expected, str):
        with pytest.raises(InferenceError) as caught:
            ask(one_try, way, model, limit)
        check_error(caught.value, expected, way, wire, whole)
    else:
        check_text(ask(one_try, way, model, limit), expected, whole)
    assert fleet[wire].faults == []
    one_try.health()  # a spent quota is not asked again before a check
    assert one_try.chat(PROMPT, model=model).text == whole


def ask(router: Router, way: str, model: str, timeout: float | None) -> str:
    if way == "chat":
        return router.chat(PROMPT, model=model, timeout=timeout).text
    stream = router.stream(PROMPT, model=model, timeout=timeout)
    text = "".join(stream)
    assert stream.reply.text == text
    return text


def check_error(error: InferenceError, expected: object, way: str, wire: str, whole: str) -> None:
    assert (error.provider, error.model) == (wire, f"simulated-{wire}")
    assert [a.outcome for a in error.attempts] == [
        "interrupted" if isinstance(error, StreamInterruptedError) else "error"
    ]
    if isinstance(error, StreamInterruptedError):
        assert way == "stream"
        assert error.partial_text
        assert whole.startswith(error.partial_text)
        assert isinstance(error.__cause__, expected)  # type: ignore[arg-type]
    else:
        assert isinstance(error, expected)  # type: ignore[arg-type]


def check_text(text: str, expected: str, whole: str) -> None:
    if expected == WHOLE:
        assert text == whole
    elif expected == "filtered":
        assert whole.startswith(text) or "can't help" in text
    elif expected == "Tell Tell":
        assert text
    else:
        assert expected in text
        assert text.replace(expected, "").replace(" ", "") == whole.replace(" ", "")


@pytest.mark.parametrize("wire", WIRES)
def test_a_filtered_answer_says_so(wire: str, fleet: Fleet, one_try: Router) -> None:
    fleet[wire].fail(Fault("content_filter", after_tokens=AFTER))
    reply = one_try.chat(PROMPT, model=model_of(wire))
    assert reply.finish == ("stop" if wire == "ollama" else "content_filter")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_without_usage_tokens_are_estimated_and_said_to_be(wire: str, way: str, fleet: Fleet, one_try: Router) -> None:
    fleet[wire].fail(Fault("no_usage"))
    if way == "chat":
        reply = one_try.chat(PROMPT, model=model_of(wire))
    else:
        reply = one_try.stream(PROMPT, model=model_of(wire)).reply
    assert reply.usage.source == "estimate"
    assert reply.usage.input_tokens
    assert reply.usage.output_tokens


@pytest.mark.parametrize("wire", WIRES)
def test_a_short_answer_cut_at_every_place_tells_exactly_what_came(wire: str, fleet: Fleet, one_try: Router) -> None:
    model, prompt = model_of(wire), "What is 12 + 30?"
    pieces = tokens.split(one_try.chat(prompt, model=model).text)
    assert len(pieces) >= 4
    for cut in range(1, len(pieces) + 1):
        fleet[wire].fail(Fault("cut", after_tokens=cut))
        stream = one_try.stream(prompt, model=model)
        if cut == len(pieces) and wire == "gemini":  # its last token carries the finish: the answer is whole
            assert "".join(stream) == "".join(pieces)
            continue
        with pytest.raises(StreamInterruptedError) as caught:
            list(stream)
        assert stream.text == caught.value.partial_text == "".join(pieces[:cut])


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_cut_before_its_first_token_is_answered_by_the_next_target(
    wire: str, fleet: Fleet, make_router: MakeRouter
) -> None:
    other = "gemini" if wire != "gemini" else "openai"
    router = make_router(fleet, group={"g": [model_of(wire), model_of(other)]})
    first = fleet[wire].vendor.priority < fleet[other].vendor.priority
    one = wire if first else other
    fleet[one].fail(Fault("cut", after_tokens=0))
    stream = router.stream(PROMPT, model="g")
    assert "".join(stream) == stream.reply.text != ""
    assert stream.reply.provider == (other if first else wire)
    assert [a.outcome for a in stream.reply.route.attempts] == ["error", "ok"]


RETRYABLE = {408, 409, 429, 500, 501, 502, 503, 504, 529}
LASTING = {400, 401, 402, 403, 404, 413, 422}


@pytest.mark.parametrize("wire", WIRES)
def test_every_status_is_a_typed_error_with_the_vendors_words(wire: str, fleet: Fleet, one_try: Router) -> None:
    for status in sorted(RETRYABLE | LASTING):
        fleet[wire].fail(Fault("status", status=status))
        with pytest.raises(InferenceError) as caught:
            one_try.chat(PROMPT, model=model_of(wire))
        assert caught.value.status_code == status
        assert len(caught.value.message) > 5
        assert caught.value.retryable == (status in RETRYABLE), caught.value
        one_try.health()


def test_requests_are_logged_where_the_tests_look(fleet: Fleet, one_try: Router) -> None:
    one_try.chat(PROMPT, model=model_of("openai"))
    log: RequestLog = fleet["openai"].chats[0]
    assert (log.model, log.stream, log.status) == ("simulated-openai", False, 200)
