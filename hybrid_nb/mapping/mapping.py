"""router.map in one process: look at the frame, say what it may cost, ask, and put the answers beside the rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, money_of
from hybrid_nb.core.late import late
from hybrid_nb.core.types import Request
from hybrid_nb.engine.run import new_id
from hybrid_nb.ledger import purse as purses
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.ledger.purse import LedgerPurse
from hybrid_nb.mapping import progress
from hybrid_nb.mapping.asking import Asking, Ended, Stopped
from hybrid_nb.mapping.columns import Columns, Result, check_clash, columns_of, filled
from hybrid_nb.mapping.estimate import Estimate, foreseen, tokens
from hybrid_nb.mapping.job import Job, job_of
from hybrid_nb.mapping.stopping import told
from hybrid_nb.mapping.template import Missing, Source, source
from hybrid_nb.mapping.work import Work, asked, items, read
from hybrid_nb.portal import portal

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.router import Router

OnError = Literal["keep", "raise"]
Asker = Callable[["Router", Job, Source, "How", "Table", list[int]], None]  # asks for these requests of the table


@dataclass(frozen=True, slots=True)
class How:
    """How a map is run. `since`: answers from before that unix time do not count."""

    max_cost: Decimal | None
    concurrency: int
    on_error: OnError
    since: float
    shown: bool
    stopped: Callable[[], str | None]


@dataclass(slots=True)
class Table:
    """The answers of a map's requests, as they come."""

    work: Work
    results: list[Result | None]
    sums: progress.Sums
    stopped: Stopped | None = None

    @property
    def left(self) -> list[int]:
        """The requests without an answer."""
        return [number for number, result in enumerate(self.results) if result is None]


def how(
    max_cost: Any,
    concurrency: Any,
    on_error: Any,
    resume: bool,
    shown: bool,
    stopped: Callable[[], str | None] = lambda: None,
) -> How:
    """The options, checked. Raises OptionValueError and OptionTypeError."""
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise OptionValueError(f"concurrency must be a whole number above 0, not {concurrency!r}")
    if on_error not in ("keep", "raise"):
        raise OptionValueError(f'on_error must be "keep" or "raise", not {on_error!r}')
    limit = None if max_cost is None else money_of("max_cost", max_cost)
    return How(limit, concurrency, on_error, 0.0 if resume else time.time(), bool(shown), stopped)


def map_frame(
    router: Router,
    frame: pd.DataFrame,
    prompt: Any,
    way: How,
    asker: Asker | None = None,
    *,
    output: Any,
    model: Any,
    into: str | None,
    options: Mapping[str, Any],
) -> pd.DataFrame:
    """See Router.map."""
    pandas = late("pandas", "frames")
    if not isinstance(frame, pandas.DataFrame):
        if hasattr(frame, "to_delayed"):
            raise OptionTypeError("a dask DataFrame is mapped by workers: give client=, a dask.distributed Client")
        raise OptionTypeError(f"map takes a pandas DataFrame, not {type(frame).__name__}")
    columns = columns_of(output, into)
    check_clash(columns, frame.columns)
    job = job_of(router, output, model, options)
    found = source(frame, prompt)
    work = read(progress.reading(found, len(frame), way.shown), job)
    table = before(router, job, work, way.since)
    run(router, job, found, table, way, partial(asker or ask, router, job, found, way))
    return beside(frame, columns, table)


def before(router: Router, job: Job, work: Work, since: float) -> Table:
    """The answers that are in the ledger already."""
    store, now = Mapped(router._ledger), time.time()
    portal().run(store.ready(now))
    table = Table(work, [None] * len(work.keys), progress.Sums())
    take(table, job, store, work.keys, since)
    there = [key for key, result in zip(work.keys, table.results, strict=True) if result is not None]
    if there:
        portal().run(store.used(job.id, there, now))
    return table


def take(table: Table, job: Job, store: Mapped, keys: Iterable[bytes], since: float) -> None:
    """Put answers of the ledger into the table."""
    for kept in store.find(job.id, keys, since):
        table.results[table.work.number(kept.key)] = job.kept(kept)


