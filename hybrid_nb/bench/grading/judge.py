"""How far a judge can be trusted: whether its verdicts depend on the order of answers, and on their length."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.bench.grading.verdicts import Orders, read_orders, read_rater
from hybrid_nb.core.late import late
from hybrid_nb.core.models import families

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "judge", "kind", "judged", "failed", "agree", "agree_low", "agree_high", "first_wins", "first_wins_low",
    "first_wins_high", "longer_wins", "longer_wins_low", "longer_wins_high", "longer_n", "length_correlation",
    "length_correlation_low", "length_correlation_high", "same_family", "told",
)  # fmt: skip
_FEW = 20  # comparisons below which a share says little


class Share(NamedTuple):
    """`count` of `total`, with its Wilson interval; all None without any."""

    value: float | None
    low: float | None
    high: float | None
    total: int

    @classmethod
    def of(cls, count: int, total: int, confidence: float) -> Share:
        if not total:
            return cls(None, None, None, 0)
        z = late("scipy.stats", "benchmark").norm.ppf(0.5 + confidence / 2)
        share, size = count / total, 1 + z * z / total
        middle = (share + z * z / (2 * total)) / size
        half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / size
        return cls(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)), total)


class Rated(NamedTuple):
    """One score of a judge: of which sample, the answer's length in characters, and the score."""

    sample: str
    length: int
    value: float


