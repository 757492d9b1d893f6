"""Conversations kept by name in the ledger's file, only when somebody asks for it: a head and the turns, each a row.

Two kernels may hold the same conversation: each save names the revision that it goes on from, and one that goes on
from an older revision than what is kept changes nothing and is told so. Times are unix time and come in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from hybrid_nb.ledger.store import Ledger

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS conversations (
      name TEXT PRIMARY KEY, revision INTEGER NOT NULL, time REAL NOT NULL, head BLOB NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS conversation_turns (
      name TEXT NOT NULL, id INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (name, id)
    )
    """,
)
_EXISTS = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'conversation_turns'"
_HEAD = """
INSERT INTO conversations VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
  revision = excluded.revision, time = excluded.time, head = excluded.head
"""


class Kept(NamedTuple):
    """A conversation as it is kept. `revision` counts its saves."""

    revision: int
    head: bytes
    turns: tuple[bytes, ...]


def create(db: sqlite3.Connection) -> None:
    """The tables, where they are not there yet."""
    for statement in _TABLES:
        db.execute(statement)


def revision(name: str, db: sqlite3.Connection) -> int:
    """How often it was saved; 0: it is not kept."""
    found = db.execute("SELECT revision FROM conversations WHERE name = ?", (name,)).fetchone()
    return 0 if found is None else int(found[0])


def save(
    name: str, known: int, head: bytes, turns: Mapping[int, bytes], now: float, db: sqlite3.Connection
) -> int | None:
    """Write the head and those turns that are new or changed; the new revision. None: somebody else saved after
    `known`, and nothing was written.
    """
    create(db)
    if revision(name, db) != known:
        return None
    if known == 0:
        db.execute("DELETE FROM conversation_turns WHERE name = ?", (name,))
    db.execute(_HEAD, (name, known + 1, now, head))
    rows = [(name, number, body) for number, body in turns.items()]
    db.executemany("INSERT OR REPLACE INTO conversation_turns VALUES (?, ?, ?)", rows)
    return known + 1


def save_beside(
    name: str, head: bytes, turns: Mapping[int, bytes], now: float, db: sqlite3.Connection
) -> tuple[str, int]:
    """Write the whole under the first free name of "name (2)", "name (3)" ...; that name and its revision."""
    create(db)
    number = 2
    while revision(f"{name} ({number})", db):
        number += 1
    free = f"{name} ({number})"
    return free, save(free, 0, head, turns, now, db) or 1


def delete(name: str, db: sqlite3.Connection) -> None:
    """Forget a conversation."""
    create(db)
    db.execute("DELETE FROM conversation_turns WHERE name = ?", (name,))
    db.execute("DELETE FROM conversations WHERE name = ?", (name,))


class Conversations:
    """The conversations of a ledger. What writes belongs to the portal's loop, what reads to any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def save(self, name: str, known: int, head: bytes, turns: Mapping[int, bytes], now: float) -> int | None:
        """See `save`; returns when it is written."""
        done: int | None = await self._ledger.transact(partial(save, name, known, head, turns, now))
        return done

    async def save_beside(self, name: str, head: bytes, turns: Mapping[int, bytes], now: float) -> tuple[str, int]:
        """See `save_beside`."""
        done: tuple[str, int] = await self._ledger.transact(partial(save_beside, name, head, turns, now))
        return done

    async def delete(self, name: str) -> None:
        """See `delete`."""
        await self._ledger.transact(partial(delete, name))

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        there = self._ledger.rows(_EXISTS)[0][0]
        return self._ledger.rows(query, values) if there else []

    def names(self) -> list[str]:
        """What is kept, the latest first."""
        return [str(row[0]) for row in self._rows("SELECT name FROM conversations ORDER BY time DESC, name")]

    def load(self, name: str) -> Kept | None:
        """A conversation, of one moment; None: none is kept under this name."""
        # one query, so that no save comes between head and turns
        rows = self._rows(
            "SELECT c.revision, c.head, t.body FROM conversations c LEFT JOIN conversation_turns t ON t.name = c.name "
            "WHERE c.name = ? ORDER BY t.id",
            (name,),
        )
        if not rows:
            return None
        number, head, _ = rows[0]
        return Kept(int(str(number)), bytes(head), tuple(bytes(body) for _, _, body in rows if body is not None))  # type: ignore[call-overload]  # blobs