def run(
    router: Router, job: Job, found: Source, table: Table, way: How, asking: Callable[[Table, list[int]], None]
) -> None:
    """Say what is to be done, do it, and say what came of it."""
    work, todo = table.work, table.left
    count = progress.Count(len(work.rows), len(work.keys), len(work.keys) - len(todo), len(work.missing))

    def foresee() -> Estimate:
        first = asked(job, found.at(work.first[todo[0]]))
        if isinstance(first, Missing):
            raise OptionValueError(f"{found.name} gives another prompt each time; pass the prompts as a column")
        return guessed(router, job, first[0], work, todo, way.max_cost is not None)

    finish(count, table, way, foresee, lambda: asking(table, todo))


def guessed(router: Router, job: Job, request: Request, work: Work, todo: list[int], bounded: bool) -> Estimate:
    """The estimate of what is to be asked, of whom the plan of one request would ask."""
    return foreseen(router, job, request, tokens(work, todo), Mapped(router._ledger).mean(job.id), bounded)


def finish(
    count: progress.Count, table: Table, way: How, foresee: Callable[[], Estimate], asking: Callable[[], None]
) -> None:
    """The estimate, the asking, and the lines around them. Raises what ended it, with what is kept in its text."""
    guess = foresee() if count.to_ask else Estimate(None, None, None)
    if way.shown:
        progress.say(progress.begin(count, guess.words(way.max_cost)))
    if not count.to_ask:
        return
    try:
        asking()
    except KeyboardInterrupt:
        progress.say(progress.interrupted(count.before + table.sums.well, count.distinct))
        raise
    left, why = len(table.left), table.stopped.reason if table.stopped else ""
    if way.shown:
        progress.say(progress.end(table.sums, left, why))
    if table.stopped is not None and left:
        error = table.stopped.error or (BudgetExceededError(why) if way.on_error == "raise" else None)
        kept = count.before + table.sums.well
        more = f"stopped here, with {left:,} requests not asked; {kept:,} answers are kept, and not asked for again"
        if error is not None:
            raise told(error, more)


def ask(router: Router, job: Job, found: Source, way: How, table: Table, todo: list[int]) -> None:
    """Ask for these, in this process."""
    name = f"map-{new_id()}"
    if way.max_cost is not None:
        bound = int(way.max_cost * PICO)
        portal().run(transacted(router, partial(purses.fill, name, bound, time.time())))
    try:
        purse = LedgerPurse(router._ledger, name) if way.max_cost is not None else None
        notice = progress.say if way.shown else None
        asking = Asking(router, job, way.concurrency, purse, stopped=way.stopped, since=way.since, notice=notice)
        with progress.Bar(len(todo), table.sums, way.shown) as bar:
            asking.run(items(found, job, table.work, todo), partial(took, table, bar, way), bar.tick)
        table.stopped = asking.stopped
    finally:
        if way.max_cost is not None and not router.closed:
            portal().run(transacted(router, partial(purses.drop, name)))


def took(table: Table, bar: progress.Bar, way: How, ended: Ended) -> None:
    """A call ended. Raises its error where that is wanted."""
    result = ended.result
    table.results[ended.number] = result
    table.sums.add(result.cost_usd, result.error is not None)
    bar.step()
    if way.on_error == "raise" and ended.error is not None:
        raise ended.error


async def transacted(router: Router, operation: Callable[..., Any]) -> Any:
    """An operation on the ledger, done."""
    return await router._ledger.transact(operation)


def beside(frame: pd.DataFrame, columns: Columns, table: Table) -> pd.DataFrame:
    """The frame with the answers' columns."""
    pandas = late("pandas", "frames")
    why = table.stopped.reason if table.stopped else ""
    results = list(table.work.results(table.results, f"not asked: {why}"))
    made: pd.DataFrame = pandas.concat([frame, filled(frame.index, columns, results)], axis=1)
    return made
