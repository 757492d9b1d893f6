"""A fleet in the foreground, until a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .fleet import Fleet

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_EVERY = 0.1


def serve_forever(fleet: Fleet, ready: Callable[[Fleet], None] | None = None) -> None:
    """Start the fleet, wait for SIGINT or SIGTERM, stop it; call this from the main thread.

    Args:
        fleet: what to run.
        ready: called once the servers listen and the signals are caught.
    """
    caught: list[int] = []
    # A list, not an Event: setting an Event inside a handler can deadlock with the waiting that it interrupts.
    before = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in _SIGNALS}
    try:
        with fleet:
            if ready is not None:
                ready(fleet)
            while not caught:
                time.sleep(_LOOK_EVERY)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
