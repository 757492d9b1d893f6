"""The strategy "measured": the cheapest target whose evidence certifies what the request needs. Pure.

1. meets      quality and times are certified: the cheapest first, unknown prices after known ones
2. open       quality is certified, a time is not: the cheapest first
3. late       quality is certified, a time is missed: the nearest first
4. below      quality is not certified: the best lower bound first
5. unknown    quality is asked for and nothing is known of it: the order of the configuration

So quality is never given up for a price or a time without the reason saying so. A share of the calls explores: what
may be cheaper, or better where nobody meets the need, goes first if a call can answer what is not known of it. Drawn
in proportion to what trying it is worth, and only where there is hope: of what tests/benchmark/regret.py compared
(anybody, the best, in proportion, with and without hope) the least regret.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hybrid_nb.core.types import Trial, money
from hybrid_nb.engine.asks import Ask, Pair, Ranked
from hybrid_nb.engine.bounds import Z
from hybrid_nb.engine.standing import Measured, Score, Speed, View

MEETS, OPEN, LATE, BELOW, UNKNOWN = range(5)
HOPE = 0.3  # the chance of being good enough from which on something cheaper is tried
_NONE = Measured()


class Choice(NamedTuple):
    """The order, and what exploring costs where the first is there for that."""

    ranked: list[Ranked]
    trial: Trial | None = None


def measured(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """The order of choose()."""
    return choose(pairs, ask).ranked


def choose(pairs: Sequence[Pair], ask: Ask) -> Choice:
    """All options in order, and what exploring costs."""
    board = _Board(pairs, ask)
    first, *others = board.order
    rest = board.told(others)
    tried = board.drawn(first, others)
    if tried is None:
        return Choice([(board.options[first], board.chosen(first)), *rest])
    del rest[others.index(tried)]
    usual = (board.options[first], board.chosen(first))
    trial = Trial(board.dearer(tried, first), board.costs[first] or 0.0)
    return Choice([(board.options[tried], board.tried(tried, first)), usual, *rest], trial)


class _Board:
    """One decision: what each option meets, by its place in the order of the configuration."""

    def __init__(self, pairs: Sequence[Pair], ask: Ask) -> None:
        self.ask, self.view = ask, ask.facts.evidence or View()
        self.options = [option for option, _ in pairs]
        known, expected, typical = self.view.targets, ask.expected, self.view.typical
        self.known = [known.get(option.target, _NONE) for option in self.options]
        self.costs: list[float | None] = []
        for option, m in zip(self.options, self.known, strict=True):
            # without a typical length, what nothing is known of would be taken for dearer
            cost = expected(option, typical if m.output is None else m.output)
            self.costs.append(m.cost if cost is None else cost)
        self.slow: dict[int, float] = {}  # seconds to the first token just now, where they are over the need
        if ask.max_ttft is not None:
            times = ((place, fact.ttft) for place, (_, fact) in enumerate(pairs))
            self.slow = {place: ttft for place, ttft in times if ttft is not None and ttft > ask.max_ttft}
        placed = self._placed()
        self.groups = [group for group, _, _ in placed]
        self.order = [place for _, _, place in sorted(placed)]
        self.needs = _needs(ask)

    def _placed(self) -> list[tuple[int, float, int]]:
        """(group, what decides within it, place)."""
        needed, ask = self.ask.min_quality, self.ask
        timed = ask.max_ttft is not None or ask.max_latency is not None
        found: list[tuple[int, float, int]] = []
        for place, m in enumerate(self.known):
            cost = self.costs[place]
            by = math.inf if cost is None else cost
            if needed is not None and (m.quality is None or m.quality.low < needed):
                found.append((UNKNOWN, 0.0, place) if m.quality is None else (BELOW, -m.quality.low, place))
            elif not timed:
                found.append((MEETS, by, place))
            else:
                group, over = self._in_time(m, place)
                found.append((group, over if group == LATE else by, place))
        return found

    def _in_time(self, m: Measured, place: int) -> tuple[int, float]:
        """(group, how far a time is over its need)."""
        group, over, limit = MEETS, 0.0, self.ask.max_ttft
        if limit is not None:
            group, over = _meets(m.ttft, limit)
            if place in self.slow:
                group, over = LATE, max(over, self.slow[place] / limit)
        if self.ask.max_latency is not None:
            other, far = _meets(m.latency, self.ask.max_latency)
            group, over = max(group, other), max(over, far)
        return group, over

    # --- exploring ------------------------------------------------------------------------------------------

    def drawn(self, first: int, others: Sequence[int]) -> int | None:
        """Which of the others goes first for once, to learn of it; None: nobody does."""
        rng, explore = self.ask.facts.rng, self.ask.explore
        if rng is None or not explore or not others or rng.random() >= explore:
            return None
        worth = {place: self._worth(place, first) for place in others}
        able = [place for place, value in worth.items() if value > 0]
        return rng.choices(able, [worth[place] for place in able])[0] if able else None

    def _worth(self, place: int, first: int) -> float:
        """What trying it is worth: the chance that it is good enough, times what it would save; 0: nothing, or a call
        cannot tell. Where nobody meets the need, the chance alone.
        """
        cost, usual, met = self.costs[place], self.costs[first], self.groups[first] == MEETS
        if cost is None or (met and usual is not None and cost >= usual) or not self._open(place):
            return 0.0
        chance = _chance(self.known[place].quality, self.ask.min_quality)
        if self.dearer(place, first) > self.view.left:
            return 0.0
        if not met or usual is None:
            return chance
        return chance * (usual - cost) if chance >= HOPE else 0.0

    def _open(self, place: int) -> bool:
        """Whether nothing that is known rules it out, and what is not known is told by calls."""
        ask, m = self.ask, self.known[place]
        if place in self.slow:
            return False
        asked = ask.min_quality is not None and (m.quality is None or m.quality.low < ask.min_quality)
        if asked and (not self.view.learns or _below(m.quality, ask.min_quality or 0.0)):
            return False
        for limit, speed in ((ask.max_ttft, m.ttft), (ask.max_latency, m.latency)):
            if limit is not None:
                group, _ = _meets(speed, limit)
                if group == LATE and not (speed is not None and speed.changed):
                    return False
                asked = asked or group != MEETS
        return asked

    def dearer(self, place: int, first: int) -> float:
        """Dollars over the usual choice; all of its own cost where that of the usual one is unknown."""
        return max(0.0, (self.costs[place] or 0.0) - (self.costs[first] or 0.0))

    # --- in words -------------------------------------------------------------------------------------------

    def told(self, places: Sequence[int]) -> list[Ranked]:
        """Those that are not first, each with its reason."""
        heads = {**_OTHERS, MEETS: f"meets {self.needs}: " if self.needs else ""}
        groups, options, known, costs = self.groups, self.options, self.known, self.costs
        found = [(options[p], f"{heads[groups[p]]}{known[p].words}, {_cost(costs[p])}") for p in places]
        return [(o, self._late(p) + text) for p, (o, text) in zip(places, found, strict=True)] if self.slow else found

    def chosen(self, place: int) -> str:
        """Why the first is first."""
        return f"{self._head(self.groups[place])}{self._late(place)}{self._numbers(place)}{self._note}"

    def tried(self, place: int, first: int) -> str:
        """Why another one goes first for once."""
        may = "it may be cheaper and" if self.groups[first] == MEETS else "it may"
        instead = f"instead of {self.options[first].target} at {_cost(self.costs[first])}"
        return f"explored: {may} meet {self.needs}: {self._numbers(place)} {instead}{self._note}"

    def _numbers(self, place: int) -> str:
        return f"{self.known[place].words}, {_cost(self.costs[place])}"

    @property
    def _note(self) -> str:
        kind = self.view.kind and f"cluster {self.view.kind}"
        return "".join(f"; {part}" for part in (kind, self.view.note) if part)

    def _late(self, place: int) -> str:
        if place not in self.slow:
            return ""
        return f"asked late: {self.slow[place]:.2f} s to first token, over max_ttft {self.ask.max_ttft:g} s; "

    def _head(self, group: int) -> str:
        if group == MEETS:
            met = self.groups.count(MEETS)
            return f"cheapest of {met} that meet {self.needs}: " if self.needs else "cheapest: "
        if group == OPEN:
            return f"nobody is certified to meet {self.needs}, this one may: "
        if group == UNKNOWN:
            return f"nobody is known to meet {self.needs}: "
        return f"nobody meets {self.needs}, {_BEST[group]}: "


def _meets(speed: Speed | None, limit: float) -> tuple[int, float]:
    """(group, how far it is over the limit) of a time."""
    if speed is None:
        return OPEN, 0.0
    if speed.most is not None and speed.most <= limit:
        return MEETS, 0.0
    if speed.least is not None and speed.least > limit:
        return LATE, speed.least / limit
    return OPEN, 0.0


def _below(quality: Score | None, needed: float) -> bool:
    return quality is not None and not quality.changed and quality.high < needed


def _chance(quality: Score | None, needed: float | None) -> float:
    """About how likely the quality is enough."""
    if needed is None:
        return 1.0
    if quality is None:
        return 0.5
    deviation = max(1e-6, (quality.high - quality.low) / (2 * Z))
    return 0.5 * math.erfc((needed - quality.mean) / deviation / math.sqrt(2))


@lru_cache(maxsize=8192)
def _cost(cost: float | None) -> str:
    return "unknown cost" if cost is None else "free" if cost == 0 else f"{money(cost)} a call"


_BEST = {LATE: "this one is nearest and meets the quality", BELOW: "this one has the best quality bound"}
_OTHERS = {
    OPEN: "its time is not certified: ",
    LATE: "too slow: ",
    BELOW: "its quality is not certified: ",
    UNKNOWN: "its quality is not known: ",
}


def _needs(ask: Ask) -> str:
    parts = [] if ask.min_quality is None else [f"quality >= {ask.min_quality:.2f}"]
    if ask.max_ttft is not None:
        parts.append(f"first token <= {ask.max_ttft:g} s")
    if ask.max_latency is not None:
        parts.append(f"answer <= {ask.max_latency:g} s")
    return " and ".join(parts)
