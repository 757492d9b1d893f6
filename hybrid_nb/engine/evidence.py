"""What is known of each target from runs, live calls and feedback, by cluster of requests: events in, bounds out. Pure.

A sample counts half after each half-life, so that bounds widen with time and what nobody renews fades to "not
measured". A target that changed is not waited for so long: where its latest calls contradict what is known, they
alone count until they agree again. Times are unix time and come in; None is unknown, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hybrid_nb.core.types import Target
from hybrid_nb.engine.batch import Batch
from hybrid_nb.engine.samples import FADED, Scores, Times
from hybrid_nb.engine.standing import Measured, Score, Speed

RENEW = 60.0  # seconds after which all bounds are computed anew
NOTICE = 0.5  # seconds after which some of those are that live calls or time changed
AT_ONCE = 50
MOST_VIEWS = 64  # clusters that are kept ready
MOST_CELLS = 10_000  # above which live calls add no targets: models may be named endlessly
_LONGEST = 200.0  # half-lives after which the weights begin anew, long before they overflow


class Known(NamedTuple):
    """A row of Evidence.rows(): how many calls and scores there were, and what they come to now."""

    target: Target
    cluster: str | None
    scorer: str | None
    calls: float
    scores: float
    effective: float  # calls, as much as they are worth now
    measured: Measured
    age: float


@dataclass(slots=True)
class _Cell:
    """All samples of one target, of one cluster or of all."""

    count: float = 0.0  # of calls, whatever their age
    calls: float = 0.0
    failed: float = 0.0
    ttft: Times = field(default_factory=Times)
    latency: Times = field(default_factory=Times)
    output: tuple[float, float] = (0.0, 0.0)
    cost: tuple[float, float] = (0.0, 0.0)
    scores: dict[str, Scores] = field(default_factory=dict)
    at: float = -math.inf

    def add(self, batch: Batch, weight: float) -> None:
        self.count += batch.calls
        self.calls += weight * batch.calls
        self.failed += weight * batch.failed
        self.at = max(self.at, batch.at)
        self.ttft.add(batch.ttft, batch.failed, weight, batch.at, batch.live)
        self.latency.add(batch.latency, batch.failed, weight, batch.at, batch.live)
        self.output = (self.output[0] + weight * batch.output[0], self.output[1] + weight * batch.output[1])
        self.cost = (self.cost[0] + weight * batch.cost[0], self.cost[1] + weight * batch.cost[1])
        for scorer, sums in batch.scores.items():
            self.scores.setdefault(scorer, Scores()).add(sums, weight, batch.at, batch.live)

    def scaled(self, by: float) -> None:
        self.calls, self.failed = self.calls * by, self.failed * by
        self.output, self.cost = (self.output[0] * by, self.output[1] * by), (self.cost[0] * by, self.cost[1] * by)
        for times in (self.ttft, self.latency):
            times.scaled(by)
        for scores in self.scores.values():
            scores.scaled(by)


class _View:
    """The bounds of one cluster and scorer, and which of them are to be computed anew."""

    __slots__ = ("at", "changed", "looked", "stale", "targets", "typical")

    def __init__(self) -> None:
        self.at = self.looked = -math.inf  # when all were found stale, and when some of those were last computed
        self.typical: float | None = None
        self.targets: dict[Target, Measured] = {}
        self.changed: set[Target] = set()  # at once
        self.stale: set[Target] = set()  # some at a time, as there may be many

    def due(self, now: float) -> list[Target]:
        """Those whose time has come."""
        found, self.changed = list(self.changed), set()
        if self.stale and not 0 <= now - self.looked < NOTICE:  # below 0: the clock was set back
            self.looked = now
            found += [self.stale.pop() for _ in range(min(AT_ONCE, len(self.stale)))]
        return found


class Evidence:
    """All targets. `half_life` is seconds; `began` any unix time near those of the samples."""

    def __init__(self, half_life: float, began: float) -> None:
        self.half_life = half_life
        self._began = began
        self._cells: dict[tuple[Target, str | None], _Cell] = {}
        self._views: dict[tuple[str | None, str | None], _View] = {}
        self.clusters: set[str] = set()
        self.scorers: set[str] = set()
        self.told: dict[str, float] = {}  # by scorer, when a live answer was last scored

    def add(self, batch: Batch) -> None:
        """Samples of now or of the past. A live call makes no cluster: their names come from runs and feedback."""
        if batch.at - self._began > _LONGEST * self.half_life:
            self._rebase(batch.at)
        if batch.live and len(self._cells) >= MOST_CELLS and (batch.target, None) not in self._cells:
            return
        weight = self._weight(batch.at)
        self._cell(batch.target, None).add(batch, weight)
        known = (batch.target, batch.cluster) in self._cells
        if batch.cluster is not None and (known or batch.scores or not batch.live):
            self._cell(batch.target, batch.cluster).add(batch, weight)
            self.clusters.add(batch.cluster)
        self.scorers.update(batch.scores)
        if batch.live:
            for scorer in batch.scores:
                self.told[scorer] = max(batch.at, self.told.get(scorer, batch.at))
        at_once = bool(batch.scores) or not batch.live
        for view in self._views.values():
            (view.changed if at_once else view.stale).add(batch.target)

    def _cell(self, target: Target, cluster: str | None) -> _Cell:
        return self._cells.setdefault((target, cluster), _Cell())

    def _weight(self, at: float) -> float:
        """Later samples count more, which is the same as that earlier ones count less, and nothing need be touched."""
        return math.exp2(max(-_LONGEST, (at - self._began) / self.half_life))

    def _rebase(self, began: float) -> None:
        """Weights begin anew, before they are too large."""
        by = 1 / self._weight(began)
        self._began = began
        for cell in self._cells.values():
            cell.scaled(by)
        self._views.clear()

    def learns(self, scorer: str | None, now: float) -> bool:
        """Whether live answers are scored, so that trying one tells of its quality."""
        at = self.told.get(scorer) if scorer else None
        return at is not None and now - at <= self.half_life

    def view(self, cluster: str | None, scorer: str | None, now: float) -> Mapping[Target, Measured]:
        """What is known of each target for requests of a cluster (None: of all), by one scorer."""
        view = self._views.get((cluster, scorer))
        if view is None:
            if len(self._views) >= MOST_VIEWS:
                self._views.clear()
            view = self._views[cluster, scorer] = _View()
            view.changed = {target for target, _ in self._cells}
        elif not 0 <= now - view.at < RENEW:
            view.stale = {target for target, _ in self._cells}
        for target in view.due(now):
            view.targets[target] = self.measured(target, cluster, scorer, now)
        if not 0 <= now - view.at < RENEW:
            view.at = now
            outputs = [m.output for m in view.targets.values() if m.output is not None]
            view.typical = sum(outputs) / len(outputs) if outputs else None
        return view.targets

    def typical(self, cluster: str | None, scorer: str | None) -> float | None:
        """Tokens of an answer to such a request, of a target that nothing is known of: the mean of the others."""
        view = self._views.get((cluster, scorer))
        return view.typical if view else None

    def measured(self, target: Target, cluster: str | None, scorer: str | None, now: float) -> Measured:
        """The bounds of one target. What is not known of the cluster is taken from all of them together."""
        scale = 1 / self._weight(now)
        whole = self._cells.get((target, None), _NOTHING)
        own = whole if cluster is None else self._cells.get((target, cluster), _NOTHING)
        quality = _quality(own, scorer, scale, now)
        together = quality is None and own is not whole
        if together:
            quality = _quality(whole, scorer, scale, now)
        output, cost = (
            _mean(a, scale) if a[0] else _mean(b, scale)
            for a, b in ((own.output, whole.output), (own.cost, whole.cost))
        )
        return Measured.of(
            quality,
            _speed("ttft", own, whole, scale, now),
            _speed("latency", own, whole, scale, now),
            output,
            cost,
            whole.calls * scale,
            whole.failed / whole.calls if whole.calls else None,
            together,
        )

    def rows(self, now: float) -> Iterable[Known]:
        """Everything that is known, for looking: of each target, cluster and scorer."""
        for (target, cluster), cell in sorted(self._cells.items(), key=lambda item: (item[0][0], item[0][1] or "")):
            for scorer in cell.scores or (None,):
                count = cell.scores[scorer].count if scorer else 0.0
                found = self.measured(target, cluster, scorer, now)
                worth = cell.calls / self._weight(now)
                yield Known(target, cluster, scorer, cell.count, count, worth, found, max(0.0, now - cell.at))


def _mean(sums: tuple[float, float], scale: float) -> float | None:
    n, total = sums
    return total / n if n * scale >= FADED else None


def _quality(cell: _Cell, scorer: str | None, scale: float, now: float) -> Score | None:
    scores = cell.scores.get(scorer) if scorer else None
    return scores.told(scale, now) if scores else None


def _speed(what: str, own: _Cell, whole: _Cell, scale: float, now: float) -> Speed | None:
    """Of the cluster where there are enough samples of it, and nothing has changed for all of them."""
    times: Times = getattr(whole, what)
    everything = times.told(whole.calls, whole.failed, scale, now)
    if own is whole or (everything is not None and everything.changed):
        return everything
    times = getattr(own, what)
    found = times.told(own.calls, own.failed, scale, now)
    return found if found is not None and found.most is not None else everything


_NOTHING = _Cell()
