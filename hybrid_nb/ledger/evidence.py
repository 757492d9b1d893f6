"""Evidence of targets in the ledger's file, made when first there is some: sums of runs and of feedback, a row each.

Rows are only added, so that several kernels may learn at once; what is learned again replaces its row and, like
forgetting, counts up the generation, by which others see that they must read all anew. Live calls are not kept twice:
their times are read from the attempts, without those of runs that were learned. Times are unix time and come in.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from hybrid_nb.ledger.money import day_of
from hybrid_nb.ledger.store import Ledger

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS evidence (
      id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, time REAL NOT NULL, provider TEXT NOT NULL,
      model TEXT NOT NULL, cluster TEXT, tag TEXT NOT NULL, scorer TEXT, live INTEGER NOT NULL, body BLOB NOT NULL
    )
    """,
    "CREATE TABLE IF NOT EXISTS evidence_calls (request_id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS evidence_forgotten (time REAL NOT NULL, provider TEXT, model TEXT)",
    "CREATE TABLE IF NOT EXISTS explored (day TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS evidence_state (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO evidence_state VALUES (1, 0)",
)
_THERE = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'evidence_state'"
_STATE = "SELECT generation, (SELECT COALESCE(MAX(id), 0) FROM evidence) FROM evidence_state"
_INSERT = """
INSERT INTO evidence (key, time, provider, model, cluster, tag, scorer, live, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_LIVE = """
SELECT a.time, a.provider, a.model, a.outcome, a.status_code, a.ttft_s, a.seconds, a.output_tokens,
  a.cost_usd / 1e12, a.part, c.tags, a.error
FROM attempts a LEFT JOIN calls c ON c.request_id = a.request_id
WHERE a.time >= ? {known} ORDER BY a.request_id DESC LIMIT ?
"""
_UNKNOWN = "AND a.request_id NOT IN (SELECT request_id FROM evidence_calls)"
_BOOK = """
INSERT INTO explored SELECT ?1, ?2 WHERE ?2 <= ?3
ON CONFLICT (day) DO UPDATE SET amount = amount + ?2 WHERE amount + ?2 <= ?3
"""
_CORRECT = (
    "INSERT INTO explored VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET amount = MAX(0, amount + excluded.amount)"
)


class Row(NamedTuple):
    """Sums of one target. `key` names what they are of, so that nothing counts twice; `body` is the owner's."""

    key: str
    time: float
    provider: str
    model: str
    cluster: str | None
    tag: str
    scorer: str | None
    live: int  # 1: of live calls, 0: of a run
    body: bytes


def create(db: sqlite3.Connection) -> None:
    """The tables, where they are not there yet."""
    for statement in _TABLES:
        db.execute(statement)


def put(rows: Sequence[Row], calls: Sequence[str], db: sqlite3.Connection) -> None:
    """Add rows; `calls` are the requests that they are of, as far as they are in this ledger."""
    create(db)
    keys = json.dumps([row.key for row in rows])
    if db.execute("DELETE FROM evidence WHERE key IN (SELECT value FROM json_each(?))", (keys,)).rowcount:
        _anew(db)
    new = db.executemany("INSERT OR IGNORE INTO evidence_calls VALUES (?)", [(name,) for name in calls]).rowcount
    if new > 0:
        _anew(db)
    db.executemany(_INSERT, rows)


def forget(provider: str | None, model: str | None, before: float, db: sqlite3.Connection) -> int:
    """Take out what is older, of one target or of all; how many rows. What live calls showed counts no more either."""
    create(db)
    found = db.execute(
        "DELETE FROM evidence WHERE time < ?1 AND (?2 IS NULL OR (provider = ?2 AND model = ?3))",
        (before, provider, model),
    ).rowcount
    db.execute("INSERT INTO evidence_forgotten VALUES (?, ?, ?)", (before, provider, model))
    _anew(db)
    return found


def _anew(db: sqlite3.Connection) -> None:
    db.execute("UPDATE evidence_state SET generation = generation + 1")


def book(day: str, amount: int, limit: int, db: sqlite3.Connection) -> bool:
    """Count what exploring will cost, unless it passes the day's limit."""
    create(db)
    return db.execute(_BOOK, (day, amount, limit)).rowcount == 1


def correct(day: str, amount: int, db: sqlite3.Connection) -> None:
    """Add what exploring cost over (or, below 0, under) what was booked."""
    create(db)
    db.execute(_CORRECT, (day, amount))


class Evidences:
    """The evidence of a ledger. What writes belongs to the portal's loop, what reads to any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._there = False

    def _created(self) -> bool:
        if not self._there:
            self._there = bool(self._ledger.rows(_THERE)[0][0])
        return self._there

    def state(self) -> tuple[int, int]:
        """(generation, the latest id); the rows up to an id are the same as long as the generation is."""
        if not self._created():
            return 0, 0
        generation, latest = self._ledger.rows(_STATE)[0]
        return int(generation), int(latest)

    def rows(self, after: int) -> list[tuple[int, Row]]:
        """The rows with later ids, oldest first."""
        if not self._created():
            return []
        found = self._ledger.rows("SELECT * FROM evidence WHERE id > ? ORDER BY id", (after,))
        return [(int(row[0]), Row._make(row[1:])) for row in found]

    def live(self, since: float, most: int) -> list[tuple[Any, ...]]:
        """The latest attempts of calls that are in no learned run, oldest first: time, provider, model, outcome,
        status_code, ttft_s, seconds, output_tokens, cost_usd, part, tags, error.
        """
        there = self._created()
        found = self._ledger.rows(_LIVE.format(known=_UNKNOWN if there else ""), (since, most))[::-1]
        gone = self._ledger.rows("SELECT time, provider, model FROM evidence_forgotten") if there else []
        if not gone:
            return found
        return [row for row in found if not any(row[0] < at and p in (None, row[1]) and m in (None, row[2])
                                                for at, p, m in gone)]  # fmt: skip

    def explored(self, now: float) -> int:
        """What exploring cost today (UTC)."""
        rows = self._ledger.rows("SELECT amount FROM explored WHERE day = ?", (day_of(now),)) if self._created() else []
        return int(rows[0][0]) if rows else 0

    async def put(self, rows: Sequence[Row], calls: Sequence[str] = ()) -> None:
        """See `put`; returns when it is written."""
        await self._ledger.transact(partial(put, rows, calls))

    async def forget(self, provider: str | None, model: str | None, before: float) -> int:
        """See `forget`."""
        found: int = await self._ledger.transact(partial(forget, provider, model, before))
        return found

    async def book(self, amount: int, limit: int, now: float) -> bool:
        """See `book`."""
        done: bool = await self._ledger.transact(partial(book, day_of(now), amount, limit))
        return done

    def correct(self, amount: int, now: float) -> None:
        """See `correct`. On the loop; nobody waits for it."""
        self._ledger.transact_soon(partial(correct, day_of(now), amount))
