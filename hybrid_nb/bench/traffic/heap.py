"""Garbage collection while times are measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """Leaves what is there now out of collections meanwhile.

    A full collection stops every thread: for 75 ms with pandas and scipy loaded, for seconds with the data of a long
    notebook, and everything that came in that time would be noted late. What is made meanwhile is collected as ever.
    """
    if gc.get_freeze_count():  # by somebody else, who ends it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
