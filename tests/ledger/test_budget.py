"""Budgets: settled and reserved never pass the limit, whatever the interleaving, the processes and their deaths."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_nb.core.errors import BudgetExceededError, ConfigError, InvalidRequestError
from hybrid_nb.ledger.budget import (
    GRACE,
    LOOK_AGAIN,
    Ask,
    Budget,
    amount_usd,
    day_of,
    dollars,
    expire,
    limits_of,
    reserve,
    resets_at,
    settle,
)
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.money import Limits
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import HANG, RawServer, answer, delta, events, head, said, spoken, until

Raw = Callable[..., RawServer]
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp()
TEN = Limits(10, None)


def unix(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{path}")
    yield ledger
    ledger.close()


def money(path: Path) -> tuple[int, int]:
    """(spent, reserved) of one moment."""
    with closing(sqlite3.connect(path, timeout=5)) as db:
        query = (
            "SELECT (SELECT COALESCE(SUM(amount), 0) FROM spend), (SELECT COALESCE(SUM(amount), 0) FROM reservations)"
        )
        spent, reserved = db.execute(query).fetchone()  # one statement sees one moment
    return spent, reserved


# --- days and months ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ("2026-11-20 12:00", "2026-11-21", "2026-12-01"),
        ("2026-12-31 23:59:59.999", "2027-01-01", "2027-01-01"),
        ("2027-01-01 00:00", "2027-01-02", "2027-02-01"),
        ("2027-01-31 08:00", "2027-02-01", "2027-02-01"),
        ("2028-02-28 23:00", "2028-02-29", "2028-03-01"),
        ("2028-02-29 00:00", "2028-03-01", "2028-03-01"),
        ("2027-02-28 00:00", "2027-03-01", "2027-03-01"),
        ("2026-03-29 01:30", "2026-03-30", "2026-04-01"),  # clocks change in Europe, and not in UTC
    ],
)
def test_when_they_reset(now: str, day: str, month: str) -> None:
    assert resets_at("daily", unix(now)) == unix(day)
    assert resets_at("monthly", unix(now)) == unix(month)
    assert day_of(unix(now)) == now[:10]


def test_the_days_of_a_month_add_up_and_a_new_one_begins_empty(ledger: Ledger) -> None:
    db, limits = ledger._db, Limits(10, 25)

    def spend(now: str, amount: int) -> int | str | None:
        found = reserve(Ask(now, [amount], amount, unix(now) + 99), limits, unix(now), False, db)
        settle(now, amount, unix(now), db)
        return found.limit if found.granted is None else found.granted

    assert spend("2026-12-29 23:59:59", 10) == 0
    assert spend("2026-12-29 23:59:59.5", 1) == "daily"
    assert spend("2026-12-30 00:00", 10) == 0
    assert spend("2026-12-31 23:00", 6) == "monthly"
    assert spend("2026-12-31 23:30", 5) == 0
    assert spend("2026-12-31 23:59:59", 1) == "monthly"
    assert spend("2027-01-01 00:00", 10) == 0
    assert dict(db.execute("SELECT * FROM spend")) == {
        "2026-12-29": 10, "2026-12-30": 10, "2026-12-31": 5, "2027-01-01": 10,
    }  # fmt: skip


def test_what_is_reserved_before_midnight_holds_after_it(ledger: Ledger) -> None:
    db, late, early = ledger._db, unix("2026-12-31 23:59:59"), unix("2027-01-01 00:00:01")
    assert reserve(Ask("a", [8], 4, late + 99), TEN, late, False, db).granted == 0
    assert reserve(Ask("b", [3], 1, early + 99), TEN, early, False, db).may_come
    settle("a", 6, early, db)
    assert dict(db.execute("SELECT * FROM spend")) == {"2027-01-01": 6}
    assert reserve(Ask("b", [3, 1], 1, early + 99), TEN, early, False, db).granted == 0


# --- the rule, in any order ---------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "unknown", "release", "die", "later"]),
        st.integers(0, 7),
        st.integers(0, 60),
    ),
    max_size=60,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(STEPS, st.one_of(st.none(), st.integers(0, 100)), st.one_of(st.none(), st.integers(0, 150)))
def test_settled_and_reserved_never_pass_a_limit(
    steps: list[tuple[str, int, int]], daily: int | None, monthly: int | None
) -> None:
    """Against plain sums; costs are at most what was reserved, as they are when the bound holds."""
    db, now, limits = (
        sqlite3.connect(":memory:", isolation_level=None),
        unix("2026-12-30 22:00"),
        Limits(daily, monthly),
    )
    db.execute("CREATE TABLE reservations (id TEXT PRIMARY KEY, expires REAL, amount INTEGER, estimate INTEGER)")
    db.execute("CREATE TABLE spend (day TEXT PRIMARY KEY, amount INTEGER)")
    held: dict[str, tuple[int, int, float]] = {}  # amount, estimate, expires
    spent: dict[str, int] = {}

    def charge(amount: int) -> None:
        spent[day_of(now)] = spent.get(day_of(now), 0) + amount

    def lose_the_dead() -> None:
        for name, (_, estimate, expires) in list(held.items()):
            if expires < now:
                charge(estimate)
                del held[name]

    for kind, which, amount in steps:
        name = f"c{which}"
        if kind == "later":
            now += amount * 600
        elif kind == "reserve" and name not in held:
            asks, swept = [amount, amount // 2, amount // 4], which % 2 == 0
            reserved = sum(held_amount for held_amount, _, _ in held.values())
            first = _room(spent, reserved, now, limits)
            found = reserve(Ask(name, asks, amount // 3, now + 900), limits, now, swept, db)
            if swept or found.granted != 0 or amount > first:
                lose_the_dead()
            reserved = sum(held_amount for held_amount, _, _ in held.values())
            room = _room(spent, reserved, now, limits)
            fitting = [number for number, ask in enumerate(asks) if ask <= room]
            assert found.granted == (fitting[0] if fitting else None)
            if found.granted is not None:
                granted = asks[found.granted]
                held[name] = (granted, min(amount // 3, granted), now + 900)
            else:
                assert (found.limit is None) == (asks[-1] <= _room(spent, 0, now, limits))
        elif kind in ("settle", "unknown", "release"):
            most, estimate, _ = held.pop(name, (0, 0, 0.0))
            cost = {"settle": min(amount, most), "unknown": None, "release": 0}[kind]
            settle(name, cost, now, db)
            charge(estimate if cost is None else cost)
        elif kind == "die":
            expire(now, db)
            lose_the_dead()
        table = dict(db.execute("SELECT day, amount FROM spend"))
        assert table == {day: amount for day, amount in spent.items() if amount}
        assert dict(db.execute("SELECT id, amount FROM reservations")) == {n: a for n, (a, _, _) in held.items()}
        # what was granted before midnight may be settled after it: each day and month by itself
        reserved = sum(held_amount for held_amount, _, _ in held.values())
        assert min(_room(spent, reserved, now, limits), 0) == 0 or "later" in {k for k, _, _ in steps}
    db.close()


def _room(spent: dict[str, int], reserved: int, now: float, limits: Limits) -> float:
    day = day_of(now)
    month = sum(amount for name, amount in spent.items() if name >= f"{day[:8]}01")
    rooms = [float("inf")]
    rooms += [limits.daily - spent.get(day, 0) - reserved] if limits.daily is not None else []
    rooms += [limits.monthly - month - reserved] if limits.monthly is not None else []
    return min(rooms)


CALLS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["settle", "unknown", "release", "cancel"]), st.integers(0, 12)),
    max_size=30,
)


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS, st.integers(1, 120))
def test_calls_that_come_and_go_on_one_loop(calls: list[tuple[int, str, int]], limit: int) -> None:
    """reserve, settle and cancel in any order, through Budget; nothing stays reserved."""

    async def work() -> None:
        ledger = Ledger("sqlite:///:memory:")
        budget, charged, running = Budget(ledger, Limits(limit, None)), [0], 0

        async def one(name: str, amount: int, end: str, steps: int) -> None:
            try:
                await budget.reserve(name, [amount], amount // 2, 0.0)
            except BudgetExceededError:
                return
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                end = "cancel"
                raise
            finally:
                cost = {"settle": amount, "unknown": None}.get(end, 0)
                budget.settle(name, cost)
                charged[0] += amount // 2 if cost is None else cost

        def standing() -> int:
            query = (
                "SELECT (SELECT COALESCE(SUM(amount), 0) FROM spend)"
                " + (SELECT COALESCE(SUM(amount), 0) FROM reservations)"
            )
            return int(ledger.rows(query)[0][0])

        tasks = []
        for number, (amount, end, steps) in enumerate(calls):
            task = asyncio.ensure_future(one(str(number), amount, end, steps))
            tasks.append(task)
            for _ in range(steps % 4):
                await asyncio.sleep(0)
                assert standing() <= limit
            if end == "cancel":
                tasks[-1 - steps % len(tasks)].cancel()
            running += 1  # noqa: SIM113 - the loop may leave earlier
        await asyncio.gather(*tasks, return_exceptions=True)
        await ledger.drain()
        assert ledger.rows("SELECT * FROM reservations") == []
        assert standing() == charged[0] <= limit
        ledger.close()

    asyncio.run(work())


# --- several processes --------------------------------------------------------------------------------------

HAMMER = """
import asyncio, os, random, signal, sys
from decimal import Decimal
from hybrid_nb.core.errors import BudgetExceededError, ConfigError
from hybrid_nb.ledger.budget import Budget, limits_of
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal

