"""What the month will have cost at its end. Pure and seeded: the same days and clock give the same figures.

Method: the days that are left are drawn, many times over, from the complete days of the last four weeks; each time from
a new sample of those days (the bootstrap), so that the interval is the wider the fewer days there are. From two weeks
of days on, working days and weekends are drawn each from their own. Spending that grows or that just changed is not
foreseen by it; cost_trend() shows that. Of simulated months of skewed days (gamma, shape 2) 86 to 87 % end within an
interval of 90 %, seen after 7 to 25 days.
"""

from __future__ import annotations

import calendar
import datetime as dt
import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from hybrid_nb.analysis.trend import Day, today

LEAST, MOST, APART = 7, 28, 14  # complete days: needed, used, and from which on weekends are drawn apart
DRAWS = 2000
COLUMNS = (
    "month", "spent_usd", "days_left", "expected_usd", "low_usd", "high_usd", "confidence", "days_used", "unknown_cost",
    "limit_usd", "chance_over", "reached_on", "method", "explanation",
)  # fmt: skip
DAY_SECONDS = 86400.0


class Ahead(NamedTuple):
    """The rest of a month: dollars spent, the part of today that is left (0 to 1), and the days after it."""

    spent: float
    rest: float
    days: tuple[dt.date, ...]
    now: dt.date


def forecast(
    found: Sequence[Day], now: float, limit: float | None = None, confidence: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """One row in COLUMNS. `found` is every day to today; `limit` the monthly budget in dollars."""
    ahead = _ahead(found, now)
    complete = [day for day in found if day.day < ahead.now][-MOST:]
    row: dict[str, Any] = {
        "month": f"{ahead.now:%Y-%m}", "spent_usd": ahead.spent, "days_left": ahead.rest + len(ahead.days),
        "confidence": confidence, "days_used": len(complete), "limit_usd": limit,
        "unknown_cost": sum(day.unknown_cost for day in found if _same_month(day.day, ahead.now)),
    }  # fmt: skip
    reached = _reached(found, ahead, limit)
    if len(complete) < LEAST:
        told = f"insufficient data: {len(complete)} complete days, {LEAST} are needed"
        return row | {"method": "insufficient data", "reached_on": reached, "explanation": told}
    paths = _paths(complete, ahead, confidence, random.Random(seed))  # noqa: S311 - a simulation
    return row | _figures(paths, ahead, limit, confidence, reached, len(complete))


def _ahead(found: Sequence[Day], now: float) -> Ahead:
    day = today(now)
    last = calendar.monthrange(day.year, day.month)[1]
    days = tuple(day.replace(day=number) for number in range(day.day + 1, last + 1))
    spent = sum(each.cost_usd for each in found if _same_month(each.day, day))
    return Ahead(spent, 1 - (now % DAY_SECONDS) / DAY_SECONDS, days, day)


def _same_month(one: dt.date, other: dt.date) -> bool:
    return (one.year, one.month) == (other.year, other.month)


def _paths(complete: Sequence[Day], ahead: Ahead, confidence: float, rng: random.Random) -> list[list[float]]:
    """Dollars of the month so far at the end of today and of each day that is left, in many simulated months."""
    groups: dict[bool, list[float]] = {}
    apart = len(complete) >= APART
    for day in complete:
        groups.setdefault(apart and day.day.weekday() >= 5, []).append(day.cost_usd)
    wanted = [apart and day.weekday() >= 5 for day in (ahead.now, *ahead.days)]
    wide = _widening(len(complete), confidence)
    return [_path({kind: _resampled(values, wide, rng) for kind, values in groups.items()}, wanted, ahead, rng)
            for _ in range(DRAWS)]  # fmt: skip


def _widening(days: int, confidence: float) -> float:
    """What a sample of so few days lacks in spread: n - 1 of a variance, and Student's t over the normal quantile (by
    the first term of its expansion; Abramowitz and Stegun 26.7.5)."""
    from statistics import NormalDist  # which takes some ms to import

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return math.sqrt(days / (days - 1)) * (1 + (z * z + 1) / (4 * (days - 1)))


def _resampled(values: Sequence[float], wide: float, rng: random.Random) -> list[float]:
    mean = sum(values) / len(values)
    return [mean + (value - mean) * wide for value in rng.choices(values, k=len(values))]


def _path(groups: dict[bool, list[float]], wanted: Sequence[bool], ahead: Ahead, rng: random.Random) -> list[float]:
    total = ahead.spent + ahead.rest * rng.choice(groups[wanted[0]])
    path = [total]
    for kind in wanted[1:]:
        total += rng.choice(groups[kind])
        path.append(total)
    return path


def _figures(
    paths: list[list[float]], ahead: Ahead, limit: float | None, confidence: float, reached: str | None, used: int
) -> dict[str, Any]:
    ends = sorted(path[-1] for path in paths)
    low, high = (ends[round(share * (DRAWS - 1))] for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    low = max(low, ahead.spent)
    over = None if limit is None else sum(end >= limit for end in ends) / DRAWS
    if limit is not None and reached is None:
        reached = _middle_day(paths, ahead, limit)
    expected = sum(ends) / DRAWS
    apart = ", working days and weekends apart" if used >= APART else ""
    return {
        "expected_usd": expected, "low_usd": low, "high_usd": high, "chance_over": over, "reached_on": reached,
        "method": f"bootstrap of {used} days{apart}", "explanation": _told(expected, low, high, confidence, limit, over,
                                                                           reached, ahead),
    }  # fmt: skip


def _middle_day(paths: list[list[float]], ahead: Ahead, limit: float) -> str | None:
    """The day by whose end half of the simulated months have reached the limit; None: they have not by their end."""
    for place, day in enumerate((ahead.now, *ahead.days)):
        if sum(path[place] >= limit for path in paths) * 2 >= len(paths):
            return day.isoformat()
    return None


def _reached(found: Sequence[Day], ahead: Ahead, limit: float | None) -> str | None:
    """The day on which the limit was reached already."""
    spent = 0.0
    for day in found:
        if _same_month(day.day, ahead.now):
            spent += day.cost_usd
            if limit is not None and spent >= limit:
                return day.day.isoformat()
    return None


def _told(
    expected: float, low: float, high: float, confidence: float, limit: float | None, over: float | None,
    reached: str | None, ahead: Ahead,
) -> str:  # fmt: skip
    told = f"${expected:,.2f} expected by the month's end, ${low:,.2f} to ${high:,.2f} at {100 * confidence:g} %"
    if limit is None or over is None:
        return told
    budget = f"the monthly budget of ${limit:,.2f}"
    if reached is None:
        return f"{told}; {budget} is reached with a chance of {100 * over:.0f} %"
    if ahead.spent >= limit:
        return f"{told}; {budget} was reached on {reached}"
    return f"{told}; {budget} is expected to be reached on {reached}"
