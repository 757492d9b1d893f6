"""The two answers of a match, asked for at the same time on threads of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.widgets.arena.matches import Match

log = logging.getLogger("hybrid_nb")


class Source(Protocol):
    """A call under way; a Stream is one."""

    @property
    def reply(self) -> Reply:
        """The reply; raises what the call raised."""

    def cancel(self) -> None:
        """End it."""


class Answer(NamedTuple):
    """What a model gave to a prompt, or why it gave nothing."""

    model: str  # as it was asked for
    reply: Reply | None
    error: Exception | None = None

    @property
    def text(self) -> str:
        return "" if self.reply is None else self.reply.text


Ask = Callable[[str, Any], Source]


class Bout:
    """A match whose answers are on their way, or there. `ended(bout)` is called once, when both are."""

    def __init__(self, match: Match, known: dict[str, Answer], ask: Ask, ended: Callable[[Bout], None]) -> None:
        self.match = match
        self.answers = dict(known)
        self.done = threading.Event()
        self._ask, self._ended = ask, ended
        self._lock = threading.Lock()
        self._sources: list[Source] = []
        self._cancelled = self._started = False

    def start(self) -> None:
        """Ask for what is not known, once. Where all is known, `ended` is called on this thread."""
        if self._started:
            return
        self._started = True
        missing = [name for name in (self.match.left, self.match.right) if name not in self.answers]
        if not missing:
            self._end()
        for name in missing:
            threading.Thread(target=self._run, args=(name,), name="hybrid_nb arena", daemon=True).start()

    def cancel(self) -> None:
        """Nobody wants the answers any more."""
        with self._lock:
            self._cancelled = True
            sources = list(self._sources)
        for source in sources:
            source.cancel()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def left(self) -> Answer:
        return self.answers[self.match.left]

    @property
    def right(self) -> Answer:
        return self.answers[self.match.right]

    @property
    def failed(self) -> list[Answer]:
        """The answers that did not come."""
        return [answer for answer in self.answers.values() if answer.error is not None]

    def _run(self, name: str) -> None:
        try:
            answer = Answer(name, self._reply(name))
        except Exception as error:  # told as a failed answer, whatever it was
            answer = Answer(name, None, error)
        with self._lock:
            self.answers[name] = answer
            last = len(self.answers) == 2
        if last:
            self._end()

    def _reply(self, name: str) -> Reply:
        source = self._ask(name, self.match.item.input)
        with self._lock:
            self._sources.append(source)
            cancelled = self._cancelled
        if cancelled:
            source.cancel()
        return source.reply

    def _end(self) -> None:
        self.done.set()
        try:
            self._ended(self)
        except Exception as error:  # the page cannot be told; names stay out of the log
            log.warning("the answers of a match could not be shown (%s)", type(error).__name__)
