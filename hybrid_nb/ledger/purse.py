"""Purses in the ledger's file: a limit that holds for all processes that work on one thing.

The rule, held in one transaction: settled + held <= bound. What an attempt holds is an upper bound of its cost, and
what a process that died has held stays spent in whole, as nobody knows what was billed; so the true cost never passes
the bound. The functions take a connection inside a transaction; amounts are integers of 1e-12 dollars.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from hybrid_nb.core.asking import waits_for
from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.core.purse import MaxCostReachedError
from hybrid_nb.core.types import money
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.store import Ledger, Many

NO_BOUND = 2**62
LOOK_AGAIN = 0.05  # seconds; what other processes hand back sends no signal
LAST = 30 * 86_400.0  # seconds after which the purse of a process that died is dropped
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS purses (
      id TEXT PRIMARY KEY, time REAL NOT NULL, bound INTEGER NOT NULL, settled INTEGER NOT NULL, stopped TEXT
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS purse_holds (
      id TEXT PRIMARY KEY, purse TEXT NOT NULL, owner TEXT NOT NULL, amount INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS purse_holds_of ON purse_holds (purse)",
)
OVER = "the work is over"
_EXISTS = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'purses'"
_STANDING = """
SELECT bound, settled, (SELECT COALESCE(SUM(amount), 0) FROM purse_holds WHERE purse = purses.id), stopped
FROM purses WHERE id = ?
"""


class Standing(NamedTuple):
    """A purse at a moment. `stopped` is why nothing more shall be taken from it; None: nobody has stopped."""

    bound: int
    settled: int
    held: int
    stopped: str | None = None

    @property
    def free(self) -> int:
        return self.bound - self.settled - self.held


class Ask(NamedTuple):
    """What an attempt wants: the first of `amounts` that is there; only the first `roomy` while others hold some."""

    id: str
    purse: str
    owner: str
    amounts: Sequence[int]
    roomy: int


class Answer(NamedTuple):
    """The place of the amount that is held now (None: none), and the purse before."""

    place: int | None
    standing: Standing


class Settlement(NamedTuple):
    """An attempt that ended; a cost of None is not known."""

    id: str
    cost: int | None


def create(db: sqlite3.Connection) -> None:
    """The tables, where they are not there yet."""
    for statement in _TABLES:
        db.execute(statement)


def fill(purse: str, bound: int | None, now: float, db: sqlite3.Connection) -> None:
    """Make a purse; None: without a bound. Old ones that nobody emptied go."""
    create(db)
    for (old,) in db.execute("SELECT id FROM purses WHERE time < ?", (now - LAST,)).fetchall():
        drop(str(old), db)
    most = NO_BOUND if bound is None else min(bound, NO_BOUND)
    db.execute("INSERT INTO purses VALUES (?, ?, ?, 0, NULL)", (purse, now, most))


def drop(purse: str, db: sqlite3.Connection) -> None:
    """The work is over."""
    db.execute("DELETE FROM purse_holds WHERE purse = ?", (purse,))
    db.execute("DELETE FROM purses WHERE id = ?", (purse,))


def standing(purse: str, db: sqlite3.Connection) -> Standing:
    """How it stands; one that was dropped has nothing, and is stopped."""
    found = db.execute(_STANDING, (purse,)).fetchone()
    return Standing(0, 0, 0, OVER) if found is None else Standing(*found)


def read(ledger: Ledger, purse: str) -> Standing:
    """standing(), from any thread."""
    found = ledger.rows(_STANDING, (purse,)) if ledger.rows(_EXISTS)[0][0] else []
    return Standing(*found[0]) if found else Standing(0, 0, 0, OVER)


def hold(ask: Ask, db: sqlite3.Connection) -> Answer:
    """Take an amount out, or none."""
    found = standing(ask.purse, db)
    if found.stopped is None:
        for place, amount in enumerate(ask.amounts):
            if place >= ask.roomy and found.held:
                break
            if amount <= found.free:
                db.execute("INSERT INTO purse_holds VALUES (?, ?, ?, ?)", (ask.id, ask.purse, ask.owner, amount))
                return Answer(place, found)
    return Answer(None, found)


def settle(items: list[Settlement], db: sqlite3.Connection) -> None:
    """Attempts ended. One whose hold is gone was charged in whole when its process was taken for dead."""
    for item in items:
        row = db.execute("DELETE FROM purse_holds WHERE id = ? RETURNING purse, amount", (item.id,)).fetchone()
        if row is not None:
            _spend(row[0], row[1] if item.cost is None else item.cost, db)


def forfeit(purse: str, dead: Callable[[str], bool], db: sqlite3.Connection) -> None:
    """Those who worked under these names are dead: all that they held is spent."""
    query = "DELETE FROM purse_holds WHERE purse = ? AND owner = ? RETURNING amount"
    for (owner,) in db.execute("SELECT DISTINCT owner FROM purse_holds WHERE purse = ?", (purse,)).fetchall():
        if dead(owner):
            _spend(purse, sum(row[0] for row in db.execute(query, (purse, owner)).fetchall()), db)


def stop(purse: str, reason: str, db: sqlite3.Connection) -> None:
    """Let nobody take any more; the first reason stays."""
    db.execute("UPDATE purses SET stopped = ? WHERE id = ? AND stopped IS NULL", (reason, purse))


def _spend(purse: str, amount: int, db: sqlite3.Connection) -> None:
    if amount:
        db.execute("UPDATE purses SET settled = settled + ? WHERE id = ?", (amount, purse))


class LedgerPurse:
    """A purse for the calls of this process, which work under the name `owner`. On the ledger's loop."""

    def __init__(self, ledger: Ledger, purse: str, owner: str = "") -> None:
        self._ledger = ledger
        self._purse = purse
        self._owner = owner
        self._turn = asyncio.Lock()  # those who wait go in the order in which they came
        self._waiting = 0
        self._released = asyncio.Event()

    async def hold(self, identifier: str, amounts: Sequence[int], roomy: int, patience: float) -> int:
        """See Purse."""
        ask = Ask(identifier, self._purse, self._owner, [min(amount, NO_BOUND) for amount in amounts], roomy)
        answer = None if self._waiting else await self._try(ask)
        if answer is None or (answer.place is None and _may_come(answer, ask)):
            answer = await self._in_turn(ask, patience) or await self._try(ask)
        if answer.place is None:
            raise _reached(answer.standing, ask)
        return answer.place

    async def _in_turn(self, ask: Ask, patience: float) -> Answer | None:
        self._waiting += 1
        waits_for("the money of max_cost")
        try:
            async with asyncio.timeout(max(0.0, patience)), self._turn:
                return await self._first_in_line(ask)
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1

    async def _first_in_line(self, ask: Ask) -> Answer:
        while True:
            self._released.clear()
            answer = await self._try(ask)
            if answer.place is not None or not _may_come(answer, ask):
                return answer
            with contextlib.suppress(TimeoutError):  # not wait_for, which may lose a cancellation before 3.12
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._released.wait()

    async def _try(self, ask: Ask) -> Answer:
        try:
            answer: Answer = await self._ledger.transact(partial(hold, ask))
        except asyncio.CancelledError:
            # it may have been granted; this comes right after it, before it is asked for once more
            self._ledger.transact_soon(partial(settle, [Settlement(ask.id, 0)]))
            raise
        return answer

    def settle(self, identifier: str, cost: int | None) -> None:
        """See Purse."""
        self._ledger.transact_soon(Many(settle, Settlement(identifier, cost)))
        self._released.set()

    def unpriced(self) -> BudgetExceededError:
        """See Purse."""
        return BudgetExceededError("its price is unknown, so max_cost cannot be held")


def _may_come(answer: Answer, ask: Ask) -> bool:
    """Whether what others hold could make room."""
    found = answer.standing
    return found.stopped is None and found.held > 0 and ask.amounts[-1] <= found.bound - found.settled


def _reached(found: Standing, ask: Ask) -> MaxCostReachedError:
    if found.stopped is not None:
        return MaxCostReachedError(found.stopped)
    bound, spent, least = (usd(amount) for amount in (found.bound, found.settled, ask.amounts[-1]))
    shown = [money(amount) if amount else "$0" for amount in (bound, spent, least)]
    held = f", {money(usd(found.held))} held by calls under way" if found.held else ""
    told = f"max_cost {shown[0]} would be passed: {shown[1]} spent{held}, the next call may cost {shown[2]}"
    if found.settled == 0 and not found.held:
        told += "; raise max_cost, or give a smaller max_tokens"
    return MaxCostReachedError(told, bound, spent, least, final=not _may_come(Answer(None, found), ask))


def usd(amount: int) -> Decimal:
    """An amount as dollars."""
    return Decimal(amount) / PICO
