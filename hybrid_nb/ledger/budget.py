"""Budgets that cannot be overshot, across kernels: money is reserved before the first byte and settled from usage.

The rule, held in one transaction of the store that all processes share: settled + reserved + asked <= limit. A
reservation is an upper bound; it is settled with what was billed, released when nothing was, and when its process dies
it expires as "charged at estimate". Days and months are in UTC. Amounts are integers of 1e-12 dollars.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from hybrid_nb.core import forks
from hybrid_nb.core.asking import waits_for
from hybrid_nb.core.errors import BudgetExceededError, ConfigError
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.money import Limits, Standing, add, day_of, standing
from hybrid_nb.ledger.pool import Pool
from hybrid_nb.ledger.store import Ledger, Many

GRACE = 60.0  # seconds after a call's deadline at which its reservation counts as lost
SWEEP_EVERY = 5.0  # seconds between looks for reservations of processes that died
LONGEST_HOLD = 15.0  # seconds that a call waits for more than a tight amount
LOOK_AGAIN = 0.05  # seconds; other processes' releases send no signal


class Ask(NamedTuple):
    """What an attempt wants to reserve: the first of `amounts` that fits; `estimate` is charged if it is lost."""

    id: str
    amounts: Sequence[int]  # upper bounds, from the one without constraints downwards
    estimate: int
    expires: float  # unix time
    roomy: int | None = None  # so many of the amounts are taken while others may yet free more; None: any of them


NOT_LOOKED_AT = Standing(0, 0, 0)


class Answer(NamedTuple):
    """Which of the amounts was reserved (None: none), and the standing at that moment."""

    granted: int | None
    standing: Standing
    limit: str | None = None  # "daily" or "monthly", the one in the way

    @property
    def may_come(self) -> bool:
        """Whether it would fit if what others reserve were released."""
        return self.granted is None and self.limit is None


def resets_at(limit: str, now: float) -> float:
    """Unix time at which the day or month ends, in UTC."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if limit == "daily":
        return (today + dt.timedelta(days=1)).timestamp()
    return (today.replace(day=28) + dt.timedelta(days=4)).replace(day=1).timestamp()


def fits(amount: int, reserved: int, now: Standing, limits: Limits) -> str | None:
    """The limit that an amount would pass beside so much reserved; None when it fits. Pure."""
    if limits.daily is not None and now.day + reserved + amount > limits.daily:
        return "daily"
    if limits.monthly is not None and now.month + reserved + amount > limits.monthly:
        return "monthly"
    return None


# the rule as one statement, for the usual case that the first amount fits: a third of the work
_RESERVE = """
INSERT INTO reservations SELECT ?1, ?2, ?3, ?4
WHERE (SELECT COALESCE(SUM(amount), 0) FROM reservations) + ?3 <= MIN(
  ?5 - COALESCE((SELECT amount FROM spend WHERE day = ?7), 0),
  ?6 - COALESCE((SELECT SUM(amount) FROM spend WHERE day >= ?8), 0))
"""
NO_LIMIT = 2**62


def reserve(ask: Ask, limits: Limits, now: float, sweep: bool, db: sqlite3.Connection) -> Answer:
    """Reserve, inside a transaction of the store; `sweep` looks for reservations of the dead first.

    An amount that is not roomy is taken only where waiting would bring no freer one.
    """
    if sweep:
        expire(now, db)
    day, first = day_of(now), ask.amounts[0]
    daily, monthly = (NO_LIMIT if limit is None else limit for limit in (limits.daily, limits.monthly))
    row = (ask.id, ask.expires, first, min(ask.estimate, first), daily, monthly, day, f"{day[:8]}01")
    if db.execute(_RESERVE, row).rowcount == 1:
        return Answer(0, NOT_LOOKED_AT)
    expire(now, db)
    found = standing(db, now)
    for number, amount in enumerate(ask.amounts):
        if ask.roomy is not None and number >= ask.roomy and fits(ask.amounts[number - 1], 0, found, limits) is None:
            return Answer(None, found, None)
        if fits(amount, found.reserved, found, limits) is None:
            kept = (ask.id, ask.expires, amount, min(ask.estimate, amount))
            db.execute("INSERT INTO reservations VALUES (?, ?, ?, ?)", kept)
            return Answer(number, found)
    return Answer(None, found, fits(ask.amounts[-1], 0, found, limits))