path, seed, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]

async def work():
    ledger, rng, charged, refused = Ledger(f"sqlite:///{path}"), random.Random(seed), 0, 0
    budget = Budget(ledger, limits_of(Decimal("1e-9"), None))
    if end == "die":
        await budget.reserve("dead", [500], 77, 30)
        await budget.reserve("dead2", [100], 999, 30)
        os.kill(os.getpid(), signal.SIGKILL)
    for turn in range(60):
        name, most = f"{seed}.{turn}", rng.randrange(1, 400)
        try:
            await budget.reserve(name, [most, most // 2], most // 3, 0.3)
        except (BudgetExceededError, ConfigError):  # the latter: never at the lock in that time
            refused += 1
            continue
        if rng.random() < 0.3:
            await asyncio.sleep(0.001)
        cost = rng.choice([None, 0, 1, most // 20])
        budget.settle(name, 0 if cost is None else cost)
        charged += cost or 0
    await ledger.drain()
    ledger.close()
    print(charged, refused)

portal().run(work())
"""


def process(path: Path, seed: int, end: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HAMMER, str(path), str(seed), end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_eight_processes_share_a_limit(path: Path) -> None:
    Ledger(f"sqlite:///{path}").close()
    processes = [process(path, seed) for seed in range(8)]
    seen = []
    while any(p.poll() is None for p in processes):
        seen.append(money(path))
        assert sum(seen[-1]) <= 1000
        time.sleep(0.002)
    told = [p.communicate()[0].split() for p in processes]
    assert money(path) == (sum(int(charged) for charged, _ in told), 0)
    assert sum(int(refused) for _, refused in told) > 0  # the limit was reached, by several at once
    assert max(reserved for _, reserved in seen) > 200  # several held at once, on a busy machine too


def test_a_killed_process_is_charged_its_estimate_when_its_reservations_expire(path: Path) -> None:
    Ledger(f"sqlite:///{path}").close()
    dead = process(path, 0, "die")
    assert dead.wait(20) == -signal.SIGKILL
    dead.communicate()
    assert money(path) == (0, 600)
    clock = [time.time()]

    async def work() -> None:
        ledger = Ledger(f"sqlite:///{path}")
        budget = Budget(ledger, Limits(1000, None), wall=lambda: clock[0])
        await budget.reserve("a", [400], 1, 0)
        budget.settle("a", 0)
        with pytest.raises(BudgetExceededError, match="reserved by calls under way"):
            await budget.reserve("b", [401], 1, 0)
        assert money(path) == (0, 600)
        clock[0] += 30 + GRACE + 1
        await budget.reserve("c", [1], 1, 0)
        assert money(path) == (77 + 100, 1)  # an estimate is never more than what was reserved
        budget.settle("c", None)
        await ledger.drain()
        ledger.close()

    asyncio.run(work())
    assert money(path) == (178, 0)


# --- waiting ------------------------------------------------------------------------------------------------


async def test_a_call_waits_for_what_others_hold(ledger: Ledger) -> None:
    budget = Budget(ledger, TEN)
    await budget.reserve("a", [8], 1, 5)
    asyncio.get_running_loop().call_later(0.03, budget.settle, "a", 2)
    assert await budget.reserve("b", [8], 1, 5) == 0
    budget.settle("b", 8)
    with pytest.raises(BudgetExceededError):
        await budget.reserve("c", [1], 1, 5)  # spent is spent: at once


async def test_a_release_by_another_process_is_noticed(path: Path) -> None:
    here, there = Ledger(f"sqlite:///{path}"), Ledger(f"sqlite:///{path}")
    mine, theirs = Budget(here, TEN), Budget(there, TEN)
    await theirs.reserve("a", [10], 1, 5)
    asyncio.get_running_loop().call_later(0.01, theirs.settle, "a", 0)
    started = asyncio.get_running_loop().time()
    assert await mine.reserve("b", [10], 1, 5) == 0
    assert asyncio.get_running_loop().time() - started < 0.02 + 2 * LOOK_AGAIN
    mine.settle("b", 0)
    await here.drain()
    here.close()
    there.close()


async def test_a_tighter_amount_is_taken_when_the_free_one_does_not_fit(ledger: Ledger) -> None:
    budget = Budget(ledger, TEN)
    assert await budget.reserve("a", [50, 20, 6, 2], 100, 0) == 2
    assert await budget.reserve("b", [50, 20, 6, 2], 100, 0) == 3
    with pytest.raises(BudgetExceededError):
        await budget.reserve("c", [50, 20, 6, 3], 100, 0)


class Counting(Ledger):
    """A ledger that counts the looks of those who wait."""

    looks = 0

    def transact(self, operation: Any) -> Any:
        self.looks += 1
        return super().transact(operation)


async def test_who_waits_goes_in_the_order_of_arrival_and_one_looks_for_all(path: Path) -> None:
    ledger = Counting(f"sqlite:///{path}")
    budget, order = Budget(ledger, TEN), list[str]()

    async def one(name: str, amount: int) -> None:
        await budget.reserve(name, [amount], amount, 30)
        order.append(name)

    await budget.reserve("a", [9], 1, 30)
    waiting = [asyncio.ensure_future(one("large", 10))]
    await asyncio.sleep(LOOK_AGAIN / 2)
    waiting += [asyncio.ensure_future(one(f"{n:02}", 1)) for n in range(40)]  # each would fit beside "a"
    await asyncio.sleep(3 * LOOK_AGAIN)
    assert order == []
    assert ledger.looks < 12
    budget.settle("a", 0)
    while len(order) < 41:
        await asyncio.sleep(0)
        if order and order[-1] in budget_held(path):
            budget.settle(order[-1], 0)
    assert order == ["large", *(f"{n:02}" for n in range(40))]
    await asyncio.gather(*waiting)
    await ledger.drain()
    ledger.close()


def budget_held(path: Path) -> set[str]:
    with closing(sqlite3.connect(path, timeout=5)) as db:
        return {row[0] for row in db.execute("SELECT id FROM reservations")}


async def test_a_place_in_line_is_not_lost_to_one_that_gave_up(ledger: Ledger, path: Path) -> None:
    budget = Budget(ledger, TEN)
    await budget.reserve("a", [8], 1, 5)
    waiting = [asyncio.ensure_future(budget.reserve(name, [8], 1, 5)) for name in "bcd"]
    await asyncio.sleep(0.01)
    for task in waiting[:2]:  # the one who looks, and one behind
        task.cancel()
    with pytest.raises(BudgetExceededError, match="reserved by calls under way"):
        await budget.reserve("e", [8], 1, 0.05)  # its time is over in the line
    budget.settle("a", 0)
    assert await waiting[2] == 0
    assert not budget._line.taken
    await asyncio.gather(*waiting, return_exceptions=True)
    budget.settle("d", 0)
    await ledger.drain()
    assert money(path) == (0, 0)


async def test_a_tight_amount_is_taken_only_when_no_freer_one_can_come(ledger: Ledger) -> None:
    budget = Budget(ledger, TEN)
    assert await budget.reserve("a", [9, 6, 2], 1, 5, roomy=2) == 0
    budget.settle("a", 0)
    assert await budget.reserve("b", [6], 1, 5) == 0
    asyncio.get_running_loop().call_later(0.03, budget.settle, "b", 0)
    assert await budget.reserve("c", [9, 6, 2], 1, 30, roomy=2) == 0  # 2 would have been free at once
    waiting = asyncio.get_running_loop().time()
    assert await budget.reserve("d", [9, 6, 1], 1, 0.2, roomy=2) == 2  # "c" does not end
    assert asyncio.get_running_loop().time() - waiting > 0.05
    budget.settle("c", 5)
    budget.settle("d", 0)
    asyncio.get_running_loop().call_later(10, lambda: None)
    started = asyncio.get_running_loop().time()
    assert await budget.reserve("e", [9, 6, 2], 1, 30, roomy=2) == 2  # what is spent does not come back
    assert asyncio.get_running_loop().time() - started < 5


async def test_queueing_for_another_day_keeps_nobody_waiting(ledger: Ledger) -> None:
    budget = Budget(ledger, TEN, queue=True)
    later = asyncio.ensure_future(budget.reserve("a", [50], 1, 5))
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(budget.reserve("b", [5], 1, 5), 3) == 0
    budget.limits = Limits(100, None)
    assert await later == 0


async def test_queueing_waits_for_a_raised_limit_too(ledger: Ledger) -> None:
    budget = Budget(ledger, Limits(0, None), queue=True)
    waiting = asyncio.ensure_future(budget.reserve("a", [5], 1, 5))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    budget.limits = TEN
    assert await waiting == 0
    with pytest.raises(BudgetExceededError):
        await budget.reserve("b", [50], 1, 0.05)


async def test_queueing_waits_for_the_next_day(ledger: Ledger) -> None:
    clock = [unix("2026-12-31 23:59:59")]
    budget = Budget(ledger, TEN, queue=True, wall=lambda: clock[0])
    await budget.reserve("a", [10], 1, 5)
    budget.settle("a", 10)
    waiting = asyncio.ensure_future(budget.reserve("b", [5], 1, 5))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    clock[0] += 2
    assert await waiting == 0


async def test_a_ledger_that_another_process_holds_does_not_hold_a_call_beyond_its_time(
    ledger: Ledger, path: Path
) -> None:
    budget = Budget(ledger, TEN)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="another process"):
            await asyncio.wait_for(budget.reserve("a", [5], 1, 0.05), 0.3)
    await ledger.drain()
    assert money(path) == (0, 0)


@pytest.mark.parametrize("steps", range(8))
async def test_cancelling_at_any_step_leaves_nothing(steps: int, ledger: Ledger, path: Path) -> None:
    budget = Budget(ledger, TEN)
    await budget.reserve("a", [8], 1, 5)
    for name, amount in (("free", 2), ("waiting", 9)):
        task = asyncio.ensure_future(budget.reserve(name, [amount], 1, 5))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            budget.settle(name, 0)
        await ledger.drain()
        assert money(path) == (0, 8)


async def test_a_cancellation_that_comes_with_a_release_is_not_lost(ledger: Ledger, path: Path) -> None:
    budget = Budget(ledger, TEN)
    await budget.reserve("a", [8], 1, 5)
    waiting = asyncio.ensure_future(budget.reserve("b", [8], 1, 5))
    await asyncio.sleep(0.01)
    budget.settle("a", 0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ledger.drain()
    assert money(path) == (0, 0)


# --- what people see ----------------------------------------------------------------------------------------


def limited(server: RawServer, daily: Any, monthly: Any = None, **more: Any) -> dict[str, Any]:
    budget = {"daily_usd": daily, "monthly_usd": monthly, **more}
    return {"provider": [at(server)], "budget": budget}


def spent_and_reserved(router: Any) -> tuple[int, int]:
    portal().run(router._ledger.drain())
    return money(Path(router._ledger.path))


@pytest.mark.parametrize("limit", ["daily", "monthly"])
def test_the_error_says_what_and_until_when(limit: str, raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    usd = Decimal("0.0001")
    daily, monthly = (usd, None) if limit == "daily" else (1, usd)
    router = make_router(limited(server, daily, monthly))
    before = time.time()
    with pytest.raises(BudgetExceededError) as caught:
        router.chat("hi", max_tokens=1000)
    error = caught.value
    assert (error.limit, error.spent) == (usd, 0)
    assert isinstance(error.estimate, Decimal)
    assert Decimal("0.002") < error.estimate < Decimal("0.0021")
    assert error.resets_at in (resets_at(limit, before), resets_at(limit, time.time()))
    for part in (
        f"the {limit} budget of $0.0001 would be passed",
        f"raise [budget] {limit}_usd",
        "tier='local'",
        "resets on",
        "UTC",
    ):  # fmt: skip
        assert part in str(error)
    assert server.seen == []
    assert list(router.calls()["status"]) == ["error"]
    assert spent_and_reserved(router) == (0, 0)


async def test_the_limit_in_the_way_is_named_when_others_hold_the_money(ledger: Ledger) -> None:
    budget = Budget(ledger, Limits(1000, 10))
    await budget.reserve("a", [8], 1, 0)
    with pytest.raises(BudgetExceededError, match=r"the monthly budget .* reserved by calls under way") as caught:
        await budget.reserve("b", [8], 1, 0)
    assert (caught.value.limit, caught.value.spent) == (amount_usd(10), 0)


def test_a_nearly_spent_budget_caps_the_answer_and_then_refuses(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi", (100, 4000))))
    router = make_router(limited(server, Decimal("0.0114")))  # at 2 dollars a million of output
    router.chat("hi")
    assert server.seen[-1].json.get("max_completion_tokens", server.seen[-1].json.get("max_tokens")) == 4096
    server.scripts = [answer(said("hi", (100, 1000)))]
    router.chat("hi")
    assert server.seen[-1].json.get("max_completion_tokens", server.seen[-1].json.get("max_tokens")) == 1024
    server.scripts = [answer(said("hi", (100, 200)))]
    for _ in range(2):
        router.chat("hi")
        assert server.seen[-1].json.get("max_completion_tokens", server.seen[-1].json.get("max_tokens")) == 256
    with pytest.raises(BudgetExceededError):
        router.chat("hi")
    assert len(server.seen) == 4
    with pytest.raises(BudgetExceededError):  # what was asked for is not cut without a word
        router.chat("hi", max_tokens=4096)
    router.chat("hi", max_tokens=5)


def test_a_cut_by_the_budget_is_told(raw: Raw, make_router: MakeRouter) -> None:
    cut = said("hi", (100, 1024))
    cut["choices"][0]["finish_reason"] = "length"
    server = raw(answer(cut))
    providers = limited(server, Decimal("0.0054"))
    router = make_router({**providers, "cache": {"mode": "on"}})
    reply = router.chat("hi")
    assert server.seen[-1].json["max_tokens"] == 1024
    assert (reply.finish, reply.route.cut_at) == ("length", 1024)
    words = "cut at 1,024 tokens: the budget had no more left"
    assert reply.footer().endswith(words)
    assert words in str(reply.route)
    assert router.calls()["route_reason"][0].endswith(f"; {words}")
    router.configure()
    router._budget.limits = Limits(None, None)
    whole = router.chat("hi")
    assert len(server.seen) == 2  # a cut answer is not given again
    assert whole.route.cut_at is None
    assert whole.footer().endswith("cut at max_tokens")
    assert router.chat("hi", max_tokens=1024).route.cut_at is None


async def test_a_burst_on_a_fresh_budget_is_not_cut_short(raw: Raw, make_router: MakeRouter) -> None:
    """100 calls without max_tokens at $10 a million on $5: at most 3 whole ones were free at once."""
    server = raw(answer(said("hi", (100, 50))))
    providers = [at(server, prices={"m": {"input": 1, "output": 10}})]
    router = make_router({"provider": providers, "budget": {"daily_usd": 5, "monthly_usd": None}})
    await asyncio.gather(*(router.achat("hi") for _ in range(100)))
    caps = [seen.json.get("max_tokens") for seen in server.seen]
    assert len(caps) == 100
    assert all(cap is None or cap >= 4096 for cap in caps)


def test_free_and_unpriced_models_pass_with_a_spent_budget(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    providers = [
        at(server, "free", prices={"m": {"input": 0, "output": 0}}),
        at(server, "local", prices={}, tier="local"),
        at(server, "unpriced", prices={}),
    ]
    router = make_router({"provider": [*providers, at(server, "paid")], "budget": {"daily_usd": 0, "monthly_usd": 0}})
    for name in ("free", "local", "unpriced"):
        assert router.chat("hi", model=f"{name}/m").text == "hi"
    with pytest.raises(BudgetExceededError):
        router.chat("hi", model="paid/m")
    assert router.chat("hi").provider == "local"


def test_a_call_that_does_not_fit_goes_where_it_costs_nothing(raw: Raw, make_router: MakeRouter) -> None:
    paid, free = raw(answer(said("paid"))), raw(answer(said("free")))
    providers = [at(paid), at(free, "b", priority=2, prices={"m": {"input": 0, "output": 0}})]
    router = make_router({"provider": providers, "budget": {"daily_usd": 0}})
    assert router.chat("hi").text == "free"
    assert paid.seen == []


def test_what_the_provider_says_it_cost_counts_without_a_price_too(raw: Raw, make_router: MakeRouter) -> None:
    body = said("hi")
    body["usage"]["cost"] = 0.25
    server = raw(answer(body))
    providers = [at(server, "unpriced", prices={}), at(server, "paid")]
    router = make_router({"provider": providers, "budget": {"daily_usd": 1, "monthly_usd": None}})
    for _ in range(4):
        router.chat("hi", model="unpriced/m")
    assert spent_and_reserved(router) == (PICO, 0)
    with pytest.raises(BudgetExceededError):
        router.chat("hi", model="paid/m")


def test_what_was_spent_without_a_limit_counts_when_one_is_set(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi", (1_000_000, 0))))
    router = make_router(limited(server, None))
    router.chat("hi")
    assert spent_and_reserved(router) == (PICO, 0)
    strict = make_router(limited(server, 1))
    with pytest.raises(BudgetExceededError):
        strict.chat("hi")


def test_two_routers_share_the_limit(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi", (300_000, 0))))
    one, two = (make_router(limited(server, 1)) for _ in range(2))
    for router in (one, two, one):
        router.chat("hi")
    with pytest.raises(BudgetExceededError) as caught:
        two.chat("hi", max_tokens=100_000)
    assert caught.value.spent == Decimal("0.9")
    one.chat("hi", max_tokens=10)
    assert spent_and_reserved(two) == (int(Decimal("1.2") * PICO), 0)  # dearer than could be known: charged truly


def test_a_cost_beyond_the_estimate_is_charged_truly(raw: Raw, make_router: MakeRouter) -> None:
    body = said("hi")
    body["usage"]["cost"] = 0.75
    router = make_router(limited(raw(answer(body)), 1))
    assert router.chat("hi", max_tokens=1).cost == Decimal("0.75")
    assert spent_and_reserved(router) == (int(Decimal("0.75") * PICO), 0)


@pytest.mark.parametrize(
    ("script", "charged"),
    [
        (answer({"error": {"message": "busy"}}, 503), False),
        (answer({"error": {"message": "no such thing"}}, 400), False),
        (answer(b"<html>no</html>", 200, "text/html"), True),  # nobody knows: the estimate
    ],
)
def test_failed_calls(script: list[bytes], charged: bool, raw: Raw, make_router: MakeRouter) -> None:
    router = make_router(limited(raw(script), 1), retries=0)
    with pytest.raises(Exception, match=r"."):
        router.chat("hi", max_tokens=100)
    spent, reserved = spent_and_reserved(router)
    assert reserved == 0
    assert (100 * 2_000_000 <= spent < 110 * 2_000_000) if charged else spent == 0


def test_what_was_never_sent_costs_nothing(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router(limited(server, 1), retries=0)
    for odd in ({"stop": ["\ud800"]}, {"tools": [{"name": "f", "description": "\ud800"}]}):
        with pytest.raises(InvalidRequestError, match="cannot be written as JSON"):
            router.chat("hi", **odd)
    assert spent_and_reserved(router) == (0, 0)
    assert server.seen == []


def test_amounts_as_text() -> None:
    assert [dollars(n) for n in (None, 0, PICO, PICO // 4, 1)] == ["$0", "$0", "$1", "$0.25", "$0"]
    assert limits_of(Decimal(0), Decimal(10**9)) == Limits(0, None)
    assert not limits_of(None, None)


# --- cancelled anywhere -------------------------------------------------------------------------------------


def cancelled_after(router: Any, steps: int, work: Callable[[], Any]) -> None:
    """Start a call on the portal's loop and cancel it after so many turns of that loop."""

    async def start() -> None:
        task = asyncio.ensure_future(work())
        for _ in range(steps):
            await asyncio.sleep(0 if steps < 30 else 0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    portal().run(start())


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_call_that_is_cancelled_at_any_step_hands_everything_back(
    way: str, raw: Raw, make_router: MakeRouter
) -> None:
    whole = answer(said("four", (3, 2)))
    streamed = [head(200, "text/event-stream"), *events(delta("one ")), 0.003, *spoken("two")[1:]]
    server = raw([0.002, *whole] if way == "chat" else [0.002, *streamed])
    provider = at(server, max_concurrency=2, rpm=10_000)
    router = make_router({"provider": [provider], "budget": {"daily_usd": 50}}, retries=0, timeout=5)
    (endpoint,) = router._state.providers["a"].endpoints
    sink: list[str] = []
    for steps in range(61):
        ready = router._prepared("hi", {"max_tokens": 10})
        work = partial(router._run, ready, sink.append if way == "stream" else None)
        breakers = [*router._gate._keys.values(), *router._gate._targets.values()]
        if steps % 3 == 1:  # as a probe
            for breaker in breakers:
                breaker.until = 0.0
        cancelled_after(router, steps, work)
        breakers = [*router._gate._keys.values(), *router._gate._targets.values()]
        assert not any(breaker.probing for breaker in breakers), steps
        for lane in router._gate._lanes.values():
            assert (lane.limits.running, lane.waiting) == (0, 0), steps
        assert not any(router._latency.flying.values())
    spent, reserved = spent_and_reserved(router)
    assert reserved == 0
    rows = router._ledger.rows("SELECT cost_usd FROM attempts")
    calls = router._ledger.rows("SELECT status, COUNT(*) FROM calls GROUP BY 1")
    known = [cost for (cost,) in rows if cost is not None]
    estimate = 5 * 1_000_000 + 10 * 2_000_000  # of "hi" and ten tokens
    assert spent == sum(known) + estimate * (len(rows) - len(known))
    assert sum(count for _, count in calls) == 60  # the first was cancelled before it began
    assert dict(calls)["cancelled"] > 5
    assert endpoint in router._gate._keys


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.03])
async def test_cancelling_achat_while_it_waits_its_turn(seconds: float, raw: Raw, make_router: MakeRouter) -> None:
    server = raw([HANG])
    router = make_router({"provider": [at(server, max_concurrency=1)], "budget": {"daily_usd": 50}}, retries=0)
    tasks = [asyncio.ensure_future(router.achat("hi", max_tokens=10)) for _ in range(5)]
    await asyncio.sleep(seconds)
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    def calm() -> bool:
        lanes = router._gate._lanes.values()
        return not any(lane.limits.running or lane.waiting or lane.turn.locked() for lane in lanes)

    assert await asyncio.to_thread(until, calm)
    portal().submit(asyncio.sleep(0)).wait()
    assert spent_and_reserved(router)[1] == 0


def test_an_interrupted_stream_is_charged_as_far_as_it_came(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *events(delta("four")), HANG])
    router = make_router(limited(server, 1), retries=0)
    with router.stream("hi", max_tokens=1000) as stream:
        next(stream)
    assert until(lambda: len(router.calls()) == 1)
    cost = router._ledger.rows("SELECT cost_usd FROM attempts")[0][0]
    assert 0 < cost < 10_000_000
    assert spent_and_reserved(router) == (cost, 0)
