"""What difference a run of this size could have seen, and how many samples a smaller one needs. See Run.power()."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_nb.bench.statistics.intervals import distribution
from hybrid_nb.bench.statistics.pairs import Pair, pairs, unit_of
from hybrid_nb.bench.statistics.values import check_confidence, measure_name
from hybrid_nb.bench.statistics.wording import Unit
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

COLUMNS = (
    "measure", "model_a", "model_b", "n", "sd", "observed", "power", "alpha", "detectable", "difference", "n_needed",
    "explanation",
)  # fmt: skip
MOST = 10_000_000  # samples: more are not asked for


def power(
    run: Figures,
    name: str | None = None,
    difference: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    failures: str = "wrong",
) -> pd.DataFrame:
    """See Run.power()."""
    check_confidence(confidence)
    if not 0 < power < 1 or (difference is not None and difference <= 0):
        raise OptionValueError("power lies between 0 and 1, and the difference is more than 0 (0.05: five points)")
    measure = measure_name(run, name)
    found = pairs(run, measure, failures)
    unit, alpha = unit_of(run, measure, found), (1 - confidence) / max(1, len(found))
    rows = [_row(measure, pair, unit, difference, power, alpha) for pair in found]
    table = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS))
    words = dict.fromkeys(("measure", "model_a", "model_b", "explanation"), "string")
    kinds = {"n": "Int64", "n_needed": "Int64", **words}
    return table.astype({name: kinds.get(name, "Float64") for name in COLUMNS})  # type: ignore[no-any-return]


def _row(measure: str, pair: Pair, unit: Unit, difference: float | None, power: float, alpha: float) -> dict[str, Any]:
    n = len(pair.a)
    row: dict[str, Any] = {"measure": measure, "model_a": pair.model_a, "model_b": pair.model_b, "n": n}
    row |= {"power": power, "alpha": alpha, "difference": difference}
    if n < 2:
        return row | {"explanation": f"{pair.model_a} and {pair.model_b}: too few samples with both values"}
    row |= {"sd": float(pair.differences.std(ddof=1)), "observed": float(pair.differences.mean())}
    if pair.binary:
        apart = (sum(pair.wins) + 1) / (n + 2)  # one disagreement more: none seen does not mean none there
        row["detectable"] = detectable_share(n, apart, alpha, power)
        row["n_needed"] = samples_for_share(difference, apart, alpha, power) if difference else None
    elif row["sd"] > 1e-12 * float(np.abs(pair.differences).max()):
        row["detectable"] = detectable_mean(n, row["sd"], alpha, power)
        row["n_needed"] = samples_for_mean(difference, row["sd"], alpha, power) if difference else None
    return row | {"explanation": _explanation(row, unit)}


def _explanation(row: dict[str, Any], unit: Unit) -> str:
    both, sees, times = f"{row['model_a']} and {row['model_b']}", row.get("detectable"), f"{100 * row['power']:g} %"
    if sees is None:
        told = f"{both}: {row['n']} samples are too few to see any difference {times} of the time"
    else:
        told = (
            f"{both}: with these {row['n']} samples a difference of {unit.difference(sees)} is seen {times} of the time"
        )
    if row.get("n_needed") is not None:
        told += f"; {unit.difference(row['difference'])} needs {row['n_needed']:,} samples"
    return told


def power_of_mean(difference: float, n: int, sd: float, alpha: float) -> float:
    """Chance that the paired t test (the permutation test has the same, nearly) sees a mean difference."""
    scipy, shift = distribution(), difference / sd * n**0.5
    edge = float(scipy.t.ppf(1 - alpha / 2, n - 1))
    found = float(scipy.nct.sf(edge, n - 1, shift))
    return 1.0 if np.isnan(found) else found


def power_of_share(difference: float, n: int, apart: float, alpha: float) -> float:
    """Chance that McNemar's exact test sees a difference of shares, where a share `apart` of samples differs.

    Exact: over the number of samples that differ, and of those how many speak for the better one.
    """
    scipy, apart = distribution(), max(apart, difference)
    counts = np.arange(n + 1)
    weight = scipy.binom.pmf(counts, n, apart)
    counts, weight = counts[weight > 1e-12], weight[weight > 1e-12]
    edge = scipy.binom.ppf(alpha / 2, counts, 0.5)  # the smallest k with P(B <= k) >= alpha / 2
    edge = np.where(scipy.binom.cdf(edge, counts, 0.5) <= alpha / 2, edge, edge - 1)
    share = (1 + difference / apart) / 2
    return float((weight * scipy.binom.cdf(edge, counts, 1 - share)).sum())


def detectable_mean(n: int, sd: float, alpha: float, power: float) -> float | None:
    """The least mean difference that is seen with this power."""
    return _least(lambda d: power_of_mean(d, n, sd, alpha) >= power, 0.0, 1000 * sd, 1e-4 * sd)


def detectable_share(n: int, apart: float, alpha: float, power: float) -> float | None:
    """The least difference of shares that is seen with this power; None: not even 100 points."""
    return _least(lambda d: power_of_share(d, n, apart, alpha) >= power, 0.0, 1.0, 1e-4)


def samples_for_mean(difference: float, sd: float, alpha: float, power: float) -> int | None:
    """The samples that a mean difference needs; None: more than MOST."""
    found = _least(lambda n: power_of_mean(difference, max(2, round(n)), sd, alpha) >= power, 1, MOST, 0.5)
    return None if found is None else max(2, round(found))


def samples_for_share(difference: float, apart: float, alpha: float, power: float) -> int | None:
    """The samples that a difference of shares needs. Above 2,000 by the normal approximation."""
    if difference > 1:
        return None
    found = _least(lambda n: power_of_share(difference, round(n), apart, alpha) >= power, 1, 2000, 0.5)
    if found is not None:
        return round(found)
    apart = max(apart, difference)
    return samples_for_mean(difference, float(np.sqrt(apart - difference**2)), alpha, power)


def _least(enough: Any, low: float, high: float, step: float) -> float | None:
    """Where `enough` turns true, by halving; None: not even at `high`."""
    if not enough(high):
        return None
    while high - low > step:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
