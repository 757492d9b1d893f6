"""Pictures of spending. Pure: rows in, a chart out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hybrid_nb.analysis.trend import Day, periods
from hybrid_nb.charts.chart import Axis, Bars, Chart, Line, Mark, Rule, named
from hybrid_nb.charts.look import written

MOST = 7  # groups with a colour of their own; the others are one
OTHER, NONE = "others", "(none)"
Cells = dict[str, dict[str, float]]  # group -> period -> dollars


def bars(rows: Iterable[Sequence[Any]], by: str | None, over: str) -> Chart:
    """Dollars by period, stacked by group. `rows` are cost_rows() by (over, by), or by over alone."""
    cells, unknown = _cells(rows, by)
    every = _every(cells, over)
    marks = tuple(
        Bars(group, tuple(float(n) for n in range(len(every))), tuple(cell.get(name, 0.0) for name in every), tone)
        for tone, (group, cell) in enumerate(cells.items())
    )
    return Chart(f"Spending{_by(by)} by {over}", Axis(over, ticks=named(every)), Axis("dollars", "usd", low=0.0), marks,
                 _notes(unknown), _told(cells), legend=by is not None)  # fmt: skip


def cumulative(rows: Iterable[Sequence[Any]], by: str | None, over: str) -> Chart:
    """Dollars so far, by group."""
    cells, unknown = _cells(rows, by)
    every = _every(cells, over)
    places = tuple(float(n) for n in range(len(every)))
    marks: list[Mark] = []
    for tone, (group, cell) in enumerate(cells.items()):
        total, sums = 0.0, []
        for name in every:
            total += cell.get(name, 0.0)
            sums.append(total)
        marks.append(Line(group, places, tuple(sums), steps=True, tone=tone, label=f"{group} {written(total, 'usd')}"))
    return Chart(f"Spending so far{_by(by)}", Axis(over, ticks=named(every)), Axis("dollars so far", "usd", low=0.0),
                 tuple(marks), _notes(unknown), _told(cells))  # fmt: skip


def totals(rows: Iterable[Sequence[Any]], by: str) -> Chart:
    """Dollars by group, the largest first. `rows` are cost_rows() by it."""
    cells, unknown = _cells([("", *row) for row in rows], by, most=20)
    names = list(cells)
    amounts = tuple(sum(cells[name].values()) for name in names)
    mark = Bars("dollars", tuple(float(n) for n in range(len(names))), amounts, 0)
    return Chart(f"Spending{_by(by)}", Axis(by, ticks=named(names), low=-0.8, high=max(len(names) - 0.2, 3.8)),
                 Axis("dollars", "usd", low=0.0), (mark,),
                 _notes(unknown), _told(cells))  # fmt: skip


def forecast(found: Sequence[Day], row: Mapping[str, Any], now: dt.date) -> Chart:
    """The month: dollars so far, where they will be at its end with the interval, and the budget."""
    month = [day for day in found if (day.day.year, day.day.month) == (now.year, now.month)]
    total, x, y = 0.0, [1.0], [0.0]
    for day in month:
        total += day.cost_usd
        x.append(day.day.day + 1.0 if day.day < now else day.day.day + max(0.05, 1 - row["days_left"] % 1))
        y.append(total)
    end = now.day + 1 + float(int(row["days_left"]))
    marks: list[Mark] = [Line("spent", tuple(x), tuple(y), tone=0, label=f"spent {written(total, 'usd')}")]
    if row.get("expected_usd") is not None:
        ends = tuple(float(row[name]) for name in ("expected_usd", "low_usd", "high_usd"))
        label = f"expected {written(ends[0], 'usd')}"
        marks.append(Line("expected", (x[-1], end), (total, ends[0]), low=(total, ends[1]), high=(total, ends[2]),
                          tone=1, label=label))  # fmt: skip
    if row["limit_usd"] is not None:
        marks.append(Rule(row["limit_usd"], "y", f"budget {written(row['limit_usd'], 'usd')}"))
    axis = Axis(f"day of {row['month']}, UTC", "count", low=1.0, high=end)
    return Chart(f"Spending in {row['month']}", axis, Axis("dollars", "usd", low=0.0, high=row["limit_usd"]),
                 tuple(marks), _notes(row["unknown_cost"]), str(row["explanation"]))  # fmt: skip


def _cells(rows: Iterable[Sequence[Any]], by: str | None, most: int = MOST) -> tuple[Cells, int]:
    """Dollars by group and period, the dearest group first and the small ones together; and calls of unknown cost."""
    found: Cells = {}
    unknown = 0
    for row in rows:
        period, group = row[0], (_name(row[1]) if by else "all")
        cost, missing = row[-3], row[-2]
        unknown += missing or 0
        cell = found.setdefault(group, {})
        cell[period] = cell.get(period, 0.0) + (cost or 0.0)
    order = sorted(found, key=lambda name: -sum(found[name].values()))
    result = {name: found[name] for name in order[:most]}
    for name in order[most:]:
        others = result.setdefault(f"{OTHER} ({len(order) - most})", {})
        for period, cost in found[name].items():
            others[period] = others.get(period, 0.0) + cost
    return result, unknown


def _name(group: Any) -> str:
    return NONE if group is None else str(group)


def _every(cells: Cells, over: str) -> list[str]:
    found = sorted({period for cell in cells.values() for period in cell})
    return periods(found[0], found[-1], over) if found else []


def _by(by: str | None) -> str:
    return f" by {by.replace('_', ' ')}" if by else ""


def _notes(unknown: int) -> tuple[str, ...]:
    return (f"{unknown:,} call{'' if unknown == 1 else 's'} of unknown cost not in it.",) if unknown else ()


def _told(cells: Cells) -> str:
    sums = [f"{group} {written(sum(cell.values()), 'usd')}" for group, cell in cells.items()]
    return "; ".join(sums) or "no calls yet"
