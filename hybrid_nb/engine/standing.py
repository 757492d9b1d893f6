"""What evidence says of one target for one kind of request: bounds, and the words for them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hybrid_nb.core.types import Target
from hybrid_nb.engine.bounds import CONFIDENCE, PERCENTILE

DAY = 86_400.0  # seconds


class Score(NamedTuple):
    """A mean score with its bounds, from `n` samples (old ones count less), `age` seconds after the latest.

    `changed`: from the latest alone, which contradict those before.
    """

    mean: float
    low: float
    high: float
    n: float
    age: float
    changed: bool = False

    def __str__(self) -> str:
        change = ", it has changed" if self.changed else ""
        return f"{self.mean:.2f} (lower bound {floor(self.low)}, n={self.n:.0f}, {ago(self.age)}{change})"


class Speed(NamedTuple):
    """A percentile of seconds: certainly not below `least`, not above `most`; None: too few samples to say so."""

    least: float | None
    most: float | None
    n: float
    changed: bool = False

    def told(self, what: str) -> str:
        """In words, as in "p95 first token <= 0.61 s (95 %)"."""
        name = f"p{PERCENTILE * 100:g} {what}"
        if self.changed:
            slow = "it fails now" if self.least == math.inf else f"> {floor(self.least or 0.0)} s"
            return f"{name} {slow} in its latest {self.n:.0f} calls"
        if self.most is None:
            return f"{name} not certified (n={self.n:.0f})"
        if self.most == math.inf:
            return f"{name} none: it fails too often"
        return f"{name} <= {ceiling(self.most)} s ({CONFIDENCE:.0%})".replace("%)", " %)")


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a target. `output` is tokens and `cost` dollars of a call, `failed` the share without an answer;
    `together`: the quality is that of all clusters.
    """

    quality: Score | None = None
    ttft: Speed | None = None
    latency: Speed | None = None
    output: float | None = None
    cost: float | None = None
    calls: float = 0.0
    failed: float | None = None
    together: bool = False
    words: str = "not measured"

    @classmethod
    def of(
        cls,
        quality: Score | None,
        ttft: Speed | None,
        latency: Speed | None,
        output: float | None,
        cost: float | None,
        calls: float,
        failed: float | None,
        together: bool,
    ) -> Measured:
        """With the words, which are made once and not for each request."""
        parts = [] if quality is None else [f"{quality}{' of all clusters' if together else ''}"]
        parts += [speed.told(what) for speed, what in ((ttft, "first token"), (latency, "answer")) if speed is not None]
        if failed is not None and failed >= 0.01:
            parts.append(f"{failed:.0%} failed".replace("%", " %"))
        words = ", ".join(parts) or "not measured"
        return cls(quality, ttft, latency, output, cost, calls, failed, together, words)


@dataclass(frozen=True, slots=True)
class View:
    """What evidence says of all targets for one request.

    `kind` is the request's cluster and `note` what is to be told of how it was found; `learns`: live answers are
    scored, so that a call tells of quality; `left` is dollars that exploring may still cost, `typical` the tokens of
    an answer where nothing is known of a target.
    """

    targets: Mapping[Target, Measured] = field(default_factory=dict)
    kind: str | None = None
    note: str = ""
    learns: bool = False
    left: float = 0.0
    typical: float | None = None


def ago(seconds: float) -> str:
    """ "3 days old", "5 h old", "new": to a person's precision."""
    if seconds < 3600:
        return "new"
    if seconds < 2 * DAY:
        return f"{seconds / 3600:.0f} h old"
    return f"{seconds / DAY:.0f} days old"


def floor(value: float) -> str:
    """Two digits that do not promise more than there is."""
    return f"{math.floor(value * 100 + 1e-9) / 100:.2f}"


def ceiling(value: float) -> str:
    """Likewise of what is not passed."""
    return f"{math.ceil(value * 100 - 1e-9) / 100:.2f}"
