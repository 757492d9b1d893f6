"""What a map says: one line before, a bar with done, failed, dollars and time left, and one line after."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from hybrid_nb.bench.traffic.bar import in_kernel
from hybrid_nb.core.late import late
from hybrid_nb.core.types import money

T = TypeVar("T")
LONG = 20_000  # rows from which on looking at them takes its time


class Count(NamedTuple):
    """How many rows, distinct requests, requests answered before, and rows without a prompt there are."""

    rows: int
    distinct: int
    before: int
    missing: int

    @property
    def to_ask(self) -> int:
        return self.distinct - self.before


def begin(count: Count, foreseen: str) -> str:
    """The line before. `foreseen` is Estimate.words()."""
    parts = [f"{_many(count.rows, 'row')}, {count.distinct:,} distinct"]
    parts += [f"{count.before:,} answered before"] if count.before else []
    parts += [f"{count.missing:,} without a prompt"] if count.missing else []
    asking = f"asking {count.to_ask:,}{foreseen}" if count.to_ask else "nothing to ask"
    return f"{', '.join(parts)}; {asking}"


class Sums:
    """What came of the calls of this run."""

    def __init__(self) -> None:
        self.well = 0
        self.failed = 0
        self.cost = 0.0  # of what is known
        self.unknown = 0  # calls of unknown cost

    def add(self, cost: float | None, failed: bool) -> None:
        """One more call ended."""
        self.failed += failed
        self.well += not failed
        self.unknown += cost is None
        self.cost += cost or 0.0

    @property
    def asked(self) -> int:
        return self.well + self.failed

    @property
    def money(self) -> str:
        """Dollars for people."""
        if self.asked and self.unknown == self.asked:
            return "unknown cost"
        return money(self.cost) + (f" and {_many(self.unknown, 'call')} of unknown cost" if self.unknown else "")


def end(sums: Sums, left: int, why: str) -> str:
    """The line after. `left` is how many were not asked, and `why`."""
    parts = (
        [f"{_many(sums.asked, 'call')}: {sums.well:,} well, {sums.failed:,} failed, {sums.money}"] if sums.asked else []
    )
    parts += [f"{left:,} not asked: {why}"] if left else []
    return "; ".join(parts)


def interrupted(done: int, total: int) -> str:
    """The line after an interrupt."""
    return f"interrupted: {done:,} of {total:,} answers are kept; run it again to go on from there"


def say(line: str) -> None:
    """A line for whoever runs the cell."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class Bar:
    """The bar; nothing where it is not wanted, in a notebook under test, and where tqdm is not installed."""

    def __init__(self, total: int, sums: Sums, shown: bool) -> None:
        self._sums = sums
        self._bar: Any = _tqdm(total) if shown and total else None

    def step(self, number: int = 1, spent: str | None = None) -> None:
        """So many more ended. `spent` is told where the sums do not know it yet."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._sums.failed:,} failed, {spent or self._sums.money}", refresh=False)
            self._bar.update(number)

    def tick(self) -> None:
        """Draw the time again."""
        if self._bar is not None:
            self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def reading(prompts: Iterable[T], total: int, shown: bool) -> Iterator[T]:
    """The prompts of a long frame, with a bar while they are looked at."""
    bar = _tqdm(total, "reading", "row") if shown and total >= LONG else None
    if bar is None:
        yield from prompts
        return
    try:
        for prompt in prompts:
            yield prompt
            bar.update()
    finally:
        bar.close()


def _tqdm(total: int, what: str = "map", unit: str = "call") -> Any:
    if os.environ.get("HYBRID_NB_DISPLAY", "").lower() == "static":
        return None
    if in_kernel():  # a bar of tqdm would leave a dead widget in the saved notebook
        return import_module("hybrid_nb.notebook.progressing").Counter(total, what, unit)  # above us: it loads on use
    try:
        kind = late("tqdm", "benchmark").tqdm
    except ImportError:
        return None
    return kind(total=total, desc=what, unit=unit, leave=False, disable=None)  # None: quiet where there is no terminal
