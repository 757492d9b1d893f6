"""Pictures of a run. See Run.plot(). Each is a description (hybrid_nb.charts) of the run's own frames."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.drawing import timeline
from hybrid_nb.bench.statistics.values import numbers, scorer_name
from hybrid_nb.charts.chart import Axis, Chart, Grid, Line, Mark, Points, Rule, known, named, number, spread, values
from hybrid_nb.charts.look import written
from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

STEPS = 400  # corners of a curve; more are not seen
TITLES = {
    "ttft_any_s": "time to the first token of any kind", "ttft_answer_s": "time to the answer's first token",
    "latency_s": "time to the end of the answer, queue included", "service_s": "time to the end of the answer",
    "queue_s": "time in queues", "tpot_s": "time per output token", "chunk_gap_s": "mean time between chunks",
    "schedule_delay_s": "the client's own lateness",
}  # fmt: skip
WITH_INTERVALS = ("ttft_any_s", "ttft_answer_s", "latency_s")  # whose percentiles have them in summary()


def chart(run: Figures, kind: str, **options: Any) -> Chart:
    """The description of a picture. Raises OptionValueError for an unknown kind, OptionTypeError for an option that
    this kind does not have."""
    if kind not in KINDS:
        raise OptionValueError(f"plot({kind!r}): there is no such picture{nearest(kind, KINDS)}")
    make = KINDS[kind]
    known_options = list(inspect.signature(make).parameters)[1:]
    if wrong := [name for name in options if name not in known_options]:
        raise OptionTypeError(f"plot({kind!r}) has no option {wrong[0]!r}{nearest(wrong[0], known_options)}")
    return make(run, **options)


def pareto(run: Figures, scorer: str | None = None, confidence: float = 0.95) -> Chart:
    """Dollars a call against a score, with intervals both ways and the front."""
    name = scorer_name(run, scorer)
    table = run.pareto(name, confidence)
    there = table[table["front"].notna()]
    costs = ("cost_per_call_usd", "cost_per_call_usd_low", "cost_per_call_usd_high")
    marks: list[Mark] = [_front(there[there["front"]])]
    for row in there.to_dict("records"):
        x, low, high = (number(row[column]) for column in costs)
        y, worst, best = (number(row[column]) for column in ("score", "score_low", "score_high"))
        marks.append(Points(row["model"], (x,), (y,), (low,), (high,), (worst,), (best,), (_priced(run, row),),
                            tone=run.models.index(row["model"])))  # fmt: skip
    front = [str(model) for model in there[there["front"]]["model"]]
    axis = Axis("dollars a call", "usd", spread(values(there[costs[0]])))
    told = f"{_models(len(there))}; on the front: {', '.join(front) or 'none'}"
    return Chart(f"Cost against {name}", axis, _score_axis(run, name), tuple(marks),
                 _pareto_notes(table, confidence), told)  # fmt: skip


def _priced(run: Figures, row: dict[Any, Any]) -> str:
    """A model's name, and how many of its calls the cost is known of, where that is not all."""
    calls = int((run.measured["model"] == row["model"]).sum())
    return f"{row['model']} ({calls - row['unknown_cost']} of {calls} priced)" if row["unknown_cost"] else row["model"]


def _front(table: pd.DataFrame) -> Line:
    x, y = values(table["cost_per_call_usd"]), values(table["score"])
    return Line("front", x, y, steps=True, thin=True)


def _pareto_notes(table: pd.DataFrame, confidence: float) -> tuple[str, ...]:
    front = "Dashed: the front; no other model is cheaper and as good, or better and as cheap."
    notes = [f"Intervals of {written(confidence, 'share')}. {front}"]
    left = table[table["front"].isna()]
    notes += [f"{row['model']} is {row['explanation']}." for row in left.to_dict("records")]
    part = [f"{row['model']}: {_calls(row['unknown_cost'])}" for row in table.to_dict("records")
            if row["unknown_cost"] and number(row["cost_per_call_usd"]) is not None]  # fmt: skip
    return (*notes, f"Of unknown cost, and left out of its mean: {', '.join(part)}.") if part else tuple(notes)


