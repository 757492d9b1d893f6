"""An answer on its way, from the call to the screen: who is asked until the first token, then the text."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from hybrid_nb.core.asking import Asking, Progress, watched
from hybrid_nb.core.errors import StreamInterruptedError
from hybrid_nb.core.types import Message, Reply
from hybrid_nb.notebook.display import Answer
from hybrid_nb.portal import portal
from hybrid_nb.router import Router

POLL = 0.2  # seconds between looks at a silent call; an interrupt is noticed at once
BEGIN = 0.03  # seconds in which most calls have found whom to ask, so that the first draw says so
MOST_ERROR = 80  # characters of an error in a note


class Stopped(KeyboardInterrupt):
    """The kernel was interrupted during an answer. What came stays shown; a queue of cells stops, as it should."""

    def _render_traceback_(self) -> list[str]:
        return ["Stopped. The part that came is above, and in _llm_partial."]


class Cut(NamedTuple):
    """An answer that was stopped by an interrupt, as %llm_explain tells of it."""

    asked: str
    seconds: float
    text: str

    def __str__(self) -> str:
        kept = f"{len(self.text)} characters came and are in _llm_partial" if self.text else "nothing had come yet"
        return f"stopped by an interrupt after {self.seconds:.1f} s: {kept}\nasked: {self.asked}"


def cut(messages: Sequence[Message], started: float, text: str = "") -> Cut:
    """What is known of an answer that was asked for at `started` (time.monotonic()) and stopped now."""
    line = " ".join(messages[-1].text.split())
    return Cut(line if len(line) <= 200 else line[:197] + "...", time.monotonic() - started, text)


def told(asking: Asking | None, now: float) -> str:
    """Who is asked and for how long, what failed before, and what is waited for. `now` is time.monotonic()."""
    if asking is None:
        return "…"
    failed = [f"{target.provider} failed ({_short(error)})" for target, error in asking.failed]
    seconds = int(max(0.0, now - asking.since))
    since = f"… {seconds} s" if seconds else "…"
    doing = f"waiting to ask {asking.target} ({asking.waits})" if asking.waits else f"asking {asking.target}"
    return ", ".join([*dict.fromkeys(failed), f"{doing} {since}"])


def _short(error: str) -> str:
    line = " ".join(error.split())
    return line if len(line) <= MOST_ERROR else line[: MOST_ERROR - 1] + "…"


class Source(Protocol):
    """A call under way: a Stream, or one whose answer comes in one piece."""

    @property
    def text(self) -> str:
        """What came so far."""

    @property
    def asking(self) -> Asking | None:
        """Who is asked now."""

    @property
    def reply(self) -> Reply:
        """The whole reply; waits, and raises what the call raised."""

    def poll(self, timeout: float | None) -> str | None:
        """The next piece; None at the end, "" when nothing came in `timeout` seconds. Raises what broke."""

    def cancel(self) -> None:
        """Stop it."""


class Whole:
    """A call whose answer comes in one piece, with its progress to look at."""

    text = ""

    def __init__(self, router: Router, messages: Sequence[Message], options: dict[str, Any]) -> None:
        self._progress = Progress()
        self._over = threading.Event()
        self._job = portal().submit(watched(self._progress, lambda: router.achat(messages, **options)))
        if not self._job.when_done(self._over.set):
            self._over.set()

    @property
    def asking(self) -> Asking | None:
        return self._progress.now

    def poll(self, timeout: float | None) -> str | None:
        if not self._over.wait(timeout):
            return ""
        if not isinstance(self._job.error, concurrent.futures.CancelledError):
            self._job.result()
        return None

    @property
    def reply(self) -> Reply:
        try:
            return self._job.wait()
        except concurrent.futures.CancelledError:
            raise StreamInterruptedError("the request was cancelled", retryable=False) from None

    def cancel(self) -> None:
        self._job.cancel()


def follow(answer: Answer, source: Source, begun: bool = False) -> Reply:
    """Show a call until its end, at the rate of `answer`; raises what it raised. `begun`: the first draw was made."""
    piece = source.poll(BEGIN)
    if not begun:
        answer.start(told(source.asking, time.monotonic()))
    while piece is not None:
        if piece:
            answer.add(piece)
        else:
            answer.note(told(source.asking, time.monotonic()))
        answer.tick()
        due = answer.due()
        piece = source.poll(POLL if due is None else min(POLL, due))
    return source.reply


def shown_text(reply: Reply) -> str:
    """The text of a reply, or the calls that it asks for."""
    return reply.text or "\n".join(f"`{call.name}({call.arguments})`" for call in reply.tool_calls)


def conclude(answer: Answer, reply: Reply, started: float) -> None:
    """The last draw of an answer, with its footer."""
    known = reply.latency is not None
    answer.finish(shown_text(reply), reply.footer() if known else f"{time.monotonic() - started:.2f} s")


def broken_off(answer: Answer, error: StreamInterruptedError) -> None:
    """The last draw of an answer whose stream broke: what came, and why there is no more."""
    where = f"{error.provider}/{error.model} · " if error.provider else ""
    answer.finish(error.partial_text, f"{where}broken off · %llm_explain tells more")
