"""News of one router for all the panels that show it: one subscription and one thread, however many panels there are.

News come on the threads of calls, often and in crowds; panels are redrawn on the feed's own, a few times a second at
most, so that neither a stream nor the kernel waits for them.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from hybrid_nb.core import forks
from hybrid_nb.core.news import Topic
from hybrid_nb.router import Router

log = logging.getLogger("hybrid_nb")
RATE = 4.0  # redraws a second at most, of each panel; figures that change faster cannot be read
IDLE = 30.0  # seconds without anything to do after which the thread ends


class Reader(Protocol):
    """Who is redrawn."""

    topics: frozenset[str]
    every: float | None  # seconds

    def redraw(self, news: frozenset[str]) -> None:
        """Something happened; must not raise."""


class Agenda:
    """What each reader has not seen yet, and when it is its turn. Pure: the clock is passed in (seconds)."""

    def __init__(self, rate: float = RATE) -> None:
        self._gap = 1 / rate
        self._news: dict[int, set[str]] = {}
        self._drawn: dict[int, float] = {}
        self._every: dict[int, float | None] = {}
        self._topics: dict[int, frozenset[str]] = {}
        self._reminders: dict[int, float] = {}

    def join(self, who: int, topics: frozenset[str], every: float | None, now: float) -> None:
        """A reader who has just been drawn."""
        self._news[who], self._drawn[who], self._every[who], self._topics[who] = set(), now, every, topics

    def leave(self, who: int) -> None:
        for table in (self._news, self._drawn, self._every, self._topics, self._reminders):
            table.pop(who, None)

    def told(self, topic: str) -> bool:
        """Something happened; whether somebody wants to know."""
        wanted = [who for who, topics in self._topics.items() if topic in topics or topic == "closed"]
        for who in wanted:
            self._news[who].add(topic)
        return bool(wanted)

    def remind(self, who: int, at: float) -> None:
        """Redraw this one then in any case, with the news "reminder" if there are no others."""
        if who in self._news:
            self._reminders[who] = min(at, self._reminders.get(who, at))

    def due(self, who: int) -> float | None:
        """When a reader is to be redrawn; None: nothing is known that would."""
        soon = self._drawn[who] + self._gap if self._news[who] else None
        every = self._every[who]
        later = self._drawn[who] + every if every is not None else None
        return min((at for at in (soon, later, self._reminders.get(who)) if at is not None), default=None)

    def next(self) -> float | None:
        """When the next reader is due."""
        return min((at for who in self._news if (at := self.due(who)) is not None), default=None)

    def take(self, now: float) -> dict[int, frozenset[str]]:
        """Who is to be redrawn now, each with its news."""
        ready = [who for who in self._news if (at := self.due(who)) is not None and at <= now]
        found = {who: frozenset(self._news[who] or self._reason(who, now)) for who in ready}
        for who in ready:
            if self._reminders.get(who, now + 1) <= now:
                del self._reminders[who]
            self._news[who] = set()
            self._drawn[who] = now
        return found

    def _reason(self, who: int, now: float) -> set[str]:
        return {"reminder"} if self._reminders.get(who, now + 1) <= now else {"clock"}


class Feed:
    """The one listener to a router, for its panels. Use `feed_of(router)`."""

    def __init__(self, router: Router, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._agenda = Agenda()
        self._readers: dict[int, weakref.ref[Reader]] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop = router.watch(self._hear)
        forks.afresh(self)

    def forked(self) -> None:
        """In a forked child there is no thread of the parent's."""
        self._wake, self._thread = threading.Condition(), None

    def join(self, reader: Reader) -> None:
        """Redraw this one too, from now on."""
        with self._wake:
            self._readers[id(reader)] = weakref.ref(reader)
            self._agenda.join(id(reader), reader.topics, reader.every, self._clock())
            self._rouse()

    def remind(self, reader: Reader, seconds: float) -> None:
        """Redraw this one in so many seconds, with the news "reminder" if there are no others by then."""
        with self._wake:
            self._agenda.remind(id(reader), self._clock() + seconds)
            self._rouse()

    def leave(self, reader: Reader) -> None:
        """Not this one any more."""
        with self._wake:
            self._forget(id(reader))

    @property
    def readers(self) -> int:
        """How many panels hang on this subscription."""
        return len(self._readers)

    def _forget(self, who: int) -> None:
        self._readers.pop(who, None)
        self._agenda.leave(who)

    def _hear(self, topic: Topic) -> None:
        with self._wake:
            if self._agenda.told(topic):
                self._rouse()

    def _rouse(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hybrid_nb panels", daemon=True)
            self._thread.start()
        else:
            self._wake.notify()

    def _run(self) -> None:
        while self._step():  # which keeps no panel alive while it waits for the next
            pass

    def _step(self) -> bool:
        found = self._next()
        for reader, news in found or ():
            try:
                reader.redraw(news)
            except Exception as error:  # the panel shows what it can; the others are not to suffer
                log.warning("a panel was not redrawn (%s)", type(error).__name__)
        return found is not None

    def _next(self) -> list[tuple[Reader, frozenset[str]]] | None:
        """Wait for whom to redraw; None when there was nothing to do for a while, and the thread ends."""
        with self._wake:
            while True:
                now, at = self._clock(), self._agenda.next()
                if at is not None and at <= now:
                    return self._ready(now)
                if not self._wake.wait(IDLE if at is None else at - now) and at is None:
                    self._thread = None
                    return None

    def _ready(self, now: float) -> list[tuple[Reader, frozenset[str]]]:
        found = []
        for who, news in self._agenda.take(now).items():
            reader = self._readers[who]()
            if reader is None:
                self._forget(who)
            else:
                found.append((reader, news))
        return found


_feeds: weakref.WeakKeyDictionary[Router, Feed] = weakref.WeakKeyDictionary()
_lock = threading.RLock()  # a panel that is collected meanwhile leaves its feed on this thread


def feed_of(router: Router) -> Feed:
    """The feed of a router; one for all of its panels."""
    with _lock:
        found = _feeds.get(router)
        if found is None:
            found = _feeds[router] = Feed(router)
        return found
