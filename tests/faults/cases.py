# ruff: noqa: E501 - a table of cases
"""The conduct suite as one table: what the servers do, and what must happen. See `Case`."""

from __future__ import annotations

import asyncio
import email.utils
import re
from collections.abc import Sequence
from typing import Any

from hybrid_nb.core.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    MalformedResponseError,
    NoProviderAvailableError,
    PermissionDeniedError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
    ServiceUnavailableError,
    StreamInterruptedError,
)
from hybrid_nb.sim import Fault
from hybrid_nb.sim.desk import WIRES as WIRE
from hybrid_nb.sim.faults import Scene, effect
from hybrid_nb.sim.types import Answer
from tests.faults import scenarios as play
from tests.faults.conduct import ANSWER, DOWN, WORDS, Case, Way, frames, good, says, streamed
from tests.faults.raw_server import HANG, RESET, Play, Script, Seen, answer, chunked, delta, events, finish, head, said
from tests.faults.vendors import STAMP, vendor

MESSAGE = "not now"
BOOM = {"error": {"message": "boom", "code": 500}}
SSE = "text/event-stream"
HALF = b'{"choices": [{"delta": {"content": "\xf0\x9f'
ONE_TRY = {"retries": 0}
HEDGE = {"hedge": 0.95, "hedge_rate": 1.0}
SMALL = {"context": {"m": 8000}}
JSON = ('{"n": ', "1, ", '"m": ', "2}")


def refuse(status: int, *headers: str, message: str = MESSAGE, **more: Any) -> Script:
    """An error in OpenAI's words."""
    return answer({"error": {"message": message, **more}}, status, "application/json", *headers)


def come_back_at(seconds: float) -> Play:
    """429 with a date."""

    def play(seen: Seen) -> Script:
        at = asyncio.get_running_loop().wall() + seconds  # type: ignore[attr-defined]
        return refuse(429, f"Retry-After: {email.utils.formatdate(at, usegmt=True)}")

    return play


def begun(words: int, *then: Any, end: bool = False, text: Sequence[str] = WORDS) -> Script:
    """So many words in packets of their own, then these events."""
    first, *rest = chunked(*events(*(delta(word) for word in text[:words]), *then), end=end)
    return [first, *(part for piece in rest for part in (piece, 0.001))]


def after(words: int, *then: bytes | float | str, text: Sequence[str] = WORDS) -> Play:
    """So many words of the answer, then this; unstreamed, half of its body."""

    def play(seen: Seen) -> Script:
        if not streamed(seen):
            whole = answer(said(ANSWER))
            return [whole[0], whole[1][:40], *then]
        return [*begun(words, text=text), *then]

    return play


def both(chat: Script, stream: Script) -> Play:
    """A different script each way."""
    return lambda seen: stream if streamed(seen) else chat


def slowly(before: float, between: float = 0.0, headers: float = 0.0) -> Play:
    """The answer with pauses: before its headers, before the first word, between words."""

    def play(seen: Seen) -> Script:
        if not streamed(seen):
            return [headers + before + between * len(WORDS), *answer(said(ANSWER))]
        first, *rest = chunked(*frames(WORDS))
        words = [part for piece in rest[: len(WORDS)] for part in (between, piece)]
        return [headers, first, before, *words, *rest[len(WORDS) :]]

    return play


def _rest(seen: Seen) -> list[str]:
    """The words of a model that does as it is asked: goes on from a beginning, or repeats the last words first."""
    *before, last = seen.json["messages"]
    if last["role"] == "assistant":
        return _words(ANSWER[len(last["content"]) :])
    if not before:
        return list(WORDS)
    return [last["content"].rpartition("\n")[2], *_words(ANSWER[len(before[-1]["content"]) :])]


def _words(text: str) -> list[str]:
    return re.findall(r" ?\S+", text)


def follows() -> Play:
    """A model that goes on as it is told."""
    return lambda seen: says(*_rest(seen))(seen)  # type: ignore[operator]


