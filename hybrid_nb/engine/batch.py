"""Samples of one target at one time, as sums: what evidence is made of, and what is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hybrid_nb.core.types import Target
from hybrid_nb.engine import bounds


class Batch(NamedTuple):
    """Samples of one target at one time: of a run, or of one live call. Sums, so that they can be kept and added.

    `ttft` and `latency` count calls by bucket of time, `failed` those without an answer among `calls`; `output` and
    `cost` are (count, sum) of tokens and dollars; `scores` are (count, sum, sum of squares) by scorer.
    """

    target: Target
    cluster: str | None
    at: float
    calls: float = 0.0
    failed: float = 0.0
    ttft: Mapping[int, float] = {}
    latency: Mapping[int, float] = {}
    output: tuple[float, float] = (0.0, 0.0)
    cost: tuple[float, float] = (0.0, 0.0)
    scores: Mapping[str, tuple[float, float, float]] = {}
    live: bool = False


def one_call(
    target: Target,
    cluster: str | None,
    at: float,
    ok: bool,
    ttft: float | None = None,
    latency: float | None = None,
    output: float | None = None,
    cost: float | None = None,
) -> Batch:
    """A live call: seconds, tokens of output and dollars; None: not known."""
    return Batch(
        target,
        cluster,
        at,
        1.0,
        0.0 if ok else 1.0,
        {} if ttft is None or not ok else {bounds.bucket(ttft): 1.0},
        {} if latency is None or not ok else {bounds.bucket(latency): 1.0},
        (0.0, 0.0) if output is None else (1.0, output),
        (0.0, 0.0) if cost is None else (1.0, cost),
        live=True,
    )


def one_score(target: Target, cluster: str | None, at: float, scorer: str, value: float) -> Batch:
    """A person's or program's word about one live answer, from 0 to 1."""
    return Batch(target, cluster, at, scores={scorer: (1.0, value, value * value)}, live=True)
