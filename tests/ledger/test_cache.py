"""The cache in the ledger's file: exact, bounded in time and size, shared by processes, its savings counted."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.ledger.cache import Cache, create, put, saved, total, used
from hybrid_nb.ledger.store import Ledger

DAY = 86_400.0


@pytest.fixture
def db() -> sqlite3.Connection:
    return fresh()


def fresh() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    create(db)
    return db


def keys(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT key FROM cache ORDER BY key")]


steps = st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.floats(0, 5), st.integers(1, 100), st.booleans())


@given(st.lists(steps, max_size=40))
def test_the_size_is_never_exceeded_and_always_known(script: list[tuple[str, int, float, int, bool]]) -> None:
    db, now = fresh(), 0.0
    for key, size, pause, limit, touch in script:
        now += pause
        if touch:
            used(key, now, db)
        put(key, b"x" * size, now, 10.0, limit, db)
        kept = db.execute("SELECT TOTAL(length(key) + length(answer)) FROM cache").fetchone()[0]
        assert kept == total(db) <= limit
        assert (key in keys(db)) == (size + 1 <= limit)
    db.close()


def test_the_least_used_goes_first(db: sqlite3.Connection) -> None:
    for now, key in enumerate("abc"):
        put(key, b"x" * 9, now, DAY, 30, db)
    used("a", 3, db)
    put("d", b"x" * 9, 4, DAY, 30, db)
    assert keys(db) == ["a", "c", "d"]
    put("e", b"x" * 19, 5, DAY, 30, db)
    assert keys(db) == ["a", "e"] or keys(db) == ["d", "e"]
    put("f", b"x" * 30, 6, DAY, 30, db)  # larger than all of it
    assert "f" not in keys(db)


def test_an_answer_that_grew_past_the_limit_leaves_no_older_one(db: sqlite3.Connection) -> None:
    put("a", b"old", 0, DAY, 30, db)
    put("a", b"x" * 30, 1, DAY, 30, db)
    assert keys(db) == []
    assert total(db) == 0


def test_what_has_expired_is_taken_out(db: sqlite3.Connection) -> None:
    put("a", b"x", 0, 10, 100, db)
    put("b", b"x", 0, 20, 100, db)
    put("c", b"x", 10, 10, 100, db)
    assert keys(db) == ["b", "c"]


@settings(max_examples=50)
@given(st.floats(0, 1e6), st.floats(0.1, 1e6), st.floats(0.1, 1e6), st.floats(0, 3e6))
def test_nothing_is_given_after_its_time(put_at: float, ttl: float, ttl_now: float, later: float) -> None:
    async def go() -> bytes | None:
        ledger = Ledger("sqlite:///:memory:")
        cache = Cache(ledger)
        await cache.put("k", b"x", put_at, ttl, 100)
        found = await cache.get("k", put_at + later, ttl_now)
        ledger.close()
        return found

    at = put_at + later
    assert (asyncio.run(go()) is not None) == (put_at + ttl > at and put_at > at - ttl_now)


def test_an_answer_is_replaced(tmp_path: Path) -> None:
    async def go() -> None:
        ledger = Ledger(f"sqlite:///{tmp_path}/l.db")
        cache = Cache(ledger)
        assert await cache.get("k", 0, DAY) is None
        await cache.put("k", b"old", 0, DAY, 100)
        await cache.put("k", b"new", 1, DAY, 100)
        assert await cache.get("k", 2, DAY) == b"new"
        assert ledger.rows("SELECT bytes FROM cache_total") == [(4,)]
        ledger.close()

    asyncio.run(go())


def test_savings_are_exact_and_unknown_stays_unknown(db: sqlite3.Connection) -> None:
    saved("a", Decimal("0.000000000001"), 1.5, db)
    saved("b", None, None, db)
    assert db.execute("SELECT * FROM savings").fetchall() == [("a", 1, 1.5), ("b", None, None)]


def _fill(path: Path, name: str) -> None:
    async def go() -> None:
        ledger = Ledger(f"sqlite:///{path}")
        cache = Cache(ledger)
        for number in range(50):
            await cache.put(f"{name}{number}", b"x" * 100, number, DAY, 1e6)
            await cache.hit(f"{name}{number}", f"{name}{number}", Decimal(1), 1.0, number)
        await cache.put(name, b"x", 99, DAY, 1e6)  # and with it the last hit is written
        ledger.close()

    asyncio.run(go())


def test_processes_that_share_the_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    workers = [multiprocessing.get_context("spawn").Process(target=_fill, args=(path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(50)
    db = sqlite3.connect(path)
    assert db.execute("SELECT COUNT(*) FROM cache").fetchone() == (102,)
    assert db.execute("SELECT COUNT(*), SUM(saved_usd) FROM savings").fetchone() == (100, 100 * 10**12)
    assert db.execute("SELECT SUM(size) = (SELECT bytes FROM cache_total) FROM cache").fetchone() == (1,)
    db.close()
