"""Spending by day: gaps filled, weekly means, changes. Pure: rows and dates in, the clock passed in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

WEEK = 7
TREND_COLUMNS = ("day", "calls", "cost_usd", "unknown_cost", "mean_7d_usd", "change_7d", "complete")
PERIODS = ("hour", "day", "week", "month")


class Day(NamedTuple):
    """A day's calls; `cost_usd` is of those whose cost is known, the others are counted."""

    day: dt.date
    calls: int
    cost_usd: float
    unknown_cost: int


def today(now: float) -> dt.date:
    """The day of a unix time, in UTC."""
    return dt.datetime.fromtimestamp(now, dt.UTC).date()


def days(rows: Iterable[Sequence[Any]], now: float) -> list[Day]:
    """Every day from the first call to today; one without calls cost nothing. `rows` are cost_rows() by day."""
    found = {row[0]: row[1:] for row in rows if row[1]}
    if not found:
        return []
    day, last, result = dt.date.fromisoformat(min(found)), today(now), []
    while day <= last:
        calls, _, _, _, cost, unknown, _ = found.get(day.isoformat(), (0, 0, 0, 0, 0.0, 0, 0.0))
        result.append(Day(day, calls, cost or 0.0, unknown or 0))
        day += dt.timedelta(days=1)
    return result


def trend(found: Sequence[Day], now: float) -> list[dict[str, Any]]:
    """The days with the mean of the seven that end with each, and its change against the seven before (0.25: a quarter
    more). Missing until there are so many days, and today, which is not over."""
    return [_row(found, place, today(now)) for place in range(len(found))]


def _row(found: Sequence[Day], place: int, now: dt.date) -> dict[str, Any]:
    day = found[place]
    complete = day.day < now
    this, before = _week(found, place), _week(found, place - WEEK)
    change = this / before - 1 if this is not None and before else None
    return {
        "day": day.day.isoformat(), "calls": day.calls, "cost_usd": day.cost_usd, "unknown_cost": day.unknown_cost,
        "mean_7d_usd": this / WEEK if complete and this is not None else None,
        "change_7d": change if complete else None, "complete": complete,
    }  # fmt: skip


def _week(found: Sequence[Day], place: int) -> float | None:
    """Dollars of the seven days that end here."""
    if place < WEEK - 1:
        return None
    return sum(day.cost_usd for day in found[place - WEEK + 1 : place + 1])


def periods(first: str, last: str, over: str) -> list[str]:
    """Every hour, day, week (its Monday) or month between two of them, written as costs() writes them."""
    return list(_steps(first, last, over))


def _steps(first: str, last: str, over: str) -> Iterator[str]:
    written = {"hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}.get(over, "%Y-%m-%d")
    at = dt.datetime.strptime(first, written)
    while (name := at.strftime(written)) <= last:
        yield name
        if over == "month":
            at = (at + dt.timedelta(days=32)).replace(day=1)
        else:
            at += {"hour": dt.timedelta(hours=1), "week": dt.timedelta(days=7)}.get(over, dt.timedelta(days=1))
