"""A benchmark over a router: checks what is asked for, and puts load, money, scorers and journal together."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.data import items_of
from hybrid_nb.bench.job import Bench, Job, utc_now
from hybrid_nb.bench.load import Load, Work
from hybrid_nb.bench.order import Task, measured, warmup
from hybrid_nb.bench.progress import Counts
from hybrid_nb.bench.records import Call, Item
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.bench.spec import Spec, checked
from hybrid_nb.bench.spending import Purse
from hybrid_nb.bench.till import Till
from hybrid_nb.core.errors import ModelNotFoundError
from hybrid_nb.core.inputs import OptionValueError, make_request
from hybrid_nb.core.types import Reply

if TYPE_CHECKING:
    from hybrid_nb.router import Router


def start(
    router: Router,
    data: Any,
    models: Any,
    scorers: Any = (),
    *,
    save: Any = None,
    resume: bool = True,
    allow_code: bool = False,
    **settings: Any,
) -> Job:
    """Begin a run. Raises OptionValueError and its kin for whatever is wrong, before anything is spent."""
    spec = checked(models, settings)
    items = items_of(data, spec.prompt)
    caller = Caller(router, spec)
    caller.check(items)
    tasks = itertools.chain(
        warmup(items, spec.models, spec.warmup, spec.seed),
        measured(items, spec.models, None if spec.endless else spec.epochs, spec.seed),
    )
    info = Info(settings=told(spec), versions=versions(), started=utc_now())
    total = None if spec.endless else len(items) * len(spec.models) * spec.epochs + spec.warmup
    calls: list[Call] = []
    bench: Bench
    work = Work(
        tasks,
        caller.ask,
        lambda call: bench.keep(call),
        spec.at_once,
        None,
        spec.duration,
        timeout=spec.timeout,
        endless=spec.endless,
    )
    bench = Bench(Load(work, Till(Purse(spec.max_cost))), Counts(total), info, calls)
    return Job(bench)


class Caller:
    """Asks the router for a run."""

    def __init__(self, router: Router, spec: Spec) -> None:
        self.router = router
        self.spec = spec
        options: dict[str, Any] = {"timeout": spec.timeout, **spec.options}
        mode = router.settings.cache.mode
        if options.get("cache") is None and mode == "on":
            options["cache"] = "off"  # an answer that was kept would be measured for a call
        self.mode = options.get("cache") or mode
        self.options = {name: value for name, value in options.items() if value is not None}

    def check(self, items: Sequence[Item]) -> None:
        """Every prompt and option can be sent, and every model is known."""
        for item in items:
            try:
                make_request(item.input, **self.options)
            except (ValueError, TypeError) as error:
                raise OptionValueError(f"sample {item.id!r}: {error}") from None
        if self.mode == "replay":
            return
        for model in self.spec.models:
            try:
                self.router.plan("?", model=model)
            except ModelNotFoundError as error:
                raise OptionValueError(error.message) from None

    async def ask(self, task: Task) -> Reply:
        """One call, streamed so that its first token has a time; its trace is set in the task."""
        ready = self.router._prepared(task.item.input, {**self.options, "model": task.model})
        return await self.router._run(ready, _ignore)


def _ignore(text: str) -> None:
    """Streamed for the times; the reply is read at the end."""


def told(spec: Spec) -> dict[str, Any]:
    """The settings as a run keeps them."""
    return {
        "models": list(spec.models),
        "epochs": spec.epochs,
        "concurrency": spec.at_once,
        "rate": spec.rate,
        "arrivals": spec.arrivals if spec.open else None,
        "warmup": spec.warmup,
        "duration": spec.duration,
        "prompt": spec.prompt,
        "timeout": spec.timeout,
        "max_cost": None if spec.max_cost is None else float(spec.max_cost),
        "unique": spec.unique,
        "seed": spec.seed,
        "limits": dict(spec.limits),
        "options": {
            name: value if isinstance(value, str | int | float | bool) else repr(value)[:200]
            for name, value in spec.options.items()
        },
    }


def versions() -> dict[str, str]:
    """Of what may matter to times."""
    from hybrid_nb import __version__

    return {"hybrid_nb": __version__, "python": platform.python_version(), "system": platform.platform()}


def follow(job: Job, progress: Any) -> Run:
    """Wait for a run in short slices; an interrupt ends it, and what is finished is returned."""
    while True:
        try:
            while not job.wait(0.2):
                pass
            return job.result()
        except KeyboardInterrupt:
            job.stop()
