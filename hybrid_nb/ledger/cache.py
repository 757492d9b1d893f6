"""Answers by exact match, in the ledger's file: each with a time to live, together under a size, least used out first.

The functions take a connection inside a transaction; `Cache` runs them in the ledger's. Times are unix time and
come in; sizes are bytes of the answers kept, not of the file.
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from functools import partial

from hybrid_nb.ledger.entries import pico
from hybrid_nb.ledger.store import Ledger

# triggers keep the total, so that it is right whoever writes, and no write has to sum
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS cache (
      key TEXT PRIMARY KEY, time REAL NOT NULL, expires REAL NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL,
      answer BLOB NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS cache_used ON cache (used)",
    "CREATE INDEX IF NOT EXISTS cache_expires ON cache (expires)",
    "CREATE TABLE IF NOT EXISTS cache_total (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO cache_total VALUES (1, 0)",
    """
    CREATE TRIGGER IF NOT EXISTS cache_added AFTER INSERT ON cache
    BEGIN UPDATE cache_total SET bytes = bytes + NEW.size; END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS cache_changed AFTER UPDATE OF size ON cache
    BEGIN UPDATE cache_total SET bytes = bytes + NEW.size - OLD.size; END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS cache_removed AFTER DELETE ON cache
    BEGIN UPDATE cache_total SET bytes = bytes - OLD.size; END
    """,
    """
    CREATE TABLE IF NOT EXISTS savings (request_id TEXT PRIMARY KEY, saved_usd INTEGER, saved_s REAL) WITHOUT ROWID
    """,
)
_PUT = """
INSERT INTO cache VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
  time = excluded.time, expires = excluded.expires, used = excluded.used, size = excluded.size,
  answer = excluded.answer
"""
_GET = "SELECT answer FROM cache WHERE key = ? AND expires > ? AND time > ?"
_LEAST_USED = "SELECT key FROM cache WHERE key != ? ORDER BY used LIMIT 1"


def create(db: sqlite3.Connection) -> None:
    """The tables, where they are not there yet."""
    for statement in _TABLES:
        db.execute(statement)


def total(db: sqlite3.Connection) -> int:
    """Bytes of all answers that are kept."""
    found: int = db.execute("SELECT bytes FROM cache_total").fetchone()[0]
    return found


def put(key: str, answer: bytes, now: float, ttl: float, limit: float, db: sqlite3.Connection) -> None:
    """Keep an answer for `ttl` seconds. What has expired goes, then what was least used, down to `limit` bytes.

    An answer that is larger than the limit is not kept.
    """
    db.execute("DELETE FROM cache WHERE expires <= ?", (now,))
    size = len(key) + len(answer)
    if size > limit:
        db.execute("DELETE FROM cache WHERE key = ?", (key,))
    else:
        db.execute(_PUT, (key, now, now + ttl, now, size, answer))
    while total(db) > limit:
        db.execute(f"DELETE FROM cache WHERE key = ({_LEAST_USED})", (key,))


def used(key: str, now: float, db: sqlite3.Connection) -> None:
    """Take note of a use."""
    db.execute("UPDATE cache SET used = ? WHERE key = ?", (now, key))


def saved(request_id: str, cost: Decimal | None, seconds: float | None, db: sqlite3.Connection) -> None:
    """Take note of what a call did not cost, in dollars and seconds; None where that is not known."""
    db.execute("INSERT OR REPLACE INTO savings VALUES (?, ?, ?)", (request_id, pico(cost), seconds))


class Cache:
    """The cache and the savings of a ledger. Belongs to the portal's loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ready = False

    async def ready(self) -> None:
        """Make the tables; before anything else."""
        if not self._ready:
            await self._ledger.transact(create)
            self._ready = True

    async def get(self, key: str, now: float, ttl: float) -> bytes | None:
        """An answer that is at most `ttl` seconds old, and whose own time is not over."""
        await self.ready()
        found = self._ledger.rows(_GET, (key, now, now - ttl))
        return bytes(found[0][0]) if found else None

    async def put(self, key: str, answer: bytes, now: float, ttl: float, limit: float) -> None:
        """See `put`; returns when it is written."""
        await self.ready()
        await self._ledger.transact(partial(put, key, answer, now, ttl, limit))

    async def hit(
        self, key: str | None, request_id: str, cost: Decimal | None, seconds: float | None, now: float
    ) -> None:
        """Note a use of an answer (None: of one that is not from here), and what it saved."""
        await self.ready()
        self._ledger.transact_soon(partial(saved, request_id, cost, seconds))
        if key is not None:
            self._ledger.transact_soon(partial(used, key, now))
