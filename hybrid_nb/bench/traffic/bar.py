"""One line that shows how far a run is, in a cell or by tqdm in a terminal; and the wait for a run beneath it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from hybrid_nb.bench.results import Run
from hybrid_nb.bench.traffic.job import Bench, Job
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.core.types import money
from hybrid_nb.portal import SLICE, portal


class Shower(Protocol):
    """Somewhere to show progress; called on the thread that waits."""

    def show(self, now: Progress) -> None: ...

    def close(self) -> None: ...


def follow(bench: Bench, shower: Shower) -> Run:
    """Show what a run may cost, begin it, and wait for it in short slices.

    An interrupt stops it, and what is finished is returned; at a second one nothing is scored, a third one is raised.
    """
    presses = 0
    try:
        if portal().inside:
            raise RuntimeError("a blocking call from hybrid_nb's own loop would wait for itself; use start_benchmark")
        shower.show(bench.progress)
        job = Job(bench)
        while True:
            try:
                while not job.wait(SLICE):
                    shower.show(job.progress)
                shower.show(job.progress)
                run = job.result()
                break
            except KeyboardInterrupt:
                presses += 1
                if presses > 2:
                    raise
                job.stop()
    except BaseException:
        bench.abandon()
        raise
    finally:
        shower.close()
    if bench.unsaved is not None:
        warnings.warn(bench.unsaved, stacklevel=4)  # where the person called
    return run


def shower(progress: bool | Callable[[Progress], object], cell: Callable[[], Shower | None]) -> Shower:
    """Where progress goes: to a function, into the cell (`cell` makes the place, None: this is none), to a terminal."""
    if callable(progress):
        return Told(progress)
    place = cell() if progress else Told(None)
    return place or _terminal()


def in_kernel() -> bool:
    """Whether this runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython is not None else None, "kernel")


def cell() -> Shower | None:
    """A line in the cell that runs; None outside of a kernel."""
    if not in_kernel():
        return None
    made: Shower = import_module("hybrid_nb.notebook.progressing").line()  # above us, so it loads on use
    return made


def _terminal() -> Shower:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm has one for notebooks without ipywidgets
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return Told(None)
    return Line(tqdm)


class Told:
    """Tells a function. One that raises is told no more, with a warning: the run is worth more than its progress."""

    def __init__(self, tell: Callable[[Progress], object] | None) -> None:
        self._tell = tell

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


class Line:
    """A bar of tqdm on standard error, gone when the run has ended; none where that is no terminal.

    Before it stands what the run may cost.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._bar: Any = None

    def show(self, now: Progress) -> None:
        if self._bar is None:
            self._bar = self._kind(total=now.total, initial=now.done, leave=False, dynamic_ncols=True, disable=None)
        bar = self._bar
        bar.set_description_str(SHOWN.get(now.stage, now.stage), refresh=False)
        if now.stage not in SHOWN:
            bar.set_postfix_str(line(now))
            return
        bar.total, bar.n = now.total, now.done
        bar.set_postfix_str(told(now), refresh=False)
        bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


SHOWN = {"calling": "calls", "scoring": "scores"}


def told(now: Progress) -> str:
    """What stands behind the bar: "2 failed, $0.0012 of $0.034 at most"."""
    parts = [f"{now.failed} failed"] if now.failed else []
    parts += [f"{now.skipped} not asked"] if now.skipped else []
    spent = money(now.spent_usd) if now.spent_usd else "$0"
    spent += f" and {now.unknown_cost} of unknown cost" if now.unknown_cost else ""
    parts.append(spent if now.estimate_usd is None else f"{spent} of {_most(now.estimate_usd)} at most")
    return ", ".join(parts)


def _most(dollars: float) -> str:
    return money(dollars) if dollars else "$0"


def line(now: Progress) -> str:
    """All of it in one line of text: "calls 12 of 40, 2 failed, $0.0012 of $0.034 at most, 0:20 left"."""
    if now.stage == "preparing":
        return f"{'' if now.total is None else f'{now.total:,} '}calls, {costs(now)}"
    if now.stage not in SHOWN:
        return {"ending": "putting the run together", "done": "done"}[now.stage]
    of = "" if now.total is None else f" of {now.total:,}"
    left = "" if now.left_s is None else f", {minutes(now.left_s)} left"
    return f"{SHOWN[now.stage]} {now.done:,}{of}, {told(now)}{left}"


def costs(now: Progress) -> str:
    """What it may cost: "likely $0.0012, $0.034 at most"."""
    if now.estimate_usd is None:
        return "at a cost that is not known"
    likely = "" if now.likely_usd is None else f"likely {_most(now.likely_usd)}, "
    return f"{likely}{_most(now.estimate_usd)} at most"


def minutes(seconds: float) -> str:
    """ "1:05", or "2:00:00" with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
