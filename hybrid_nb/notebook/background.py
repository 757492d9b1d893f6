"""`--background`: a call that goes on while later cells run, drawn into the display of the cell that began it.

Only that display is updated from the thread: what a thread prints or displays anew lands under some other cell.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from hybrid_nb.core.errors import StreamInterruptedError
from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.display import Answer
from hybrid_nb.notebook.following import POLL, Source, broken_off, conclude, follow, shown_text


class Background:
    """A call in the background.

    `done`, and `text` so far; `reply` waits for the end and raises what the call raised, as `await job` does. An
    interrupt of the wait leaves the call under way; `cancel()` ends it.
    """

    def __init__(self, source: Source, answer: Answer, keep: Callable[[Reply], None]) -> None:
        self._source = source
        self._answer = answer
        self._keep = keep
        self._cancelled = False
        self._future: concurrent.futures.Future[Reply] = concurrent.futures.Future()
        self.shown_in: int | None = None  # the cell that shows the answer, so that its result need not

    def start(self, note: str) -> None:
        """Make the first draw here, in the cell; the rest is the thread's."""
        self._answer.start(note)
        run = contextvars.copy_context().run  # so that ipykernel 7 knows the cell that the updates belong to
        threading.Thread(target=run, args=(self._work,), name="hybrid_nb background", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether the call is over."""
        return self._future.done()

    @property
    def text(self) -> str:
        """What came so far."""
        if self._future.done() and self._future.exception() is None:
            return self._future.result().text
        return self._source.text

    @property
    def reply(self) -> Reply:
        """The whole reply; waits for the end. Raises what the call raised."""
        while not self._future.done():
            concurrent.futures.wait([self._future], POLL)
        return self._future.result()

    def __await__(self) -> Generator[Any, None, Reply]:
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()

    def cancel(self) -> None:
        """Stop the call. What came stays shown; `reply` raises StreamInterruptedError."""
        if not self._future.done():
            self._cancelled = True
            self._source.cancel()

    def __repr__(self) -> str:
        if not self.done:
            return f"<background call: {'being stopped' if self._cancelled else 'under way'}>"
        error = self._future.exception()
        return f"<background call: {'done' if error is None else f'failed ({type(error).__name__})'}>"

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        shell: Any = get_ipython()
        if shell is None or shell.execution_count != self.shown_in:
            display({"text/plain": repr(self)}, raw=True)

    # --- on its thread --------------------------------------------------------------------------------------

    def _work(self) -> None:
        started, reply = time.monotonic(), None
        try:
            reply = follow(self._answer, self._source, begun=True)
            conclude(self._answer, reply, started)
            self._keep(reply)
        except BaseException as error:  # told here in one line, and raised to whoever asks for the reply
            try:
                self._tell(error, started, reply)
            finally:
                self._future.set_exception(error)
        else:
            self._future.set_result(reply)

    def _tell(self, error: BaseException, started: float, reply: Reply | None) -> None:
        if reply is not None:  # the answer came; what was to be done with it did not work
            self._answer.finish(shown_text(reply), f"{reply.footer()} · {error}")
        elif self._cancelled:
            self._answer.finish(self._source.text, f"cancelled after {time.monotonic() - started:.1f} s")
        elif isinstance(error, StreamInterruptedError):
            broken_off(self._answer, error)
        else:
            self._answer.fail(f"no answer: {type(error).__name__}: {' '.join(str(error).split())}")
