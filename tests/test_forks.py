"""Forks in the middle of work: a child neither spends nor hands back what its parent holds, and its calls work."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb.core.errors import BudgetExceededError, HybridNbError
from hybrid_nb.engine.breaker import Policy, Verdict
from hybrid_nb.engine.gate import Gate, Ticket
from hybrid_nb.ledger.budget import Budget, limits_of
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.router import Router
from tests.conftest import MakeRouter, at
from tests.engine.test_admission import entered, gate_and_slot
from tests.faults.raw_server import HANG, RawServer, answer, said, until

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here"),
]
Raw = Callable[..., RawServer]
LIST = answer({"data": [{"id": "m"}]})
LIMIT, HELD, CHILDREN, CALLS = 2048, 8, 12, 240  # a pool is of 256


def money(path: Path) -> tuple[int, int]:
    """(spent, reserved) of one moment."""
    query = "SELECT (SELECT COALESCE(SUM(amount), 0) FROM spend), (SELECT COALESCE(SUM(amount), 0) FROM reservations)"
    with closing(sqlite3.connect(path, timeout=5)) as db:
        spent, reserved = db.execute(query).fetchone()
    return spent, reserved


def _spend(budget: Budget, ledger: Ledger, child: int, results: Any) -> None:
    """One call after the other, each of 1, until the budget is spent."""

    async def work() -> int:
        done = 0
        for number in range(CALLS):
            try:
                await budget.reserve(f"{child}.{number}", [1], 1, 5)
            except BudgetExceededError:
                break
            budget.settle(f"{child}.{number}", 1)
            done += 1
        await ledger.drain(20)
        return done

    results.put(asyncio.run(work()))


async def test_children_do_not_spend_their_parents_pool(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    budget = Budget(ledger, limits_of(Decimal(LIMIT) / 10**12, None))
    held = [f"p{number}" for number in range(HELD)]
    for name in held:
        await budget.reserve(name, [1], 1, 30)
    await ledger.drain()
    assert money(path)[1] > 200  # a pool, and more than its calls need
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_spend, args=(budget, ledger, number, results)) for number in range(CHILDREN)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        assert sum(money(path)) <= LIMIT
        await asyncio.sleep(0.01)
    done = [results.get(timeout=10) for _ in children]
    assert sum(done) == money(path)[0] < CHILDREN * CALLS  # the limit was reached, and each call is counted once
    assert sum(money(path)) <= LIMIT
    for name in held:
        budget.settle(name, 1)
    budget.close()
    await ledger.drain()
    assert money(path) == (sum(done) + HELD, 0)  # the children took nothing of it away
    ledger.close()


def _child_of(work: Callable[..., Any], *args: Any) -> Any:
    """What `work` returns in a forked child."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def run() -> None:
        try:
            results.put(work(*args))
        except BaseException as error:
            results.put(f"{type(error).__name__}: {error}")
            raise

    child = context.Process(target=run)
    child.start()
    try:
        return results.get(timeout=30)
    finally:
        child.join(10)
        child.kill()


def _asks(router: Router) -> list[str]:
    return [router.chat("hi", timeout=10).text for _ in range(3)]


def test_a_probe_and_a_place_that_the_parent_holds_are_not_waited_for(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "busy"}}, 503), [HANG], answer(said("hi")))
    router = make_router([at(server, max_concurrency=1)], retries=0, breaker_threshold=1, breaker_seconds=0.05)
    with pytest.raises(HybridNbError):
        router.chat("hi")
    assert until(lambda: router.health(check=False)["breaker"].iloc[0] == "half-open")
    probe = router.stream("hi")
    assert until(lambda: len(server.seen) == 2)
    assert _child_of(_asks, router) == ["hi"] * 3
    probe.cancel()
    assert until(lambda: router._gate._inside == 0)
    assert _asks(router) == ["hi"] * 3


def _collects(router: Router) -> tuple[int, int]:
    router.chat("hi", timeout=10)
    gc.collect()
    router.chat("hi", timeout=10)
    return money(Path(router._ledger.path))


def test_what_the_parent_reserved_stays_reserved_whatever_its_children_collect(
    raw: Raw, make_router: MakeRouter
) -> None:
    server = raw([HANG], answer(said("hi")))
    router = make_router([at(server)], retries=0)
    under_way = router.stream("hi")
    assert until(lambda: server.seen)
    before = money(Path(router._ledger.path))[1]
    assert before > 0
    spent, reserved = _child_of(_collects, router)
    assert spent > 0
    assert reserved == before
    under_way.cancel()
    assert until(lambda: money(Path(router._ledger.path))[1] == 0)


def _hands_back(gate: Gate, ticket: Ticket) -> tuple[str, int]:
    gate.leave(ticket, Verdict.BAD)  # as the end of a collected coroutine does
    return gate.state(ticket.slot.provider), gate._inside


async def test_a_child_hands_back_nothing_for_its_parent() -> None:
    gate, slot = gate_and_slot()
    gate.policy = Policy(threshold=1)
    ticket = await entered(gate, slot)
    assert await asyncio.to_thread(_child_of, _hands_back, gate, ticket) == ("closed", 0)
    gate.leave(ticket, Verdict.BAD)
    assert (gate.state(slot.provider), gate._inside) == ("open", 0)


def _looks(router: Router) -> bool:
    router.chat("hi", timeout=10)
    seen = router._health.record("a").checks
    router.configure(health_interval=1)
    return until(lambda: router._health.record("a").checks > seen, 20)


def test_a_child_looks_after_its_providers_by_itself(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(answer(said("hi"))), tier="local")], health_interval=3600)
    assert _child_of(_looks, router)


def _lots(router: Router) -> list[float]:
    return [rng.random() for rng in (router._rng, router._engine.rng, router._rounds._rng)]


def test_children_draw_lots_of_their_own(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(LIST))])
    assert until(lambda: router._rounds._agenda._due)  # it has drawn its first, and draws no other for a while
    assert len({lot for _ in range(2) for lot in _child_of(_lots, router)}) == 6
