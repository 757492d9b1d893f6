"""Several answers to one sample made one value: pass@k, pass^k and the reducers. See Run.pass_at(), Run.reduced()."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.statistics.intervals import mean_interval
from hybrid_nb.bench.statistics.values import check_confidence, scored, scorer_name
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

PASS_COLUMNS = (
    "model", "scorer", "k", "samples", "too_few", "pass_at_k", "pass_at_k_low", "pass_at_k_high", "pass_all_k",
    "pass_all_k_low", "pass_all_k_high",
)  # fmt: skip
REDUCED_COLUMNS = ("model", "id", "cluster", "n", "value")
Reducer = Callable[[list[float]], float | None]


def pass_at_k(n: int, right: int, k: int) -> float | None:
    """The chance that one of k answers is right, unbiased, `right` of n being so (Chen et al., 2021). None: n < k."""
    return None if n < k else 1 - math.comb(n - right, k) / math.comb(n, k)


def pass_all_k(n: int, right: int, k: int) -> float | None:
    """The chance that k answers are all right (pass^k, tau-bench), unbiased. None: n < k."""
    return None if n < k else math.comb(right, k) / math.comb(n, k)


def pass_at(
    run: Figures, k: int, scorer: str | None, right: float, confidence: float, failures: str, seed: int
) -> pd.DataFrame:
    """See Run.pass_at()."""
    check_confidence(confidence)
    if k < 1:
        raise OptionValueError(f"k={k}: of at least one answer")
    name = scorer_name(run, scorer)
    rows = [
        _pass_row(model, name, k, [sum(value >= right for value in values) for _, values in found],
                  [len(values) for _, values in found], confidence, seed)
        for model, found in _by_model(run, name, failures)
    ]  # fmt: skip
    table = late("pandas", "frames").DataFrame(rows, columns=list(PASS_COLUMNS))
    kinds = {"model": "string", "scorer": "string", "k": "Int64", "samples": "Int64", "too_few": "Int64"}
    return table.astype({column: kinds.get(column, "Float64") for column in PASS_COLUMNS})  # type: ignore[no-any-return]


def _pass_row(
    model: str, name: str, k: int, rights: list[int], sizes: list[int], confidence: float, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"model": model, "scorer": name, "k": k}
    for column, chance in (("pass_at_k", pass_at_k), ("pass_all_k", pass_all_k)):
        values = [chance(n, right, k) for n, right in zip(sizes, rights, strict=True)]
        known = [value for value in values if value is not None]
        mean = mean_interval(known, None, confidence, seed)
        row |= {"samples": len(known), "too_few": len(values) - len(known), column: mean.value}
        row |= {f"{column}_low": mean.low, f"{column}_high": mean.high}
    return row


def reduced(run: Figures, reducer: str, scorer: str | None, failures: str) -> pd.DataFrame:
    """See Run.reduced()."""
    name, reduce = scorer_name(run, scorer), reducer_of(reducer)
    clusters = run.measured.drop_duplicates("id").set_index("id")["cluster"]
    rows = [
        (model, sample, clusters.get(sample), len(values), reduce(values) if values else None)
        for model, found in _by_model(run, name, failures)
        for sample, values in found
    ]
    table = late("pandas", "frames").DataFrame(rows, columns=list(REDUCED_COLUMNS))
    kinds = {"n": "Int64", "value": "Float64"}
    return table.astype({column: kinds.get(column, "string") for column in REDUCED_COLUMNS})  # type: ignore[no-any-return]


def reducer_of(name: str) -> Reducer:
    """mean, median, mode (of several the least: a model does not gain by a tie) or at_least_K (1 or 0)."""
    known: dict[str, Reducer] = {
        "mean": statistics.fmean,
        "median": statistics.median,
        "mode": lambda values: min(statistics.multimode(values)),
    }
    if name in known:
        return known[name]
    found = re.fullmatch(r"at_least_([1-9]\d*)", name)
    if not found:
        raise OptionValueError(f"no reducer {name!r}; there are mean, median, mode and at_least_K, such as at_least_2")
    k = int(found[1])
    return lambda values: None if len(values) < k else float(sum(value >= 1 for value in values) >= k)


def _by_model(run: Figures, name: str, failures: str) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """Of each model the scored epochs of each sample; samples without any have an empty list."""
    measured, found = run.measured, []
    for model in run.models:
        own = measured[measured["model"] == model]
        groups = scored(own, name, failures).groupby(own["id"].astype(str), sort=False)
        found.append((model, [(str(sample), values.dropna().tolist()) for sample, values in groups]))
    return found