def settle(identifier: str, cost: int | None, now: float, db: sqlite3.Connection) -> None:
    """The attempt ended: charge what it cost; None: nobody knows, so its estimate."""
    row = db.execute("DELETE FROM reservations WHERE id = ? RETURNING estimate", (identifier,)).fetchone()
    if row is None:
        return  # it expired, and was charged then
    charge(row[0] if cost is None else cost, now, db)


class Settlement(NamedTuple):
    """An attempt that ended at a known cost."""

    id: str
    cost: int
    now: float


def settle_known(items: list[Settlement], db: sqlite3.Connection) -> None:
    """settle() for all of a turn: one statement for the reservations, and one for each day."""
    names = json.dumps([item.id for item in items])
    query = "DELETE FROM reservations WHERE id IN (SELECT value FROM json_each(?)) RETURNING id"
    held = {row[0] for row in db.execute(query, (names,))}
    days: dict[str, int] = {}
    for item in items:
        if item.id in held:
            held.remove(item.id)
            day = day_of(item.now)
            days[day] = days.get(day, 0) + item.cost
    for day, amount in days.items():
        add(day, amount, db)


def charge(amount: int, now: float, db: sqlite3.Connection) -> None:
    """Add to the day's spending."""
    add(day_of(now), amount, db)


def expire(now: float, db: sqlite3.Connection) -> None:
    """Charge the reservations of processes that died, at their estimate."""
    lost = db.execute("DELETE FROM reservations WHERE expires < ? RETURNING estimate", (now,)).fetchall()
    for (estimate,) in lost:
        charge(estimate, now, db)


class Period(NamedTuple):
    """A day or month as it stands: amounts, and (model, calls) of what no price is known for."""

    name: str  # "daily" or "monthly"
    limit: int | None
    spent: int
    reserved: int
    unpriced: tuple[tuple[str, int], ...]


# one statement sees one moment; what expired counts as it will be charged
_STANDING = """
SELECT COALESCE((SELECT amount FROM spend WHERE day = ?1), 0),
       COALESCE((SELECT SUM(amount) FROM spend WHERE day >= ?2), 0),
       COALESCE((SELECT SUM(amount) FROM reservations WHERE expires >= ?3), 0),
       COALESCE((SELECT SUM(estimate) FROM reservations WHERE expires < ?3), 0)
"""
_UNPRICED = """
SELECT provider || '/' || model, COUNT(*) FROM attempts
WHERE request_id >= ? AND time >= ? AND cost_usd IS NULL AND input_tokens IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1
"""
_LONGEST_CALL = 3600.0  # seconds


class Wait(NamedTuple):
    """A call that waits for money; times are the loop's."""

    id: str
    amounts: Sequence[int]
    estimate: int
    since: float
    until: float
    roomy: int | None

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - asyncio.get_running_loop().time()


class Line:
    """Who waits, in the order of arrival; the first one alone looks whether it can go."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self.taken = 0  # a lock that is handed on looks free for a moment, and nobody may slip in then

    async def enter(self, until: float) -> bool:
        """Wait to be the first; False when the loop's time `until` came before."""
        self.taken += 1
        try:
            async with asyncio.timeout_at(until):
                await self._turn.acquire()
        except BaseException as error:
            self.taken -= 1
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def leave(self) -> None:
        """Let the next one look."""
        self.taken -= 1
        self._turn.release()


