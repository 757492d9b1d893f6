"""One row a model: calls, failures, cost, quality and times, each with its interval. See Run.summary()."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.statistics.intervals import mean_interval
from hybrid_nb.bench.statistics.percentiles import percentile
from hybrid_nb.bench.statistics.system import Limits, Window, goodput, limits_of, window, windows
from hybrid_nb.bench.statistics.values import check_confidence, costs, numbers, scored, scorers
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

TIMES = ("ttft_any_s", "ttft_answer_s", "latency_s")
PERCENTILES = (("p50", 0.5, True), ("p90", 0.9, False), ("p95", 0.95, True), ("p99", 0.99, False))
MEDIANS = ("tpot_s", "chunk_gap_s", "tokens_per_s", "queue_s", "token_discrepancy")
_COUNTS = ("calls", "ok", "failed", "unknown_cost", "stage")
_WORDS = ("model", "cluster")


def summary(
    run: Figures,
    limits: Limits = None,
    confidence: float = 0.95,
    by: str | None = None,
    failures: str = "wrong",
    seed: int = 0,
) -> pd.DataFrame:
    """See Run.summary()."""
    check_confidence(confidence)
    if by not in (None, "cluster", "stage"):
        raise OptionValueError(f'by={by!r}: "cluster" or "stage"')
    pandas, names, limits = late("pandas", "frames"), scorers(run), limits_of(run, limits)
    rows = []
    for group, calls, span in _groups(run, by):
        row = {**group, **_counts(calls), **_costs(calls, names, confidence, failures, seed)}
        for name in names:
            row |= _quality(calls, name, confidence, failures, seed)
        rows.append(row | _times(calls, confidence) | {"goodput_rps": goodput(calls, limits, span)})
    table = pandas.DataFrame(rows, columns=columns(names, by))
    return table.astype({str(name): kind(str(name)) for name in table.columns})  # type: ignore[no-any-return]


def columns(names: list[str], by: str | None = None) -> list[str]:
    """The columns of a summary of a run with these scorers."""
    first = ["model", *([by] if by else []), "calls", "ok", "failed", "error_rate", "failover_rate"]
    costs = ["unknown_cost", "cost_usd", "cost_per_call_usd", "cost_per_call_usd_low", "cost_per_call_usd_high"]
    quality = [f"score_{name}{end}" for name in names for end in ("", "_low", "_high", "_n", "_unscored", "_method")]
    times = [f"{name}_{end}" for name in TIMES for end in _ends()]
    medians = [f"{name}_p50" for name in MEDIANS]
    return [*first, *costs, "cost_per_1000_usd", "cost_per_right_usd", *quality, *times, *medians, "goodput_rps"]


def kind(name: str) -> str:
    """The type of a column of a table of figures."""
    if name in _WORDS or name.endswith("_method"):
        return "string"
    return "Int64" if name in _COUNTS or name.endswith(("_n", "_unscored")) else "Float64"


def _groups(run: Figures, by: str | None) -> Iterator[tuple[dict[str, Any], pd.DataFrame, Window | None]]:
    measured, whole = run.measured, window(run.measured)
    spans = windows(run) if by == "stage" else {}
    for model in run.models:
        own = measured[measured["model"] == model]
        if by is None:
            yield {"model": model}, own, whole
            continue
        for value, calls in own.groupby(by, dropna=False, sort=True):
            yield {"model": model, by: value}, calls, whole if by == "cluster" else spans.get(int(str(value)))


def _counts(calls: pd.DataFrame) -> dict[str, Any]:
    n, answered = len(calls), int((calls["status"] == "ok").sum())
    told: dict[str, Any] = {"calls": n, "ok": answered, "failed": n - answered}
    if n:
        told |= {"error_rate": 1 - answered / n, "failover_rate": float(calls["failed_over"].fillna(False).mean())}
    return told


def _costs(calls: pd.DataFrame, names: list[str], confidence: float, failures: str, seed: int) -> dict[str, Any]:
    spent, priced = numbers(calls["cost_usd"]), costs(calls).dropna()
    known = spent.notna()
    told: dict[str, Any] = {"unknown_cost": int((~known).sum())}
    if not known.any():
        return told
    told["cost_usd"] = float(spent.sum())
    if len(priced):
        mean = mean_interval(priced, calls["id"][priced.index], confidence, seed, unit=False)
        told |= {"cost_per_call_usd": mean.value, "cost_per_1000_usd": 1000 * float(priced.mean())}
        told |= {"cost_per_call_usd_low": mean.low, "cost_per_call_usd_high": mean.high}
    return told | ({"cost_per_right_usd": per_right(calls[known], names[0], failures)} if names else {})


def per_right(calls: pd.DataFrame, scorer: str, failures: str = "wrong") -> float | None:
    """Dollars of calls whose cost is known, over what they got right; a graded answer counts by its part.

    What failed calls cost is in it, and what unscored calls cost is not. None: nothing was right, or the scores do
    not lie within 0 and 1.
    """
    costs, values = numbers(calls["cost_usd"]), scored(calls, scorer, failures)
    paid = values.notna() | (calls["status"] != "ok")
    right = float(values.sum())
    within = bool(values.dropna().between(0, 1).all())
    return float(costs[paid].sum()) / right if within and right > 0 else None


def _quality(calls: pd.DataFrame, name: str, confidence: float, failures: str, seed: int) -> dict[str, Any]:
    values = scored(calls, name, failures)
    there = values.notna()
    mean = mean_interval(values[there], calls["id"][there], confidence, seed)
    column = f"score_{name}"
    unscored = int((values.isna() & (calls["status"] == "ok")).sum())
    return {
        column: mean.value, f"{column}_low": mean.low, f"{column}_high": mean.high, f"{column}_n": mean.n,
        f"{column}_unscored": unscored, f"{column}_method": mean.method,
    }  # fmt: skip


def _ends() -> list[str]:
    return [f"{label}{end}" for label, _, both in PERCENTILES for end in (("", "_low", "_high") if both else ("",))]


def _times(calls: pd.DataFrame, confidence: float) -> dict[str, Any]:
    answered = calls[calls["status"] == "ok"]
    told: dict[str, Any] = {}
    for name in TIMES:
        values = numbers(answered[name]).dropna()
        for label, share, _ in PERCENTILES:
            found, column = percentile(values, share, confidence), f"{name}_{label}"
            told |= {column: found.value, f"{column}_low": found.low, f"{column}_high": found.high}
    return told | {f"{name}_p50": numbers(answered[name]).median() for name in MEDIANS}