def goes_on(kind: str) -> Play:
    """One that goes on from a beginning, in its vendor's format."""
    return lambda seen: vendor(kind, words=_rest(seen))(seen)  # type: ignore[operator]


def interrupted(words: int) -> tuple[type[Exception], str]:
    return StreamInterruptedError, "".join(WORDS[:words])


def broken(name: str, play: Play, words: int, kind: type[Exception], **more: Any) -> list[Case]:
    """A stream that breaks so after some words: alone, and where another target is free."""
    alone = Way(kind, interrupted(words))
    return [
        Case(name, a=[play], ends=alone, settings=ONE_TRY, **more),
        Case(
            f"{name}, another is free",
            a=[play],
            b=[good],
            asked="ab",
            parts=Way(None, ",instruction"),
            **more,
        ),
    ]


WIRES = ("openai", "anthropic", "gemini", "ollama")
BEFORE = ("status", "quota", "reset", "silence", "empty200", "html200", "json_error_200")  # faults before any word
MIDDLE = ("cut", "stall", "malformed_chunk", "error_in_stream", "error_then_done", "raw_error", "invalid_utf8")
NO_FAULT = ("no_done", "no_usage", "wrong_content_type", "slow_first", "split_bytes", "u2028")


def on(wire: str, kind: str, **more: Any) -> Case:
    """A fault of the simulated vendors on one wire, and another of the same kind that is free."""
    fault = Fault(kind, after_tokens=3, seconds=20.0 if kind == "slow_first" else 0.0)
    text = effect(fault).answer(Answer(WORDS), fault, Scene(WIRE[wire], STAMP)).text if kind in NO_FAULT else ANSWER
    has = {"a_has": {"type": wire}, "b_has": {"type": wire}, "ends": text}
    heals = 3601.0 if kind == "quota" else 61.0
    return Case(
        f"{kind} @{wire}", a=[vendor(wire, fault)], b=[vendor(wire)], well=vendor(wire), heals=heals, **{**has, **more}
    )


