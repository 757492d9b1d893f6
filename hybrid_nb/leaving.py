"""The end of a router: closed by its owner, when it is collected, or when the program ends."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from typing import NamedTuple

from hybrid_nb.ledger.budget import Budget
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import Job, portal
from hybrid_nb.rounds import Rounds
from hybrid_nb.transports.http import HttpTransport

_unclosed: weakref.WeakKeyDictionary[object, weakref.finalize[..., object]] = weakref.WeakKeyDictionary()
EXIT_PATIENCE = 1.0  # seconds that the end of a program waits for connections to close


class Parts(NamedTuple):
    """What a router has to close."""

    transport: HttpTransport
    ledger: Ledger
    budget: Budget
    rounds: Rounds


async def close(parts: Parts) -> None:
    transport, ledger, budget, rounds = parts
    await rounds.stop()
    await transport.aclose()
    await asyncio.sleep(0)  # calls that the closing ends hand back what they hold
    budget.close()
    await ledger.drain()
    ledger.close()


def _closing(parts: Parts, pid: int) -> Job[None] | None:
    """Begin to close what a router leaves. A forked child leaves its parent's connections alone."""
    return portal().submit(close(parts)) if os.getpid() == pid else None


def when_left(router: object, parts: Parts) -> weakref.finalize[..., object]:
    """Close the parts when nobody keeps the router, or at the end of the program; `detach` when it was closed."""
    found = weakref.finalize(router, _closing, parts, os.getpid())
    found.atexit = False  # _close_left waits too
    _unclosed[router] = found
    return found


@atexit.register
def _close_left() -> None:
    for found in list(_unclosed.values()):
        left, over = found.detach(), threading.Event()  # a call does nothing once weakref's own exit has run
        job: Job[None] | None = left[1](*left[2]) if left else None
        if job is not None and job.when_done(over.set):
            over.wait(EXIT_PATIENCE)
