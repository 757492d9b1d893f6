"""Every pair of models on the same samples: difference, interval, p, and who is better. See Run.paired()."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.bench.statistics.intervals import Floats, is_binary
from hybrid_nb.bench.statistics.significance import (
    difference_interval,
    holm,
    paired_share_interval,
    permutation_test,
    sign_test,
)
from hybrid_nb.bench.statistics.values import (
    check_confidence,
    measure_name,
    measured_values,
    scorers,
    smaller_is_better,
)
from hybrid_nb.bench.statistics.wording import Unit, chance
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

COLUMNS = (
    "measure", "model_a", "model_b", "n", "unmatched", "n_discordant", "mean_a", "mean_b", "difference", "low", "high",
    "p", "p_holm", "method", "verdict", "explanation",
)  # fmt: skip
_WORDS = ("measure", "model_a", "model_b", "method", "verdict", "explanation")


class Pair(NamedTuple):
    """Two models' values on the samples that both have, and whether they are right or wrong only."""

    model_a: str
    model_b: str
    a: Floats
    b: Floats
    unmatched: int
    binary: bool

    @property
    def differences(self) -> Floats:
        return self.a - self.b

    @property
    def wins(self) -> tuple[int, int]:
        """Samples on which a has more, and on which b has more."""
        return int((self.a > self.b).sum()), int((self.a < self.b).sum())


def pairs(run: Figures, name: str, failures: str = "wrong") -> list[Pair]:
    """All pairs of the run's models, matched by sample; a sample's epochs are averaged first."""
    pandas, measured = late("pandas", "frames"), run.measured
    means: dict[str, Any] = {}
    for model in run.models:
        own = measured[measured["model"] == model]
        values = measured_values(run, own, name, failures)
        means[model] = values.groupby(own["id"].astype(str)).mean().dropna()
    found = []
    for first, second in combinations(means, 2):
        both = pandas.concat([means[first], means[second]], axis=1, keys=["a", "b"])
        matched = both.dropna()
        a, b = matched["a"].to_numpy(dtype=float), matched["b"].to_numpy(dtype=float)
        binary = name in scorers(run) and is_binary(a) and is_binary(b)
        found.append(Pair(first, second, a, b, len(both) - len(matched), binary))
    return found


def paired(
    run: Figures, name: str | None = None, confidence: float = 0.95, failures: str = "wrong", seed: int = 0
) -> pd.DataFrame:
    """See Run.paired()."""
    check_confidence(confidence)
    measure = measure_name(run, name)
    found = pairs(run, measure, failures)
    unit = unit_of(run, measure, found)
    rows = [_figures(measure, pair, confidence, seed) for pair in found]
    smaller, count = smaller_is_better(run, measure), sum(row["p"] is not None for row in rows)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = _verdict(row, smaller, 1 - confidence)
        row["explanation"] = _explanation(row, unit, smaller, count, confidence)
    table = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: _kind(name) for name in COLUMNS})  # type: ignore[no-any-return]


def unit_of(run: Figures, measure: str, found: list[Pair]) -> Unit:
    """How the measure is written: scores within 0 and 1 as %."""
    share = all(((values >= 0) & (values <= 1)).all() for pair in found for values in (pair.a, pair.b))
    return Unit(measure, share, measure in scorers(run))


def _kind(name: str) -> str:
    if name in _WORDS:
        return "string"
    return "Int64" if name in ("n", "unmatched", "n_discordant") else "Float64"


def _figures(measure: str, pair: Pair, confidence: float, seed: int) -> dict[str, Any]:
    up, down = pair.wins
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"measure": measure, "model_a": pair.model_a, "model_b": pair.model_b, "n": len(pair.a)}
    row |= {"unmatched": pair.unmatched, "n_discordant": up + down, "method": "too few samples"}
    if not len(pair.a):
        return row
    row |= {"mean_a": float(pair.a.mean()), "mean_b": float(pair.b.mean())}
    row["difference"] = float(pair.differences.mean())
    if len(pair.a) < 2:
        return row
    if pair.binary:
        row["low"], row["high"] = paired_share_interval(len(pair.a), up, down, confidence)
        return row | {"p": sign_test(up, down), "method": "exact McNemar"}
    row["low"], row["high"] = difference_interval(pair.differences, confidence, seed)
    return row | {"p": permutation_test(pair.differences, seed), "method": "permutation"}


def _verdict(row: dict[str, Any], smaller: bool, alpha: float) -> str:
    if row["p_holm"] is None:
        return "too few samples"
    return "tied" if row["p_holm"] > alpha else f"{_leading(row, smaller)['model_a']} better"


def _leading(row: dict[str, Any], smaller: bool) -> dict[str, Any]:
    """The same row from the side of the model that is ahead, with difference and interval as its lead."""
    low, high, gap = row["low"], row["high"], row["difference"]
    if (gap < 0) != smaller:  # b is ahead
        row = row | {"model_a": row["model_b"], "model_b": row["model_a"]}
        row |= {"mean_a": row["mean_b"], "mean_b": row["mean_a"]}
    if gap < 0:
        low, high = (None if value is None else -value for value in (high, low))
    return row | {"low": low, "high": high, "difference": abs(gap)}


def _explanation(row: dict[str, Any], unit: Unit, smaller: bool, count: int, confidence: float) -> str:
    if row["p_holm"] is None:
        return (
            f"{row['model_a']} and {row['model_b']} cannot be compared by {unit.name}: {_samples(row['n'])} with both"
        )
    row = _leading(row, smaller)
    a, b, gap = row["model_a"], row["model_b"], unit.difference(row["difference"])
    means = f"{unit.value(row['mean_a'])} against {unit.value(row['mean_b'])}"
    told = _told(row, unit, count, confidence)
    if row["verdict"] == "tied":
        return f"{a} and {b} are tied by {unit.name}: {means}, and a difference of {gap} can be chance ({told})"
    return f"{a} is {unit.better(smaller)} than {b} by {unit.name}: {means}, a difference of {gap} ({told})"


def _told(row: dict[str, Any], unit: Unit, count: int, confidence: float) -> str:
    """The interval of the lead, p and the numbers."""
    parts = []
    if row["low"] is not None and row["high"] is not None:
        ends = f"{unit.difference(row['low'])} to {unit.difference(row['high'])}".replace(" points to", " to")
        alone = " of this pair alone" if count > 1 else ""
        parts.append(f"{100 * confidence:g} % interval{alone} {ends}")
    parts.append(f"{chance(row['p_holm'])}{f' after Holm for {count} pairs' if count > 1 else ''}")
    differing = f", {row['n_discordant']} differ" if row["method"] == "exact McNemar" else ""
    return "; ".join([*parts, f"{_samples(row['n'])}{differing}"])


def _samples(n: int) -> str:
    return "1 sample" if n == 1 else f"{n} samples"
