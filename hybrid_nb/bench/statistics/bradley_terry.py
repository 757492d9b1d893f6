"""Bradley-Terry ratings of counts of wins: the penalised likelihood, its maximum and a bootstrap. Arrays only.

Abilities are in log odds: P(i beats j) = 1 / (1 + exp(t_j - t_i)). `points` is a square matrix: how many votes i won
against j, ties as half for each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

POINTS = 400 / math.log(10)  # points of rating in one unit of log odds
PRIOR_POINTS = 600.0  # standard deviation of the prior of a rating
PENALTY = (POINTS / PRIOR_POINTS) ** 2
_BLOCK = 2_000_000  # numbers of one matrix of the fit that are in memory at once


def tally(first: Array, second: Array, weights: Array, count: int) -> Array:
    """The weights summed into a matrix at [first, second]."""
    np = late("numpy", "benchmark")
    found: Array = np.bincount(first * count + second, weights, count * count).reshape(count, count)
    return found


def fit(points: Array, centres: Array) -> Array:
    """The abilities of several matrices at once, of shape (matrices, models).

    Each is the maximum of its likelihood with a normal prior around its row of `centres`. One L-BFGS has them all,
    as the sum of independent losses is a loss.
    """
    np = late("numpy", "benchmark")
    step = max(1, _BLOCK // max(1, points.shape[1] ** 2))
    parts = [_fit(points[at : at + step], centres[at : at + step]) for at in range(0, len(points), step)]
    found: Array = np.concatenate(parts)
    return found


def _fit(points: Array, centres: Array) -> Array:
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 0.0, "gtol": 1e-6, "maxcor": 20}
    minimize = late("scipy.optimize", "benchmark").minimize
    found = minimize(_loss, centres.ravel() * 0, (points, centres), "L-BFGS-B", jac=True, options=options)
    result: Array = found.x.reshape(centres.shape)
    return result


def _loss(flat: Array, points: Array, centres: Array) -> tuple[float, Array]:
    """Minus the penalised log likelihood, and its gradient."""
    np, expit = late("numpy", "benchmark"), late("scipy.special", "benchmark").expit
    abilities = flat.reshape(centres.shape)
    gaps = abilities[:, :, None] - abilities[:, None, :]
    away = abilities - centres
    surprise = points * expit(-gaps)
    gradient = surprise.sum(axis=1) - surprise.sum(axis=2) + PENALTY * away
    return float((points * np.logaddexp(0, -gaps)).sum() + PENALTY / 2 * (away**2).sum()), gradient.ravel()


def bootstrap(
    first: Array, second: Array, gain: Array, clusters: Array, count: int, resamples: int, rng: np.random.Generator
) -> Array:
    """Abilities of resamples of the clusters, of shape (resamples, models); see hybrid_nb.bench.statistics.preference.

    `gain` is 1 where the first won, 0 where the second did, one half for a tie; `clusters` are numbers from 0 on.
    """
    np = late("numpy", "benchmark")
    total = int(clusters.max()) + 1 if len(clusters) else 0
    pseudo = _pseudo(first, second, count)
    points = rng.gamma(np.broadcast_to(pseudo, (resamples, count, count)))
    for each in points:
        weights = rng.exponential(size=total)[clusters]
        each += tally(first, second, weights * gain, count) + tally(second, first, weights * (1 - gain), count)
    return fit(points, rng.normal(0, 1 / math.sqrt(PENALTY), (resamples, count)))


def _pseudo(first: Array, second: Array, count: int) -> Array:
    """Mean pseudo-votes of each pair that was compared: one for each ability that is free, half of it each way."""
    np = late("numpy", "benchmark")
    met = tally(first, second, np.ones(len(first)), count)
    met = (met + met.T > 0) * 1.0
    free = count - len(groups(met))
    found: Array = met * (free / max(1.0, met.sum()))
    return found


def groups(points: Array) -> list[list[int]]:
    """The models that votes connect, also over others; one group where all can be compared."""
    np, graph = late("numpy", "benchmark"), late("scipy.sparse.csgraph", "benchmark")
    number, labels = graph.connected_components(points + points.T > 0, directed=False)
    return [np.flatnonzero(labels == each).tolist() for each in range(number)]
