"""Finished answers of router.map in the ledger's file, so that a map goes on where it was stopped, even by kill -9.

An answer is written in the transaction of its call's own row: whatever was paid for is there. Each has the job (what
all its requests have in common) and the request's key. Unlike the cache it does not look at who answered, is not pushed
out by other calls, and is there for LAST seconds after it was last used. Times are unix time and come in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from hybrid_nb.core.types import Reply
from hybrid_nb.ledger.entries import pico
from hybrid_nb.ledger.store import Ledger, Many

LAST = 30 * 86_400.0  # seconds that an answer is kept which nobody uses
TOGETHER = 500  # keys that one query asks for
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS mapped (
  job TEXT NOT NULL, key BLOB NOT NULL, time REAL NOT NULL, used REAL NOT NULL, text BLOB NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, cost_usd INTEGER, output_tokens INTEGER, PRIMARY KEY (job, key)
    )
    """,
    "CREATE INDEX IF NOT EXISTS mapped_used ON mapped (used)",
    "CREATE INDEX IF NOT EXISTS mapped_time ON mapped (job, time)",
)
_MEAN = "SELECT AVG(output_tokens) FROM (SELECT output_tokens FROM mapped WHERE job = ? ORDER BY time DESC LIMIT 1000)"
_PUT = "INSERT OR REPLACE INTO mapped VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Kept(NamedTuple):
    """An answer that is kept. `cost_usd` is in 1e-12 dollars; None is unknown."""

    key: bytes
    text: str
    provider: str
    model: str
    cost_usd: int | None


class Row(NamedTuple):
    """An answer to keep, in the table's columns."""

    job: str
    key: bytes
    time: float
    used: float
    text: bytes
    provider: str
    model: str
    cost_usd: int | None
    output_tokens: int | None


def row(job: str, key: bytes, reply: Reply, now: float) -> Row:
    """The row of an answer."""
    cost = pico(reply.cost)
    text = reply.text.encode("utf-8", "surrogatepass")  # a model may write a lone surrogate
    return Row(job, key, now, now, text, reply.provider, reply.model, cost, reply.usage.output_tokens)


def create(db: sqlite3.Connection) -> None:
    """The table, where it is not there yet."""
    for statement in _TABLES:
        db.execute(statement)


def put(rows: list[Row], db: sqlite3.Connection) -> None:
    """Keep answers; a later one to the same request takes the place of the earlier."""
    db.executemany(_PUT, rows)


def used(job: str, keys: Sequence[bytes], now: float, db: sqlite3.Connection) -> None:
    """Take note of a use."""
    db.executemany("UPDATE mapped SET used = ? WHERE job = ? AND key = ?", ((now, job, key) for key in keys))


def forget(before: float, db: sqlite3.Connection) -> int:
    """Drop what was last used before a unix time; how many there were."""
    create(db)
    return db.execute("DELETE FROM mapped WHERE used < ?", (before,)).rowcount


class Keep(NamedTuple):
    """What a call's answer is kept under, if it is worth keeping: told by `well`."""

    job: str
    key: bytes
    well: Callable[[Reply], bool]

    def write(self, reply: Reply, now: float) -> Many | None:
        """The operation that keeps an answer; None: it is not kept."""
        return Many(put, row(self.job, self.key, reply, now)) if self.well(reply) else None


KEEP: ContextVar[Keep | None] = ContextVar("hybrid_nb_keep", default=None)  # of the task that a call runs in


class Mapped:
    """The finished answers of a ledger. What writes belongs to the portal's loop, what reads to any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def ready(self, now: float) -> None:
        """Make the table, and drop what nobody has used for long."""
        await self._ledger.transact(partial(forget, now - LAST))

    async def forget(self, before: float) -> int:
        """See `forget`."""
        dropped: int = await self._ledger.transact(partial(forget, before))
        return dropped

    async def used(self, job: str, keys: Sequence[bytes], now: float) -> None:
        """See `used`; some at a time, so that calls under way are not held up."""
        for part in _parts(keys):
            await self._ledger.transact(partial(used, job, part, now))

    def find(self, job: str, keys: Iterable[bytes], since: float = 0.0) -> Iterator[Kept]:
        """Those of these requests that have an answer not older than `since`."""
        for part in _parts(keys):
            marks = ",".join("?" * len(part))
            query = (
                "SELECT key, text, provider, model, cost_usd FROM mapped "
                f"WHERE job = ? AND +time >= ? AND key IN ({marks})"  # +: not by the index of times
            )
            for found in self._ledger.rows(query, (job, since, *part)):
                yield Kept(bytes(found[0]), bytes(found[1]).decode("utf-8", "surrogatepass"), *found[2:])

    def count(self, job: str, since: float) -> int:
        """Answers of a job since a unix time."""
        return int(self._ledger.rows("SELECT COUNT(*) FROM mapped WHERE job = ? AND time >= ?", (job, since))[0][0])

    def any(self, job: str, since: float) -> bool:
        """Whether a job has an answer since a unix time."""
        return bool(self._ledger.rows("SELECT 1 FROM mapped WHERE job = ? AND time >= ? LIMIT 1", (job, since)))

    def mean(self, job: str) -> float | None:
        """Tokens of an answer in the mean of the latest that are kept of a job; None: nothing is."""
        found: Any = self._ledger.rows(_MEAN, (job,))[0][0]
        return None if found is None else float(found)


def _parts(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    left = iter(keys)
    while part := list(islice(left, TOGETHER)):
        yield part