CASES = [
    Case("all well"),
    # --- refused for now
    Case("429 once", a=[refuse(429), good], asked="aa"),
    Case("429 lasting", a=[refuse(429)], ends=RateLimitError, asked="aaa"),
    Case("429, another is free", a=[refuse(429)], b=[good], asked="ab"),
    Case("429 Retry-After 30 once", a=[refuse(429, "Retry-After: 30"), good], asked="aa", gaps=[(30, 30)]),
    Case("429 Retry-After 30 lasting", a=[refuse(429, "Retry-After: 30")], ends=RateLimitError, asked="aaa", gaps=[(30, 30)] * 2),
    Case("429 Retry-After as a date", a=[come_back_at(30), good], asked="aa", gaps=[(29, 30)], within=(29, 30)),
    Case("429 retry-after-ms 1500", a=[refuse(429, "retry-after-ms: 1500"), good], asked="aa", gaps=[(1.5, 1.5)]),
    Case("429 Retry-After 30, another is free", a=[refuse(429, "Retry-After: 30")], b=[good], asked="ab"),
    Case("429 Retry-After past the deadline", a=[refuse(429, "Retry-After: 30")], ends=RateLimitError, options={"timeout": 20}),
    Case("429 cools down for as long as was asked", a=[refuse(429, "Retry-After: 30")], b=[good], scenario=play.calls_while_cooling, bound="a only at 0 and after 30 s"),
    Case("500 once", a=[refuse(500), good], asked="aa"),
    Case("500 once, another is free", a=[refuse(500), good], b=[good], asked="ab"),
    Case("503 lasting", a=[refuse(503)], ends=ServiceUnavailableError, asked="aaa"),
    Case("503 lasting, another is free", a=[refuse(503)], b=[good], asked="ab"),
    Case("503 Retry-After 5", a=[refuse(503, "Retry-After: 5"), good], asked="aa", gaps=[(5, 5)]),
    Case("503 lasting, many calls", a=[refuse(503)], scenario=play.many_calls_to_one_that_is_down, bound="5 requests, then none for 60 s"),
    Case("529 once", a=[refuse(529), good], asked="aa"),
    Case("529 lasting, another is free", a=[refuse(529)], b=[good], asked="ab"),
    Case("backoff is jittered", a=[refuse(503), good, good] * 40, scenario=play.jitter, bound="40 waits over all of 0-0.5 s"),
    # --- no connection
    Case("reset before headers", a=[[RESET], good], asked="aa"),
    Case("reset before headers, another is free", a=[[RESET]], b=[good], asked="ab"),
    Case("closed before headers", a=[[], good], asked="aa"),
    Case("connection refused", a=[DOWN], ends=ConnectionFailedError, says="refused", asked="aaa"),
    Case("connection refused, another is free", a=[DOWN], b=[good], asked="ab"),
    Case("no such host", a_has={"base_url": "http://nowhere.invalid/v1"}, ends=ConnectionFailedError, says="no such host", settings=ONE_TRY, after=""),
    Case("no such host, another is free", a_has={"base_url": "http://nowhere.invalid/v1"}, b=[good], asked="ab", after="b"),
    *[Case(f"TLS: {kind} certificate", certificate=kind, ends=ConnectionFailedError, says="TLS to 127.0.0.1 failed", settings=ONE_TRY) for kind in ("self-signed", "expired", "another host's")],
    Case("TLS: self-signed certificate, another is free", certificate="self-signed", b=[good], asked="ab"),
    Case("nobody accepts", scenario=play.nobody_accepts, b=[good], bound="b after connect_timeout (10-11 s)"),
    # --- no answer, or a late one
    Case("no answer at all", a=[[HANG]], ends=ProviderTimeoutError, asked=Way("a", "aaa"), gaps=Way((), [(30, 30.5), (30, 31)]), within=Way(120, (90, 91.5))),
    Case("no answer at all, another is free", a=[[HANG]], b=[good], asked="ab", gaps=Way([(60, 60)], [(30, 30)])),
    Case("no answer, one try", a=[[HANG]], ends=ProviderTimeoutError, says=Way("total timeout", "no first token after 30 s"), settings=ONE_TRY, within=Way(120, 30)),
    Case("headers, then nothing", a=[[head(200, SSE), HANG]], b=[good], asked="ab", gaps=Way([(60, 60)], [(30, 30)])),
    Case("pings, but no token", a=[[head(200, SSE), *[b": ping\n\n", 5.0] * 30]], b=[good], asked="ab", gaps=[(30, 30)], ways=("stream",)),
    Case("slow first token, in time", a=[slowly(25)], b=[good], within=25),
    Case("slow first token, too late", a=[slowly(35)], b=[good], asked=Way("a", "ab"), gaps=Way((), [(30, 30)]), within=Way(35, 30)),
    Case("slow headers, in time", a=[slowly(0, headers=25)], b=[good], within=25),
    Case("slow headers, too late", a=[slowly(0, headers=65)], b=[good], asked="ab", gaps=Way([(60, 60)], [(30, 30)])),
    Case("a word every 9 s", a=[slowly(0, 9)], b=[good], within=54),
    Case("a late error leaves time for one more try", a=[[50.0, *refuse(503)]], ends=ProviderTimeoutError, says=Way("total timeout", "no first token"), asked="aaa", gaps=Way([(50, 50.5), (50, 51)], [(30, 30.5), (30, 31)]), within=Way(120, (90, 91.5))),
    Case("one of its addresses is dead", a=[good], a_has={"endpoints": [{"base_url": "http://127.0.0.1:9/v1"}, {"base_url": "itself"}], "base_url": None}, asked="aa", gaps=[(0, 0)], after=""),
    # --- streams that break
    *[Case(f"cut after {k} words", a=[after(k)], ends=Way(ConnectionFailedError, interrupted(k)), settings=ONE_TRY) for k in range(1, 7)],
    *[Case(f"cut after {k} words, another is free", a=[after(k)], b=[good], asked="ab", parts=Way(None, ",instruction")) for k in range(1, 7)],
    Case("cut after 0 words, another is free", a=[after(0)], b=[good], asked="ab"),
    *broken("reset in mid-stream", after(3, RESET), 3, ConnectionFailedError),
    Case("stall in mid-stream", a=[after(3, HANG)], ends=Way(ProviderTimeoutError, interrupted(3)), settings=ONE_TRY, within=Way(120, 20)),
    Case("stall in mid-stream, another is free", a=[after(3, HANG)], b=[good], asked="ab", gaps=Way([(60, 60)], [(20, 20)]), within=Way(60, 20)),
    *broken("malformed chunk", both(answer(b'{"choices": ['), begun(3, b'{"choices": [1, ')), 3, MalformedResponseError),
    *broken("half a UTF-8 character at the cut", both([head(200), HALF], [*begun(3), *chunked(b"data: " + HALF, end=False)[1:]]), 3, MalformedResponseError),
    *broken("end without finish", both(answer(b'{"id": 1}'), begun(3, end=True)), 3, MalformedResponseError),
    *broken("error object, then [DONE]", both(answer(BOOM), begun(3, BOOM, b"[DONE]", end=True)), 3, ServiceUnavailableError),
    Case("error object before any word", a=[both(answer(BOOM), chunked(*events(BOOM, b"[DONE]")))], b=[good], asked="ab"),
    # --- how a broken answer is finished
    *[Case(f"cut after {k} words, the other follows the instruction", a=[after(k)], b=[follows()], asked="ab", parts=",instruction", ways=("stream",)) for k in range(1, 7)],
    *[Case(f"cut after {k} words, the other goes on from a prefill @{kind}", a=[vendor(kind, Fault("cut", after_tokens=k))], b=[goes_on(kind)], well=vendor(kind), a_has={"type": kind}, b_has={"type": kind}, asked="ab", parts=",prefill", ways=("stream",)) for k in range(1, 6) for kind in ("ollama",)],
    Case("cut, the fallback refuses the prefill", a=[after(3)], b=[refuse(400), follows()], b_has={"type": "mistral"}, asked="abb", parts=",prefill,instruction", gaps=[(0, 0), (0, 0)], ways=("stream",)),
    Case("cut, the fallback refuses all but a restart", a=[after(3)], b=[refuse(400), refuse(422), good], b_has={"type": "mistral"}, asked="abbb", parts=",prefill,instruction,restart", gaps=[(0, 0)] * 3, ways=("stream",)),
    Case("cut, the fallback refuses everything", a=[after(3), good], b=[refuse(400)], asked="abba", ends=ANSWER, gaps=[(0, 0), (0, 0), (0, 0.5)], ways=("stream",)),
    Case("cut, the fallback says something else", a=[after(3)], b=[says("Un", " deux", " trois.")], ends=interrupted(3), settings=ONE_TRY, asked="abb", parts=",instruction,restart", gaps=[(0, 0)] * 2, ways=("stream",)),
    Case("cut, the fallback is also cut", a=[after(2)], b=[after(4)], c=[good], asked="abc", parts=",instruction,instruction", ways=("stream",)),
    Case("cut, the fallback is down", a=[after(2)], b=[refuse(503)], c=[good], asked="abc", ways=("stream",)),
    Case("cut, all others are down", a=[after(2)], b=[refuse(503)], c=[DOWN], ends=interrupted(2), says="asked for in vain", settings=ONE_TRY, asked="abc", ways=("stream",)),
    Case("cut once, nobody else", a=[after(3), good], asked="aa", parts=",instruction", ways=("stream",)),
    Case("cut again and again, nobody else", a=[after(3)], ends=interrupted(3), asked="aaa", ways=("stream",)),
    Case("cut further on each time", a=[after(1), after(3), follows()], asked="aaa", ways=("stream",)),
    Case("cut, resume=False for this call", a=[after(3)], b=[good], ends=interrupted(3), options={"resume": False}, ways=("stream",)),
    Case("cut, resume = false by setting", a=[after(3)], b=[good], ends=interrupted(3), settings={"resume": False}, ways=("stream",)),
    Case("cut, an answer by a schema", a=[after(3, text=JSON)], b=[says(*JSON)], ends="".join(JSON), options={"schema": {"type": "object"}}, asked="ab", parts=",restart", ways=("stream",)),
    # --- a rival for one that is slow to begin
    Case("hedge: a slow first token", a=[slowly(0.1)], b=[good], scenario=play.hedged(slowly(10)), settings=HEDGE, ways=("stream",), bound="b after 0.1 s, a closed"),
    Case("hedge: the rival fails", a=[slowly(0.1)], b=[refuse(503)], scenario=play.hedged(slowly(10), winner="a", seconds=10), settings=HEDGE, ways=("stream",), bound="a after 10 s"),
    Case("hedge: the rival is silent", a=[slowly(0.1)], b=[[HANG]], scenario=play.hedged(slowly(10), winner="a", seconds=10), settings=HEDGE, ways=("stream",), bound="a after 10 s, b closed"),
    Case("hedge: the first one fails later", a=[slowly(0.1)], b=[slowly(5)], scenario=play.hedged([2.0, *refuse(503)], seconds=5.1), settings=HEDGE, ways=("stream",), bound="b after 5.1 s"),
    Case("hedge: both at the same moment", a=[slowly(0.1)], b=[slowly(5)], scenario=play.hedged(slowly(5.1), winner="[ab]", seconds=5.1), settings=HEDGE, ways=("stream",), bound="one answer, 5.1 s"),
    Case("hedge: the rival is cut in mid-stream", a=[slowly(0.1)], b=[after(3)], c=[good], scenario=play.hedged(slowly(10), winner="c"), settings=HEDGE, ways=("stream",), bound="c finishes it"),
    Case("hedge: both fail, a third is free", a=[slowly(0.1)], b=[[1.0, *refuse(503)]], c=[good], scenario=play.hedged([2.0, *refuse(503)], winner="c", seconds=2), settings=HEDGE, ways=("stream",), bound="c after 2 s"),
    Case("hedge: cancelled while both run", a=[slowly(0.1)], b=[[HANG]], scenario=play.hedge_cancelled, settings=HEDGE, ways=("stream",), bound="both closed"),
    Case("hedge: never more than its rate", a=[slowly(0.1)], b=[good], scenario=play.hedge_rate, settings={"hedge": 0.5, "hedge_rate": 0.1}, ways=("stream",), bound="at most 10 % and 3"),
    Case("hedge: off, as shipped", a=[slowly(0.1)], b=[good], scenario=play.hedged(slowly(10), winner="a", seconds=10, asked="a"), ways=("stream",), bound="a after 10 s"),
    # --- what is no answer
    Case("empty 200", a=[answer(b"")], ends=MalformedResponseError, says="empty", asked="aaa"),
    Case("empty 200, another is free", a=[answer(b"")], b=[good], asked="ab"),
    Case("HTML 200", a=[answer(b"<html>Sign in</html>", 200, "text/html")], ends=MalformedResponseError, says="HTML", settings=ONE_TRY),
    Case("HTML 200, another is free", a=[answer(b"<html>Sign in</html>", 200, "text/html")], b=[good], asked="ab"),
    Case("wrong content type", a=[both(answer(said(ANSWER), 200, "text/plain"), chunked(*frames(WORDS), kind="text/plain"))], b=[good]),
    Case("JSON in reply to a stream", a=[answer(said(ANSWER))], b=[good]),
    Case("duplicate chunk", a=[both(answer(said(ANSWER)), chunked(*frames(("One", *WORDS))))], ends=Way(ANSWER, "One" + ANSWER)),
    Case("usage missing", a=[both(answer(said(ANSWER, None)), chunked(*events(*map(delta, WORDS), finish(), b"[DONE]")))]),
    Case("no [DONE], connection stays open", a=[both(answer(said(ANSWER)), [*chunked(*events(*map(delta, WORDS), finish()), end=False), HANG])], within=Way(0, 1)),
    # --- refused for good
    Case("bad request", a=[refuse(400)], b=[good], ends=InvalidRequestError),
    Case("no such model there", a=[refuse(404, message="model not found", code="model_not_found")], b=[good], asked="ab"),
    Case("context overflow", a=[refuse(400, code="context_length_exceeded")], ends=ContextLengthError),
    Case("context overflow, one is larger", a=[refuse(400, code="context_length_exceeded")], a_has=SMALL, b=[good], b_has=SMALL, c=[good], c_has={"context": {"m": 100_000}}, asked="ac"),
    Case("context overflow, none is larger", a=[refuse(400, code="context_length_exceeded")], a_has=SMALL, b=[good], b_has=SMALL, ends=ContextLengthError),
    Case("content filter, failover by setting", a=[refuse(400, code="content_filter")], b=[good], asked="ab", settings={"content_filter_failover": True}),
    Case("content filter", a=[refuse(400, code="content_filter")], b=[good], ends=ContentFilterError),
    Case("key revoked", a=[refuse(401)], ends=AuthenticationError, heals=None),
    Case("key revoked, another is free", a=[refuse(401)], b=[good], asked="ab", heals=None),
    Case("key revoked, many calls", a=[refuse(401)], b=[good], scenario=play.asked_once_only, heals=None, bound="a once, then b"),
    Case("forbidden", a=[refuse(403)], ends=PermissionDeniedError),
    Case("quota", a=[refuse(429, code="insufficient_quota")], ends=QuotaExceededError, heals=3601),
    Case("quota, another is free", a=[refuse(429, code="insufficient_quota")], b=[good], asked="ab", heals=3601),
    Case("quota, many calls", a=[refuse(429, code="insufficient_quota")], b=[good], scenario=play.asked_once_only, heals=3601, bound="a once, then b"),
    # --- the same on every wire
    *[on(wire, kind, asked="ab", gaps=Way([(60, 60)], [(30, 30)]) if kind == "silence" else None) for kind in BEFORE for wire in WIRES],
    *[on(wire, kind, asked="ab", gaps=Way([(60, 60)], [(20, 20)]) if kind == "stall" else None) for kind in MIDDLE for wire in WIRES],
    *[on(wire, kind, within=(0, 21 if kind == "slow_first" else 1)) for kind in NO_FAULT for wire in WIRES],
    # --- nobody is left
    Case("all down", a=[refuse(503)], b=[refuse(503)], c=[refuse(503)], ends=NoProviderAvailableError, says="all 3 targets failed", asked="abc[abc]{2}"),
    Case("all down, open breakers", a=[refuse(503)], b=[refuse(503)], scenario=play.all_down, bound="told when to come back"),
    Case("a fallback that is also broken", a=[refuse(503)], b=[answer(b"")], c=[good], asked="abc"),
    Case("no failover by option", a=[refuse(503)], b=[good], ends=ServiceUnavailableError, asked="aaa", settings={"failover": False}),
    Case("no retries by option", a=[refuse(503)], ends=ServiceUnavailableError, settings=ONE_TRY),
    # --- over time, and many at once
    Case("a flapping primary", b=[good], scenario=play.sixty_seconds, settings={"breaker_seconds": 5}, bound="single probes, doubling; back when well"),
    Case("1,000 at once, 30 % faults", a=[play.chance(1)], b=[play.chance(2)], c=[play.chance(3)], scenario=play.a_thousand, settings={"breaker_threshold": 1000}, heals=601, bound="text or typed error"),
    Case("two at once are allowed, 40 come", a=[slowly(1)], a_has={"max_concurrency": 2}, scenario=play.two_at_once, bound="2 at once, in order, 20 s"),
    Case("10 a minute are allowed, 15 come", a=[good], a_has={"rpm": 10}, scenario=play.ten_a_minute, bound="10 at once, 5 after 60 s"),
    Case("a slow reader", a=[says(*(f"{n} " for n in range(2000)))], b=[good], scenario=play.slow_reader, ways=("stream",), bound="others 0 s, nothing lost"),
    *[Case(f"cancelled {stage}", scenario=play.cancelled(stage), bound="nothing is left", **more) for stage, more in play.STAGES.items()],
]  # fmt: skip
