"""One reservation for many calls: never more than the budget, nothing lost, nothing left."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sqlite3
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.ledger.budget import Budget, limits_of
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.sim import Fleet
from tests.conftest import MakeRouter

DOLLAR = 10**12


def money(path: Path) -> tuple[int, int, list[str]]:
    """(spent, reserved, names of the reservations) in one reading."""
    db = sqlite3.connect(path, timeout=5)
    try:
        db.execute("BEGIN")
        spent = db.execute("SELECT COALESCE(SUM(amount), 0) FROM spend").fetchone()[0]
        rows = db.execute("SELECT id, amount FROM reservations").fetchall()
    finally:
        db.close()
    return spent, sum(amount for _, amount in rows), [name for name, _ in rows]


async def left(path: Path) -> tuple[int, int, list[str]]:
    """What money() tells when the pool has been given back, or after seconds in which it should have been."""
    for _ in range(500):
        if not money(path)[2]:
            break
        await asyncio.sleep(0.01)
    return money(path)


async def test_calls_that_come_together_share_one_reservation_and_leave_none(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    budget = Budget(ledger, limits_of(Decimal(5), None))
    seen: set[str] = set()

    async def call(name: int) -> None:
        await budget.reserve(f"c{name}", [DOLLAR // 10_000], DOLLAR // 50_000, 10)
        await asyncio.sleep(0)
        seen.update(n.partition("-")[0] for n in money(tmp_path / "ledger.db")[2])
        budget.settle(f"c{name}", DOLLAR // 100_000)

    async def worker(first: int) -> None:
        for number in range(20):
            await call(first * 100 + number)

    await asyncio.gather(*(worker(n) for n in range(8)))
    assert "pool" in seen
    assert await left(tmp_path / "ledger.db") == (160 * (DOLLAR // 100_000), 0, [])
    ledger.close()


async def test_what_nobody_knows_is_charged_at_its_estimate(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    budget = Budget(ledger, limits_of(Decimal(5), Decimal(9)))
    for turn in range(3):
        names = [f"{turn}.{n}" for n in range(10)]
        await asyncio.gather(*(budget.reserve(name, [1_000_000], 7, 10) for name in names))
        for name in names:
            budget.settle(name, None)
        await asyncio.sleep(0.01)
    assert await left(tmp_path / "ledger.db") == (30 * 7, 0, [])
    ledger.close()


async def test_cancelled_calls_leave_nothing(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    budget = Budget(ledger, limits_of(Decimal(5), None))

    async def call(name: str) -> None:
        await budget.reserve(name, [1_000_000], 7, 10)
        try:
            await asyncio.sleep(1)
        finally:
            budget.settle(name, 3)

    for steps in range(12):
        tasks = [asyncio.ensure_future(call(f"{steps}.{n}")) for n in range(12)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (await left(tmp_path / "ledger.db"))[1:] == (0, [])
    ledger.close()


async def wave(budget: Budget, name: str, amount: int, calls: int = 8) -> None:
    names = [f"{name}.{number}" for number in range(calls)]
    await asyncio.gather(*(budget.reserve(each, [amount], 1, 5) for each in names))
    for each in names:
        budget.settle(each, 1)


async def test_a_pool_outlives_the_wave_it_was_made_for(tmp_path: Path) -> None:
    ledger, path = Ledger(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "ledger.db"
    budget = Budget(ledger, limits_of(Decimal(5), None))
    await wave(budget, "first", 1_000_000)
    await ledger.drain()
    assert [name[:4] for name in money(path)[2]] == ["pool"]
    await wave(budget, "second", 1_000_000)  # nothing to wait for: no commit comes between
    assert await left(path) == (16, 0, [])
    ledger.close()


async def test_an_idle_pool_is_given_back_to_a_call_that_needs_it(tmp_path: Path) -> None:
    ledger, path = Ledger(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "ledger.db"
    budget = Budget(ledger, limits_of(Decimal(1), None))
    await wave(budget, "first", DOLLAR // 1100)
    await ledger.drain()
    assert money(path)[1] > DOLLAR // 5
    whole = DOLLAR - 8  # all that is left
    assert await budget.reserve("large", [whole, 1], 1, 5) == 0
    assert money(path) == (8, whole, ["large"])
    budget.settle("large", 0)
    await ledger.drain()
    ledger.close()


async def test_a_pool_made_under_other_limits_is_not_taken_from(tmp_path: Path) -> None:
    ledger, path = Ledger(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "ledger.db"
    budget = Budget(ledger, limits_of(Decimal(5), None))
    await wave(budget, "first", 1_000_000)
    await ledger.drain()
    assert money(path)[2]
    budget.limits = limits_of(Decimal("0.0000005"), None)
    with pytest.raises(BudgetExceededError):
        await budget.reserve("next", [1_000_000], 1, 0.1)
    assert await left(path) == (8, 0, [])
    ledger.close()


async def test_closing_gives_the_pool_back(tmp_path: Path) -> None:
    ledger, path = Ledger(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "ledger.db"
    budget = Budget(ledger, limits_of(Decimal(5), None))
    await wave(budget, "first", 1_000_000)
    await ledger.drain()
    assert money(path)[2]
    budget.close()
    await ledger.drain()
    assert money(path) == (8, 0, [])
    ledger.close()


LIMIT = Decimal("0.02")


async def _hammer(path: str, seed: int) -> int:
    ledger, rng = Ledger(f"sqlite:///{path}"), random.Random(seed)
    budget = Budget(ledger, limits_of(LIMIT, None))
    done = 0

    async def worker(number: int) -> None:
        nonlocal done
        for turn in range(60):
            name, most = f"{seed}.{number}.{turn}", rng.randrange(1, 20) * DOLLAR // 1_000_000
            try:
                await budget.reserve(name, [most], most // 2, 2)
            except BudgetExceededError:
                return
            await asyncio.sleep(rng.random() / 500)
            budget.settle(name, rng.choice([None, 0, most // 3, most]))
            done += 1

    await asyncio.gather(*(worker(n) for n in range(8)))
    budget.close()
    await ledger.drain(20)
    ledger.close()
    return done


def _process(path: str, seed: int, results: Any) -> None:
    results.put(asyncio.run(_hammer(path, seed)))


def test_eight_processes_never_pass_the_limit_and_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(f"sqlite:///{path}").close()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_process, args=(str(path), seed, results)) for seed in range(8)]
    for process in processes:
        process.start()
    limit, highest, looks = int(LIMIT * DOLLAR), 0, 0
    give_up = time.monotonic() + 50
    while any(process.is_alive() for process in processes) and time.monotonic() < give_up:
        spent, reserved, _ = money(path)
        highest, looks = max(highest, spent + reserved), looks + 1
        assert spent + reserved <= limit
        time.sleep(0.002)
    for process in processes:
        process.join(5)
    done = [results.get(timeout=1) for _ in processes]
    spent, reserved, names = money(path)
    assert (reserved, names) == (0, [])
    assert 0 < spent <= limit
    assert highest > limit // 2  # they did come near it
    assert looks > 10
    assert all(done)


def test_through_the_door_spending_is_what_the_attempts_cost(
    fleet: Fleet, make_router: MakeRouter, tmp_path: Path
) -> None:
    router = make_router(fleet)

    async def burst() -> None:
        await asyncio.gather(*(router.achat("What is 6 * 7?", max_tokens=50) for _ in range(60)))

    for _ in range(3):
        asyncio.run(burst())
    spent, reserved, names = asyncio.run(left(tmp_path / "ledger.db"))
    assert (reserved, names) == (0, [])
    assert spent / DOLLAR == pytest.approx(float(router.attempts()["cost_usd"].sum()), abs=1e-12)
    assert spent
