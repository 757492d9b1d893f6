"""Loads on a loop with a clock of its own: when calls are begun, whatever answers take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

import pytest

from hybrid_nb.bench.records import Call, Item
from hybrid_nb.bench.traffic.arrivals import Extent, sweep
from hybrid_nb.bench.traffic.lag import invalid, spread
from hybrid_nb.bench.traffic.load import Load, Work
from hybrid_nb.bench.traffic.order import Task
from hybrid_nb.bench.traffic.spending import Purse
from hybrid_nb.bench.traffic.till import Till
from hybrid_nb.core.errors import (
    BudgetExceededError,
    InferenceError,
    NoProviderAvailableError,
    ProviderTimeoutError,
    StreamInterruptedError,
)
from hybrid_nb.core.tracing import TRACE
from hybrid_nb.core.types import Attempt, Candidate, Reply, Route, Target
from tests.faults.virtual import VirtualLoop

Answer = Callable[[Task], Coroutine[Any, Any, Reply]]


def tasks(count: int, warmup: int = 0) -> Iterator[Task]:
    phases = itertools.chain(itertools.repeat("warmup", warmup), itertools.repeat("measured"))
    numbers = zip(range(count + warmup), phases, strict=False)
    return (Task(Item(str(n), f"prompt {n}"), "a/m", 0, phase) for n, phase in numbers)  # type: ignore[arg-type]


def reply(cost: str = "0.01") -> Reply:
    attempt = Attempt("a", "m", "ok", None, 0.1, Decimal(cost))
    return Reply("fine", cost=Decimal(cost), provider="a", model="m", route=Route(Target("a", "m"), (), (attempt,)))


def takes(seconds: float, cost: str = "0.01") -> Answer:
    async def ask(task: Task) -> Reply:
        trace = TRACE.get()
        assert trace is not None
        attempt = trace.begin(asyncio.get_running_loop().time())
        await asyncio.sleep(seconds)
        attempt.kept, attempt.ended = True, asyncio.get_running_loop().time()
        return reply(cost)

    return ask


class Ran:
    """A load that is over."""

    def __init__(self, count: int, ask: Answer, warmup: int = 0, limit: str | None = None, **work: Any) -> None:
        self.calls: list[Call] = []
        self.purse = Purse(None if limit is None else Decimal(limit))
        keep = lambda call, spent: self.calls.append(call)  # noqa: E731
        self.load = Load(Work(tasks(count, warmup), ask, keep, **work), Till(self.purse))

    def run(self, *beside: Callable[[Load], Coroutine[Any, Any, None]]) -> Ran:
        loop = VirtualLoop()
        loop.jumps = True

        async def everything() -> None:
            others = [asyncio.ensure_future(work(self.load)) for work in beside]
            await asyncio.wait_for(self.load.run(), 10_000)
            for other in others:
                other.cancel()

        try:
            loop.run_until_complete(everything())
            assert self.load.in_flight == 0
            assert self.purse.held == 0
        finally:
            loop.close()
        return self

    def times(self, name: str) -> list[float]:
        return [getattr(call, name) for call in self.calls if getattr(call, name) is not None]


# --- closed loop --------------------------------------------------------------------------------------------


def test_a_closed_loop_has_so_many_calls_under_way_and_no_task_more() -> None:
    most = 0

    async def count(load: Load) -> None:
        nonlocal most
        while True:
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0.1)

    ran = Ran(40, takes(1.0), concurrency=4).run(count)
    assert max(ran.times("in_flight")) == 4
    assert most <= 4 + 4  # the workers, the lag, and this test's own
    assert ran.times("end_at")[-1] == pytest.approx(10.0, abs=0.1)


def test_slots_pass_from_the_warmup_to_what_is_measured_without_draining() -> None:
    async def ask(task: Task) -> Reply:
        return await takes(10.0 if task.item.id == "0" else 1.0)(task)

    ran = Ran(6, ask, warmup=2, concurrency=2).run()
    first = min(call.started_at or 0.0 for call in ran.calls if call.phase == "measured")
    slow = next(call for call in ran.calls if call.id == "0")
    assert first == pytest.approx(1.0, abs=0.05)  # while a call of the warm-up is under way
    assert slow.end_at == pytest.approx(10.0, abs=0.05)
    assert slow.phase == "warmup"


def test_a_closed_loop_ends_by_time_and_finishes_what_it_began() -> None:
    ran = Ran(10_000, takes(1.0), concurrency=2, duration=5.5, endless=True).run()
    assert len(ran.calls) == 12
    assert {call.status for call in ran.calls} == {"ok"}


# --- open loop ----------------------------------------------------------------------------------------------


def test_an_open_loop_keeps_its_times_however_slow_answers_are() -> None:
    slots = list(sweep([10.0], Extent(50), True, 0))
    ran = Ran(50, takes(6.0), concurrency=None, slots=iter(slots)).run()
    assert sorted(ran.times("due_at")) == [slot.at for slot in slots]
    assert max(s - d for s, d in zip(ran.times("started_at"), ran.times("due_at"), strict=True)) < 0.05
    assert max(ran.times("in_flight")) == 50
    assert {call.stage_rate for call in ran.calls} == {10.0}


def test_a_cap_is_counted_and_delays_sending_but_not_the_schedule() -> None:
    slots = sweep([10.0], Extent(20), True, 0)
    ran = Ran(20, takes(1.0), concurrency=2, slots=slots).run()
    assert max(ran.times("in_flight")) == 2
    assert ran.load.capped == 18
    assert sorted(ran.times("due_at")) == [n / 10 for n in range(20)]
    assert max(ran.times("sent_at")) == pytest.approx(9.0, abs=0.1)
    late = [s - d for s, d in zip(ran.times("started_at"), ran.times("due_at"), strict=True)]
    assert max(late) < 0.05  # the client was there; the cap held the call


# --- money --------------------------------------------------------------------------------------------------


def test_a_run_stops_before_its_limit_is_passed() -> None:
    ran = Ran(100, takes(1.0, "0.02"), limit="1.00", concurrency=4, most=lambda _task: Decimal("0.20")).run()
    assert ran.load.stopped == "budget"
    assert Decimal("0.80") < ran.purse.spent <= Decimal("1.00")
    skipped = [call for call in ran.calls if call.status == "skipped"]
    assert len(ran.calls) == 100
    assert len(skipped) == 100 - int(ran.purse.spent / Decimal("0.02"))
    assert all(str(call.error).startswith("budget") for call in skipped)


def test_a_call_that_does_not_fit_beside_others_waits_for_them() -> None:
    ran = Ran(5, takes(1.0, "0.01"), limit="0.50", concurrency=5, most=lambda _task: Decimal("0.40")).run()
    assert ran.load.stopped is None
    assert ran.times("end_at") == [pytest.approx(n, abs=0.1) for n in range(1, 6)]  # one after the other


def test_a_call_that_waits_for_money_is_not_asked_once_the_run_is_closed() -> None:
    async def close(load: Load) -> None:
        await asyncio.sleep(0.5)
        load.close("enough")

    ran = Ran(5, takes(1.0), limit="0.50", concurrency=3, most=lambda _task: Decimal("0.40")).run(close)
    assert [call.status for call in ran.calls] == ["ok"] + ["skipped"] * 4
    assert ran.calls[0].end_at == pytest.approx(1.0, abs=0.1)  # what is under way is finished
    assert ran.purse.spent == Decimal("0.01")


def test_the_routers_own_budget_stops_the_run_too() -> None:
    async def ask(task: Task) -> Reply:
        if int(task.item.id) >= 3:
            raise BudgetExceededError("the day's budget is spent", 5, 5, 1)
        return await takes(1.0)(task)

    ran = Ran(10, ask, concurrency=1).run()
    assert ran.load.stopped == "budget"
    assert [call.status for call in ran.calls] == ["ok"] * 3 + ["skipped"] * 7
    assert ran.calls[3].error == "budget: the day's budget is spent"


# --- how calls end --------------------------------------------------------------------------------------------


def _failing(error: Exception, after: float = 1.0) -> Call:
    async def ask(task: Task) -> Reply:
        await asyncio.sleep(after)
        raise error

    (call,) = Ran(1, ask, timeout=5.0).run().calls
    return call


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


SLOW = ProviderTimeoutError("no first token after 5 s", "a")


@pytest.mark.parametrize(
    ("error", "after", "status"),
    [
        (InferenceError("no", "a", 500), 1.0, "error"),
        (RuntimeError("a bug of ours"), 1.0, "error"),
        (SLOW, 5.0, "timeout"),
        (_caused(NoProviderAvailableError("all 2 targets failed"), SLOW), 5.0, "timeout"),
        (StreamInterruptedError("broke", partial_text="so fa"), 1.0, "interrupted"),
        (_caused(StreamInterruptedError("stalled", partial_text="so fa"), SLOW), 1.0, "interrupted"),
        (_caused(StreamInterruptedError("too long", partial_text="so fa"), SLOW), 5.0, "timeout"),
    ],
)
def test_a_failure_is_a_row_that_says_what_it_was(error: Exception, after: float, status: str) -> None:
    call = _failing(error, after)
    assert call.status == status
    assert str(call.error).startswith(f"{type(error).__name__}: ")
    assert call.output == ("so fa" if isinstance(error, StreamInterruptedError) else None)
    assert call.end_at == pytest.approx(after, abs=0.05)
    assert call.cost_usd == 0  # nothing was sent


def test_an_attempt_of_unknown_cost_is_unknown_and_counts_as_all_that_was_held() -> None:
    async def ask(task: Task) -> Reply:
        error = ProviderTimeoutError("slow", "a")
        error.attempts = (Attempt("a", "m", "error", "slow", 1.0, None),)
        raise error

    ran = Ran(1, ask, limit="1", most=lambda _task: Decimal("0.3")).run()
    assert ran.calls[0].cost_usd is None
    assert (ran.purse.spent, ran.purse.known, ran.purse.unknown) == (Decimal("0.3"), 0, 1)


def _over(*names: str, parts: tuple[str, ...] = (), planned: str = "a") -> Call:
    """A call whose attempts went to these providers, the last of which answered."""
    last = len(names) - 1
    outcomes = [
        "ok" if n == last else "cancelled" if parts[n : n + 1] == ("hedge",) else "error" for n in range(last + 1)
    ]
    attempts = tuple(
        Attempt(name, "m", outcome, None, 0.1, Decimal(0), part=part)  # type: ignore[arg-type]
        for name, outcome, part in itertools.zip_longest(names, outcomes, parts, fillvalue="")
    )
    plan = (Candidate(Target(planned, "m"), "cloud", True, ""), Candidate(Target("b", "m"), "cloud", True, ""))
    route = Route(Target(names[-1], "m"), plan, attempts)

    async def ask(task: Task) -> Reply:
        return Reply("fine", provider=names[-1], model="m", route=route, cost=Decimal(0))

    (call,) = Ran(1, ask).run().calls
    return call


def test_failing_over_is_another_target_than_the_first() -> None:
    assert not _over("a").failed_over
    assert not _over("a", "a").failed_over  # a retry
    assert _over("a", "b").failed_over
    assert _over("b").failed_over  # the first was passed over, at its limit
    assert not _over("b", "a", parts=("hedge", "")).failed_over  # a rival that lost
    assert _over("a", "b").attempts == 2


# --- stopping -------------------------------------------------------------------------------------------------


async def _stop_after(load: Load, seconds: float) -> None:
    await asyncio.sleep(seconds)
    load.stop("interrupt")


@pytest.mark.parametrize(
    "work", [{"concurrency": 3}, {"concurrency": None, "slots": "open"}, {"concurrency": 2, "slots": "open"}]
)
def test_stopping_cancels_what_is_under_way_and_leaves_a_row_for_everything(work: dict[str, Any]) -> None:
    if "slots" in work:
        work = {**work, "slots": sweep([1.0], Extent(20), True, 0)}
    ran = Ran(20, takes(4.0), **work).run(lambda load: _stop_after(load, 6.5))
    assert ran.load.stopped == "interrupt"
    assert len({call.key for call in ran.calls}) == len(ran.calls) == 20
    done = [call for call in ran.calls if call.status == "ok"]
    cut = [call for call in ran.calls if call.status == "skipped" and call.attempts]
    assert len(done) >= 2
    assert len(cut) >= 2
    assert all(call.cost_usd is None and "while it was under way" in str(call.error) for call in cut)
    assert ran.purse.unknown == len(cut)
    assert max(ran.times("end_at")) < 6.7


def test_an_open_loop_that_is_stopped_at_once_leaves_no_call_out() -> None:
    slots = sweep([1000.0], Extent(30), True, 0)
    ran = Ran(30, takes(1.0), concurrency=None, slots=slots).run(lambda load: _stop_after(load, 0))
    assert len({call.key for call in ran.calls}) == 30


# --- lag ------------------------------------------------------------------------------------------------------


def _begun(delay: float, rate: float | None = None, count: int = 40) -> list[Call]:
    calls = []
    for number in range(count):
        call = Call(str(number), "", None, 0, "a", "measured", stage_rate=rate)
        call.due_at = number / 10
        call.started_at = call.due_at + delay * (number if rate else 1)
        calls.append(call)
    return calls


def test_a_run_is_invalid_when_the_client_was_the_bottleneck() -> None:
    assert invalid([0.001] * 100, _begun(0.001)) == ()
    assert "loop ran 80 ms late" in invalid([0.001] * 90 + [0.08] * 10, [])[0]
    assert "fell behind its schedule: 20 ms" in invalid([], _begun(0.02))[0]
    slow = invalid([], _begun(0.02, rate=10.0))
    assert any("reached 83% of the requested rate" in reason for reason in slow)
    assert invalid([0.5] * 5, _begun(0.5, count=5)) == ()  # too few to tell


def test_the_spread_of_nothing_is_nothing() -> None:
    assert spread([]) == {}
    assert spread([0.3, 0.1, 0.2]) == {"p50": 0.2, "p99": 0.3, "max": 0.3}


def test_a_blocked_loop_is_seen() -> None:
    ran = Ran(3, takes(0.0), concurrency=1)
    block = asyncio.run(_blocked(ran.load))
    assert block >= 0.15
    assert max(ran.load.lag.seconds) > 0.1


async def _blocked(load: Load) -> float:
    import time

    async def ask(task: Task) -> Reply:
        await asyncio.sleep(0.03)
        began = time.monotonic()
        while time.monotonic() - began < 0.15:
            pass
        await asyncio.sleep(0.03)
        return reply()

    load.work.ask = ask
    load.work.tasks = tasks(1)
    began = time.monotonic()
    await load.run()
    return time.monotonic() - began
