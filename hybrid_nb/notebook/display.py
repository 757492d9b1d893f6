"""Showing an answer: live Markdown, at most 15 draws a second and a last one; once in static mode; or plain text.

A display update resends the whole text, and Jupyter servers cut off floods, so the rate is bounded whatever the
speed of the tokens.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Protocol

import orjson
from IPython.display import display

DRAWS_PER_SECOND = 15
Bundle = dict[str, str]
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


def is_static() -> bool:
    """HYBRID_NB_DISPLAY=static: one output a cell, as notebooks under test need."""
    return os.environ.get("HYBRID_NB_DISPLAY", "").lower() == "static"


def code_of(text: str) -> str:
    """The fenced code of an answer, joined; the whole text when nothing is fenced."""
    blocks = _FENCE.findall(text)
    return "\n".join(block.rstrip() for block in blocks) if blocks else text


def pretty_json(text: str) -> str:
    """JSON indented; the text as it is when it is not JSON (yet)."""
    try:
        return orjson.dumps(orjson.loads(code_of(text)), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text


def _fenced(text: str, language: str) -> str:
    fence = "```" if "```" not in text else "````"
    return f"{fence}{language}\n{text}\n{fence}"


def bundle(text: str, kind: str, footer: str) -> Bundle:
    """The MIME bundle of an answer in a format, with its footer line."""
    if kind == "html":
        html = f"{code_of(text) if _FENCE.search(text) else text}<div><sub>{escape(footer)}</sub></div>"
        return {"text/html": html, "text/plain": _plain(text, footer)}
    body = {
        "markdown": lambda: text,
        "text": lambda: _fenced(text, ""),
        "json": lambda: _fenced(pretty_json(text), "json"),
        "code": lambda: _fenced(code_of(text), "python"),
    }[kind]()
    shown = {"json": pretty_json, "code": code_of}.get(kind, str)(text)
    return {"text/markdown": f"{body}\n\n<sub>{footer}</sub>", "text/plain": _plain(shown, footer)}


def _plain(text: str, footer: str) -> str:
    return f"{text}\n\n— {footer}" if text else f"— {footer}"


def noted(note: str) -> Bundle:
    """The MIME bundle of a quiet line; it may hold a server's words."""
    return {"text/markdown": f"<sub>{escape(note, quote=False)}</sub>", "text/plain": note}


class Answer(Protocol):
    """Somewhere to show an answer that is on its way."""

    def start(self, note: str) -> None:
        """Say who is asked."""

    def note(self, text: str) -> None:
        """Who is asked now; shown until there is text."""

    def add(self, piece: str) -> None:
        """More text came."""

    def due(self) -> float | None:
        """Seconds until there is something to draw; None: nothing waits."""

    def tick(self) -> None:
        """Draw what waits, when it is time."""

    def finish(self, text: str, footer: str) -> None:
        """The last draw."""

    def fail(self, note: str) -> None:
        """There is no answer; the error is told by itself, so only what was drawn before is replaced."""


class LiveAnswer:
    """A display that is updated in place. `clock` is monotonic seconds."""

    def __init__(
        self, kind: str, show: Callable[..., Any] = display, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.kind = kind
        self._show = show
        self._clock = clock
        self._parts: list[str] = []
        self._note = ""
        self._drawn = -1.0
        self._dirty = False
        self._handle: Any = None
        self.draws = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def start(self, note: str) -> None:
        self._note = note
        self._draw(noted(note))

    def note(self, text: str) -> None:
        if text != self._note and not self._parts:
            self._note, self._dirty = text, True

    def add(self, piece: str) -> None:
        self._parts.append(piece)
        self._dirty = True

    def due(self) -> float | None:
        return max(0.0, self._drawn + 1 / DRAWS_PER_SECOND - self._clock()) if self._dirty else None

    def tick(self) -> None:
        if self.due() != 0:
            return
        if not self._parts:
            self._draw(noted(self._note))
        else:
            self._draw(bundle(self.text, self.kind if self.kind != "html" else "text", "…"))

    def finish(self, text: str, footer: str) -> None:
        self._draw(bundle(text, self.kind, footer))

    def fail(self, note: str) -> None:
        if self._handle is not None:
            self._draw(noted(note))

    def _draw(self, data: Mapping[str, str]) -> None:
        self._drawn, self._dirty = self._clock(), False
        self.draws += 1
        if self._handle is None:
            self._handle = self._show(dict(data), raw=True, display_id=True)
        else:
            self._handle.update(dict(data), raw=True)


class UnseenAnswer:
    """Nothing is shown: for a call in the background where no display can be updated."""

    def start(self, note: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def add(self, piece: str) -> None:
        """Nothing."""

    def due(self) -> float | None:
        return None

    def tick(self) -> None:
        """Nothing."""

    def finish(self, text: str, footer: str) -> None:
        """Nothing."""

    def fail(self, note: str) -> None:
        """Nothing."""


class StaticAnswer(UnseenAnswer):
    """One display at the end."""

    def __init__(self, kind: str, show: Callable[..., Any] = display) -> None:
        self.kind = kind
        self._show = show

    def finish(self, text: str, footer: str) -> None:
        self._show(bundle(text, self.kind, footer), raw=True)


class TerminalAnswer(UnseenAnswer):
    """Text as it comes, in a terminal that cannot redraw."""

    def __init__(self, write: Callable[[str], Any] | None = None) -> None:
        self._write = write or _to_stdout
        self._shown = 0

    def add(self, piece: str) -> None:
        self._shown += len(piece)
        self._write(piece)

    def finish(self, text: str, footer: str) -> None:
        self._write(f"{text[self._shown :]}\n\n— {footer}\n")


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def is_live(shell: Any) -> bool:
    """Whether this shell's displays can be updated in place."""
    return hasattr(shell, "kernel") and not is_static()


def answer_for(shell: Any, kind: str, stream: bool) -> Answer:
    """The way to show an answer in this shell."""
    if is_live(shell):
        return LiveAnswer(kind)
    return StaticAnswer(kind) if is_static() or not stream else TerminalAnswer()
