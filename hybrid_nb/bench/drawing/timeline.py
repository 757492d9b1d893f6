"""A run's calls as bars over time: waiting in queues, waiting for the first token, streaming; failures are crossed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_nb.charts.chart import Axis, Chart, Mark, Points, Spans, number
from hybrid_nb.core.inputs import OptionValueError

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

PARTS = (  # name, begin, end, tone, faint
    ("queue", "due_at", "sent_at", None, True),
    ("until the first token", "sent_at", "first_any_at", 5, False),
    ("streaming", "first_any_at", "end_at", 0, False),
)


def timeline(run: Figures, most: int = 150) -> Chart:
    """One bar a call, the models under each other. Of more than `most` calls every failure is shown (up to half of
    them) and the others evenly."""
    if most < 1:
        raise OptionValueError(f"plot('timeline', most={most}): at least 1")
    timed = run.measured[run.measured["due_at"].notna() & run.measured["end_at"].notna()]
    rows, ticks = _rows(chosen(timed, most), run.models)
    marks: list[Mark] = [_spans(rows, *part) for part in PARTS]
    marks.append(_no_token(rows))
    failed = [row for row in rows if row["status"] != "ok"]
    ends, places = tuple(number(row["end_at"]) for row in failed), tuple(row["row"] for row in failed)
    if failed:
        marks.append(Points("failed", ends, places, tone=1, cross=True))
    notes = [f"{len(rows):,} of {len(timed):,} calls: failures, and others evenly."] if len(rows) < len(timed) else []
    untimed = len(run.measured) - len(timed)
    notes += [f"{untimed:,} calls without times are not in it."] if untimed else []
    told = f"{len(rows):,} calls, {len(failed):,} of them failed"
    return Chart("Time-line of the calls", Axis("seconds from the start", "s"), Axis("", ticks=ticks, down=True),
                 tuple(mark for mark in marks if getattr(mark, "row", True)), tuple(notes), told, legend=True,
                 height=max(260, min(900, 150 + 5 * len(rows))))  # fmt: skip


def chosen(calls: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many calls: failures first, evenly, up to half; then the others evenly."""
    if len(calls) <= most:
        return calls
    ordered = calls.sort_values("due_at", kind="stable")
    failed, well = ordered[ordered["status"] != "ok"], ordered[ordered["status"] == "ok"]
    of_failed = min(len(failed), max(most // 2, most - len(well)))
    parts = [_evenly(failed, of_failed), _evenly(well, most - of_failed)]
    return ordered[ordered.index.isin([place for part in parts for place in part.index])]


def _evenly(calls: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(calls) <= most:
        return calls
    return calls.iloc[[int(step * len(calls) / most) for step in range(most)]]


def _rows(calls: pd.DataFrame, models: list[str]) -> tuple[list[dict[str, Any]], tuple[tuple[float, str], ...]]:
    """The calls with their rows, model by model, and where each model's name stands."""
    rows: list[dict[str, Any]] = []
    ticks: list[tuple[float, str]] = []
    for model in models:
        own = calls[calls["model"] == model].sort_values("due_at", kind="stable").to_dict("records")
        start = rows[-1]["row"] + 2.0 if rows else 0.0  # an empty row between two models
        rows += [{str(name): value for name, value in call.items()} | {"row": start + n} for n, call in enumerate(own)]
        if own:
            ticks.append((start + (len(own) - 1) / 2, model))
    return rows, tuple(ticks)


def _spans(rows: list[dict[str, Any]], name: str, begin: str, end: str, tone: int | None, faint: bool) -> Spans:
    found = [(number(row[begin]), number(row[end]), row["row"]) for row in rows]
    both = [(a, b, place) for a, b, place in found if a is not None and b is not None and b > a]
    starts, ends, places = (tuple(item[n] for item in both) for n in range(3))
    return Spans(name, starts, ends, places, tone=tone, faint=faint)


def _no_token(rows: list[dict[str, Any]]) -> Spans:
    """Calls that were sent and ended without any token; or, never sent, waited to their end."""
    without = [row for row in rows if number(row["first_any_at"]) is None]
    begins = [number(row["sent_at"]) for row in without]
    starts = tuple(number(row["due_at"]) if at is None else at for row, at in zip(without, begins, strict=True))
    return Spans("no token came", starts, tuple(number(row["end_at"]) for row in without),
                 tuple(row["row"] for row in without), tone=4)  # fmt: skip
