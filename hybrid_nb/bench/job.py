"""A benchmark under way: its calls, then its scores, then its Run; and the handle on it from another thread."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from hybrid_nb.bench.lag import delays, invalid, spread
from hybrid_nb.bench.load import Load
from hybrid_nb.bench.progress import Counts, Progress, Stage
from hybrid_nb.bench.records import Call
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.portal import SLICE, portal


class Scoring(Protocol):
    """What scores the calls of a run when they have ended."""

    names: tuple[str, ...]
    cost_usd: float | None

    async def score(self, calls: Sequence[Call], told: Callable[[int, int], None]) -> Sequence[Sequence[Any]]:
        """Set the scores of the calls; `told` hears (done, total). Returns the votes."""


@dataclass
class Bench:
    """One run under way. Belongs to the portal's loop; `progress` may be read from any thread.

    Attributes:
        load: its calls. counts: of them. info: what it is run with.
        calls: those that have ended, with those of an earlier part.
        save: the folder for the finished run.
    """

    load: Load
    counts: Counts
    info: Info
    calls: list[Call] = field(default_factory=list)
    scoring: Scoring | None = None
    save: Path | None = None
    stage: Stage = "preparing"
    scored: tuple[int, int] = (0, 0)
    began: float = field(default_factory=time.monotonic)

    def keep(self, call: Call) -> None:
        """A call has ended."""
        self.calls.append(call)
        self.counts.took(call)

    @property
    def progress(self) -> Progress:
        counts, purse = self.counts, self.load.till.purse
        seconds = time.monotonic() - self.began
        done, total, left = counts.done, counts.total, counts.left(seconds)
        if self.stage == "scoring":
            (done, total), left = self.scored, None
        return Progress(
            self.stage, done, total, counts.failed, counts.skipped, float(purse.known), purse.unknown,
            self.info.estimate_usd, seconds, left,
        )  # fmt: skip

    async def run(self) -> Run:
        """All of it."""
        self.stage = "calling"
        self.began = time.monotonic()
        await self.load.run()
        votes = await self._score()
        self.stage = "ending"
        run = await asyncio.to_thread(self._finish, votes)
        self.stage = "done"
        return run

    async def _score(self) -> Sequence[Sequence[Any]]:
        if self.scoring is None:
            return ()
        self.stage = "scoring"
        return await self.scoring.score(self.calls, self._told)

    def _told(self, done: int, total: int) -> None:
        self.scored = (done, total)

    def _finish(self, votes: Sequence[Sequence[Any]]) -> Run:
        calls = sorted(self.calls, key=lambda call: (call.started_at is None, call.started_at or 0.0))
        info = replace(
            self.info,
            seconds=self.load.now,
            judge_cost_usd=self.scoring.cost_usd if self.scoring else 0.0,
            stopped=self.load.stopped,
            loop_lag_s=spread(self.load.lag.seconds),
            schedule_delay_s=spread(delays(calls)),
            invalid=invalid(self.load.lag.seconds, calls),
            settings={**self.info.settings, "capped_calls": self.load.capped},
        )
        run = Run.of(calls, info, votes)
        if self.save is not None:
            run.save(self.save)
        return run


class Job:
    """A benchmark that runs in the background: what router.start_benchmark() returns.

    >>> job = router.start_benchmark(data, models)     # doctest: +SKIP
    >>> job.progress.done, job.progress.total          # doctest: +SKIP
    >>> run = job.result()                             # doctest: +SKIP
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._over = threading.Event()
        self._job = portal().submit(bench.run())
        if not self._job.when_done(self._over.set):
            self._over.set()

    @property
    def progress(self) -> Progress:
        """How far it is; cheap, for any thread."""
        return self._bench.progress

    @property
    def done(self) -> bool:
        """Whether it has ended; then result() returns at once."""
        return self._over.is_set()

    def stop(self, reason: str = "interrupt") -> None:
        """End it: calls under way are cancelled, and the Run has what is finished. Safe from any thread."""
        portal().mailbox.post(self._bench.load.stop, reason)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        return self._over.wait(seconds)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back when it has ended, on the portal's thread, or here and at once when it is over already."""
        if not self._job.when_done(callback):
            callback()

    def result(self) -> Run:
        """The Run, when it has ended; blocks, and can be interrupted, which leaves it running. Raises what broke it."""
        while not self._over.wait(SLICE):
            pass
        return self._job.result()

    def __repr__(self) -> str:
        now = self.progress
        return f"Job({now.stage}: {now.done}{'' if now.total is None else f' of {now.total}'} calls)"


def utc_now() -> str:
    """This moment, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
