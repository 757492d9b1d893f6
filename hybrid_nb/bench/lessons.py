"""What a run says of each target: its calls summed by target and cluster. Pure, but for reading the run's frames."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.types import Target
from hybrid_nb.engine.batch import Batch
from hybrid_nb.engine.bounds import bucket

if TYPE_CHECKING:
    from hybrid_nb.bench.results import Run

OURS = frozenset({
    "InvalidRequestError", "ContextLengthError", "ContentFilterError", "ModelNotFoundError", "UnsupportedFeatureError",
    "BudgetExceededError", "NoProviderAvailableError", "ConfigError", "ReplayMissError",
})  # fmt: skip
"""Errors that say nothing against the target."""
_READ = (
    "id", "cluster", "model", "status", "error", "answered_by", "failed_over", "ttft_any_s", "service_s",
    "output_tokens", "cost_usd",
)  # fmt: skip


def scorer_of(run: Run, name: str | None) -> str | None:
    """The scorer whose scores are learned; None: the run has none. Raises OptionValueError."""
    found = [str(column).removeprefix("score_") for column in run.calls.columns if str(column).startswith("score_")]
    if name is None and len(found) > 1:
        raise OptionValueError(
            f"learn: the run has several scorers ({', '.join(found)}); name one: scorer={found[0]!r}"
        )
    if name is not None and name not in found:
        raise OptionValueError(f"learn: the run has no scorer {name!r}{nearest(name, found)}")
    return name or (found[0] if found else None)


def identity(run: Run) -> str:
    """A name of the run that stays the same when it is saved and loaded again."""
    told = [run.info.started, run.info.seconds, sorted(str(key) for key in run.calls["key"])]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()[:24]


def ended(run: Run, now: float) -> float:
    """Unix time of its end; now where it does not tell, or tells of the future."""
    try:
        began = dt.datetime.fromisoformat(run.info.started)
    except ValueError:
        return now
    if began.tzinfo is None:
        began = began.replace(tzinfo=dt.UTC)
    return min(now, began.timestamp() + run.info.seconds)


@dataclass(slots=True)
class _Sums:
    calls: int = 0
    failed: int = 0
    ttft: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    latency: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    output: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by sample


def batches(run: Run, scorer: str | None, target_of: Callable[[str], Target | None], at: float) -> list[Batch]:
    """The sums of each target and cluster. `target_of` tells whom a model's name means; None: nobody for certain.

    Several answers of a model to one sample (epochs) count as one score, their mean. Raises OptionValueError for
    scores that are not between 0 and 1.
    """
    sums: dict[tuple[Target, str | None], _Sums] = defaultdict(_Sums)
    for row in _rows(run, scorer):
        _add(row, sums, target_of)
    return [_batch(target, cluster, at, found, scorer) for (target, cluster), found in sums.items()]


def requests(run: Run) -> Sequence[str]:
    """The ids of its calls in the ledger."""
    return [str(name) for name in run.calls["request_id"].dropna()]


def _rows(run: Run, scorer: str | None) -> Iterable[dict[str, Any]]:
    table = run.measured
    columns = [*_READ, *([f"score_{scorer}"] if scorer else [])]
    plain = table[columns].astype(object).where(table[columns].notna(), None)
    for values in plain.itertuples(index=False, name=None):
        row = dict(zip(_READ, values, strict=False))
        row["score"] = values[-1] if scorer else None
        yield row


def _add(
    row: dict[str, Any], sums: dict[tuple[Target, str | None], _Sums], target_of: Callable[[str], Target | None]
) -> None:
    ok, answered = row["status"] == "ok", row["answered_by"]
    if not ok and (row["error"] or "").partition(":")[0] in OURS:
        return
    target = _named(answered) if ok and answered else target_of(row["model"])
    if target is None:
        return
    found = sums[target, row["cluster"]]
    if not (ok and row["failed_over"]):  # whose times are of others too
        found.calls += 1
        found.failed += not ok
        if ok:
            _timed(row, found)
    if ok and row["score"] is not None:
        found.scores[row["id"]].append(_checked(row["score"]))


def _timed(row: dict[str, Any], found: _Sums) -> None:
    for seconds, buckets in ((row["ttft_any_s"], found.ttft), (row["service_s"], found.latency)):
        if seconds is not None:
            buckets[bucket(seconds)] += 1
    for value, values in ((row["output_tokens"], found.output), (row["cost_usd"], found.cost)):
        if value is not None:
            values.append(float(value))


def _named(answered: str) -> Target:
    provider, _, model = answered.partition("/")
    return Target(provider, model)


def _checked(value: float) -> float:
    if not 0 <= value <= 1:
        raise OptionValueError(f"learn: scores must be between 0 and 1, and one is {value:g}; scale them in the scorer")
    return float(value)


def _batch(target: Target, cluster: str | None, at: float, found: _Sums, scorer: str | None) -> Batch:
    means = [sum(values) / len(values) for values in found.scores.values()]
    scores = {scorer: (float(len(means)), sum(means), sum(m * m for m in means))} if scorer and means else {}
    return Batch(
        target,
        cluster,
        at,
        found.calls,
        found.failed,
        dict(found.ttft),
        dict(found.latency),
        (float(len(found.output)), sum(found.output)),
        (float(len(found.cost)), sum(found.cost)),
        scores,
    )
