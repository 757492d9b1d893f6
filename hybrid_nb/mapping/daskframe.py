"""router.map of a dask DataFrame: its partitions stay on the cluster, only the keys of their requests come here.

Three rounds: each partition's distinct requests are found; each is asked for in the first partition that has it; and
each partition takes its answers out of the ledger. The result is a dask DataFrame that has been computed: what it is
used for asks nothing again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.core.inputs import OptionTypeError
from hybrid_nb.core.late import late
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.mapping import progress
from hybrid_nb.mapping.cluster import Cluster, work_through
from hybrid_nb.mapping.columns import Columns, Result, check_clash, columns_of, filled
from hybrid_nb.mapping.estimate import Estimate
from hybrid_nb.mapping.job import Job, job_of, made
from hybrid_nb.mapping.mapping import How, Table, before, finish, guessed
from hybrid_nb.mapping.order import Order, ordered
from hybrid_nb.mapping.template import source
from hybrid_nb.mapping.work import Work, items, read
from hybrid_nb.mapping.worker import Report, ask_part, lent

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.router import Router


class Keys(NamedTuple):
    """The distinct requests of a partition, with the sizes of their prompts."""

    keys: list[bytes]
    sizes: array[int]
    bounds: array[int]
    rows: int
    missing: int


def map_dask(
    cluster: Cluster,
    router: Router,
    frame: Any,
    prompt: Any,
    way: How,
    *,
    output: Any,
    model: Any,
    into: str | None,
    options: Mapping[str, Any],
) -> Any:
    """See Router.map."""
    if not (isinstance(prompt, str) or callable(prompt)):
        raise OptionTypeError("a dask DataFrame takes a template, a column's name or a function as prompt")
    columns = columns_of(output, into)
    check_clash(columns, frame.columns)
    source(frame._meta, prompt)  # a missing column is told here
    job = job_of(router, output, model, options)
    plain = ordered(cluster.config, job, "", way.since, cluster.concurrency)
    client = cluster.client
    partitions = client.compute(frame.to_delayed())
    found = client.gather([client.submit(keys_of, plain, part, prompt, pure=False) for part in partitions])
    work, mine = joined(found)
    table = before(router, job, work, way.since)
    _ask(cluster, router, job, partitions, prompt, table, mine, found, way)
    return _answered(cluster, plain, frame, partitions, prompt, columns, output, table, mine)


def keys_of(order: Order, frame: pd.DataFrame, prompt: Any) -> Keys:
    """On a worker: the requests of a partition."""
    work = read(source(frame, prompt), made(order.base, order.named))
    return Keys(work.keys, work.sizes, work.bounds, len(work.rows), len(work.missing))


def joined(found: Iterable[Keys]) -> tuple[Work, list[list[int]]]:
    """All partitions' requests as one, and for each partition those that no earlier one has. `first` is meaningless
    here, and `rows` is empty: both are their partition's.
    """
    work, mine = Work(), []
    for part in found:
        places = zip(part.keys, part.sizes, part.bounds, strict=True)
        mine.append([number for number in (work.put(*place) for place in places) if number is not None])
    return work, mine


def _ask(
    cluster: Cluster,
    router: Router,
    job: Job,
    partitions: list[Any],
    prompt: Any,
    table: Table,
    mine: list[list[int]],
    found: list[Keys],
    way: How,
) -> None:
    left = set(table.left)
    count = progress.Count(
        sum(part.rows for part in found), len(table.work.keys), len(table.work.keys) - len(left),
        sum(part.missing for part in found),
    )  # fmt: skip

    def foresee() -> Estimate:
        return guessed(router, job, job.request("prompt"), table.work, sorted(left), way.max_cost is not None)

    def tasks(order: Order) -> Iterator[tuple[Callable[..., Report], tuple[Any, ...]]]:
        for number, (part, numbers) in enumerate(zip(partitions, mine, strict=True)):
            keys = [table.work.keys[n] for n in numbers if n in left]
            if keys:
                yield ask_partition, (order, f"part {number}", part, prompt, keys)

    finish(count, table, way, foresee, lambda: work_through(cluster, router, job, way, table, len(left), tasks))


def ask_partition(order: Order, owner: str, frame: pd.DataFrame, prompt: Any, keys: list[bytes]) -> Report:
    """On a worker: ask for these requests of a partition."""
    job, found = made(order.base, order.named), source(frame, prompt)
    work = read(found, job)
    chosen = items(found, job, work, (work.number(key) for key in keys))
    return ask_part(order, owner, [(key, request.messages[len(job.system) :]) for _, request, key in chosen])


# --- the answers ------------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """What a partition must know for its columns: `mine` are the keys that it is the first to have."""

    columns: Columns
    output: Any
    mine: frozenset[bytes]
    failed: dict[bytes, Result]
    why: str


def _answered(
    cluster: Cluster,
    order: Order,
    frame: Any,
    partitions: list[Any],
    prompt: Any,
    columns: Columns,
    output: Any,
    table: Table,
    mine: list[list[int]],
) -> Any:
    client, keys = cluster.client, table.work.keys
    failed = {keys[n]: r for n, r in enumerate(table.results) if r is not None and r.error is not None}
    why = table.stopped.reason if table.stopped else ""
    futures = []
    for part, numbers in zip(partitions, mine, strict=True):
        answers = Answers(columns, output, frozenset(keys[n] for n in numbers), failed, why)
        futures.append(client.submit(with_answers, order, part, prompt, answers, pure=False))
    meta = with_columns(frame._meta, columns, [])
    with late("dask", "dask").config.set({"dataframe.convert-string": False}):  # a list in a cell stays a list
        return late("dask.dataframe", "dask").from_delayed(futures, meta=meta, divisions=frame.divisions)


def with_answers(order: Order, frame: pd.DataFrame, prompt: Any, answers: Answers) -> pd.DataFrame:
    """On a worker: a partition with its answers, out of the ledger."""
    with lent(order) as place:
        router = place.router
        job = job_of(router, answers.output, order.named, {})._replace(id=made(order.base, order.named).id)
        keyed = made(order.base, order.named)
        work = read(source(frame, prompt), keyed)
        results: list[Result | None] = [answers.failed.get(key) for key in work.keys]
        for kept in Mapped(router._ledger).find(job.id, work.keys, order.since):
            results[work.number(kept.key)] = job.kept(kept)
    for number, key in enumerate(work.keys):
        result = results[number]
        if result is not None and key not in answers.mine:
            results[number] = result._replace(cost_usd=0.0)
    return with_columns(frame, answers.columns, list(work.results(results, f"not asked: {answers.why}")))


def with_columns(frame: pd.DataFrame, columns: Columns, results: list[Result]) -> pd.DataFrame:
    """A frame with the answers' columns."""
    made: pd.DataFrame = late("pandas", "frames").concat([frame, filled(frame.index, columns, results)], axis=1)
    return made