class Budget:
    """The budget of one router, on the ledger's loop. Amounts are integers of 1e-12 dollars."""

    def __init__(
        self, ledger: Ledger, limits: Limits, queue: bool = False, wall: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits
        self.queue = queue
        self._ledger = ledger
        self._wall = wall
        self._released = asyncio.Event()
        self._line = Line()  # for what calls under way may free
        self._later = Line()  # for a new day, or a raised limit
        self._sweep_at = 0.0
        self._together = 0  # calls under way that hold a reservation of their own, or ask for one
        self._pool = Pool(ledger, wall, lambda: self._together)
        forks.afresh(self)

    def forked(self) -> None:
        """In a forked child: what the parent reserved, its pool too, is the parent's to spend and to settle."""
        forks.keep(self._pool, self._released)
        self._released, self._sweep_at, self._together = asyncio.Event(), 0.0, 0
        self._pool = Pool(self._ledger, self._wall, lambda: self._together)

    @property
    def limited(self) -> bool:
        """Whether there is any limit to hold."""
        return bool(self.limits)

    async def reserve(
        self, identifier: str, amounts: Sequence[int], estimate: int, patience: float, roomy: int | None = None
    ) -> int:
        """Reserve the first amount that fits and return its place; `patience` is seconds that the call has left.

        Waits in the order of arrival while the reservations of other calls may free what is missing (with `queue`: in
        any case). The first `roomy` amounts (None: all) are taken at once; a tighter one only where nothing more can
        become free, or after half of the patience (at most 15 s). Raises BudgetExceededError.
        """
        bounded = [min(amount, NO_LIMIT) for amount in amounts]
        if not self._line.taken:
            if self._pool.wanted(bounded[0]):
                self._pool.fill(bounded[0], estimate, self.limits)
            if self._pool.take(identifier, bounded[0], estimate, self._wall() + patience + GRACE, self.limits):
                return 0
        now = asyncio.get_running_loop().time()
        return await self._wait(Wait(identifier, bounded, estimate, now, now + patience, roomy))

    async def _wait(self, wait: Wait) -> int:
        """The place of the amount that was reserved, at once or in line."""
        answer = None if self._line.taken else await self._try(wait)
        while answer is None or answer.granted is None:
            ahead = answer is None or answer.may_come
            if answer is not None and (wait.left <= 0 or not (ahead or self.queue)):
                raise self._exceeded(answer, wait.amounts[-1])
            line = self._line if ahead else self._later
            waits_for("the budget")
            if not await line.enter(wait.until):
                answer = await self._try(wait)  # at the end of its time a call takes what there is
                continue
            try:
                answer = await self._first_in_line(wait, ahead)
            finally:
                line.leave()
        return answer.granted

    async def _first_in_line(self, wait: Wait, ahead: bool) -> Answer:
        """Look until there is an answer that does not belong into this line, or the call's time is over."""
        while True:
            self._released.clear()
            answer = await self._try(wait)
            if answer.granted is not None or answer.may_come != ahead or wait.left <= 0:
                return answer
            with contextlib.suppress(TimeoutError):  # not wait_for, which may lose a cancellation before 3.12
                async with asyncio.timeout(min(LOOK_AGAIN, wait.left)):
                    await self._released.wait()

    async def _try(self, wait: Wait) -> Answer:
        left = wait.left
        until = self._wall() + max(0.0, left) + GRACE
        if self._pool.take(wait.id, wait.amounts[0], wait.estimate, until, self.limits):
            return Answer(0, NOT_LOOKED_AT)
        await self._pool.given_back()
        held = min(LONGEST_HOLD, (wait.until - wait.since) / 2)
        roomy = wait.roomy if wait.until - left < wait.since + held else None
        self._together += 1
        answer = await self._ask(Ask(wait.id, wait.amounts, wait.estimate, until, roomy), left)
        if answer.granted is None:
            self._together -= 1
        return answer

    async def _ask(self, ask: Ask, left: float) -> Answer:
        try:
            now = self._wall()
            sweep = now >= self._sweep_at
            if sweep:
                self._sweep_at = now + SWEEP_EVERY
            async with asyncio.timeout(max(LOOK_AGAIN, left)):
                answer: Answer = await self._ledger.transact(partial(reserve, ask, self.limits, now, sweep))
        except (asyncio.CancelledError, TimeoutError) as error:
            self.settle(ask.id, 0)  # it may have been granted; this comes after it
            if isinstance(error, TimeoutError):
                held = f"ledger {self._ledger.path}: another process held it for all of the call's time"
                raise ConfigError(f"{held}, so nothing could be reserved and nothing was sent") from None
            raise
        return answer

    def settle(self, identifier: str, cost: int | None) -> None:
        """The attempt ended: what it cost, 0 when nothing was billed, None when nobody knows (its estimate)."""
        if self._pool.settle(identifier, cost):
            pass
        elif cost is None:
            self._together -= 1
            self._ledger.transact_soon(partial(settle, identifier, None, self._wall()))
        else:
            self._together -= 1
            self._ledger.transact_soon(Many(settle_known, Settlement(identifier, cost, self._wall())))
        self._pool.close_when_idle()
        self._released.set()

    def close(self) -> None:
        """Give back what is kept for calls that may come. On the loop, before the ledger is closed."""
        self._pool.close()

    def charge(self, cost: int) -> None:
        """Count what was billed without a reservation: for a model without a price, or where nothing is limited."""
        self._ledger.transact_soon(partial(charge, cost, self._wall()))

    def periods(self, now: float) -> tuple[Period, Period]:
        """The day and the month of a unix time, as all processes have left them. From any thread."""
        today = dt.datetime.fromtimestamp(now, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        spent_day, spent_month, reserved = self._stands(now)

        def period(name: str, limit: int | None, spent: int, start: dt.datetime) -> Period:
            first = f"{int((start.timestamp() - _LONGEST_CALL) * 1e9):016x}"  # ids begin with their call's time
            unpriced = self._ledger.rows(_UNPRICED, (first, start.timestamp()))
            return Period(name, limit, spent, reserved, tuple((str(n), int(c)) for n, c in unpriced))

        return (
            period("daily", self.limits.daily, spent_day, today),
            period("monthly", self.limits.monthly, spent_month, today.replace(day=1)),
        )

    def _stands(self, now: float) -> tuple[int, int, int]:
        """What was spent on the day and in the month of a unix time, and what is reserved."""
        day = day_of(now)
        spent_day, spent_month, reserved, lost = self._ledger.rows(_STANDING, (day, f"{day[:8]}01", now))[0]
        return spent_day + lost, spent_month + lost, reserved

    def used_up(self, now: float) -> str | None:
        """Why nothing may be paid for now; None while anything is left. From any thread."""
        if not self.limited:
            return None
        spent_day, spent_month, reserved = self._stands(now)
        for name, limit, spent in (
            ("daily", self.limits.daily, spent_day),
            ("monthly", self.limits.monthly, spent_month),
        ):
            if limit is not None and spent + reserved >= limit:
                when = dt.datetime.fromtimestamp(resets_at(name, now), dt.UTC)
                return f"the {name} budget of {dollars(limit)} is used up until {when:%d %B at %H:%M} UTC"
        return None

    def _exceeded(self, answer: Answer, amount: int) -> BudgetExceededError:
        now = self._wall()
        found = answer.standing
        limit = answer.limit or fits(amount, found.reserved, found, self.limits)
        limit = limit or ("daily" if self.limits.daily is not None else "monthly")
        bound = self.limits.daily if limit == "daily" else self.limits.monthly
        spent = answer.standing.day if limit == "daily" else answer.standing.month
        reset = resets_at(limit, now)
        when = dt.datetime.fromtimestamp(reset, dt.UTC)
        return BudgetExceededError(
            f"the {limit} budget of {dollars(bound)} would be passed: {dollars(spent)} spent, "
            f"{dollars(answer.standing.reserved)} reserved by calls under way, this one may cost {dollars(amount)}. "
            f"It resets on {when:%d %B at %H:%M} UTC; raise [budget] {limit}_usd, or ask a local model (tier='local')",
            amount_usd(bound),
            amount_usd(spent),
            amount_usd(amount),
            reset,
        )


def amount_usd(amount: int | None) -> Decimal | None:
    """An amount as dollars."""
    return None if amount is None else Decimal(amount) / PICO


def dollars(amount: int | None) -> str:
    return "$0" if not amount else f"${Decimal(amount) / PICO:.6f}".rstrip("0").rstrip(".")


def limits_of(daily: Decimal | None, monthly: Decimal | None) -> Limits:
    """The limits from dollars; what a column cannot hold (some $4 million) is no limit."""
    amounts = (None if usd is None else int(usd * PICO) for usd in (daily, monthly))
    return Limits(*(None if amount is None or amount >= NO_LIMIT else amount for amount in amounts))
