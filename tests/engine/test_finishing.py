"""Streams that break after the first token, over the wire: others finish them, and no word is lost or doubled."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from hybrid_nb.core.errors import BudgetExceededError, MalformedResponseError, StreamInterruptedError
from hybrid_nb.core.types import Reply
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import HANG, RESET, RawServer, Script, answer, chunked, delta, events, finish, head, until

Raw = Callable[..., RawServer]
WORDS = ["The ", "quick ", "brown ", "fox ", "jumps."]
TEXT = "".join(WORDS)
PRICES = {"prices": {"m": {"input": 1, "output": 2}}}
REFUSES = answer({"error": {"message": "the conversation must end with a user message"}}, 400)


def stream(*texts: str, last: str | None = "stop", usage: tuple[int, int] | None = None) -> Script:
    """A stream of these texts; without `last` its connection is reset after them."""
    told = [{"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}] if usage else []
    start = [head(200, "text/event-stream"), *events(*map(delta, texts))]
    return [*start, *events(finish(last), *told, b"[DONE]")] if last else [*start, 0.05, RESET]


def asked(server: RawServer, number: int = -1) -> list[dict[str, str]]:
    """The messages of a request."""
    return list(server.seen[number].json["messages"])


def read(router: Router, **options: Any) -> tuple[str, Reply]:
    found = router.stream("Tell me of foxes", **options)
    return "".join(found), found.reply


def parts(reply: Reply) -> list[tuple[str, str, str]]:
    return [(a.provider, a.outcome, a.part) for a in reply.route.attempts]


# --- the three ways ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, len(WORDS)))
@pytest.mark.parametrize("echo", [False, True])
def test_a_prefill_writes_the_rest(raw: Raw, make_router: MakeRouter, cut: int, echo: bool) -> None:
    first = raw(stream(*WORDS[:cut], last=None))
    rest = TEXT[len("".join(WORDS[:cut]).rstrip()) :]
    second = raw(stream(*(["".join(WORDS[:cut]).rstrip()] if echo else []), *rest.partition(" ")))
    router = make_router([at(first, "a"), at(second, "b", type="mistral", priority=2)])
    text, reply = read(router, max_tokens=50)
    assert text == reply.text == TEXT
    assert parts(reply) == [("a", "interrupted", ""), ("b", "ok", "prefill")]
    assert asked(second)[-1] == {"role": "assistant", "content": "".join(WORDS[:cut]).rstrip(), "prefix": True}
    assert second.seen[-1].json["max_tokens"] == 50 - -(-len("".join(WORDS[:cut])) // 4)
    assert (reply.provider, reply.finish) == ("b", "stop")
    assert "finished what a/m began" in reply.route.reason
    assert "a broke off" in reply.footer()
    assert list(router.attempts()["part"].fillna("")) == ["", "prefill"]


@pytest.mark.parametrize("cut", range(1, len(WORDS)))
def test_an_instruction_writes_the_rest(raw: Raw, make_router: MakeRouter, cut: int) -> None:
    shown = "".join(WORDS[:cut])
    first, second = raw(stream(*WORDS[:cut], last=None)), raw(stream(shown.rstrip(), TEXT[len(shown.rstrip()) :]))
    text, reply = read(make_router([at(first, "a"), at(second, "b", priority=2)]))
    assert text == reply.text == TEXT
    assert parts(reply)[-1] == ("b", "ok", "instruction")
    assert [m["role"] for m in asked(second)] == ["user", "assistant", "user"]
    assert asked(second)[-1]["content"].endswith("\n" + shown.rstrip())


@pytest.mark.parametrize("cut", range(1, len(WORDS)))
def test_what_cannot_be_gone_on_with_is_restarted(raw: Raw, make_router: MakeRouter, cut: int) -> None:
    first, second = raw(stream(*WORDS[:cut], last=None)), raw(REFUSES, stream(*WORDS))
    text, reply = read(make_router([at(first, "a"), at(second, "b", priority=2)], retries=0))
    assert text == reply.text == TEXT
    assert parts(reply) == [("a", "interrupted", ""), ("b", "error", "instruction"), ("b", "ok", "restart")]
    assert asked(second) == asked(first)


def test_a_refused_prefill_leads_to_the_instruction(raw: Raw, make_router: MakeRouter) -> None:
    first = raw(stream("The quick ", last=None))
    second = raw(REFUSES, stream("The quick brown", " fox jumps."))
    text, reply = read(make_router([at(first, "a"), at(second, "b", type="mistral", priority=2)], retries=0))
    assert text == TEXT
    assert [part for _, _, part in parts(reply)] == ["", "prefill", "instruction"]


def test_a_json_answer_is_restarted_and_parsed(raw: Raw, make_router: MakeRouter) -> None:
    pieces = ['{"a"', ': 1, "b', '": 2}']
    first, second = raw(stream(*pieces[:2], last=None)), raw(stream(*pieces))
    router = make_router([at(first, "a"), at(second, "b", priority=2)])
    text, reply = read(router, schema={"type": "object", "required": ["a", "b"]})
    assert text == "".join(pieces)
    assert reply.parsed == {"a": 1, "b": 2}
    assert parts(reply)[-1] == ("b", "ok", "restart")


def test_the_only_provider_is_asked_again(raw: Raw, make_router: MakeRouter) -> None:
    only = raw(stream("The quick ", last=None), stream("The quick ", "brown ", last=None), stream("brown fox jumps."))
    text, reply = read(make_router([at(only, "a")], retries=2, retry_delay=0))
    assert text == TEXT
    assert parts(reply) == [
        ("a", "interrupted", ""), ("a", "interrupted", "instruction"), ("a", "ok", "instruction"),
    ]  # fmt: skip


def test_a_fallback_that_breaks_too_hands_on_what_both_showed(raw: Raw, make_router: MakeRouter) -> None:
    servers = [
        raw(stream("The quick ", last=None)),
        raw(stream("The quick", " brown ", last=None)),
        raw(stream("The quick brown", " fox jumps.")),
    ]
    router = make_router([at(s, name, priority=n) for n, (s, name) in enumerate(zip(servers, "abc", strict=True))])
    text, reply = read(router)
    assert text == TEXT
    assert "finished what a/m and b/m began" in reply.route.reason
    assert [name for name, _, _ in parts(reply)] == ["a", "b", "c"]


def test_reasoning_alone_was_not_shown_so_the_answer_begins_anew(raw: Raw, make_router: MakeRouter) -> None:
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}]}
    first = raw([head(200, "text/event-stream"), *events(thought), 0.05, RESET])
    second = raw(stream(*WORDS))
    text, reply = read(make_router([at(first, "a"), at(second, "b", priority=2)]))
    assert text == TEXT
    assert parts(reply)[-1] == ("b", "ok", "")


# --- what cannot be finished ------------------------------------------------------------------------------


def test_an_answer_that_fits_nowhere_is_marked_as_broken(raw: Raw, make_router: MakeRouter) -> None:
    first, second = raw(stream("The quick ", last=None)), raw(stream("Foxes are small."))
    router = make_router([at(first, "a"), at(second, "b", priority=2)], retries=0)
    found = router.stream("hi")
    pieces = []
    with pytest.raises(StreamInterruptedError) as broken:
        pieces.extend(found)
    assert broken.value.partial_text == "The quick "
    assert "the rest was asked for in vain: b/m" in str(broken.value)
    assert [(a.provider, a.outcome, a.part) for a in broken.value.attempts] == [
        ("a", "interrupted", ""), ("b", "cancelled", "instruction"), ("b", "cancelled", "restart"),
    ]  # fmt: skip
    assert list(router.calls()["status"]) == ["error"]


@pytest.mark.parametrize("how", ["option", "setting"])
def test_one_may_ask_not_to(raw: Raw, make_router: MakeRouter, how: str) -> None:
    first, second = raw(stream("The quick ", last=None)), raw(stream(*WORDS))
    settings = {"resume": False} if how == "setting" else {}
    router = make_router([at(first, "a"), at(second, "b", priority=2)], **settings)
    with pytest.raises(StreamInterruptedError) as broken:
        router.stream("hi", **({"resume": False} if how == "option" else {})).reply  # noqa: B018
    assert broken.value.partial_text == "The quick "
    assert not second.seen


def test_a_whole_answer_that_is_wrong_is_not_followed_by_another(raw: Raw, make_router: MakeRouter) -> None:
    first, second = raw(stream('{"a": 1}')), raw(stream('{"b": 1}'))
    router = make_router([at(first, "a"), at(second, "b", priority=2)])
    with pytest.raises(MalformedResponseError):
        read(router, schema={"type": "object", "required": ["b"]})
    assert not second.seen


def test_a_content_filter_in_mid_stream_is_not_shopped_around(raw: Raw, make_router: MakeRouter) -> None:
    filtered = {"error": {"message": "no", "code": "content_filter", "type": "invalid_request_error"}}
    first = raw([head(200, "text/event-stream"), *events(delta("The ")), 0.1, *events(filtered)])
    second = raw(stream(*WORDS))
    with pytest.raises(StreamInterruptedError):
        read(make_router([at(first, "a"), at(second, "b", priority=2)]))
    assert not second.seen


# --- what it costs ----------------------------------------------------------------------------------------


def test_every_part_is_billed(raw: Raw, make_router: MakeRouter) -> None:
    first = raw(stream("The quick ", last=None))
    second = raw(stream("The quick", " brown fox jumps.", usage=(20, 7)))
    router = make_router([at(first, "a", **PRICES), at(second, "b", priority=2, **PRICES)])
    _, reply = read(router)
    attempts = reply.route.attempts
    assert attempts[0].usage is not None
    assert attempts[0].usage.source == "estimate"
    assert attempts[1].cost == Decimal("34e-6")
    assert reply.cost == sum(a.cost for a in attempts if a.cost is not None)
    assert reply.usage.input_tokens == 20 + (attempts[0].usage.input_tokens or 0)
    assert reply.usage.source == "estimate"
    row = router.calls().iloc[0]
    assert row["attempts"] == 2
    assert row["cost_usd"] == pytest.approx(float(reply.cost or 0))


def test_max_cost_holds_for_all_parts_together(raw: Raw, make_router: MakeRouter) -> None:
    first, second = raw(stream("The quick ", last=None)), raw(stream(*WORDS))
    router = make_router([at(first, "a", **PRICES), at(second, "b", priority=2, **PRICES)], retries=0)
    with pytest.raises((StreamInterruptedError, BudgetExceededError)) as stopped:
        read(router, max_cost=0.00022, max_tokens=100)
    assert isinstance(stopped.value, StreamInterruptedError)
    assert not second.seen


# --- the four wires, at every cut -------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini", "ollama"])
@pytest.mark.parametrize("kind", ["cut", "end_without_finish", "error_in_stream", "malformed_chunk", "cut_mid_char"])
def test_simulated_vendors_finish_one_anothers_answers(
    fleet: Fleet, make_router: MakeRouter, wire: str, kind: str
) -> None:
    """Each vendor breaks after k tokens, another writes the rest, and the sum reads as one answer."""
    others = [name for name in ("openai", "anthropic", "gemini", "ollama") if name != wire]
    router = make_router(fleet, retries=0, breaker_threshold=100)
    for name in others:
        router.update_provider(name, priority=5)
    router.configure(mode="cloud-first" if wire != "ollama" else "local-first")
    for tokens in (1, 2, 5, 9):
        fleet[wire].fail(Fault(kind, after_tokens=tokens), times=1)
        stream = router.stream("Tell me about tidal energy.")
        text = "".join(stream)
        reply = stream.reply
        assert text == reply.text
        broken, whole = reply.route.attempts
        assert whole.outcome == "ok"
        # an error that comes in one read with the first tokens is found before any is shown
        assert broken.outcome == "interrupted" or kind in ("error_in_stream", "malformed_chunk")
        assert reply.route.attempts[0].provider == wire
        assert "  " not in text
        words = text.split()
        assert not any(a == b for a, b in itertools.pairwise(words))


# --- hedging ----------------------------------------------------------------------------------------------


def measured(make_router: MakeRouter, slow: RawServer, other: RawServer, **settings: Any) -> Router:
    """A router that has seen the first tokens of `a` often enough to know what is late."""
    from hybrid_nb.core.types import Target

    providers = [at(slow, "a", **PRICES), at(other, "b", priority=2, **PRICES)]
    router = make_router(providers, **{"hedge": 0.95, "hedge_rate": 1.0, **settings})
    for _ in range(30):
        router._latency.observe(Target("a", "m"), 0.02, time.monotonic())
    return router


def late(seconds: float, *texts: str) -> Script:
    start, *rest = stream(*texts, usage=(10, 5))
    return [start, seconds, *rest]


NEVER: Script = [head(200, "text/event-stream"), HANG]


def test_a_late_first_token_starts_a_rival_which_wins(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(NEVER), raw(stream("fast", usage=(10, 5)))
    router = measured(make_router, slow, other)
    text, reply = read(router)
    assert text == reply.text == "fast"
    assert reply.provider == "b"
    assert parts(reply) == [("a", "cancelled", "overtaken"), ("b", "ok", "hedge")]
    assert until(lambda: slow.seen[-1].closed is not None, 2.0)
    lost, won = reply.route.attempts
    assert lost.cost is not None  # the loser is billed for its input at least
    assert lost.cost > 0
    assert reply.cost == lost.cost + (won.cost or 0)
    assert "asked beside a/m" in reply.route.reason
    assert reply.footer().endswith(" · faster than a")
    assert "after" not in reply.footer()
    assert router._gate.state(router._state.providers["a"]) == "closed"  # slow is not broken
    assert not router._latency.flying


def test_a_rival_that_is_slower_is_cancelled(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(late(0.3, "slow ", "but first")), raw(NEVER)
    router = measured(make_router, slow, other)
    text, reply = read(router)
    assert text == reply.text == "slow but first"
    assert sorted(parts(reply)) == [("a", "ok", ""), ("b", "cancelled", "hedge")]
    assert until(lambda: other.seen[-1].closed is not None, 2.0)


def test_the_usage_is_the_winners_though_the_loser_ends_after_it(raw: Raw, make_router: MakeRouter) -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    start, *rest = chunked(*events(delta("slow"), finish("stop"), told, b"[DONE]"))
    slow, other = raw([start, 0.3, b"".join(rest)]), raw(NEVER)  # the first token and the end in one read
    reply = read(measured(make_router, slow, other))[1]
    assert ("b", "cancelled", "hedge") in parts(reply)
    assert (reply.provider, reply.usage.output_tokens, reply.usage.source) == ("a", 5, "provider")


def test_no_rival_starts_when_the_first_token_is_in_time(raw: Raw, make_router: MakeRouter) -> None:
    quick, other = raw(stream("quick")), raw(stream("fast"))
    router = measured(make_router, quick, other)
    for _ in range(20):
        router._latency.observe(("a", "m"), 0.5, time.monotonic())  # type: ignore[arg-type]
    assert read(router)[1].provider == "a"
    assert not other.seen


def test_a_rival_that_fails_leaves_the_first_alone(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(late(0.3, "slow")), raw(answer({"error": {"message": "no"}}, 503))
    text, reply = read(measured(make_router, slow, other))
    assert text == "slow"
    assert sorted(parts(reply)) == [("a", "ok", ""), ("b", "error", "hedge")]


def test_a_first_that_fails_leaves_the_answer_to_its_rival(raw: Raw, make_router: MakeRouter) -> None:
    broken = [0.2, *answer({"error": {"message": "no"}}, 503)]
    slow, other = raw(broken), raw(late(0.4, "fast"))
    text, reply = read(measured(make_router, slow, other))
    assert text == "fast"
    assert parts(reply) == [("a", "error", ""), ("b", "ok", "hedge")]


def test_a_rival_whose_stream_breaks_is_finished_too(raw: Raw, make_router: MakeRouter) -> None:
    slow = raw(NEVER, stream("fa", "st"))
    other = raw(stream("fa", last=None), stream("fa", "st and done"))
    text, reply = read(measured(make_router, slow, other, retries=1, retry_delay=0))
    assert text == reply.text == "fast and done"
    assert [a.part for a in reply.route.attempts] == ["overtaken", "hedge", "instruction"]


def test_hedges_are_rare(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(late(0.15, "slow")), raw(NEVER)
    router = measured(make_router, slow, other, hedge_rate=0.1)
    for _ in range(11):
        assert read(router)[0] == "slow"
    assert len(other.seen) <= 3  # one saved up, and one in ten


def test_cancelling_ends_both(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(NEVER), raw(NEVER)
    router = measured(make_router, slow, other)
    found = router.stream("hi")
    assert until(lambda: other.seen)
    found.cancel()
    assert until(lambda: slow.seen[-1].closed and other.seen[-1].closed)
    assert until(lambda: not router._latency.flying)
    assert until(lambda: list(router.calls()["status"]) == ["cancelled"])
    assert router._ledger.rows("SELECT * FROM reservations") == []
    assert len(router.attempts()) == 2


def test_max_cost_is_for_one_attempt_so_there_is_no_rival(raw: Raw, make_router: MakeRouter) -> None:
    slow, other = raw(late(0.2, "slow")), raw(stream("fast"))
    assert read(measured(make_router, slow, other), max_cost=1.0)[1].provider == "a"
    assert not other.seen
