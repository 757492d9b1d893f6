"""One line in the cell that shows how far something is, and is empty when it has ended.

No widget: a saved notebook would keep a dead one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any

from IPython.display import display

from hybrid_nb.bench.traffic import bar
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.core.types import NO_MATHS
from hybrid_nb.notebook.display import is_static

BETWEEN = 0.2  # seconds between two draws


def line() -> bar.Shower:
    """A place for progress; a quiet one in static mode."""
    return bar.Told(None) if is_static() else CellLine()


class _Place:
    """A display that is updated in place, not too often, and emptied at the end."""

    def __init__(self, show: Callable[..., Any], clock: Callable[[], float]) -> None:
        self._show = show
        self._clock = clock
        self._handle: Any = None
        self._drawn = 0.0
        self._text = ""

    def put(self, text: str, done: int, total: int | None) -> None:
        late = self._handle is None or self._clock() - self._drawn >= BETWEEN
        if late and text != self._text:
            self._text = text
            self._draw(text, _html(text, done, total))

    def close(self) -> None:
        """Leave nothing behind."""
        if self._handle is not None:
            self._draw("", "")

    def _draw(self, text: str, html: str) -> None:
        self._drawn = self._clock()
        data = {"text/plain": text, "text/html": html}
        if self._handle is None:
            self._handle = self._show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class CellLine:
    """The line of a benchmark."""

    def __init__(self, show: Callable[..., Any] = display, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = _Place(show, clock)

    def show(self, now: Progress) -> None:
        self._place.put(bar.line(now), now.done, now.total)

    def close(self) -> None:
        self._place.close()


class Counter:
    """The line of a map, in place of a bar of tqdm and with as much of its ways as a map uses."""

    def __init__(
        self,
        total: int,
        what: str,
        unit: str,
        show: Callable[..., Any] = display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = _Place(show, clock)
        self._total, self._what, self._unit = total, what, unit
        self._clock, self._began, self._done, self._more = clock, clock(), 0, ""
        self.refresh()

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        self._more = f", {text}" if text else ""
        if refresh:
            self.refresh()

    def update(self, number: int = 1) -> None:
        self._done += number
        self.refresh()

    def refresh(self) -> None:
        passed, left = self._clock() - self._began, ""
        if 0 < self._done < self._total:
            left = f", {bar.minutes(passed / self._done * (self._total - self._done))} left"
        text = f"{self._what}: {self._done:,} of {self._total:,} {self._unit}s{self._more}{left}"
        self._place.put(text, self._done, self._total)

    def close(self) -> None:
        self._place.close()


def _html(text: str, done: int, total: int | None) -> str:
    """The line behind a bar of the browser's own, in the theme's colours."""
    told = escape(text)
    many = "" if total is None else f'<progress aria-label="{told}" max="{total}" value="{done}"></progress> '
    return f'<div class="{NO_MATHS}">{many}<span>{told}</span></div>'