def judge_report(
    votes: pd.DataFrame,
    calls: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row a judge: how far order and length move it. Shares and correlations have intervals.

    judge, kind: "provider/model", and "pairwise" or "rubric".
    judged, failed: comparisons (or answers) with and without a verdict.
    agree: share of comparisons in which both orders gave the same winner. Low: its verdicts are noise or order.
    first_wins: where the orders disagree on a winner, the share in which the answer that stood first won; 0.5 is fair.
    longer_wins: share of the decided comparisons of answers of different length that the longer won, `longer_n` of
        them. More than half is a bias only as far as longer answers are not better.
    length_correlation: rank correlation of a rubric's score and the answer's length among answers to the same sample.
    same_family: judged models of the judge's own family, as the names tell.
    told: the same in words.

    Args:
        votes: Run.votes; those of people are left out, as nobody sees both orders.
        calls, scores: Run.calls and Run.scores, for judges by a rubric.
    """
    models = _models(votes, calls)
    rows = [_compared(judge, group, models, confidence) for judge, group in _by_rater(votes)]
    if calls is not None and scores is not None:
        rows += [_graded(judge, group, models, confidence) for judge, group in _by_score(calls, scores).items()]
    kinds = {name: _kind(name) for name in COLUMNS}
    table: pd.DataFrame = late("pandas", "frames").DataFrame(rows, columns=list(COLUMNS)).astype(kinds)
    return table


def _kind(name: str) -> str:
    if name in ("judged", "failed", "longer_n"):
        return "Int64"
    return "string" if name in ("judge", "kind", "same_family", "told") else "Float64"


def _models(votes: pd.DataFrame, calls: pd.DataFrame | None) -> dict[str, str]:
    """The judged models, each with the names that tell its family."""
    found = {str(name): str(name) for column in ("model_a", "model_b") for name in votes[column].dropna().unique()}
    if calls is not None:
        for model, answered in zip(calls["model"], calls["answered_by"].fillna(""), strict=True):
            found[str(model)] = str(answered) or found.get(str(model), str(model))
    return found


# --- comparisons ------------------------------------------------------------------------------------------


def _by_rater(votes: pd.DataFrame) -> list[tuple[str, list[Orders]]]:
    groups: dict[str, list[Orders]] = defaultdict(list)
    for rater, told in zip(votes["rater"].fillna(""), votes["explanation"].fillna(""), strict=True):
        orders = read_orders(str(told))
        if orders is not None:
            groups[str(rater)].append(orders)
    return list(groups.items())


def _compared(judge: str, all_orders: Sequence[Orders], models: dict[str, str], confidence: float) -> list[Any]:
    known = [orders for orders in all_orders if orders.winner is not None]
    agree = Share.of(sum(o.a_first == o.b_first for o in known), len(known), confidence)
    first = _first_wins(known, confidence)
    longer = _longer_wins(known, confidence)
    kin = _kin(judge, models)
    told = _told(agree, first, longer, kin)
    return [
        judge, "pairwise", len(known), len(all_orders) - len(known), *agree[:3], *first[:3], *longer, None, None, None,
        kin or None, told,
    ]  # fmt: skip


def _first_wins(known: Iterable[Orders], confidence: float) -> Share:
    """Of pairs that one order gives to a and the other to b: who stands first wins both, or loses both."""
    split = Counter((o.a_first, o.b_first) for o in known)
    won, lost = split["a", "b"], split["b", "a"]
    return Share.of(won, won + lost, confidence)


def _longer_wins(known: Iterable[Orders], confidence: float) -> Share:
    decided = [o for o in known if o.winner in ("a", "b") and o.a_length != o.b_length]
    won = sum((o.winner == "a") == (o.a_length > o.b_length) for o in decided)
    return Share.of(won, len(decided), confidence)


def _told(agree: Share, first: Share, longer: Share, kin: str) -> str:
    if agree.value is None:
        return "no comparison has a verdict"
    told = [f"both orders agree in {agree.value:.0%} of {agree.total} comparisons"]
    if first.low is not None and first.high is not None and (first.low > 0.5 or first.high < 0.5):
        told.append(f"it favours the answer that stands {'first' if first.low > 0.5 else 'second'}")
    if longer.low is not None and longer.high is not None and longer.value is not None:
        moved = longer.low > 0.5 or longer.high < 0.5
        side = ("more" if longer.value > 0.5 else "less") + " than chance" if moved else "as chance would have it"
        told.append(f"the longer answer wins {longer.value:.0%} of {longer.total}, {side}")
    if agree.total < _FEW:
        told.append("few comparisons: the intervals are wide")
    return "; ".join([*told, *([f"same family as {kin}"] if kin else [])])


def _kin(judge: str, models: dict[str, str]) -> str:
    return ", ".join(name for name, tells in models.items() if (families(name) | families(tells)) & families(judge))


# --- scores by a rubric -----------------------------------------------------------------------------------


def _by_score(calls: pd.DataFrame, scores: pd.DataFrame) -> dict[str, list[Rated]]:
    """What each judge gave; a score without a value is a failure, and cannot be told from whom it would be."""
    known = {
        str(key): (str(ident), len(output))
        for key, ident, output in zip(calls["key"], calls["id"], calls["output"].fillna(""), strict=True)
    }
    groups: dict[str, list[Rated]] = defaultdict(list)
    valued = scores[scores["value"].notna()]
    rows = zip(valued["key"], valued["value"], valued["explanation"].fillna(""), strict=True)
    for key, value, told in rows:
        rater = read_rater(str(told))
        if rater is not None and str(key) in known:
            groups[rater].append(Rated(*known[str(key)], float(value)))
    return groups


def _graded(judge: str, rated: Sequence[Rated], models: dict[str, str], confidence: float) -> list[Any]:
    correlation, low, high = _length_correlation(rated, confidence)
    kin = _kin(judge, models)
    told = [f"{len(rated)} answers graded"]
    if correlation is not None:
        moved = low is not None and high is not None and (low > 0 or high < 0)
        told.append(f"score and length correlate by {correlation:.2f}" + ("" if moved else ", as chance would have it"))
    told += [f"same family as {kin}"] if kin else []
    none = (None,) * 9
    return [
        judge, "rubric", len(rated), None, *none, None, correlation, low, high, kin or None, "; ".join(told),
    ]  # fmt: skip


def _length_correlation(rated: Sequence[Rated], confidence: float) -> tuple[float | None, float | None, float | None]:
    """Spearman's, of what differs among answers to the same sample: hard questions have long answers and bad scores.

    The interval is Fisher's with as many observations as there are samples, as answers to one sample hang together.
    """
    groups: dict[str, list[Rated]] = defaultdict(list)
    for one in rated:
        groups[one.sample].append(one)
    several = [group for group in groups.values() if len(group) > 1]
    lengths = [
        math.log1p(one.length) - _mean(math.log1p(o.length) for o in group) for group in several for one in group
    ]
    values = [one.value - _mean(o.value for o in group) for group in several for one in group]
    if len(set(lengths)) < 2 or len(set(values)) < 2:
        return None, None, None
    stats = late("scipy.stats", "benchmark")
    found = float(stats.spearmanr(lengths, values).statistic)
    if len(several) < 4 or abs(found) > 1 - 1e-9:
        return found, None, None
    half = stats.norm.ppf(0.5 + confidence / 2) / math.sqrt(len(several) - 3)
    return found, math.tanh(math.atanh(found) - half), math.tanh(math.atanh(found) + half)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
