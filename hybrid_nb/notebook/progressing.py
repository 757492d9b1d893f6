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


class CellLine:
    """A display that is updated in place, and emptied at the end."""

    def __init__(self, show: Callable[..., Any] = display, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._handle: Any = None
        self._drawn = 0.0
        self._text = ""

    def show(self, now: Progress) -> None:
        text = bar.line(now)
        late = self._handle is None or self._clock() - self._drawn >= BETWEEN
        if late and text != self._text:
            self._text = text
            self._draw(text, _html(now, text))

    def close(self) -> None:
        if self._handle is not None:
            self._draw("", "")

    def _draw(self, text: str, html: str) -> None:
        self._drawn = self._clock()
        data = {"text/plain": text, "text/html": html}
        if self._handle is None:
            self._handle = self._show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _html(now: Progress, text: str) -> str:
    """The line behind a bar of the browser's own, in the theme's colours."""
    told = escape(text)
    many = (
        "" if now.total is None else f'<progress aria-label="{told}" max="{now.total}" value="{now.done}"></progress> '
    )
    return f'<div class="{NO_MATHS}">{many}<span>{told}</span></div>'
