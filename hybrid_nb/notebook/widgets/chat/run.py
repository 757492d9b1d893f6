"""One answer on its way, read on a thread of its own, so that no callback waits for it and no cell is needed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hybrid_nb.core.asking import Asking
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.notebook import conversation
from hybrid_nb.notebook.markup import Growing
from hybrid_nb.notebook.widgets.chat import errors as chat_errors
from hybrid_nb.stream import Stream

log = logging.getLogger("hybrid_nb")
LOOKS_PER_SECOND = 15
SHARE = 0.2  # of the time, at most, that is spent on rendering an answer while it comes
POLL = 0.1  # seconds between looks at a stream that is silent
Clock = Callable[[], float]
Show = Callable[[int, Sequence[str]], None]


class Pace:
    """When to look next: at most 15 times a second, and less often when looks are slow. Pure; `now` is monotonic."""

    def __init__(self) -> None:
        self._next = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next look."""
        return max(0.0, self._next - now)

    def looked(self, began: float, now: float) -> None:
        """A look took from `began` to `now`."""
        self._next = max(began + 1 / LOOKS_PER_SECOND, now + (now - began) * (1 / SHARE - 1))


class Answering:
    """The answer to one turn. `show(first, blocks)` gets its blocks from one on; `asking` who is asked, whenever that
    changes; `ended(fields)` its end, once.
    """

    def __init__(
        self,
        ask: Callable[[], Stream],
        show: Show,
        asking: Callable[[Asking], None],
        ended: Callable[[dict[str, Any]], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._ask, self._show, self._asking, self._ended, self._clock = ask, show, asking, ended, clock
        self._asked: Asking | None = None
        self._stream: Stream | None = None
        self._stopping = threading.Event()
        self._growing = Growing()
        self._pace = Pace()
        self.began = clock()
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hybrid-nb-chat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; what came is kept."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.cancel()

    def _run(self) -> None:
        try:
            fields = self._read()
        except HybridNbError as error:
            fields = self._stopped() if self._stopping.is_set() else chat_errors.record(error)
        except BaseException as error:  # whoever sent the turn has returned long ago, so it is told in the turn
            log.exception("an answer of the chat")
            fields = chat_errors.record(error)
        try:
            self._ended(fields)
        except Exception:  # the page cannot be told
            log.exception("the end of an answer of the chat")
        finally:
            self.done.set()

    def _read(self) -> dict[str, Any]:
        stream = self._stream = self._ask()
        if self._stopping.is_set():
            stream.cancel()
        fresh = False
        while (piece := stream.poll(0 if fresh else POLL)) is not None:
            self._look_who(stream)
            if piece:
                self._growing.add(piece)
                fresh = True
            if fresh and not self._stopping.wait(self._pace.wait(self._clock())):
                self._look()
                fresh = False
        return self._stopped() if self._stopping.is_set() else conversation.record(stream.reply)

    def _look_who(self, stream: Stream) -> None:
        now = stream.asking
        if now is not None and now is not self._asked:
            self._asked = now
            self._asking(now)

    def _look(self) -> None:
        began, first = self._clock(), len(self._growing.settled)
        self._show(first, self._growing.look())
        self._pace.looked(began, self._clock())

    def _stopped(self) -> dict[str, Any]:
        seconds = self._clock() - self.began
        text = "" if self._stream is None else self._stream.text
        sent = self._stream is not None
        return {
            "text": text,
            "status": "stopped",
            "latency": seconds,
            "cost": None if sent else conversation.FREE,
            "footer": f"stopped after {seconds:.1f} s · {'unknown cost' if sent else 'not sent'}",
        }
