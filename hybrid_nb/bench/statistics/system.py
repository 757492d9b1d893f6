"""What the system did as a whole, by stage: requests and tokens a second, calls in flight, goodput.

The window of a stage begins when its first measured call was due and ends when the next stage's was; the last one
ends with the last measured call. What happened in the window counts, whoever began it: slots pass from warm-up calls
to measured ones without draining, so a window that saw only measured calls would begin with an empty system. A call
that reaches over an edge counts by its share of output that came within.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hybrid_nb.bench.records import MEASURE_COLUMNS
from hybrid_nb.bench.statistics.values import LARGER_IS_BETTER, numbers
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

Limits = Mapping[str, float] | None
COLUMNS = (
    "stage", "stage_rate", "calls", "ok", "error_rate", "seconds", "requests_per_s", "output_tokens_per_s",
    "unknown_tokens", "mean_in_flight", "max_in_flight", "goodput_rps", "goodput_share",
)  # fmt: skip


class Window(NamedTuple):
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def limits_of(run: Figures, limits: Limits) -> Limits:
    """Those that are asked for, else those that the run was made with."""
    return limits if limits is not None else run.info.settings.get("limits") or None


def good(calls: pd.DataFrame, limits: Mapping[str, float]) -> pd.Series[bool]:
    """Which calls were answered within every limit: seconds at most, tokens_per_s at least.

    A failed call is not good, and neither is one whose measure is missing: it is not known to have kept the limit.
    """
    wrong = [name for name in limits if name not in MEASURE_COLUMNS]
    if wrong:
        raise OptionValueError(f"limits: no measure {wrong[0]!r}; there are {', '.join(MEASURE_COLUMNS)}")
    kept = calls["status"] == "ok"
    for name, limit in limits.items():
        values = numbers(calls[name])
        kept &= values >= limit if name in LARGER_IS_BETTER else values <= limit
    return kept.astype(bool)


def window(calls: pd.DataFrame) -> Window | None:
    """From the first measured call's due time to the end of the last; None when no time is known."""
    begin, end = numbers(calls["due_at"]).min(), numbers(calls["end_at"]).max()
    return Window(float(begin), float(end)) if end > begin else None


def goodput(calls: pd.DataFrame, limits: Limits, span: Window | None) -> float | None:
    """Good calls a second of the window; None without limits or window."""
    return None if limits is None or span is None else float(good(calls, limits).sum()) / span.seconds


def windows(run: Figures) -> dict[int, Window]:
    """The window of each stage."""
    calls = run.measured
    whole = window(calls)
    if whole is None:
        return {}
    begins = numbers(calls["due_at"]).groupby(calls["stage"].astype(int)).min().dropna().sort_index()
    edges = [float(begin) for begin in begins] + [whole.end]
    spans = zip(begins.index, edges, edges[1:], strict=False)
    return {int(stage): Window(begin, end) for stage, begin, end in spans if end > begin}


def system(run: Figures, limits: Limits = None) -> pd.DataFrame:
    """One row a stage, and one of the whole run at the end, whose stage is missing. See Run.system()."""
    asked = run.calls[run.calls["status"] != "skipped"]
    measured, spans, limits = run.measured, windows(run), limits_of(run, limits)
    stages = measured["stage"].astype(int)
    rows = [_row(asked, measured[stages == stage], span, limits, stage) for stage, span in spans.items()]
    rows.append(_row(asked, measured, window(measured), limits, None))
    kinds = dict.fromkeys(("stage", "calls", "ok", "unknown_tokens", "max_in_flight"), "Int64")
    table = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: kinds.get(name, "Float64") for name in COLUMNS})  # type: ignore[no-any-return]


def _row(
    asked: pd.DataFrame, own: pd.DataFrame, span: Window | None, limits: Limits, stage: int | None
) -> dict[str, Any]:
    answered = int((own["status"] == "ok").sum())
    rates = own["stage_rate"].dropna().tolist() if stage is not None else []
    row: dict[str, Any] = {"stage": stage, "stage_rate": rates[0] if rates else None}
    row |= {"calls": len(own), "ok": answered, "error_rate": 1 - answered / len(own) if len(own) else None}
    row["goodput_rps"] = goodput(own, limits, span)
    row["goodput_share"] = float(good(own, limits).mean()) if limits is not None and len(own) else None
    return row | (_rates(asked, span) if span is not None else {})


def _rates(asked: pd.DataFrame, span: Window) -> dict[str, Any]:
    ended = numbers(asked["end_at"])
    answered = asked[asked["status"] == "ok"]
    done = numbers(answered["end_at"]).between(span.begin, span.end, inclusive="right")
    tokens, unknown = _tokens(answered, span)
    most, mean = _in_flight(numbers(asked["sent_at"]), ended, span)
    return {
        "seconds": span.seconds, "requests_per_s": float(done.sum()) / span.seconds, "unknown_tokens": unknown,
        "output_tokens_per_s": tokens / span.seconds if unknown < len(answered) else None,
        "mean_in_flight": mean, "max_in_flight": most,
    }  # fmt: skip


def _tokens(calls: pd.DataFrame, span: Window) -> tuple[float, int]:
    """Output tokens that came in the window, spread evenly over the time a call spoke; and calls without a count."""
    tokens, first, last = (numbers(calls[name]) for name in ("output_tokens", "first_any_at", "last_at"))
    last = last.fillna(numbers(calls["end_at"]))
    first = first.fillna(last)
    inside = (last.clip(upper=span.end) - first.clip(lower=span.begin)).clip(lower=0)
    point = last.between(span.begin, span.end).astype(float)
    share = (inside / (last - first).where(last > first)).fillna(point)
    touched = (last >= span.begin) & (first <= span.end)
    return float((tokens * share)[touched].sum()), int(tokens[touched].isna().sum())


def _in_flight(sent: pd.Series[float], ended: pd.Series[float], span: Window) -> tuple[int | None, float | None]:
    """The most calls at once, and the mean over the window, from the first byte sent to the end."""
    begin, end = sent.clip(lower=span.begin), ended.clip(upper=span.end)
    during = end > begin
    if not during.any():
        return None, None
    times = np.concatenate([begin[during], end[during]])
    steps = np.repeat([1, -1], int(during.sum()))
    order = np.lexsort((steps, times))  # at the same time, who ends goes before who begins
    return int(np.cumsum(steps[order]).max()), float((end - begin)[during].sum()) / span.seconds