def _score_axis(run: Figures, name: str) -> Axis:
    found = known(values(run.measured[f"score_{name}"]))
    within = all(0 <= value <= 1 for value in found)
    return Axis(name, "share" if within else "", high=1.0 if within else None)


def latency(run: Figures, measure: str | None = None) -> Chart:
    """What share of the answers came within a time, by model, with the median and p95 and their intervals."""
    measure = measure or _first_measure(run)
    answered = run.measured[run.measured["status"] == "ok"]
    if measure not in answered.columns or not measure.endswith("_s"):
        raise OptionValueError(f"plot('latency'): no time {measure!r}{nearest(measure, _times(run))}")
    marks: list[Mark] = [Rule(0.5, "y", "median"), Rule(0.95, "y", "p95")]
    told = []
    table = run.summary() if measure in WITH_INTERVALS else None
    for tone, model in enumerate(run.models):
        found = sorted(known(values(numbers(answered[answered["model"] == model][measure]))))
        if found:
            points = _percentiles(table, model, measure, found, tone)
            marks += [_curve(model, found, tone), points]
            told.append(f"{model}: median {points.labels[0]}, p95 {points.labels[1]}")
    lows = [mark.x[0] for mark in marks if isinstance(mark, Line)]
    highs = [mark.x[-1] for mark in marks if isinstance(mark, Line)]
    return Chart(f"How soon: {_title(measure)}", Axis(_title(measure), "s", spread([*lows, *highs])),
                 Axis("share of answers", "share", low=0.0, high=1.0), tuple(marks), _missing(run, measure),
                 "; ".join(told) or "no times are known", legend=True)  # fmt: skip


def _title(measure: str) -> str:
    return TITLES.get(measure, measure)


def _first_measure(run: Figures) -> str:
    return "ttft_answer_s" if run.measured["ttft_answer_s"].notna().any() else "latency_s"


def _times(run: Figures) -> list[str]:
    return [str(name) for name in run.calls.columns if str(name).endswith("_s")]


def _curve(model: str, found: list[float], tone: int) -> Line:
    """The empirical distribution; of very many values as many as are seen, always the first and the last."""
    n = len(found)
    places = sorted({round(step * (n - 1) / (STEPS - 1)) for step in range(STEPS)}) if n > STEPS else range(n)
    x = (found[0], *(found[place] for place in places))
    return Line(model, x, (0.0, *((place + 1) / n for place in places)), steps=True, tone=tone)


def _percentiles(table: pd.DataFrame | None, model: str, measure: str, found: list[float], tone: int) -> Points:
    """Median and p95, with their intervals where the summary has them."""
    import numpy as np

    x = tuple(float(np.quantile(found, share)) for share in (0.5, 0.95))
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    if table is not None:
        row = table[table["model"] == model].iloc[0]
        x = tuple(number(row[f"{measure}_{name}"]) or at for name, at in zip(("p50", "p95"), x, strict=True))
        low, high = (tuple(number(row[f"{measure}_{p}_{end}"]) for p in ("p50", "p95")) for end in ("low", "high"))
    labels = tuple(written(at, "s") for at in x)
    return Points(model, x, (0.5, 0.95), low, high, labels=labels, tone=tone)


def _missing(run: Figures, measure: str) -> tuple[str, ...]:
    notes = ["Bars: intervals of 95 %."] if measure in WITH_INTERVALS else []
    failed = int((run.measured["status"] != "ok").sum())
    answered = run.measured[run.measured["status"] == "ok"]
    none = int(answered[measure].isna().sum())
    notes += [f"{_calls(failed)} failed and {'is' if failed == 1 else 'are'} not in it."] if failed else []
    return (*notes, f"{_calls(none)} without this time.") if none else tuple(notes)


