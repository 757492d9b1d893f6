"""Sums of the ledger as people read them: filtered, sorted, totalled, as Markdown and CSV. Pure; None is unknown."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from hybrid_nb.notebook.widgets.style import bar, paragraph
from hybrid_nb.notebook.words import calls, count, dollars, duration, percent

FIGURES = {  # what can be sorted by, beside the groups: the field of Sum
    "cost": "cost_usd", "calls": "calls", "errors": "errors", "tokens in": "input_tokens",
    "tokens out": "output_tokens", "saved": "saved_usd", "calls of unknown cost": "unknown_cost",
}  # fmt: skip
COLUMNS = ("calls", "errors", "tokens in", "tokens out", "cost", "saved")
CSV_COLUMNS = ("calls", "errors", "input_tokens", "output_tokens", "cost_usd", "unknown_cost", "saved_usd")
SINCE = ("all time", "today", "7 days", "this month", "a date")
NONE = "(none)"  # a group of calls that have no such tag, or reached no provider


class Sum(NamedTuple):
    """The calls of a group. Dollars are of what is known; `unknown_cost` counts the calls whose cost is not."""

    groups: tuple[str | None, ...]
    calls: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    unknown_cost: int
    saved_usd: float | None


def sums(rows: Iterable[Sequence[Any]], groups: int) -> list[Sum]:
    """The rows of router.cost_rows() of so many groups. Sums over no calls at all count none."""
    found = []
    for row in rows:
        names = tuple(None if name is None else str(name) for name in row[:groups])
        number, errors, into, out, cost, unknown, saved = row[groups:]
        if number:
            found.append(Sum(names, number, errors or 0, into, out, cost, unknown or 0, saved))
    return found


def filtered(rows: Sequence[Sum], text: str) -> list[Sum]:
    """Those whose groups have every word of the text, in any case."""
    words = text.lower().split()
    return [row for row in rows if all(word in " ".join(map(named, row.groups)).lower() for word in words)]


def named(group: str | None) -> str:
    """A group as it is shown."""
    return NONE if group is None else group


def ordered(rows: Sequence[Sum], by: Sequence[str], column: str, down: bool) -> list[Sum]:
    """Sorted by a group or one of FIGURES; what is unknown comes last either way."""

    def value(row: Sum) -> Any:
        return row.groups[list(by).index(column)] if column in by else getattr(row, FIGURES[column])

    known = [row for row in rows if value(row) is not None]
    known.sort(key=lambda row: tuple(map(named, row.groups)))
    known.sort(key=value, reverse=down)
    return known + [row for row in rows if value(row) is None]


def total(rows: Sequence[Sum]) -> Sum:
    """All together; a sum of which no part is known is unknown."""

    def add(name: str) -> Any:
        known = [value for row in rows if (value := getattr(row, name)) is not None]
        return sum(known) if known else None

    into, out, cost, saved = (add(name) for name in ("input_tokens", "output_tokens", "cost_usd", "saved_usd"))
    counts = (sum(getattr(row, name) for row in rows) for name in ("calls", "errors", "unknown_cost"))
    number, errors, unknown = counts
    return Sum((), number, errors, into, out, cost, unknown, saved)


def cost(row: Sum) -> str:
    """What is known, and beside it how many calls' cost is not: "$0.02 and 3 calls of unknown cost"."""
    if not row.unknown_cost:
        return dollars(row.cost_usd) or "unknown"
    beside = f"{calls(row.unknown_cost)} of unknown cost"
    return beside if row.cost_usd is None else f"{dollars(row.cost_usd)} and {beside}"


def cells(row: Sum) -> list[Any]:
    """A row under the groups and COLUMNS."""
    return [*map(named, row.groups), *_figures(row)]


def _figures(row: Sum) -> list[Any]:
    return [
        count(row.calls), count(row.errors), count(row.input_tokens), count(row.output_tokens), cost(row),
        dollars(row.saved_usd),
    ]  # fmt: skip


def foot(rows: Sequence[Sum], groups: int) -> list[Any]:
    """The last row."""
    return ["total", *[""] * (groups - 1), *_figures(total(rows))]


def heads(by: Sequence[str]) -> tuple[str, ...]:
    """The headings; without any group the one row is named so."""
    return (*([group.replace("_", " ") for group in by] or ["all"]), *COLUMNS)


