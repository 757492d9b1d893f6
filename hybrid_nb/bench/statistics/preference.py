"""Which model is preferred: Bradley-Terry ratings of votes between two answers, with intervals.

P(i is preferred to j) = 1 / (1 + 10^((r_j - r_i) / 400)); a tie is half a vote for each. Ratings are the maximum of
the likelihood with a weak normal prior (standard deviation 600 points), found by L-BFGS, with a mean of 1000: 400
points more are odds of 10 to 1. Without a prior a model that won all its votes had a rating without bound.

Intervals are of a Bayesian bootstrap over prompts (Rubin 1981), as votes on one prompt are not independent: each
resample gives every prompt a weight that is drawn from Exp(1), with pseudo-votes of random weight (one in all for each
free rating, half of it each way) and a prior around a point that is drawn from it. For two models and a vote a prompt
that is Jeffreys' interval of the share of wins. Without pseudo-votes, ten wins of ten would be ten wins in every
resample, and the interval would have no width.

References: Bradley and Terry 1952; Chiang et al. 2024, "Chatbot Arena", arXiv 2403.04132.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.bench.statistics import bradley_terry
from hybrid_nb.bench.statistics.bradley_terry import POINTS, tally
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

MEAN = 1000.0
GAIN = {"a": 1.0, "tie": 0.5, "b": 0.0}  # what a vote gives to model_a
NEEDED = ("model_a", "model_b", "winner")
FEW = 10  # prompts under which a bootstrap over them may be too narrow
RANKING_COLUMNS = (
    "model", "rank", "rank_low", "rank_high", "rating", "rating_low", "rating_high", "votes", "wins", "losses", "ties",
    "win_share", "tied_with",
)  # fmt: skip
PAIR_COLUMNS = (
    "model_a", "model_b", "difference", "difference_low", "difference_high", "tied", "votes", "wins_a", "wins_b",
    "ties", "expected_share_a",
)  # fmt: skip
_COUNTS = ("rank", "rank_low", "rank_high", "votes", "wins", "losses", "ties", "wins_a", "wins_b")
_WORDS = ("model", "tied_with", "model_a", "model_b")


class LeftShare(NamedTuple):
    """Position bias: how often the answer on the left (or first) won, of the votes that were no tie.

    `low` and `high` are Wilson's interval of 95 %, `p` the exact two-sided test against one half; None without votes.
    """

    share: float | None = None
    low: float | None = None
    high: float | None = None
    votes: int = 0
    p: float | None = None

    def __str__(self) -> str:
        if self.share is None or self.low is None or self.high is None:
            return "left won: unknown, as no vote says it"
        return f"left won {self.share:.0%} of {self.votes} ({self.low:.0%} to {self.high:.0%})"


@dataclass(frozen=True, repr=False)
class Preference:
    """Ratings of models by votes.

    Attributes:
        models: in the order in which they were given, or first seen.
        ratings: one a model. `resampled`: the ratings of each resample, of shape (resamples, models).
        wins: votes that the model of the row won against that of the column; `ties`: the same for ties.
        confidence: of all intervals. `left`: position bias.
        notes: what a reader must know: too few prompts, models that were never compared.
    """

    models: tuple[str, ...]
    ratings: Array
    resampled: Array
    wins: Array
    ties: Array
    confidence: float
    left: LeftShare
    notes: tuple[str, ...]

    @property
    def order(self) -> list[int]:
        """The places of the models, the best first."""
        return sorted(range(len(self.models)), key=lambda i: (-self.ratings[i], self.models[i]))

    def table(self) -> pd.DataFrame:
        """One row a model, the best first.

        `rank` is by rating; rank_low and rank_high are its interval. `tied_with` names the models whose difference
        of ratings may be 0. `win_share`: of its votes, ties as half.
        """
        return _typed([self._row(i) for i in self.order], RANKING_COLUMNS)

    def _row(self, i: int) -> list[Any]:
        low, high = self._interval(self.resampled[:, i])
        best, worst = self._interval((self.resampled > self.resampled[:, [i]]).sum(axis=1) + 1)
        won, lost, tied = self.wins[i].sum(), self.wins[:, i].sum(), self.ties[i].sum()
        votes = won + lost + tied
        same = [self.models[j] for j in self.order if j != i and self.tied(i, j)]
        ranks = [int((self.ratings > self.ratings[i]).sum()) + 1, math.floor(best), math.ceil(worst)]
        share = (won + tied / 2) / votes if votes else None
        return [self.models[i], *ranks, self.ratings[i], low, high, votes, won, lost, tied, share, ", ".join(same)]

    def pairs(self) -> pd.DataFrame:
        """One row a pair, the better model first: the difference of ratings with its interval, `tied` where that
        holds 0, the votes, and the share of votes that the ratings expect (ties as half)."""
        order = self.order
        return _typed([self._pair(i, j) for n, i in enumerate(order) for j in order[n + 1 :]], PAIR_COLUMNS)

    def _pair(self, i: int, j: int) -> list[Any]:
        low, high = self.difference(i, j)
        won, lost, tied = self.wins[i, j], self.wins[j, i], self.ties[i, j]
        gap = float(self.ratings[i] - self.ratings[j])
        counts = [won + lost + tied, won, lost, tied]
        return [self.models[i], self.models[j], gap, low, high, low <= 0 <= high, *counts, 1 / (1 + 10 ** (-gap / 400))]

    def matrix(self) -> pd.DataFrame:
        """The share of votes that the model of the row won against that of the column, ties as half; missing where
        there are none."""
        total = self.wins + self.wins.T + self.ties
        with late("numpy", "benchmark").errstate(invalid="ignore"):
            share = (self.wins + self.ties / 2) / total
        found: pd.DataFrame = _pandas().DataFrame(share, self.models, self.models).astype("Float64")
        return found

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """The interval of the rating of model i less that of model j (their places)."""
        return self._interval(self.resampled[:, i] - self.resampled[:, j])

    def tied(self, i: int, j: int) -> bool:
        """Whether the difference may be 0."""
        low, high = self.difference(i, j)
        return low <= 0 <= high

    def _interval(self, values: Array) -> tuple[float, float]:
        tail = (1 - self.confidence) / 2
        low, high = late("numpy", "benchmark").quantile(values, [tail, 1 - tail])
        return float(low), float(high)

    def __repr__(self) -> str:
        return f"Preference({', '.join(f'{self.models[i]}: {self.ratings[i]:.0f}' for i in self.order)})"


def preference(
    votes: pd.DataFrame,
    models: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Preference:
    """Bradley-Terry ratings of votes, which are rows of VOTE_COLUMNS (`winner` is "a", "b", "tie" or missing).

    Args:
        votes: needs model_a, model_b and winner; `id` says which prompt (without: each vote is one of its own), and
            `left` which model stood left or first. Rows without a winner are left out.
        models: who is rated, also without a vote; votes on others are left out. None: all in the votes.
        confidence: of the intervals. resamples: of the bootstrap. seed: of its chance.

    Raises OptionValueError for votes that cannot be read.
    """
    np = late("numpy", "benchmark")
    _check(votes, confidence, resamples)
    known = votes[votes["winner"].notna()]
    seen = (name for pair in zip(known["model_a"], known["model_b"], strict=True) for name in pair)
    names = tuple(dict.fromkeys(models if models is not None else seen))
    known = known[known["model_a"].isin(names) & known["model_b"].isin(names)]
    first, second = (np.array([names.index(n) for n in known[side]], dtype=int) for side in ("model_a", "model_b"))
    gain, count = np.array([GAIN[word] for word in known["winner"]], dtype=float), len(names)
    clusters = _clusters(known)
    points = tally(first, second, gain, count) + tally(second, first, 1 - gain, count)
    found = bradley_terry.fit(points[None], np.zeros((1, count)))[0]
    rng = np.random.default_rng(seed)
    resampled = bradley_terry.bootstrap(first, second, gain, clusters, count, resamples, rng)
    wins = tally(first, second, gain == 1, count) + tally(second, first, gain == 0, count)
    ties = tally(first, second, gain == 0.5, count) + tally(second, first, gain == 0.5, count)
    notes = _notes(names, points, len(set(clusters.tolist())))
    return Preference(names, _ratings(found), _ratings(resampled), wins, ties, confidence, left_share(known), notes)


def left_share(votes: pd.DataFrame) -> LeftShare:
    """Position bias of votes; ties and votes that do not say what stood left are left out."""
    if "left" not in votes.columns:
        return LeftShare()
    decided = votes[votes["winner"].isin(["a", "b"]) & votes["left"].notna()]
    won = decided["model_a"].where(decided["winner"] == "a", decided["model_b"])
    count, left = len(decided), int((won == decided["left"]).sum())
    if not count:
        return LeftShare()
    test = late("scipy.stats", "benchmark").binomtest(left, count)
    interval = test.proportion_ci(method="wilson")
    return LeftShare(left / count, float(interval.low), float(interval.high), count, float(test.pvalue))


def _ratings(abilities: Array) -> Array:
    centred = abilities - abilities.mean(axis=-1, keepdims=True) if abilities.size else abilities
    result: Array = MEAN + POINTS * centred
    return result


def _clusters(votes: pd.DataFrame) -> Array:
    """The prompt of each vote as a number; a vote without one is its own."""
    ids = votes["id"] if "id" in votes.columns else [None] * len(votes)
    missing = _pandas().isna
    keys = [f"vote {n}" if missing(key) else f"prompt {key}" for n, key in enumerate(ids)]
    codes: Array = _pandas().factorize(_pandas().Series(keys, dtype="object"))[0]
    return codes


def _notes(names: Sequence[str], points: Array, prompts: int) -> tuple[str, ...]:
    if not points.sum():
        return ("there is no vote yet: all ratings are the prior's",)
    notes = []
    if prompts < FEW:
        notes.append(f"only {prompts} prompt{'' if prompts == 1 else 's'}: the intervals may be too narrow")
    found = bradley_terry.groups(points)
    if len(found) > 1:
        parts = " | ".join(", ".join(names[i] for i in group) for group in found)
        notes.append(f"never compared with each other, so that their difference is unknown: {parts}")
    return tuple(notes)


def _check(votes: pd.DataFrame, confidence: float, resamples: int) -> None:
    lacking = [name for name in NEEDED if name not in votes.columns]
    if lacking:
        raise OptionValueError(f"votes have no column {', '.join(lacking)}; they need {', '.join(NEEDED)}")
    wrong = sorted(set(votes["winner"].dropna().astype(str)) - set(GAIN))
    if wrong:
        raise OptionValueError(f"winner must be 'a', 'b', 'tie' or missing, not {wrong[0]!r}")
    if votes[["model_a", "model_b"]].isna().any(axis=None):
        raise OptionValueError("a vote does not say which models it compared")
    if (votes["model_a"] == votes["model_b"]).any():
        raise OptionValueError("a vote compares a model with itself")
    if not 0 < confidence < 1 or resamples < 1:
        raise OptionValueError("confidence must be between 0 and 1, and resamples 1 or more")


def _pandas() -> Any:
    return late("pandas", "frames")


def _typed(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    kinds = {name: "Int64" if name in _COUNTS else "string" if name in _WORDS else "Float64" for name in columns}
    kinds |= {"tied": "boolean"} if "tied" in columns else {}
    found: pd.DataFrame = _pandas().DataFrame(list(rows), columns=list(columns)).astype(kinds)
    return found
