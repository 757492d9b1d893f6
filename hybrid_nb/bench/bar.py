"""One line that shows how far a run is, with tqdm where that is there; and the wait for a run beneath it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

from hybrid_nb.bench.job import Job
from hybrid_nb.bench.progress import Progress
from hybrid_nb.bench.results import Run
from hybrid_nb.core.types import money
from hybrid_nb.portal import SLICE


class Shower(Protocol):
    """Somewhere to show progress; called on the thread that waits."""

    def show(self, now: Progress) -> None: ...

    def close(self) -> None: ...


def follow(job: Job, progress: bool | Callable[[Progress], object]) -> Run:
    """Wait for a run, in short slices. An interrupt stops it, and what is finished is returned; a second one leaves
    the scoring out, a third one leaves the run alone and is raised.
    """
    shower = _shower(progress)
    presses = 0
    try:
        while True:
            try:
                while not job.wait(SLICE):
                    shower.show(job.progress)
                shower.show(job.progress)
                return job.result()
            except KeyboardInterrupt:
                presses += 1
                if presses > 2:
                    raise
                job.stop()
    finally:
        shower.close()


def _shower(progress: bool | Callable[[Progress], object]) -> Shower:
    if callable(progress):
        return Told(progress)
    return Line() if progress and _tqdm() is not None else Told(lambda _now: None)


class Told:
    """Tells a function. One that raises is told no more, with a warning: the run is worth more than its progress."""

    def __init__(self, tell: Callable[[Progress], object]) -> None:
        self._tell: Callable[[Progress], object] | None = tell

    def show(self, now: Progress) -> None:
        if self._tell is None:
            return
        try:
            self._tell(now)
        except Exception as error:
            self._tell = None
            warnings.warn(f"progress= raised {type(error).__name__}: {error}; the run goes on", stacklevel=2)

    def close(self) -> None:
        """Nothing to do."""


def _tqdm() -> Any:
    """tqdm for this place, a notebook or a terminal; None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook without ipywidgets: a line of text does
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return None
    return tqdm


class Line:
    """A bar that is gone when the run has ended."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def show(self, now: Progress) -> None:
        if self._bar is None or now.stage != self._stage:
            self.close()
            self._open(now)
        bar = self._bar
        bar.total, bar.n = now.total, now.done
        bar.set_postfix_str(told(now), refresh=False)
        bar.refresh()

    def _open(self, now: Progress) -> None:
        kind = _tqdm()
        self._stage = now.stage
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._bar = kind(total=now.total, initial=now.done, desc=now.stage, leave=False, dynamic_ncols=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def told(now: Progress) -> str:
    """What stands behind the bar: "2 failed, $0.0012 of $0.034 at most"."""
    parts = [f"{now.failed} failed"] if now.failed else []
    parts += [f"{now.skipped} not asked"] if now.skipped else []
    spent = money(now.spent_usd) if now.spent_usd else "$0"
    spent += f" and {now.unknown_cost} of unknown cost" if now.unknown_cost else ""
    parts.append(spent if now.estimate_usd is None else f"{spent} of {money(now.estimate_usd)} at most")
    return ", ".join(parts)
