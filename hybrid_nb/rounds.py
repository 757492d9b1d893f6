"""Looking at providers from time to time: the rim of engine/checkups.py, on the portal.

A timer, and a short task while somebody is asked. Neither holds the router: one that nobody keeps is collected, and
its rounds end. Whatever goes wrong, the next round comes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from hybrid_nb import checks
from hybrid_nb.core import forks
from hybrid_nb.core.news import News
from hybrid_nb.core.provider import Provider, Transport
from hybrid_nb.engine.checkups import Agenda, Subject
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.engine.naps import Naps
from hybrid_nb.portal import portal

log = logging.getLogger("hybrid_nb")
SOONEST = 0.05  # seconds between rounds at least
AFTER_TROUBLE = 60.0  # seconds


class Ward(NamedTuple):
    """Whom to look after, and how often (seconds)."""

    providers: Iterable[Provider]
    interval: float


class Rounds:
    """The rounds of one router. `ward` gives what is in force now; None: nobody is to be looked at."""

    def __init__(
        self,
        ward: Callable[[], Ward | None],
        transport: Transport,
        health: Health,
        gate: Gate,
        news: News | None = None,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        patience: float = checks.PATIENCE,
    ) -> None:
        self._ward = ward
        self._transport = transport
        self._health = health
        self._gate = gate
        self._news = news or News()
        self._rng = rng or random.Random()
        self._clock = clock
        self._wall = wall
        self._patience = patience
        self._agenda = Agenda(self._rng)
        self._naps = Naps()
        self._begin()
        self._closed = False
        forks.afresh(self)

    def _begin(self) -> None:
        self._going = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def forked(self) -> None:
        """In a forked child: the timer and the task are the parent's. The next go() begins the child's own."""
        forks.keep(self._timer, self._task)
        self._begin()
        self._rng.seed()

    def go(self) -> None:
        """Begin, if not yet begun; from any thread, and cheap."""
        if not self._going and not self._closed:
            self._going = True
            portal().mailbox.post(_ring, weakref.ref(self))

    def changed(self) -> None:
        """The providers or the interval changed."""
        self._going = False
        self.go()

    async def stop(self) -> None:
        """No more rounds; one that is under way is ended. On the portal."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ring(self) -> None:
        if self._closed or self._task is not None:
            return  # the end of the task sets the timer
        wait = AFTER_TROUBLE
        try:
            wait = self._round()
        except Exception as error:  # a round that fails must not be the last
            log.debug("a round of health checks failed (%s)", type(error).__name__)
        if self._task is None:
            self._wait(wait)

    def _wait(self, seconds: float) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        seconds = max(seconds, SOONEST)
        now = self._clock()
        self._naps.start(now, self._wall(), now + seconds)
        self._timer = asyncio.get_running_loop().call_later(seconds, _ring, weakref.ref(self))

    def _round(self) -> float:
        """Begin to ask whom it is time for; seconds until the next round."""
        now = self._clock()
        if self._timer is not None and self._naps.look(now, self._wall()):
            self._agenda.woke(now)
        ward = self._ward()
        if ward is None or not ward.interval:
            return AFTER_TROUBLE  # until changed() says so earlier
        able = {p.name: p for p in ward.providers if p.enabled and not p.missing_key}
        found = self._agenda.look([self._subject(p) for p in able.values()], now, ward.interval)
        for name in found.told:
            self._health.told(name)
        if found.ask:
            self._naps.start(now, self._wall(), now + self._patience)
            self._task = asyncio.create_task(self._ask([able[name] for name in found.ask]))
            self._task.add_done_callback(self._asked)
        return found.wait

    def _subject(self, provider: Provider) -> Subject:
        record = self._health.records.get(provider.name)
        last = record.last_call_at if record else None
        return Subject(
            provider.name,
            provider.tier != "cloud",
            None if last is None else max(0.0, self._wall() - last),
            self._gate.latency.busy(provider.name) > 0,
            self._gate.state(provider) != "closed",
            bool(record and record.last_check and record.last_check.refused),
            min(self._gate.resting(endpoint) for endpoint in provider.endpoints),
        )

    async def _ask(self, providers: Iterable[Provider]) -> None:
        looks = [self._look(provider, self._clock()) for provider in providers]
        found = await asyncio.gather(*looks, return_exceptions=True)
        now = self._clock()
        if self._naps.look(now, self._wall()):
            self._agenda.woke(now)
            return  # what failed says nothing, and what went well did so before
        for check in found:
            if isinstance(check, Check):
                self._take(check, now)
            else:
                log.debug("a health check failed: %s", type(check).__name__)

    async def _look(self, provider: Provider, now: float) -> Check:
        """Ask the addresses that may be asked; those whose key was refused count as not well."""
        able = tuple(e for e in provider.endpoints if self._gate.resting(e) <= now)
        check = await checks.check(replace(provider, endpoints=able), self._transport, self._patience)
        return replace(check, endpoints=len(provider.endpoints))

    def _take(self, check: Check, now: float) -> None:
        if self._closed:
            return
        self._health.checked(check)
        self._gate.well(check.up, check.missing)
        self._news.tell("health")
        if check.retry_after is not None:
            self._agenda.put_off(check.provider, now + check.retry_after, now)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.debug("a round of health checks failed (%s)", type(task.exception()).__name__)
        self._wait(SOONEST)  # the agenda knows who is next


def weakly(method: Callable[[], Ward | None]) -> Callable[[], Ward | None]:
    """A bound method whose object is not kept alive by it; None when that is gone."""
    known = weakref.WeakMethod(method)

    def call() -> Ward | None:
        found = known()
        return found() if found is not None else None

    return call


def _ring(rounds: weakref.ref[Rounds]) -> None:
    found = rounds()
    if found is not None:
        found._ring()
