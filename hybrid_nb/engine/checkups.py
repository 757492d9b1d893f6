"""Whom to look at now, and when to look again: facts in, a round out. Pure; clock and chance are passed in.

- a server near by (local, LAN) is looked at every interval, used or not: somebody may just have started it
- a provider in the cloud only while it is in use, that is for QUIET intervals after a call ended there: three keys on
  a metered connection cost nothing while nobody asks
- nobody is asked whose calls tell as much: one is under way or ended less than an interval ago, and no breaker is open
- nobody is asked who refused our key (until the key changes, or a person looks), nor who asked to be left alone
- times are jittered, so that many kernels do not come in step; after a sleep everybody is looked at afresh, spread out
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

QUIET = 20  # intervals after a call's end for which a provider in the cloud is looked at
FIRST = (0.5, 1.5)  # of an interval, until the first look
NEXT = (0.8, 1.2)  # of an interval, between looks
AWAKE = (1.0, 10.0)  # seconds after a sleep, if the interval is no shorter
LONGEST_REST = 3600.0  # seconds for which a provider may ask not to be looked at


class Subject(NamedTuple):
    """What is known of a provider that may be asked: it is enabled, and has its key."""

    name: str
    near: bool  # local or on the LAN
    idle: float | None = None  # seconds since a call ended there; None: none did
    busy: bool = False  # a call is under way
    shut: bool = False  # a breaker is open or half-open
    refused: bool = False  # the last look was refused for its key
    resting: float = 0.0  # not to be asked until then; inf: its key was refused


class Round(NamedTuple):
    """Ask these now; of `told` calls told that they are there; look again in `wait` seconds."""

    ask: tuple[str, ...]
    told: tuple[str, ...]
    wait: float


class Agenda:
    """When each provider is due. `now` is seconds on one monotonic clock."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._due: dict[str, float] = {}
        self._interval = 0.0

    def look(self, subjects: Iterable[Subject], now: float, interval: float) -> Round:
        """What to do now; `interval` is seconds."""
        if interval != self._interval:
            self._interval = interval
            self._due.clear()
        before, self._due, ask, told = self._due, {}, [], []
        for subject in subjects:
            due = before.get(subject.name)
            if due is None:
                due = now + self._part(FIRST)
            elif due <= now:
                kind = case(subject, now, interval)
                due = self._next(subject, kind, now)
                ask += [subject.name] if kind == "ask" else []
                told += [subject.name] if kind == "told" else []
            self._due[subject.name] = due
        wait = min(self._due.values(), default=now + interval) - now
        return Round(tuple(ask), tuple(told), max(0.0, wait))

    def _part(self, share: tuple[float, float]) -> float:
        return self._interval * self._rng.uniform(*share)

    def _next(self, subject: Subject, kind: str, now: float) -> float:
        if kind == "told" and not subject.busy and subject.idle is not None:
            return now + max(self._interval - subject.idle, 0.1 * self._interval) * self._rng.uniform(1.0, NEXT[1])
        later = now + self._part(NEXT)
        return max(later, min(subject.resting, now + LONGEST_REST)) if kind == "leave" else later

    def put_off(self, name: str, until: float, now: float) -> None:
        """It asked not to be looked at before then."""
        if name in self._due:
            self._due[name] = max(self._due[name], min(until, now + LONGEST_REST))

    def woke(self, now: float) -> None:
        """We slept: what is known is old. Everybody is due soon, not all at once."""
        first, last = AWAKE
        last = max(first, min(last, self._interval))
        self._due = {name: now + self._rng.uniform(first, last) for name in self._due}


def case(subject: Subject, now: float, interval: float) -> str:
    """What a provider that is due needs: "ask", "told" (calls tell as much) or "leave"."""
    if subject.resting > now or subject.refused:
        return "leave"
    idle = subject.idle
    if not subject.near and not subject.busy and (idle is None or idle > QUIET * interval):
        return "leave"
    if subject.shut:
        return "ask"
    return "told" if subject.busy or (idle is not None and idle < interval) else "ask"
