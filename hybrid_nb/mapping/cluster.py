"""router.map on a dask cluster: parts of distinct requests run as tasks; what holds over all of them is in the ledger.

Budgets and max_cost are held in the ledger's transactions, the limits of providers (rpm, tpm, at once) by giving each
process its share. Answers come back from the ledger by key, so that each row has its answer once, whoever died.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from hybrid_nb.core import errors
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.core.types import money
from hybrid_nb.engine.run import new_id
from hybrid_nb.ledger import purse as purses
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.mapping import progress
from hybrid_nb.mapping.asking import Stopped
from hybrid_nb.mapping.columns import Result
from hybrid_nb.mapping.job import Job
from hybrid_nb.mapping.mapping import How, Table, map_frame, take, transacted
from hybrid_nb.mapping.order import Data, Order, carried, ordered, processes
from hybrid_nb.mapping.template import Source
from hybrid_nb.mapping.work import items
from hybrid_nb.mapping.worker import Report, ask_part, of_worker
from hybrid_nb.portal import portal

if TYPE_CHECKING:
    from hybrid_nb.router import Router

LARGEST = 64  # requests in a part, so that a dead worker's part is soon found
WAITING = 2  # parts that wait for each process; prompts beyond are not made yet
LOOK = 0.1  # seconds between looks at the cluster
DRAW = 0.5  # seconds between looks at the workers, and at the ledger for the bar
PATIENCE = 60.0  # seconds that a cluster may be without any worker, as when all of them begin anew
KEPT = "what is finished is kept, and the same map goes on from there"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A client, the workers that may ask, and what they are to know."""

    client: Any
    workers: tuple[str, ...]
    config: Data
    concurrency: int  # in each process


