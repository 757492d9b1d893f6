"""The store's transactions: their order under a foreign lock, bad neighbours, forks, closing, and older schemas."""

from __future__ import annotations

import asyncio
import datetime as dt
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.ledger import budget
from hybrid_nb.ledger.budget import Budget, limits_of
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.store import SCHEMA_VERSION, Ledger
from hybrid_nb.portal import portal
from hybrid_nb.router import Router
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import RawServer, answer, said

Raw = Callable[..., RawServer]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.rows("CREATE TABLE things (n INTEGER PRIMARY KEY)")
    yield ledger
    ledger.close()


def add(number: int, db: sqlite3.Connection) -> int:
    db.execute("INSERT INTO things VALUES (?)", (number,))
    return number


def things(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [n for (n,) in db.execute("SELECT n FROM things ORDER BY n")]


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Another process's write lock, as it looks from here."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def test_one_turn_is_one_transaction(ledger: Ledger, path: Path) -> None:
    begun: list[str] = []
    ledger._db.set_trace_callback(begun.append)
    assert await asyncio.gather(*(ledger.transact(partial(add, n)) for n in range(50))) == list(range(50))
    ledger._db.set_trace_callback(None)
    assert (begun.count("BEGIN IMMEDIATE"), begun.count("COMMIT")) == (1, 1)
    assert things(path) == list(range(50))


async def test_operations_keep_their_order_while_another_holds_the_lock(ledger: Ledger, path: Path) -> None:
    order: list[int] = []

    def note(number: int, db: sqlite3.Connection) -> None:
        order.append(number)

    with lock(path):
        early = [ledger.transact(partial(note, n)) for n in range(3)]
        await asyncio.sleep(0.05)  # by now a thread waits for the lock
        later = [ledger.transact(partial(note, n)) for n in range(3, 6)]
        ledger.transact_soon(partial(note, 6))
        await asyncio.sleep(0.05)
        assert order == []
        assert not any(done.done() for done in (*early, *later))
    await asyncio.gather(*early, *later)
    await ledger.transact(partial(note, 7))
    assert order == list(range(8))


async def test_the_loop_is_not_held_up_by_a_lock(ledger: Ledger, path: Path) -> None:
    loop = asyncio.get_running_loop()
    with lock(path):
        done = ledger.transact(partial(add, 1))
        longest = 0.0
        for _ in range(20):
            started = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - started)
    assert await done == 1
    assert longest < 0.1


async def test_a_bad_row_does_not_take_its_neighbours(ledger: Ledger, path: Path) -> None:
    def broken(db: sqlite3.Connection) -> None:
        add(99, db)
        raise ValueError("no")

    found = [ledger.transact(work) for work in (partial(add, 1), broken, partial(add, 1), partial(add, 2))]
    told = await asyncio.gather(*found, return_exceptions=True)
    assert [told[0], told[3]] == [1, 2]
    assert all(isinstance(told[n], ConfigError) for n in (1, 2))
    assert things(path) == [1, 2]  # and what the broken one had begun is undone


async def test_a_lock_that_comes_between_a_bad_row_and_its_neighbour_writes_none_twice(
    ledger: Ledger, path: Path
) -> None:
    """Written one by one after a bad one, and then another process takes the lock before the last."""
    counted: dict[int, int] = {}
    held: list[Any] = []
    real = ledger._transaction

    def transaction(batch: Any) -> Any:
        if counted.get(1) == 1 and not held:  # the first is committed by itself
            held.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
            held[0].execute("BEGIN IMMEDIATE")
            threading.Timer(0.1, held[0].close).start()
        result = real(batch)
        for value in result:
            counted[value] = counted.get(value, 0) + 1
        return result

    ledger._transaction = transaction  # type: ignore[method-assign]

    def broken(db: sqlite3.Connection) -> None:
        raise ValueError("no")

    found = [ledger.transact(work) for work in (partial(add, 1), broken, partial(add, 2))]
    told = await asyncio.gather(*found, return_exceptions=True)
    assert held
    assert [told[0], told[2]] == [1, 2]
    assert counted == {1: 1, 2: 1}
    assert things(path) == [1, 2]


async def test_a_waiter_that_is_cancelled_does_not_undo_the_work(ledger: Ledger, path: Path) -> None:
    done = ledger.transact(partial(add, 1))
    done.cancel()
    assert await ledger.transact(partial(add, 2)) == 2
    assert things(path) == [1, 2]


async def test_closing_writes_what_is_pending(path: Path) -> None:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.rows("CREATE TABLE things (n INTEGER PRIMARY KEY)")
    ledger.transact_soon(partial(add, 1))
    ledger.close()
    assert things(path) == [1]


