"""One reservation for many calls that come together: the process reserves a pool, and calls take from it in memory.

The store's rule is untouched: the pool is a row among the reservations, so settled + reserved never passes a limit,
and what calls hold of the pool never passes the pool. It is made only while several calls are under way at once, never
takes more than a quarter of what is left, and is given back when none has been under way for a moment: calls come in
waves. A process that dies leaves its row, which expires as charged at the estimate of the calls that may have been
under way.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from hybrid_nb.ledger.money import Limits, add, day_of, standing
from hybrid_nb.ledger.store import Ledger, Many

TOGETHER = 4  # calls under way at once from which on a pool is worth it
CALLS = 256  # that a pool is made for
SPARE = 32  # calls that it should still hold before it is filled up
SHARE = 4  # a pool takes at most this part of what is left: one of four
LASTS = 600.0  # seconds
LINGER = 0.1  # seconds without any call after which it is given back


class Spent(NamedTuple):
    """A call that took from a pool has ended."""

    pool: str
    cost: int
    now: float


class Row(NamedTuple):
    """What a pool wants to be."""

    id: str
    expires: float
    amount: int
    estimate: int


def fill(row: Row, limits: Limits, now: float, db: sqlite3.Connection) -> bool:
    """Make a pool, or add to it, inside a transaction of the store; False when too little is left."""
    found = standing(db, now)
    rooms = [
        limit - spent
        for limit, spent in ((limits.daily, found.day), (limits.monthly, found.month))
        if limit is not None
    ]
    if not rooms or row.amount > (min(rooms) - found.reserved) // SHARE:
        return False
    db.execute(
        "INSERT INTO reservations VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "amount = amount + excluded.amount, expires = excluded.expires",
        row,
    )
    return True


def spend(items: list[Spent], db: sqlite3.Connection) -> None:
    """Move what calls cost from their pools to the day's spending: one statement for each pool and day."""
    totals: dict[tuple[str, str], int] = {}
    for item in items:
        place = (item.pool, day_of(item.now))
        totals[place] = totals.get(place, 0) + item.cost
    for (pool, day), amount in totals.items():
        query = "UPDATE reservations SET amount = MAX(0, amount - ?) WHERE id = ?"
        if db.execute(query, (amount, pool)).rowcount:  # else it expired, and was charged then
            add(day, amount, db)


def drop(pools: list[str], db: sqlite3.Connection) -> None:
    """Give pools back; one of the operations that come after all others, so what calls cost is moved before."""
    db.executemany("DELETE FROM reservations WHERE id = ?", [(pool,) for pool in pools])


@dataclass(slots=True)
class Held:
    """What one call took."""

    amount: int
    estimate: int


class Pool:
    """The pool of one router, on the ledger's loop. Amounts are integers of 1e-12 dollars."""

    def __init__(self, ledger: Ledger, wall: Callable[[], float], together: Callable[[], int]) -> None:
        self._ledger = ledger
        self._wall = wall
        self._together = together  # how many calls are under way that hold a reservation of their own
        self._id: str | None = None
        self._amount = 0  # as in the store, or less
        self._expires = 0.0
        self._limits: Limits | None = None  # that it was made under; others must be looked at anew
        self._held: dict[str, Held] = {}
        self._used = 0
        self._filling = False
        self._latest = 0.0  # loop time of the latest end of a call
        self._timer: asyncio.TimerHandle | None = None
        self._linger = LINGER

    def take(self, identifier: str, amount: int, estimate: int, until: float, limits: Limits) -> bool:
        """Take an amount for a call that ends before `until` (unix time); False when the pool has not so much."""
        if self._id is None:
            return False
        if limits is not self._limits and limits != self._limits:
            self._amount, self._limits = self._used, limits  # what is left was granted under others; more may be asked
        if self._used + amount > self._amount or until > self._expires:
            return False
        self._held[identifier] = Held(amount, min(estimate, amount))
        self._used += amount
        return True

    def wanted(self, amount: int) -> bool:
        """Whether it should be made, or filled up, for one more call of this size."""
        if self._filling or self._together() + len(self._held) + 1 < TOGETHER:
            return False
        return self._amount - self._used < SPARE * amount

    def fill(self, amount: int, estimate: int, limits: Limits) -> None:
        """Ask the store for more; what comes counts from when it is committed."""
        now = self._wall()
        name = self._id or f"pool-{secrets.token_hex(8)}"
        row = Row(name, now + LASTS, CALLS * amount, min(CALLS * amount, 4 * TOGETHER * estimate))
        self._filling = True
        done = self._ledger.transact(partial(fill, row, limits, now))
        done.add_done_callback(partial(self._filled, row, limits))

    def _filled(self, row: Row, limits: Limits, done: asyncio.Future[bool]) -> None:
        self._filling = False
        if not (done.cancelled() or done.exception() is not None or not done.result()):
            self._enlarged(row, limits)
        self.close_when_idle()  # the calls that it was for may have ended meanwhile

    def _enlarged(self, row: Row, limits: Limits) -> None:
        if self._id is None and not self._held:
            self._id, self._amount = row.id, 0
        if self._id == row.id:
            self._amount += row.amount
            self._expires, self._limits = row.expires, limits
        else:
            self._ledger.transact_soon(Many(drop, row.id))

    def settle(self, identifier: str, cost: int | None) -> bool:
        """A call ended; False when it took nothing from here."""
        held = self._held.pop(identifier, None)
        if held is None or self._id is None:
            return False
        charged = held.estimate if cost is None else cost
        self._used -= held.amount
        self._amount = max(0, self._amount - charged)
        self._ledger.transact_soon(Many(spend, Spent(self._id, charged, self._wall())))
        return True

    @property
    def _idle(self) -> bool:
        return not self._held and not self._together() and not self._filling

    def close_when_idle(self) -> None:
        """A call has ended: give the pool back when none has been under way for LINGER seconds."""
        if self._id is None:
            return
        if not self._linger:
            self.give_back()
            return
        loop = asyncio.get_running_loop()
        self._latest = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._linger, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self._idle:
            return  # the end of a call sets the next
        loop = asyncio.get_running_loop()
        if loop.time() - self._latest < self._linger:
            self._timer = loop.call_at(self._latest + self._linger, self._ring)
        else:
            self.give_back()

    def close(self) -> None:
        """Give the pool back as soon as no call is under way, and any that is still being made."""
        self._linger = 0.0
        self.give_back()

    def give_back(self) -> None:
        """Give the pool back now, unless calls are under way that hold some of it."""
        dropped = self._dropped()
        if dropped:
            self._ledger.transact_soon(dropped)

    async def given_back(self) -> None:
        """Give it back and wait until others may have it: somebody needs what an idle pool holds."""
        dropped = self._dropped()
        if dropped:
            await self._ledger.transact(dropped)

    def _dropped(self) -> Many | None:
        if self._id is None or not self._idle:
            return None
        name, self._id, self._amount, self._used = self._id, None, 0, 0
        return Many(drop, name)
