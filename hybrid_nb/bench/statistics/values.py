"""The values of a run that statistics are made of: scores, costs and times, one a call.

Whose times count: calls that were answered. A call that failed after 0.1 s was not fast. Its failure has columns of
its own, counts against goodput, and is over every bound in certify().

What a call costs: of calls that were answered, and of failed ones that cost something. A call that was refused for
nothing says nothing about the price, and a model that only fails is not free: its cost per call is unknown.

What a failed call scores: 0 under failures="wrong" (the default: who asks and gets no answer has no right one, and a
model must not gain by failing at hard samples); missing under "missing" (for failures that are the network's, or
scorers for which 0 is not the worst).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.records import MEASURE_COLUMNS
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

COSTS = ("cost_usd",)
LARGER_IS_BETTER = ("tokens_per_s", "decode_tokens_per_s")
FAILURES = ("wrong", "missing")


def scorers(run: Figures) -> list[str]:
    """The scorers of a run, as its columns say."""
    return [str(name).removeprefix("score_") for name in run.calls.columns if str(name).startswith("score_")]


def measure_name(run: Figures, name: str | None) -> str:
    """A scorer or measure of the run; None is its first scorer. Raises OptionValueError with what there is."""
    from hybrid_nb.core.config import nearest

    known = scorers(run)
    if name is None:
        if not known:
            raise OptionValueError("this run has no scorer; name a measure: cost_usd, latency_s, ttft_any_s")
        return known[0]
    if name.removeprefix("score_") in known:
        return name.removeprefix("score_")
    measures = [*known, *COSTS, *MEASURE_COLUMNS]
    if name not in measures:
        raise OptionValueError(
            f"no scorer or measure {name!r}{nearest(name, measures)}; there are {', '.join(measures)}"
        )
    return name


def check_confidence(confidence: float) -> None:
    """Raises OptionValueError unless it is a share, such as 0.95."""
    if not 0 < confidence < 1:
        raise OptionValueError(f"confidence={confidence}: a number between 0 and 1, such as 0.95 for 95 %")


def scorer_name(run: Figures, scorer: str | None) -> str:
    """A scorer of the run; None is the first. Raises OptionValueError with what there is."""
    name = measure_name(run, scorer)
    if name not in scorers(run):
        raise OptionValueError(f"{name} is no score of this run; its scorers: {', '.join(scorers(run)) or 'none'}")
    return name


def scored(calls: pd.DataFrame, scorer: str, failures: str = "wrong") -> pd.Series[Any]:
    """The scores of a model's calls as floats, NaN where there is none. Failed calls by `failures` (see above)."""
    if failures not in FAILURES:
        raise OptionValueError(f'failures={failures!r}: "wrong" counts a failed call as 0, "missing" leaves it out')
    answered = calls["status"] == "ok"
    values = calls[f"score_{scorer}"].astype("Float64").to_numpy(dtype=float, na_value=float("nan"))
    told = late("pandas", "frames").Series(values, index=calls.index).where(answered)
    unscored = bool(answered.any()) and bool(told.isna().all())  # the scorer itself failed: then it says nothing
    wrong = failures == "wrong" and not unscored
    result: pd.Series[Any] = told.where(answered, 0.0) if wrong else told
    return result


def measured_values(run: Figures, calls: pd.DataFrame, name: str, failures: str = "wrong") -> pd.Series[Any]:
    """The values of a scorer or measure for a model's calls, NaN where missing."""
    if name in scorers(run):
        return scored(calls, name, failures)
    return costs(calls) if name in COSTS else numbers(calls[name]).where(calls["status"] == "ok")


def costs(calls: pd.DataFrame) -> pd.Series[Any]:
    """Dollars of each call, NaN where they are unknown, and where it failed at no cost."""
    values = numbers(calls["cost_usd"])
    return values.where((calls["status"] == "ok") | (values > 0))


def numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """A nullable column as floats, with NaN for what is missing."""
    plain = column.to_numpy(dtype=float, na_value=float("nan"))
    return late("pandas", "frames").Series(plain, index=column.index)  # type: ignore[no-any-return]


def smaller_is_better(run: Figures, name: str) -> bool:
    """Of dollars and seconds less is better; of scores and tokens a second more."""
    return name not in scorers(run) and name not in LARGER_IS_BETTER