async def test_closing_while_another_holds_the_lock_loses_nothing_and_keeps_the_order(path: Path) -> None:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.rows("CREATE TABLE things (n INTEGER PRIMARY KEY, at INTEGER)")

    def put(number: int, db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO things SELECT ?, COUNT(*) FROM things", (number,))

    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    first = ledger.transact(partial(put, 10))
    await asyncio.sleep(0.05)
    ledger.transact_soon(partial(put, 5))
    threading.Timer(0.1, other.close).start()
    ledger.close()
    await asyncio.wait([first], timeout=1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT n, at FROM things ORDER BY at").fetchall() == [(10, 0), (5, 1)]


# in a process of its own: SQLite in a forked child takes a lock of its parent for one of its own
HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "held up":
    db.execute("BEGIN IMMEDIATE")
print(flush=True)
sys.stdin.readline()
"""


def _child(ledger: Ledger, results: Any) -> None:
    async def work() -> int:
        async with asyncio.timeout(5):
            return await ledger.transact(partial(add, 2))

    results.put(asyncio.run(work()))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("when", ["idle", "pending", "held up"])
async def test_a_forked_child_writes_its_own_rows_and_no_others(when: str, ledger: Ledger, path: Path) -> None:
    """Whatever its parent had under way is the parent's to write."""
    await ledger.transact(partial(add, 0))
    other = subprocess.Popen([sys.executable, "-c", HOLDER, path, when], stdin=PIPE, stdout=PIPE)  # noqa: ASYNC220 - brief
    assert other.stdout is not None
    assert other.stdin is not None
    other.stdout.readline()
    mine = None if when == "idle" else ledger.transact(partial(add, 1))
    if when == "held up":
        await asyncio.sleep(0.05)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child, args=(ledger, results))
    child.start()
    other.communicate(b"go\n")
    try:
        assert await asyncio.to_thread(results.get, timeout=5) == 2
    finally:
        await asyncio.to_thread(child.join, 5)
    assert mine is None or await mine == 1
    assert things(path) == ([0, 2] if mine is None else [0, 1, 2])


SCHEMA_1 = """
CREATE TABLE calls (
  time REAL NOT NULL, request_id TEXT PRIMARY KEY, provider TEXT, model TEXT, tier TEXT, status TEXT NOT NULL,
  error TEXT, finish TEXT, attempts INTEGER NOT NULL, ttft_s REAL, latency_s REAL, input_tokens INTEGER,
  cached_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER, usage_source TEXT, cost_usd INTEGER,
  cost_source TEXT, cache_hit INTEGER NOT NULL, route_reason TEXT, tags TEXT
) WITHOUT ROWID;
CREATE INDEX calls_time ON calls (time);
CREATE TABLE attempts (
  time REAL NOT NULL, request_id TEXT NOT NULL, number INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  tier TEXT NOT NULL, outcome TEXT NOT NULL, error TEXT, status_code INTEGER, ttft_s REAL, seconds REAL NOT NULL,
  input_tokens INTEGER, output_tokens INTEGER, usage_source TEXT, cost_usd INTEGER, cost_source TEXT,
  PRIMARY KEY (request_id, number)
) WITHOUT ROWID;
PRAGMA user_version=1;
"""


def old_ledger(path: Path, costs: list[tuple[float, int | None]]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA_1)
        for number, (time, cost) in enumerate(costs):
            db.execute(
                "INSERT INTO calls VALUES (?, ?, 'a', 'm', 'cloud', 'ok', NULL, 'stop', 1, NULL, 0.5, 3, NULL, 2,"
                " NULL, 'provider', ?, 'config', 0, 'x', NULL)",
                (time, f"r{number}", cost),
            )
            db.execute(
                "INSERT INTO attempts VALUES (?, ?, 1, 'a', 'm', 'cloud', 'ok', NULL, NULL, NULL, 0.5, 3, 2,"
                " 'provider', ?, 'config')",
                (time, f"r{number}", cost),
            )
        db.commit()


def test_a_ledger_of_schema_1_keeps_its_rows_and_counts_what_they_cost(path: Path) -> None:
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp()
    old_ledger(path, [(noon, 5), (noon + 60, 7), (noon + 12 * 3600, 11), (noon - 13 * 3600, 13), (noon, None)])
    for _ in range(2):  # opened again, nothing is counted twice
        ledger = Ledger(f"sqlite:///{path}")
        assert len(ledger.calls(None)) == len(ledger.attempts(None)) == 5
        assert dict(ledger.rows("SELECT * FROM spend")) == {"2026-02-28": 13, "2026-03-01": 12, "2026-03-02": 11}
        assert ledger.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert ledger.rows("SELECT * FROM reservations") == []
        ledger.close()


def test_what_was_spent_before_the_budget_came_counts(path: Path, raw: Raw, make_router: MakeRouter) -> None:
    now = dt.datetime.now(dt.UTC).timestamp()
    old_ledger(path, [(now, int(Decimal("4.9999") * PICO))])
    server = raw(answer(said("hi")))
    router = make_router({"provider": [at(server)], "budget": {"daily_usd": 5, "monthly_usd": None}})
    with pytest.raises(budget.BudgetExceededError, match=r"4\.9999 spent"):
        router.chat("hi")
    assert server.seen == []
    assert len(router.calls()) == 2


async def test_two_open_an_old_ledger_at_once(path: Path) -> None:
    old_ledger(path, [(1e9 + n, 1) for n in range(200)])
    opened = await asyncio.gather(*(asyncio.to_thread(Ledger, f"sqlite:///{path}") for _ in range(4)))
    assert opened[0].rows("SELECT SUM(amount) FROM spend") == [(200,)]
    for one in opened:
        one.close()


def test_a_reservation_and_its_settlement_in_one_turn(path: Path) -> None:
    async def work() -> tuple[int, int]:
        ledger = Ledger(f"sqlite:///{path}")
        money = Budget(ledger, limits_of(Decimal(1), None))
        await money.reserve("a", [100], 10, 5)
        money.settle("a", 60)
        money.settle("a", 60)  # twice is once
        await ledger.transact(lambda db: None)
        await ledger.transact(lambda db: None)
        found = ledger.rows("SELECT (SELECT COALESCE(SUM(amount), 0) FROM spend), (SELECT COUNT(*) FROM reservations)")
        ledger.close()
        return found[0]

    assert portal().run(work()) == (60, 0)


def test_a_ledger_that_was_deleted_under_us_is_told_in_a_sentence(tmp_path: Path, router: Router) -> None:
    router.chat("hi")
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    with pytest.raises(ConfigError, match=r"ledger\.db: cannot be read .*make a new hybrid_nb\.Router"):
        router.costs()


def test_a_closed_router_keeps_no_conversations(router: Router) -> None:
    router.close()
    with pytest.raises(ConfigError, match="this router is closed"):
        router.conversations.names()
