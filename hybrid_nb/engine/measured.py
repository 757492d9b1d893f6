"""The strategy "measured": the cheapest target whose evidence certifies what the request needs. Pure.

1. meets      quality and times are certified: the cheapest first, unknown prices after known ones
2. open       quality is certified, a time is not: the cheapest first
3. late       quality is certified, a time is missed: the nearest first
4. below      quality is not certified: the best lower bound first
5. unknown    quality is asked for and nothing is known of it: the order of the configuration

So quality is never given up for a price or a time without the reason saying so. A share of the calls explores: what
may be cheaper, or better where nobody meets the need, goes first if a call can answer what is not known of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hybrid_nb.core.types import money
from hybrid_nb.engine.asks import Ask, Pair, Ranked
from hybrid_nb.engine.catalogue import Option
from hybrid_nb.engine.facts import Fact
from hybrid_nb.engine.standing import Measured, Speed, View

MEETS, OPEN, LATE, BELOW, UNKNOWN = range(5)
_NONE = Measured()
_priced = lru_cache(maxsize=4096)(money)


class Choice(NamedTuple):
    """The order; `extra` is dollars that exploring costs over the order without it; None: nothing was explored."""

    ranked: list[Ranked]
    extra: float | None = None


class _Place(NamedTuple):
    group: int
    by: float
    place: int
    option: Option
    measured: Measured
    cost: float | None
    slow: float | None = None  # seconds to the first token just now, where they are over the need


def measured(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """The order of choose()."""
    return choose(pairs, ask).ranked


def choose(pairs: Sequence[Pair], ask: Ask) -> Choice:
    """All options in order, and what exploring costs."""
    view = ask.facts.evidence or View()
    places = _placed(pairs, ask, view)
    places.sort(key=_key)
    trial = _trial(places, ask, view)
    words = _Words(places, ask, view)
    if trial is None:
        return Choice([(p.option, words.of(p)) for p in places])
    usual, tried = places[0], places[trial]
    rest = [(p.option, words.of(p)) for p in places if p is not tried]
    return Choice([(tried.option, words.tried(tried, usual)), *rest], _extra(tried, usual))


def _key(place: _Place) -> tuple[int, float, int]:
    return place[0], place[1], place[2]


# --- what each of them meets --------------------------------------------------------------------------------


def _placed(pairs: Sequence[Pair], ask: Ask, view: View) -> list[_Place]:
    known, needed = view.targets, ask.min_quality
    timed = ask.max_ttft is not None or ask.max_latency is not None
    typical = _typical(view) if known else None
    found: list[_Place] = []
    for place, (option, fact) in enumerate(pairs):
        m = known.get(option.target, _NONE)
        cost = ask.expected(option, typical if m.output is None else m.output)
        if cost is None:
            cost = m.cost
        by = math.inf if cost is None else cost
        if needed is not None and (m.quality is None or m.quality.low < needed):
            group, by = (UNKNOWN, 0.0) if m.quality is None else (BELOW, -m.quality.low)
            found.append(_Place(group, by, place, option, m, cost))
        elif not timed:
            found.append(_Place(MEETS, by, place, option, m, cost))
        else:
            group, over, slow = _in_time(m, fact, ask)
            found.append(_Place(group, over if group == LATE else by, place, option, m, cost, slow))
    return found


def _typical(view: View) -> float | None:
    """Tokens that answers have, for targets that nothing is known of: else they would be taken for dearer."""
    outputs = [m.output for m in view.targets.values() if m.output is not None]
    return sum(outputs) / len(outputs) if outputs else None


def _in_time(m: Measured, fact: Fact, ask: Ask) -> tuple[int, float, float | None]:
    """(group, how far a time is over its need, seconds to the first token just now if they are over it)."""
    group, over, slow = MEETS, 0.0, None
    for limit, speed in ((ask.max_ttft, m.ttft), (ask.max_latency, m.latency)):
        if limit is None or (speed is not None and speed.most is not None and speed.most <= limit):
            continue
        if speed is not None and speed.least is not None and speed.least > limit:
            group, over = LATE, max(over, speed.least / limit)
        else:
            group = max(group, OPEN)
    if ask.max_ttft is not None and fact.ttft is not None and fact.ttft > ask.max_ttft:
        group, over, slow = LATE, max(over, fact.ttft / ask.max_ttft), fact.ttft
    return group, over, slow


# --- exploring ----------------------------------------------------------------------------------------------


def _trial(places: Sequence[_Place], ask: Ask, view: View) -> int | None:
    """Which of them goes first for once, to learn of it; None: nobody does."""
    rng = ask.facts.rng
    if rng is None or not ask.explore or len(places) < 2 or rng.random() >= ask.explore:
        return None
    usual = places[0]
    able = [n for n in range(1, len(places)) if _worth(places[n], usual, ask, view)]
    return rng.choice(able) if able else None


def _worth(place: _Place, usual: _Place, ask: Ask, view: View) -> bool:
    """Whether it may be cheaper (or better, where nobody meets the need), and a call can tell."""
    if place.cost is None or not _open(place, ask, view):
        return False
    cheaper = usual.cost is None or place.cost < usual.cost
    return (cheaper or usual.group != MEETS) and _extra(place, usual) <= view.left


def _open(place: _Place, ask: Ask, view: View) -> bool:
    """Whether nothing that is known rules it out, and what is not known is told by calls."""
    m = place.measured
    if place.slow is not None:
        return False
    if ask.min_quality is not None and (m.quality is None or m.quality.low < ask.min_quality):
        if not view.learns or (m.quality is not None and m.quality.high < ask.min_quality and not m.quality.changed):
            return False
        asked = True
    else:
        asked = False
    for limit, speed in ((ask.max_ttft, m.ttft), (ask.max_latency, m.latency)):
        if limit is None or (speed is not None and speed.most is not None and speed.most <= limit):
            continue
        if _misses(speed, limit):
            return False
        asked = True
    return asked


def _misses(speed: Speed | None, limit: float) -> bool:
    return speed is not None and not speed.changed and speed.least is not None and speed.least > limit


def _extra(place: _Place, usual: _Place) -> float:
    """Dollars over the usual choice; all of its own cost where that of the usual one is unknown."""
    return max(0.0, (place.cost or 0.0) - (usual.cost or 0.0))


# --- in words -----------------------------------------------------------------------------------------------


class _Words:
    """The reasons of one decision."""

    def __init__(self, places: Sequence[_Place], ask: Ask, view: View) -> None:
        self._ask = ask
        self._first = places[0]
        self._met = sum(p.group == MEETS for p in places)
        self._needs = _needs(ask)
        self._note = "".join(f"; {part}" for part in (view.kind and f"cluster {view.kind}", view.note) if part)

    def of(self, place: _Place) -> str:
        """Why it has its place."""
        numbers = f"{place.measured.words}, {self._cost(place.cost)}"
        text = self._head(place) if place is self._first else self._other(place)
        if place.slow is not None:
            numbers = (
                f"asked late: {place.slow:.2f} s to first token, over max_ttft {self._ask.max_ttft:g} s; {numbers}"
            )
        return f"{text}{numbers}{self._note if place is self._first else ''}"

    def _head(self, place: _Place) -> str:
        if place.group == MEETS:
            return f"cheapest of {self._met} that meet {self._needs}: " if self._needs else "cheapest: "
        if place.group == OPEN:
            return f"nobody is certified to meet {self._needs}, this one may: "
        if place.group == UNKNOWN:
            return f"nobody is known to meet {self._needs}: "
        return f"nobody meets {self._needs}, {_BEST[place.group]}: "

    def _other(self, place: _Place) -> str:
        return f"meets {self._needs}: " if place.group == MEETS and self._needs else _OTHERS[place.group]

    def tried(self, place: _Place, usual: _Place) -> str:
        """Why it goes first for once."""
        may = f"it may {'be cheaper and ' if usual.group == MEETS else ''}meet {self._needs}"
        instead = f"instead of {usual.option.target} at {self._cost(usual.cost)}"
        return f"explored: {may}: {place.measured.words}, {self._cost(place.cost)} {instead}{self._note}"

    @staticmethod
    def _cost(cost: float | None) -> str:
        return "unknown cost" if cost is None else "free" if cost == 0 else f"{_priced(cost)} a call"


_BEST = {LATE: "this one is nearest and meets the quality", BELOW: "this one has the best quality bound"}
_OTHERS = {
    MEETS: "",
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