def left_out(all_rows: int, kept: int, shown: int) -> str:
    """What the table does not show; "" when it shows everything."""
    parts = [f"{kept - shown:,} more rows are not shown"] if kept > shown else []
    if all_rows > kept:
        parts.append(f"{all_rows - kept:,} {'row does' if all_rows - kept == 1 else 'rows do'} not match the filter")
    return "; ".join(parts) + "." if parts else ""


def since_of(choice: str, date: dt.date | None, now: float) -> float | None:
    """The unix time that a choice of SINCE means; None: from the beginning. Days and months are in UTC."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if choice == "a date":
        return None if date is None else dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()
    starts = {"today": today, "7 days": today - dt.timedelta(days=6), "this month": today.replace(day=1)}
    return starts[choice].timestamp() if choice in starts else None


def markdown(by: Sequence[str], rows: Sequence[Sum]) -> str:
    """All rows and their total as a Markdown table."""
    lines = [cells(row) for row in rows] if by else [["all", *_figures(row)] for row in rows]
    table = [heads(by), ["---"] * len(heads(by)), *lines, *([foot(rows, len(by))] if by else [])]
    return "\n".join("| " + " | ".join(_escaped(value) for value in line) + " |" for line in table) + "\n"


def _escaped(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def csv_text(by: Sequence[str], rows: Sequence[Sum]) -> str:
    """All rows as CSV, with the columns of router.costs(); what is unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*by, *CSV_COLUMNS))
    writer.writerows((*row.groups, *row[1:]) for row in rows)
    return out.getvalue()


def links(name: str, by: Sequence[str], rows: Sequence[Sum]) -> str:
    """Links that save all rows as files, without any server: the files are in the links."""
    files = (("md", "text/markdown", markdown(by, rows)), ("csv", "text/csv", csv_text(by, rows)))
    found = [
        f'<a download="{name}.{kind}" href="data:{mime};charset=utf-8,{quote(text)}">Save {name}.{kind}</a>'
        for kind, mime, text in files
    ]
    return f'<div class="hnb-body">{" · ".join(found)} ({len(rows):,} rows)</div>'


def wait_after(took: float) -> float:
    """Seconds until the ledger is asked again after a query of so many: it has a tenth of the time at most."""
    return min(60.0, max(0.25, took * 10))


# --- the budget -------------------------------------------------------------------------------------------------


def budget(row: Mapping[str, Any], alert_at: float, now: float) -> str:
    """A limit in words; `row` is one of router.budget_rows()."""
    name = "Today" if row["limit"] == "day" else "This month"
    spent = f"{dollars(row['spent_usd'])} spent"
    held = f", {dollars(row['reserved_usd'])} reserved by calls under way" if row["reserved_usd"] else ""
    if row["limit_usd"] is None:
        return f"{name}: {spent}{held}, no limit"
    share, left = percent(row["share"]), dollars(row["remaining_usd"])
    words = f"{name}: {spent} of {dollars(row['limit_usd'])} ({share}){held}, {left} left, {_resets(row, now)}"
    if not row["alert"]:
        return words
    return f"{words}. Alert: " + ("the limit is used up" if row["share"] >= 1 else f"over {percent(alert_at)} is spent")


def _resets(row: Mapping[str, Any], now: float) -> str:
    at = dt.datetime.fromtimestamp(row["resets_at"], dt.UTC)
    return f"resets on {at.day} {at:%B} at {at:%H:%M} UTC (in {duration(max(0.0, row['resets_at'] - now))})"


def unpriced(rows: Sequence[Mapping[str, Any]]) -> str:
    """Calls that are in no budget, as no price is known for them; "" without any."""
    month = next((row for row in rows if row["limit"] == "month"), None)
    if month is None or not month["unpriced_calls"]:
        return ""
    told = f"{calls(month['unpriced_calls'])} of unknown cost this month"
    return f"In none of these: {told} ({month['unpriced_models']}); set prices for them in the provider's settings."


def bars(rows: Sequence[Mapping[str, Any]], alert_at: float, now: float) -> str:
    """The limits as bars with their words (without a limit only words), and what is in none of them."""
    lines = [f"<div>{bar(row['share'], budget(row, alert_at, now))}</div>" for row in rows]
    told = unpriced(rows)
    return f'<div class="hnb-body">{"".join(lines)}</div>' + (paragraph(told) if told else "")
