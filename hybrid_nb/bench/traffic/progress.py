"""How far a run is: what is done, what failed, what was spent, and the time that is left."""

from __future__ import annotations

from typing import Literal, NamedTuple

from hybrid_nb.bench.records import Call

Stage = Literal["preparing", "calling", "scoring", "ending", "done"]


class Progress(NamedTuple):
    """A moment of a run. None is unknown.

    Attributes:
        stage: what is being done.
        done, total: calls, or scores while scoring. `total` None: the run ends by time.
        failed: calls without a whole answer. skipped: calls that were not asked.
        spent_usd: dollars so far, as far as they are known; `unknown_cost` counts the calls whose cost is not.
        estimate_usd: dollars of the whole run, at most. likely_usd: with answers of about a thousand tokens.
        seconds: since it began. left_s: about how many more.
    """

    stage: Stage = "preparing"
    done: int = 0
    total: int | None = None
    failed: int = 0
    skipped: int = 0
    spent_usd: float = 0.0
    unknown_cost: int = 0
    estimate_usd: float | None = None
    seconds: float = 0.0
    left_s: float | None = None
    likely_usd: float | None = None


class Counts:
    """Counts calls as they end."""

    def __init__(self, total: int | None, kept: int = 0) -> None:
        self.total = total
        self.kept = kept  # of them from an earlier part of the run
        self.done = kept
        self.failed = 0
        self.skipped = 0

    def took(self, call: Call) -> None:
        """A call ended."""
        if call.status == "skipped":
            self.skipped += 1
            return
        self.done += 1
        self.failed += call.status != "ok"

    def left(self, seconds: float) -> float | None:
        """About how many more seconds, after so many; None while nothing is known."""
        new = self.done - self.kept
        if self.total is None or new <= 0 or seconds <= 0:
            return None
        return max(0, self.total - self.done - self.skipped) * seconds / new