def spend(run: Figures) -> Chart:
    """Dollars so far, from the run's start, by model; calls of the warm-up cost money, too."""
    asked = run.calls[run.calls["status"] != "skipped"]
    last = max(known(values(asked["end_at"])), default=0.0)
    marks: list[Mark] = []
    told, unknown = [], []
    for tone, model in enumerate(run.models):
        calls = asked[(asked["model"] == model) & asked["cost_usd"].notna() & asked["end_at"].notna()]
        x, y = _so_far(calls, last)
        missing = int((asked["model"] == model).sum()) - len(calls)
        unknown += [f"{model}: {_calls(missing)}"] if missing else []
        if x:
            label = f"{model} {written(y[-1], 'usd')}" + (f", {missing:,} unknown" if missing else "")
            marks.append(Line(model, x, y, steps=True, tone=tone, label=label))
            told.append(label)
    notes = [f"Of unknown cost or time, and not in it: {', '.join(unknown)}."] if unknown else []
    judges = run.info.judge_cost_usd
    notes += ["What the judges cost is unknown."] if judges is None else []
    notes += [f"Judges cost {written(judges, 'usd')} besides."] if judges else []
    return Chart("Spend over time", Axis("seconds from the start", "s"), Axis("dollars so far", "usd", low=0.0),
                 tuple(marks), tuple(notes), "; ".join(told) or "no cost is known")  # fmt: skip


def _so_far(calls: pd.DataFrame, last: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The sum after each call, from the run's start to its end."""
    ordered = calls.sort_values("end_at", kind="stable")
    x = [float(at) for at in ordered["end_at"]]
    y = [float(amount) for amount in ordered["cost_usd"].cumsum()]
    if len(x) > STEPS:
        places = sorted({round(step * (len(x) - 1) / (STEPS - 1)) for step in range(STEPS)})
        x, y = [x[place] for place in places], [y[place] for place in places]
    return ((0.0, *x, last), (0.0, *y, y[-1])) if x else ((), ())


def heatmap(run: Figures, scorer: str | None = None) -> Chart:
    """A score by model and cluster, with the number of scored calls in each cell; a cell without any stays empty."""
    name = scorer_name(run, scorer)
    table = run.summary(by="cluster")
    clusters = sorted({str(cluster) for cluster in table["cluster"].dropna()})
    if table["cluster"].isna().any():
        clusters.append("(none)")
    cells = {(str(row["model"]), _cluster(row["cluster"])): row for row in table.to_dict("records")}
    grid = [[_cell(cells.get((model, cluster)), name) for cluster in clusters] for model in run.models]
    unit = _score_axis(run, name).unit
    texts = tuple(
        tuple("" if value is None else f"{written(value, unit)}\nn = {n}" for value, n in row) for row in grid
    )
    mark = Grid(name, tuple(tuple(value for value, _ in row) for row in grid), texts, unit)
    empty = sum(value is None for row in grid for value, _ in row)
    notes = (f"{empty} empty: no scored calls.",) if empty else ()
    told = f"{_models(len(run.models))} on {len(clusters)} cluster{'' if len(clusters) == 1 else 's'}"
    return Chart(f"{name} by model and cluster", Axis("", ticks=named(clusters)),
                 Axis("", ticks=named(run.models), down=True), (mark,), notes, told,
                 height=max(200, 130 + 58 * len(run.models)))  # fmt: skip


def _cluster(value: Any) -> str:
    return value if isinstance(value, str) else "(none)"


def _cell(row: dict[Any, Any] | None, name: str) -> tuple[float | None, int]:
    if row is None:
        return None, 0
    return number(row[f"score_{name}"]), int(number(row[f"score_{name}_n"]) or 0)


def _models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def _calls(count: Any) -> str:
    return f"{int(count):,} call{'' if count == 1 else 's'}"


KINDS: dict[str, Callable[..., Chart]] = {
    "pareto": pareto, "latency": latency, "timeline": timeline.timeline, "spend": spend, "heatmap": heatmap,
}  # fmt: skip
