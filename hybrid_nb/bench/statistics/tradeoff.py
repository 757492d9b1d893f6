"""Cost against quality: which models no other beats in both, and AIQ. See Run.pareto() and Run.aiq()."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.statistics.summary import summary
from hybrid_nb.bench.statistics.values import scorer_name
from hybrid_nb.bench.statistics.wording import known
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

COLUMNS = (
    "model", "scorer", "cost_per_call_usd", "cost_per_call_usd_low", "cost_per_call_usd_high", "unknown_cost", "score",
    "score_low", "score_high", "n", "front", "explanation",
)  # fmt: skip
_WORDS = dict.fromkeys(("model", "scorer", "explanation"), "string")
_KINDS = {**_WORDS, "unknown_cost": "Int64", "n": "Int64", "front": "boolean"}


def pareto(
    run: Figures, scorer: str | None = None, confidence: float = 0.95, failures: str = "wrong", seed: int = 0
) -> pd.DataFrame:
    """See Run.pareto()."""
    name = scorer_name(run, scorer)
    table = summary(run, None, confidence, None, failures, seed)
    renamed = {f"score_{name}{end}": f"score{end}" for end in ("", "_low", "_high")} | {f"score_{name}_n": "n"}
    records = table.rename(columns=renamed).to_dict("records")
    rows = [{str(column): value for column, value in record.items()} for record in records]
    for row in rows:
        row |= {"scorer": name, **_place(row, rows)}
    rows.sort(key=lambda row: (known(row["cost_per_call_usd"]) is None, known(row["cost_per_call_usd"]) or 0.0))
    result = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS))
    return result.astype({column: _KINDS.get(column, "Float64") for column in COLUMNS})  # type: ignore[no-any-return]


def _place(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether a model is on the front, and why."""
    cost, score = known(row["cost_per_call_usd"]), known(row["score"])
    if cost is None or score is None:
        return {"front": None, "explanation": f"left out: its {'cost' if cost is None else 'score'} is unknown"}
    for other in rows:
        price, value = known(other["cost_per_call_usd"]), known(other["score"])
        if price is None or value is None or price > cost or value < score or (price, value) == (cost, score):
            continue
        how = " and ".join([*(["cheaper"] if price < cost else []), *(["better"] if value > score else [])])
        return {"front": False, "explanation": f"{other['model']} is {how}"}
    return {"front": True, "explanation": "no model is cheaper and at least as good, or better and as cheap"}


def aiq(run: Figures, scorer: str | None = None, failures: str = "wrong") -> float | None:
    """See Run.aiq()."""
    table = pareto(run, scorer, failures=failures)
    there = table[table["front"].notna()]
    costs, values = there["cost_per_call_usd"].tolist(), there["score"].tolist()
    return hull_area([(float(cost), float(value)) for cost, value in zip(costs, values, strict=True)])


def hull_area(points: list[tuple[float, float]]) -> float | None:
    """Area under the non-decreasing hull of (cost, quality), from the cheapest point to the dearest, over the highest
    cost (RouterBench, evaluation/AIQ.py). None: fewer than two points, or all are free.
    """
    most = max((cost for cost, _ in points), default=0.0)
    if len(points) < 2 or most <= 0:
        return None
    corners = [*hull(points), (most, max(value for _, value in points))]
    return sum((right - left) * (low + high) / 2 for (left, low), (right, high) in pairwise(corners)) / most


def hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners that mixtures of models reach at best: rising in cost and quality, ever less steeply."""
    corners: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if corners and value <= corners[-1][1]:
            continue
        while len(corners) >= 2 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], (cost, value)):
            corners.pop()
        corners.append((cost, value))
    return corners


def _slope(first: tuple[float, float], second: tuple[float, float]) -> float:
    return (second[1] - first[1]) / (second[0] - first[0])
