"""Who wants to hear that something happened at a router."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

Topic = Literal["calls", "health", "config", "closed"]
Listener = Callable[[Topic], None]
log = logging.getLogger("hybrid_nb")


class News:
    """Listeners are called at once, on whatever thread it happened; they must return at once and not raise.

    Topics: "calls" (a call ended), "health" (somebody was looked at), "config" (settings changed), "closed".
    """

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Hear of everything from now on; the function that is returned ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
        return lambda: self._leave(listener)

    def _leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = tuple(known for known in self._listeners if known is not listener)

    def tell(self, topic: Topic) -> None:
        """Something happened."""
        for listener in self._listeners:
            try:
                listener(topic)
            except Exception as error:  # a listener's trouble is not the call's
                log.warning("a listener to %r failed (%s)", topic, type(error).__name__)
