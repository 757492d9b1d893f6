"""What a budget counts: limits, and the money of a moment. Integers of 1e-12 dollars, days in UTC."""

from __future__ import annotations

import datetime as dt
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple


class Standing(NamedTuple):
    """The money of a moment."""

    day: int
    month: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Daily and monthly limits; None: none."""

    daily: int | None
    monthly: int | None

    def __bool__(self) -> bool:
        return self.daily is not None or self.monthly is not None


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return dt.datetime.fromtimestamp(number * 86400, dt.UTC).strftime("%Y-%m-%d")


def day_of(now: float) -> str:
    """The day of a unix time, in UTC."""
    return _day(int(now // 86400))


def standing(db: sqlite3.Connection, now: float) -> Standing:
    """What was spent today and this month, and what is reserved."""
    day = day_of(now)
    spent = dict(db.execute("SELECT day, amount FROM spend WHERE day >= ?", (f"{day[:8]}01",)))
    reserved = db.execute("SELECT COALESCE(SUM(amount), 0) FROM reservations").fetchone()[0]
    return Standing(spent.get(day, 0), sum(spent.values()), reserved)


def add(day: str, amount: int, db: sqlite3.Connection) -> None:
    """Add to a day's spending."""
    if amount:
        upsert = "INSERT INTO spend VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET amount = amount + excluded.amount"
        db.execute(upsert, (day, amount))
