"""One prompt that several models answer at once, as far as they have come. The clock (monotonic seconds) comes in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from hybrid_nb.compare import HEADINGS, Comparison, Side, cells
from hybrid_nb.core.errors import HybridNbError, StreamInterruptedError
from hybrid_nb.notebook.widgets.style import Raw, cell
from hybrid_nb.notebook.words import latency, short, shortened
from hybrid_nb.router import Router
from hybrid_nb.stream import Stream

HEADS = (*HEADINGS, "answer")
ANSWER = 300  # characters in a table


class Trial:
    """One model's call, under way or over."""

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.stream: Stream | None = None
        self.side: Side | None = None  # when it is over
        self._started = started
        self._first: float | None = None  # seconds

    def start(self, router: Router, prompt: str) -> None:
        """Ask. What cannot be asked is over at once."""
        try:
            self.stream = router.stream(prompt, model=self.name)
        except HybridNbError as error:
            self.side = Side(self.name, None, error)

    def look(self, now: float) -> None:
        """Read what has come."""
        try:
            while self.side is None and self.stream is not None:
                piece = self.stream.poll(0)
                if piece is None:
                    self.side = Side(self.name, self.stream.reply)
                elif not piece:
                    return
                elif self._first is None:
                    self._first = now - self._started
        except HybridNbError as error:
            self.side = Side(self.name, None, error)

    def stop(self) -> None:
        """End it; what came is kept."""
        if self.side is None and self.stream is not None:
            self.stream.cancel()
            text = self.stream.text
            error = StreamInterruptedError("stopped", retryable=False, partial_text=text)
            self.side = Side(self.name, None, error)

    @property
    def text(self) -> str:
        """The answer so far."""
        if self.side is not None and self.side.reply is not None:
            return self.side.reply.text
        return "" if self.stream is None else self.stream.text

    def row(self, now: float) -> list[str]:
        """Under HEADS, in plain text."""
        if self.side is not None:
            return [*cells(self.side), self.text]
        state = "answering …" if self._first is not None else f"waiting for {now - self._started:.0f} s"
        return [self.name, latency(self._first) or "–", "–", "–", "–", state, self.text]


class Trials:
    """All of them."""

    def __init__(self, prompt: str, names: Sequence[str], now: float) -> None:
        self.prompt = prompt
        self.all = [Trial(name, now) for name in names]

    @property
    def running(self) -> int:
        """How many are under way."""
        return sum(trial.side is None for trial in self.all)

    def look(self, now: float) -> None:
        for trial in self.all:
            trial.look(now)

    def stop(self) -> None:
        for trial in self.all:
            trial.stop()

    @property
    def comparison(self) -> Comparison | None:
        """What router.compare() would give; None while any is under way."""
        sides = tuple(trial.side for trial in self.all if trial.side is not None)
        return Comparison(self.prompt, sides) if len(sides) == len(self.all) else None

    def caption(self) -> str:
        """What the table is, and whether it is at its end."""
        failed = sum(trial.side is not None and trial.side.reply is None for trial in self.all)
        over = f"{self.running} still running" if self.running else f"{len(self.all) - failed} answered"
        bad = f", {failed} failed or stopped" if failed else ""
        return f"“{short(self.prompt, 60)}” to {len(self.all)} models: {over}{bad}"

    def cells(self, now: float) -> list[list[Any]]:
        """The rows as they are shown: long answers and errors bounded."""
        return [_bounded(trial.row(now)) for trial in self.all]

    def plain(self, now: float) -> list[list[str]]:
        """The rows as bounded text."""
        return [[short(text, ANSWER) for text in trial.row(now)] for trial in self.all]


def _bounded(row: list[str]) -> list[Any]:
    name, *figures, route, answer = row
    model = Raw(escape(name).replace("/", "/<wbr>"))
    why = Raw(f'<span class="middling">{cell(shortened(route, 80))}</span>')
    more = f"… ({len(answer) - ANSWER:,} more characters)" if len(answer) > ANSWER else ""
    return [model, *figures, why, _long(answer[:ANSWER] + more) if answer else Raw("–")]


def _long(text: str) -> Raw:
    return Raw(f'<span class="long">{escape(text)}</span>')
