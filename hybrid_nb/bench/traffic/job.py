"""A benchmark under way: its calls, then its scores, then its Run; and the handle on it from another thread."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from hybrid_nb.bench.grading.protocol import Vote
from hybrid_nb.bench.grading.rating import Rating
from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.bench.traffic.journal import Journal
from hybrid_nb.bench.traffic.lag import delays, invalid, spread
from hybrid_nb.bench.traffic.load import Load
from hybrid_nb.bench.traffic.progress import Counts, Progress, Stage
from hybrid_nb.portal import SLICE, portal


@dataclass
class Keeping:
    """Where calls and scores go as they end: into memory, and into the journal where there is one."""

    counts: Counts
    calls: list[Call] = field(default_factory=list)
    journal: Journal | None = None
    broken: Callable[[str], None] = lambda _reason: None  # what a journal that cannot be written leads to
    _held: set[str] = field(default_factory=set)  # what is in the journal as held has to end there

    def call(self, call: Call, spent: Decimal) -> None:
        """A call has ended, or is not asked."""
        self.calls.append(call)
        self.counts.took(call)
        held = call.key in self._held
        self._held.discard(call.key)
        if held or call.status != "skipped" or call.attempts:
            self._write(lambda journal: journal.call(call, spent))

    def hold(self, key: str, most: Decimal) -> None:
        self._held.add(key)
        self._write(lambda journal: journal.hold(key, most))

    def score(self, key: str, scorer: str, score: Score) -> None:
        self._write(lambda journal: journal.score(key, scorer, score))

    def vote(self, vote: Vote) -> None:
        self._write(lambda journal: journal.vote(vote))

    def judged(self, key: str, cost: float | None, spent: Decimal) -> None:
        self._write(lambda journal: journal.judged(key, cost, spent))

    def _write(self, write: Callable[[Journal], None]) -> None:
        if self.journal is None:
            return
        try:
            write(self.journal)
        except OSError as error:  # a full disk: what is there is in memory, and is returned
            self.close()
            self.broken(f"the journal cannot be written: {error}")

    def close(self) -> None:
        if self.journal is not None:
            journal, self.journal = self.journal, None
            journal.close()


class Bench:
    """One run under way. Belongs to the portal's loop; `progress` may be read from any thread."""

    def __init__(self, load: Load, kept: Keeping, info: Info, rating: Rating | None, save: Path | None) -> None:
        self.load = load
        self.kept = kept
        self.info = info
        self.rating = rating
        self.save = save
        self.unsaved: str | None = None  # why the run is not in its folder
        self.stage: Stage = "preparing"
        self.begun = False
        self._began = time.monotonic()
        self._scoring: asyncio.Task[list[Vote]] | None = None
        kept.broken = load.close

    @property
    def progress(self) -> Progress:
        counts, purse = self.kept.counts, self.load.till.purse
        seconds = time.monotonic() - self._began
        done, total, left = counts.done, counts.total, counts.left(seconds)
        if self.stage == "scoring" and self.rating is not None:
            done, total, left = self.rating.done, self.rating.total, None
        return Progress(
            self.stage, done, total, counts.failed, counts.skipped, float(purse.known), purse.unknown,
            self.info.estimate_usd, seconds, left, self.info.settings.get("likely_usd"),
        )  # fmt: skip

    def stop(self, reason: str) -> None:
        """Calls under way are cancelled, and judges are not asked; at the second time nothing is scored either."""
        if self._scoring is not None and self.rating is not None and self.rating.stopped is not None:
            self._scoring.cancel()
        self.load.stop(reason)
        if self.rating is not None:
            self.rating.stop(reason)

    def abandon(self) -> None:
        """Nobody waits for it any more. For any thread."""
        if self.begun:
            portal().mailbox.post(self.stop, "interrupt")
        else:
            self.kept.close()  # let others write into its folder

    async def run(self) -> Run:
        """All of it."""
        self.stage, self._began = "calling", time.monotonic()
        try:
            await self.load.run()
            seconds = self.load.now
            votes = await self._score()
            self.stage = "ending"
            run = await asyncio.to_thread(self._run, votes, seconds)
        finally:
            self.kept.close()
        self.stage = "done"
        return run

    async def _score(self) -> list[Vote]:
        if self.rating is None:
            return []
        self.stage = "scoring"
        votes: list[Vote] = []
        self._scoring = asyncio.ensure_future(self.rating.score(self.kept.calls, _Voting(self.kept, votes)))
        try:
            return await self._scoring
        except asyncio.CancelledError:
            if not self._scoring.cancelled() or self.rating.stopped is None:
                raise
            return [*self.rating.before, *votes]

    def _run(self, votes: Sequence[Vote], seconds: float) -> Run:
        calls = sorted(self.kept.calls, key=lambda call: (call.started_at is None, call.started_at or 0.0))
        lags, rating = self.load.lag.seconds, self.rating
        info = replace(
            self.info,
            seconds=seconds,
            clock=self.load.start,
            judge_cost_usd=rating.tally.cost_usd if rating else 0.0,
            stopped=self.load.stopped or (rating.stopped if rating else None),
            loop_lag_s=spread(lags),
            schedule_delay_s=spread(delays(calls)),
            invalid=invalid(lags, calls),
            settings={**self.info.settings, "capped_calls": self.load.capped},
        )
        return self._saved(Run.of(calls, info, votes))

    def _saved(self, run: Run) -> Run:
        """Into its folder; a run that cannot be written is worth more than its folder, and says so."""
        if self.save is None:
            return run
        try:
            run.save(self.save)
        except (OSError, ValueError) as error:  # a full disk; what Parquet cannot hold
            told = " ".join(str(error).split())
            self.unsaved = f"the run is not saved in {self.save} ({told}); run.save(folder) writes it elsewhere"
            return replace(run, info=replace(run.info, notes=(*run.info.notes, self.unsaved)))
        return run


class _Voting:
    """Keeps votes by the way, so that they are there when the scoring is cut short."""

    def __init__(self, kept: Keeping, votes: list[Vote]) -> None:
        self._votes = votes
        self._kept = kept
        self.score, self.judged = kept.score, kept.judged

    def vote(self, vote: Vote) -> None:
        self._votes.append(vote)
        self._kept.vote(vote)


class Job:
    """A benchmark that runs in the background: what router.start_benchmark() returns.

    >>> job = router.start_benchmark(data, models)     # doctest: +SKIP
    >>> job.progress.done, job.progress.total          # doctest: +SKIP
    >>> run = job.result()                             # doctest: +SKIP
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._over = threading.Event()
        bench.begun = True
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
        """End it: calls under way are cancelled, and the Run has what is finished. Safe from any thread.

        Answers that are there are still scored, but by no judge; a second stop() leaves that out too.
        """
        portal().mailbox.post(self._bench.stop, reason)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        return self._over.wait(seconds)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back when it has ended, on the portal's thread, or here and at once when it is over already."""
        if not self._job.when_done(callback):
            callback()

    def result(self, timeout: float | None = None) -> Run:
        """The Run, when it has ended. Blocks; an interrupt leaves it running. Raises what broke it.

        Raises TimeoutError when it has not ended after `timeout` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._over.wait(SLICE):
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"the benchmark has not ended after {timeout:g} s; it goes on")
        return self._job.result()

    def __repr__(self) -> str:
        now = self.progress
        of = "" if now.total is None else f" of {now.total}"
        return f"Job({now.stage}: {now.done}{of} {'scores' if now.stage == 'scoring' else 'calls'})"


def utc_now() -> str:
    """This moment, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