def cluster_of(client: Any, router: Router, way: How) -> Cluster:
    """The workers of a client. Raises ConfigError for settings that cannot travel, ValueError without any worker."""
    if not (hasattr(client, "nthreads") and hasattr(client, "submit")):
        raise OptionTypeError(f"client must be a dask.distributed Client, not {type(client).__name__}")
    if client.status != "running":
        raise OptionValueError(f"the dask client is {client.status}; give one that is connected")
    if getattr(client, "asynchronous", False):
        raise OptionValueError("map takes a dask client that is not asynchronous; give one, and await router.amap(...)")
    found = sorted(client.nthreads())
    if not found:
        raise OptionValueError("the dask client has no workers")
    count = processes(router._state.providers.values(), len(found), way.concurrency)
    return Cluster(client, tuple(found[:count]), carried(router, count), max(1, way.concurrency // count))


def map_on(client: Any, router: Router, frame: Any, prompt: Any, way: How, **what: Any) -> Any:
    """See Router.map."""
    cluster = cluster_of(client, router, way)
    if hasattr(frame, "to_delayed"):
        from hybrid_nb.mapping.daskframe import map_dask

        return map_dask(cluster, router, frame, prompt, way, **what)
    return map_frame(router, frame, prompt, way, partial(ask, cluster), **what)


def ask(cluster: Cluster, router: Router, job: Job, found: Source, way: How, table: Table, todo: list[int]) -> None:
    """Ask for these requests of a frame that is here."""
    made = ((key, request.messages[len(job.system) :]) for _, request, key in items(found, job, table.work, todo))
    size = max(1, min(LARGEST, -(-len(todo) // (WAITING * len(cluster.workers)))))

    def tasks(order: Order) -> Iterator[Task]:
        for number, part in enumerate(parts(made, size)):
            yield ask_part, (order, f"part {number}", part)

    work_through(cluster, router, job, way, table, len(todo), tasks)


Task = tuple[Callable[..., Report], tuple[Any, ...]]  # what runs on a worker, and with what
Tasks = Callable[[Order], Iterable[Task]]


def work_through(cluster: Cluster, router: Router, job: Job, way: How, table: Table, total: int, tasks: Tasks) -> None:
    """Run tasks on the workers, a few ahead, and take what they have brought into the ledger."""
    name = f"map-{new_id()}"
    bound = None if way.max_cost is None else int(way.max_cost * PICO)
    portal().run(transacted(router, partial(purses.fill, name, bound, time.time())))
    started = time.time()
    order = ordered(cluster.config, job, name, max(way.since, 0.0), cluster.concurrency)
    try:
        with progress.Bar(total, table.sums, way.shown) as bar:
            _Run(cluster, router, job, table, way, bar, order, started).go(tasks(order))
    finally:  # workers that are still at it see that it is over
        portal().run(transacted(router, partial(purses.drop, name)))


class _Run:
    """One run of tasks."""

    def __init__(
        self,
        cluster: Cluster,
        router: Router,
        job: Job,
        table: Table,
        way: How,
        bar: progress.Bar,
        order: Order,
        started: float,
    ) -> None:
        self._cluster, self._router, self._job = cluster, router, job
        self._table, self._way, self._bar, self._started = table, way, bar, started
        self._purse = order.purse
        self._store = Mapped(router._ledger)
        self._seen, self._next = 0, 0.0  # answers that the bar has counted, and when it counts again
        self._workers, self._wanted = cluster.workers, len(cluster.workers)
        self._alone = time.monotonic()  # since when there may be no worker
        self._under_way: dict[Any, tuple[Task, tuple[str, ...]]] = {}  # by the future: what, and who may do it

    def go(self, tasks: Iterable[Task]) -> None:
        left = iter(tasks)
        self._ended = late("distributed", "dask").as_completed()
        try:
            while True:
                for task in islice(left, self._room()):
                    self._submit(task)
                if not self._under_way:
                    break
                ended = [future for future in self._ended.next_batch(block=False) if future in self._under_way]
                for future in ended:
                    del self._under_way[future]
                    self._took(future)
                if not ended:
                    self._look()
        finally:
            self._withdraw(list(self._under_way))
            self._collect()

    def _room(self) -> int:
        if self._table.stopped is not None:
            return 0
        return max(0, WAITING * len(self._workers) - len(self._under_way))

    def _submit(self, task: Task) -> None:
        function, values = task
        future = self._cluster.client.submit(function, *values, pure=False, workers=list(self._workers))
        self._under_way[future] = task, self._workers
        self._ended.add(future)

    def _withdraw(self, futures: list[Any]) -> list[Task]:
        """Take back what is under way."""
        tasks = [self._under_way.pop(future)[0] for future in futures]
        with contextlib.suppress(Exception):  # a cluster that is not there any more; why it ended is told elsewhere
            self._cluster.client.cancel(futures)
        return tasks

    def _look(self) -> None:
        time.sleep(LOOK)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + DRAW
        self._replace_dead()
        known = self._store.count(self._job.id, self._started)
        if known > self._seen:
            spent = purses.usd(purses.read(self._router._ledger, self._purse).settled)
            self._bar.step(known - self._seen, money(spent))
            self._seen = known

    def _replace_dead(self) -> None:
        """Others stand in for workers that died. A task waits for those that it was given to: when none of them is
        left it is given away again, as no new one would ever take it.
        """
        try:
            there = set(self._cluster.client.nthreads())
        except (OSError, RuntimeError, AttributeError) as error:  # no scheduler: AttributeError where it was just left
            raise HybridNbError(f"the dask cluster cannot be reached ({error}); {KEPT}") from error
        if there:
            self._alone = time.monotonic()
        elif time.monotonic() - self._alone > PATIENCE:
            raise HybridNbError(f"the dask cluster has had no worker for {PATIENCE:.0f} s; {KEPT}")
        gone = [name for name in self._workers if name not in there]
        if gone:  # what they held is not waited for: their parts may begin anew only behind those that would wait
            portal().run(transacted(self._router, partial(purses.forfeit, self._purse, of_worker(gone))))
        before = [name for name in self._workers if name in there]
        others = sorted(there - set(before))
        found = (*before, *others[: self._wanted - len(before)])
        self._workers = found or self._workers
        left = [future for future, (_, workers) in self._under_way.items() if there and there.isdisjoint(workers)]
        for task in self._withdraw(left) if left else ():
            self._submit(task)

    def _took(self, future: Any) -> None:
        if future.status in ("cancelled", "lost"):
            raise HybridNbError(f"the dask cluster was closed, or somebody cancelled the map's work there; {KEPT}")
        if future.status == "error":
            raise _worker_error(future.exception())
        report: Report = future.result()
        for failure in report.failures:
            self._table.results[self._table.work.number(failure.key)] = Result(None, None, failure.cost, failure.error)
            self._table.sums.add(failure.cost, True)
        if report.stopped is not None and self._table.stopped is None:
            self._table.stopped = Stopped(report.stopped, _error(report.kind, report.stopped))
        if report.failures and self._way.on_error == "raise":
            raise _row_error(report.failures[0].error)

    def _collect(self) -> None:
        """Take the answers out of the ledger."""
        table = self._table
        left = set(table.left)
        take(table, self._job, self._store, [table.work.keys[number] for number in left], self._way.since)
        for number in left:
            result = table.results[number]
            if result is not None:
                table.sums.add(result.cost_usd, False)


def parts(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The values in lists of this size, made as they are needed."""
    left = iter(values)
    while part := list(islice(left, size)):
        yield part


def _error(kind: str | None, text: str) -> Exception | None:
    """The error that ended a part, as far as it can be known here."""
    if kind is None:
        return None
    found = getattr(errors, kind, HybridNbError)
    return found(text.removeprefix(f"{kind}: ")) if isinstance(found, type) else HybridNbError(text)


def _row_error(text: str) -> Exception:
    kind, _, message = text.partition(": ")
    found: Mapping[str, Any] = vars(errors)
    return _error(kind, message) or HybridNbError(text) if kind in found else HybridNbError(text)


def _worker_error(error: BaseException) -> BaseException:
    if type(error).__name__ == "KilledWorker":
        return HybridNbError(f"a worker died several times at the same part of the map ({error}); {KEPT}")
    return error
