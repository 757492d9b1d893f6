"""The part of a map that runs in a dask worker: a router of its own on the ledger that all share.

What a part has finished is in the ledger: when its worker dies, and the part is begun anew elsewhere, it goes on from
there, and what the dead one held of the purse stays spent.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

import hybrid_nb
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.late import late
from hybrid_nb.ledger import purse as purses
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.ledger.purse import LedgerPurse, Standing
from hybrid_nb.mapping.asking import SLICE, Asking, Ended
from hybrid_nb.mapping.job import Job, made
from hybrid_nb.mapping.order import Order
from hybrid_nb.mapping.template import Prompt
from hybrid_nb.portal import portal

if TYPE_CHECKING:
    from hybrid_nb.router import Router


class Failure(NamedTuple):
    """A request that failed: its row's error, and dollars (None: unknown)."""

    key: bytes
    error: str
    cost: float | None


class Report(NamedTuple):
    """What came of a part; its answers are in the ledger. `kind` is the class of an error that ended it."""

    failures: tuple[Failure, ...]
    stopped: str | None = None
    kind: str | None = None


@dataclass(slots=True)
class _Lent:
    """The router of this process for a configuration, and how many parts use it."""

    router: Router
    users: int = 0
    rooms: dict[str, asyncio.Semaphore] = field(default_factory=dict)


_lent: dict[bytes, _Lent] = {}
_lock = threading.Lock()


@contextmanager
def lent(order: Order) -> Iterator[_Lent]:
    """The router of this process for an order. One that nobody uses is closed when another is needed."""
    name = orjson.dumps(order.config, option=orjson.OPT_SORT_KEYS)
    with _lock:
        if name not in _lent:
            for old in [old for old, known in _lent.items() if not known.users]:
                _lent.pop(old).router.close()
            _lent[name] = _Lent(hybrid_nb.Router(order.config))
        found = _lent[name]
        found.users += 1
        for past in [purse for purse in found.rooms if purse != order.purse][:-4]:
            del found.rooms[past]
        found.rooms.setdefault(order.purse, asyncio.Semaphore(order.concurrency))
    try:
        yield found
    finally:
        with _lock:
            found.users -= 1


def ask_part(order: Order, owner: str, prompts: Sequence[tuple[bytes, Prompt]]) -> Report:
    """Ask for these, but for those that are in the ledger already. `owner` is the part's name in the purse, before the
    worker's.
    """
    with lent(order) as place:
        router, job = place.router, made(order.base, order.named)
        _check_ledger(router, order)
        _transacted(router, partial(purses.forfeit, order.purse, earlier(owner)))
        there = {kept.key for kept in Mapped(router._ledger).find(job.id, [key for key, _ in prompts], order.since)}
        left = [(key, prompt) for key, prompt in prompts if key not in there]
        return _asked(place, order, f"{owner}@{_here()}", job, left)


def earlier(part: str) -> Callable[[str], bool]:
    """The names that this part had in the purse in workers that died."""
    return lambda owner: owner.partition("@")[0] == part


def of_worker(gone: Collection[str]) -> Callable[[str], bool]:
    """The names in the purse of parts in these workers."""
    return lambda owner: owner.partition("@")[2] in gone


def _here() -> str:
    """The address of this worker."""
    address: str = late("distributed", "dask").get_worker().address
    return address


def _asked(place: _Lent, order: Order, owner: str, job: Job, left: Sequence[tuple[bytes, Prompt]]) -> Report:
    router = place.router
    failures: list[Failure] = []

    def took(ended: Ended) -> None:
        if ended.result.error is not None:
            failures.append(Failure(left[ended.number][0], ended.result.error, ended.result.cost_usd))

    purse = LedgerPurse(router._ledger, order.purse, owner)
    room, look = place.rooms[order.purse], _looking(router, order.purse)
    asking = Asking(router, job, order.concurrency, purse, room, look, order.since)
    asking.run(((number, job.request(prompt), key) for number, (key, prompt) in enumerate(left)), took)
    if asking.stopped is None:
        return Report(tuple(failures))
    _transacted(router, partial(purses.stop, order.purse, asking.stopped.reason))
    error = asking.stopped.error
    return Report(tuple(failures), asking.stopped.reason, type(error).__name__ if error else None)


def _looking(router: Router, purse: str) -> Callable[[], str | None]:
    """Why the work was stopped by somebody, looked at now and then; None: it was not."""
    looked, found = 0.0, None

    def look() -> str | None:
        nonlocal looked, found
        now = time.monotonic()
        if now - looked > SLICE:
            looked, found = now, purses.read(router._ledger, purse).stopped
        return found

    return look


def _check_ledger(router: Router, order: Order) -> None:
    if purses.read(router._ledger, order.purse) == Standing(0, 0, 0, purses.OVER):
        raise ConfigError(
            f"this worker's ledger {router._ledger.path} is not the one of the map (or the map is over): workers on "
            "other machines need a ledger that all of them reach; SQLite's file is for one machine"
        )


def _transacted(router: Router, operation: Callable[..., Any]) -> Any:
    async def done() -> Any:
        return await router._ledger.transact(operation)

    return portal().run(done())
