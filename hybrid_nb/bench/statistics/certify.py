"""Percentiles that are certified to keep a bound, or told to lack data. See Run.certify()."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_nb.bench.statistics.intervals import Floats, distribution
from hybrid_nb.bench.statistics.percentiles import allowed_over, certified_bound, needed
from hybrid_nb.bench.statistics.values import LARGER_IS_BETTER, check_confidence, measure_name, numbers, scorers
from hybrid_nb.bench.statistics.wording import Unit
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

COLUMNS = (
    "model", "measure", "percentile", "confidence", "n", "failed", "unknown", "at_most", "over", "allowed_over",
    "bound", "verdict", "more", "explanation",
)  # fmt: skip
CERTIFIED, NOT_MET, TOO_FEW = "certified", "not met", "insufficient data"
MOST = 1_000_000  # calls: more are not asked for


def certify(
    run: Figures,
    measure: str = "latency_s",
    percentile: float = 0.95,
    at_most: float | None = None,
    confidence: float = 0.99,
) -> pd.DataFrame:
    """See Run.certify()."""
    name, share = measure_name(run, measure), percentile / 100 if percentile > 1 else percentile
    if name in scorers(run) or name in LARGER_IS_BETTER:
        raise OptionValueError(f"certify() says what a time or cost stays under, and {name} is neither")
    check_confidence(confidence)
    if not 0 < share < 1:
        raise OptionValueError(f"percentile={percentile}: a number between 0 and 100, such as 95, or 0.95")
    measured = run.measured
    rows = [_row(model, measured[measured["model"] == model], name, share, at_most, confidence) for model in run.models]
    table = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS))
    return table.astype({column: _kind(column) for column in COLUMNS})  # type: ignore[no-any-return]


def _kind(name: str) -> str:
    if name in ("model", "measure", "verdict", "explanation"):
        return "string"
    return "Float64" if name in ("percentile", "confidence", "at_most", "bound") else "Int64"


def _row(
    model: str, calls: pd.DataFrame, name: str, share: float, at_most: float | None, confidence: float
) -> dict[str, Any]:
    answered = calls["status"] == "ok"
    values = numbers(calls[name]).where(answered)
    over: Floats = values.fillna(math.inf).to_numpy(dtype=float)  # what failed or is unknown keeps no bound
    told: dict[str, Any] = {"model": model, "measure": name, "percentile": share, "confidence": confidence}
    told |= {"n": len(calls), "failed": int((~answered).sum()), "unknown": int(values[answered].isna().sum())}
    allowed = allowed_over(len(over), share, confidence)
    told |= {"at_most": at_most, "allowed_over": max(0, allowed) if allowed >= 0 else None}
    found = _for_any(over, share, confidence) if at_most is None else _for_limit(over, share, confidence, at_most)
    told |= found
    return told | {"explanation": _explanation(told)}


def _for_any(values: Floats, share: float, confidence: float) -> dict[str, Any]:
    """The least bound that holds."""
    bound = certified_bound(values, share, confidence)
    if bound is not None:
        return {"bound": bound, "over": int((values > bound).sum()), "verdict": CERTIFIED}
    endless = int(np.isinf(values).sum())
    return _undecided(len(values), endless, share, confidence, least=1)


def _for_limit(values: Floats, share: float, confidence: float, at_most: float) -> dict[str, Any]:
    over = int((values > at_most).sum())
    if over <= allowed_over(len(values), share, confidence):
        return {"over": over, "bound": at_most, "verdict": CERTIFIED}
    return _undecided(len(values), over, share, confidence, least=0)


def _undecided(n: int, over: int, share: float, confidence: float, least: int) -> dict[str, Any]:
    if n and float(distribution().binom.sf(over - 1, n, 1 - share)) <= 1 - confidence:
        return {"over": over, "verdict": NOT_MET}
    return {"over": over, "verdict": TOO_FEW, "more": more_calls(n, over, share, confidence, least)}


def more_calls(n: int, over: int, share: float, confidence: float, least: int = 0) -> int | None:
    """Calls that are still needed if as many of them as until now lie over the bound; None: more will not help."""
    rate = over / n if n else 0.0
    low = max(n, needed(share, confidence, max(least, over)) - 1)  # too few, or as many as there are

    def enough(total: int) -> bool:
        return allowed_over(total, share, confidence) >= max(least, rate * total - 1e-9)

    high = low + 1
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - n


def _explanation(row: dict[str, Any]) -> str:
    unit, level = Unit(row["measure"], share=False, scored=False), f"p{100 * row['percentile']:g}"
    sure, calls = f"{100 * row['confidence']:g} % confidence", f"{row['n']} calls"
    failed = f", {row['failed']} of them failed" if row["failed"] else ""
    limit = f" <= {unit.value(row['at_most'])}" if row["at_most"] is not None else ""
    if row["verdict"] == CERTIFIED:
        return f"{row['model']}: {level} of {row['measure']} <= {unit.value(row['bound'])} at {sure} ({calls}{failed})"
    if row["verdict"] == NOT_MET:
        what = f"{level} of {row['measure']}{limit or ' has no bound, so many calls failed'}"
        return f"{row['model']}: not met at {sure}: {what}; {row['over']} of {calls} lie over it{failed}"
    told = f"{row['model']}: insufficient data for {level} of {row['measure']}{limit} at {sure} ({calls}{failed})"
    if row.get("more") is None:
        return f"{told}: {row['over']} lie over it, and at that rate more calls will not help"
    return f"{told}: about {row['more']:,} more calls are needed"
