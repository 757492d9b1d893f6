# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""Framing: any split of the bytes gives the same events."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.wire.framing import MAX_LINE, JsonLines, Lines, ServerSentEvents, parse
from tests.wire.reading import cut

QUICK = settings(derandomize=True, max_examples=150, deadline=None)
PLACES = st.lists(st.integers(0, 10_000), max_size=12)
# bytes that framing looks at, and some that it must not
ALPHABET = [b"\r", b"\n", b"\r\n", b"data:", b"data: ", b"event: x", b": ping", b"{", b"}", b"[", b"]", b'"a"', b":1", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\xf0\x9f", b" ", b"x", b"[DONE]", b"\x0b", b"\x0c"]  # fmt: skip
STREAMS = st.lists(st.sampled_from(ALPHABET), max_size=40).map(b"".join)


def read(framer: type, pieces: list[bytes]) -> list[bytes]:
    one = framer()
    found = [event for piece in pieces for event in one.feed(piece)]
    rest = one.close()
    return [*found, *(rest if isinstance(rest, list) else [rest])]


@pytest.mark.parametrize("framer", [Lines, ServerSentEvents, JsonLines])
@QUICK
@given(data=STREAMS, places=PLACES)
def test_any_split_gives_the_same(framer: type, data: bytes, places: list[int]) -> None:
    assert read(framer, cut(data, places)) == read(framer, [data])


@pytest.mark.parametrize("framer", [Lines, ServerSentEvents, JsonLines])
@QUICK
@given(data=STREAMS)
def test_single_bytes_and_empty_reads_give_the_same(framer: type, data: bytes) -> None:
    pieces = [piece for byte in data for piece in (bytes([byte]), b"")]
    assert read(framer, pieces) == read(framer, [data])


@QUICK
@given(
    st.lists(st.binary().filter(lambda b: not {10, 13} & set(b)), max_size=10),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    PLACES,
)
def test_lines_are_what_was_joined(parts: list[bytes], end: bytes, places: list[int]) -> None:
    parts = [part for part in parts if not part.startswith(b"\xef")]
    data = end.join(parts)
    assert read(Lines, cut(data, places)) == (parts or [b""])


@QUICK
@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.integers(-5, 5)), max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
    st.booleans(),
    PLACES,
)
def test_events_are_what_was_sent(
    sent: list[dict[str, object]], end: bytes, bom: bool, comments: bool, places: list[int]
) -> None:
    noise = b": keep-alive" + end * 2 + b"event: x" + end if comments else b""
    data = b"".join(noise + b"data: " + orjson.dumps(one) + end * 2 for one in sent)
    pieces = cut((b"\xef\xbb\xbf" if bom else b"") + data, places)
    assert [orjson.loads(event) for event in read(ServerSentEvents, pieces)] == sent


@QUICK
@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1, max_size=8), st.booleans(), PLACES)
def test_json_lines_are_what_was_sent(sent: list[dict[str, str]], last_end: bool, places: list[int]) -> None:
    data = b"\n".join(orjson.dumps(one) for one in sent) + (b"\n" if last_end else b"")
    assert [orjson.loads(line) for line in read(JsonLines, cut(data, places))] == sent


@pytest.mark.parametrize("indent", [None, orjson.OPT_INDENT_2])
def test_a_bare_json_error_is_an_event(indent: int | None) -> None:
    error = {"error": {"code": 429, "message": "a } in { text", "details": [{"x": []}]}}
    raw = orjson.dumps(error, option=indent)
    for data in (raw, raw + b"\n", b"data: {}\n\n" + raw + b"\n"):
        assert orjson.loads(read(ServerSentEvents, [data])[-1]) == error


def test_several_data_lines_are_one_event() -> None:
    assert read(ServerSentEvents, [b"data: a\ndata:b\ndata:  c\n\n"]) == [b"a\nb\n c"]


def test_the_last_event_needs_no_blank_line() -> None:
    assert read(ServerSentEvents, [b"data: a\n\ndata: b"]) == [b"a", b"b"]


@pytest.mark.parametrize("framer", [Lines, ServerSentEvents, JsonLines])
def test_a_line_without_end_is_refused(framer: type) -> None:
    piece = b"x" * 2**20
    with pytest.raises(MalformedResponseError, match="16 MB"):
        read(framer, [piece] * (MAX_LINE // len(piece) + 1))


@pytest.mark.parametrize("line", [b"data: " + b"x" * 2**20 + b"\n", b"{" + b"x" * 2**20 + b"\n"])
def test_an_event_without_end_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedResponseError, match=r"16 MB|neither"):
        read(ServerSentEvents, [line] * (MAX_LINE // len(line) + 2))


def test_the_limit_is_of_one_event_and_not_of_the_stream() -> None:
    one, event = ServerSentEvents(), b"data: " + b"x" * 2**20 + b"\ndata: y\n\n"
    assert sum(len(one.feed(event)) for _ in range(20)) == 20


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"5", b'"x"', b"[1, 2]", b"[]", b"null", b"NaN"])
def test_a_payload_that_is_no_object_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        parse(payload)


def test_an_error_in_a_list_is_taken_out() -> None:
    assert parse(b'[{"error": 1}]') == {"error": 1}
