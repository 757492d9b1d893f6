"""`%%llm_compare` while it runs: the partial answers side by side in one display, at most 10 draws a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from IPython.display import display

from hybrid_nb.compare import Comparison, Side, beside, card, figures
from hybrid_nb.core.errors import HybridNbError, StreamInterruptedError
from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.following import Source, told

DRAWS_PER_SECOND = 10


class Contestant:
    """One model's call under way."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.reply: Reply | None = None
        self.error: HybridNbError | None = None

    @property
    def over(self) -> bool:
        return self.reply is not None or self.error is not None

    def look(self) -> None:
        """Read what came."""
        try:
            while not self.over:
                piece = self.source.poll(0)
                if piece is None:
                    self.reply = self.source.reply
                if not piece:
                    return
        except HybridNbError as error:
            self.error = error

    def stop(self) -> None:
        """End it; what was read is kept."""
        if not self.over:
            self.source.cancel()
            text = self.source.text
            self.error = StreamInterruptedError("stopped by an interrupt", retryable=False, partial_text=text)

    @property
    def side(self) -> Side:
        return Side(self.name, self.reply, self.error)

    def card(self, now: float) -> str:
        """What came so far, and what it is doing. `now` is time.monotonic()."""
        if self.reply is not None:
            return card(f"{self.reply.provider}/{self.reply.model}", self.reply.text, "done")
        text = self.source.text
        if self.error is not None:
            note = f"{type(self.error).__name__}: {self.error}"
            return card(self.name, text, note, failed=True)
        return card(self.name, text, "…" if text else told(self.source.asking, now))


class SideBySide:
    """Calls that are drawn together until the last has ended. Clock (time.monotonic()) and sleep come in."""

    def __init__(
        self,
        calls: Sequence[tuple[str, Source]],
        show: Callable[..., Any] = display,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._all = [Contestant(name, source) for name, source in calls]
        self._show = show
        self._clock = clock
        self._sleep = sleep
        self._handle: Any = None
        self._drawn = ""
        self.draws = 0

    def run(self, prompt: str) -> Comparison:
        """Draw until the end. An interrupt stops all calls, leaves what came on the screen, and is raised."""
        try:
            while self._look():
                self._draw(beside([one.card(self._clock()) for one in self._all]))
                self._sleep(1 / DRAWS_PER_SECOND)
        except BaseException:
            for one in self._all:
                one.stop()
            self._draw(beside([one.card(self._clock()) for one in self._all]) + figures(self.sides))
            raise
        comparison = Comparison(prompt, self.sides)
        self._draw(comparison._repr_html_(), comparison._repr_markdown_(), repr(comparison))
        return comparison

    def _look(self) -> bool:
        """Read what came from all; whether any is still under way."""
        for one in self._all:
            one.look()
        return not all(one.over for one in self._all)

    @property
    def sides(self) -> tuple[Side, ...]:
        return tuple(one.side for one in self._all)

    def _draw(self, html: str, markdown: str | None = None, plain: str | None = None) -> None:
        if html == self._drawn and markdown is None:
            return
        self._drawn = html
        self.draws += 1
        data = {"text/html": html, "text/plain": plain or f"{len(self._all)} models are asked …"}
        data |= {"text/markdown": markdown} if markdown is not None else {}
        if self._handle is None:
            self._handle = self._show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
