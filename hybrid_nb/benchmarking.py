"""A benchmark over a router: checks what is asked for, and puts load, money, scorers and journal together."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.grading import scoring
from hybrid_nb.bench.grading.protocol import AnyScorer
from hybrid_nb.bench.grading.rating import Rating
from hybrid_nb.bench.records import Call, Item
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.bench.traffic import arrivals, bar
from hybrid_nb.bench.traffic.caller import Caller
from hybrid_nb.bench.traffic.data import items_of
from hybrid_nb.bench.traffic.described import head, told, versions
from hybrid_nb.bench.traffic.job import Bench, Job, Keeping, utc_now
from hybrid_nb.bench.traffic.journal import NAME, Journal, Past
from hybrid_nb.bench.traffic.load import Load, Work
from hybrid_nb.bench.traffic.order import Task, measured, warmup
from hybrid_nb.bench.traffic.outcome import shown
from hybrid_nb.bench.traffic.pricing import NOTHING, Estimate
from hybrid_nb.bench.traffic.progress import Counts
from hybrid_nb.bench.traffic.spec import Spec, checked
from hybrid_nb.bench.traffic.spending import Purse
from hybrid_nb.bench.traffic.till import Till
from hybrid_nb.core.config import Settings
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.core.types import Reply, RoutePlan
from hybrid_nb.engine.catalogue import Catalogue

if TYPE_CHECKING:
    from hybrid_nb.router import Router

ANEW = "give the run another folder, or begin it anew with resume=False"


def run(router: Router, data: Any, models: Any, scorers: Any, progress: Any, **settings: Any) -> Run:
    """Run it, and show how far it is."""
    shower = bar.shower(progress, bar.cell)
    return bar.follow(prepared(router, data, models, scorers, **settings), shower)


def start(router: Router, data: Any, models: Any, scorers: Any = (), **settings: Any) -> Job:
    """Begin a run in the background."""
    return Job(prepared(router, data, models, scorers, **settings))


def prepared(
    router: Router,
    data: Any,
    models: Any,
    scorers: Any = (),
    *,
    save: Any = None,
    resume: bool = True,
    allow_code: bool = False,
    **settings: Any,
) -> Bench:
    """A run that is ready to begin. Raises OptionValueError and its kin for whatever is wrong."""
    router._check_open()
    spec = checked(models, settings)
    late("pandas", "benchmark")  # what is missing is told now, and not when everything is paid for
    if save is not None:
        late("pyarrow", "benchmark")
    items = items_of(data, spec.prompt)
    spec.check_stages(len(items))
    caller = Caller(Asking(router), spec)
    estimate = caller.checked(items)
    wanted = _scorers(scorers, allow_code, items, spec, caller)
    folder = _folder(save)
    journal = None if folder is None else _journal(folder, head(spec, caller, items), resume)
    try:
        return Plan(spec, items, caller, wanted, journal, folder).bench(estimate)
    except BaseException:
        if journal is not None:
            journal.close()
        raise


class Asking:
    """A router as a run sees it."""

    def __init__(self, router: Router) -> None:
        self._router = router

    @property
    def settings(self) -> Settings:
        return self._router.settings

    @property
    def catalogue(self) -> Catalogue:
        return self._router._state.catalogue

    def plan(self, prompt: Any, **options: Any) -> RoutePlan:
        return self._router.plan(prompt, **options)

    def absent(self, model: str) -> str | None:
        return self._router.absent(model)

    async def streamed(self, prompt: Any, options: Mapping[str, Any]) -> Reply:
        return await self._router._run(self._router._prepared(prompt, options), _ignore)

    async def plain(self, prompt: Any, options: Mapping[str, Any]) -> Reply:
        return await self._router._run(self._router._prepared(prompt, options), None)


def _ignore(text: str) -> None:
    """Streamed for the times; the reply is read at the end."""


def _scorers(given: Any, allow_code: bool, items: Sequence[Item], spec: Spec, caller: Caller) -> list[AnyScorer]:
    """The scorers, checked; what they have to say is warned of."""
    found = scoring.prepared(given, allow_code)
    for scorer in found:
        scorer.check(items)
        for model in scorer.asks:
            caller.check_judge(scorer.name, model)
    for note in scoring.notes(found, spec.models):
        warnings.warn(note, stacklevel=5)  # where the person called
    return found


def _folder(save: Any) -> Path | None:
    if save is None or (isinstance(save, str | os.PathLike) and str(save).strip()):
        return None if save is None else Path(save)
    raise OptionValueError(f"save must be the path of a folder, not {save!r}")


def _journal(folder: Path, settings: Mapping[str, Any], resume: bool) -> Journal:
    if (folder / "run.json").exists() and not (folder / NAME).exists():
        raise ConfigError(f"{folder} holds a finished run, which is not written over; give this one another folder")
    try:
        return Journal(folder, settings, resume)
    except OSError as error:
        raise ConfigError(
            f"save={str(folder)!r} cannot be written ({error.strerror}); give it another folder"
        ) from None


@dataclass(frozen=True)
class Plan:
    """A run that is checked, before it begins."""

    spec: Spec
    items: Sequence[Item]
    caller: Caller
    scorers: Sequence[AnyScorer]
    journal: Journal | None
    save: Path | None

    @property
    def past(self) -> Past:
        return Past() if self.journal is None else self.journal.past

    @property
    def total(self) -> int | None:
        """How many calls it makes; None: as many as there is time for."""
        spec = self.spec
        if spec.open:
            return sum(1 for _ in self._schedule())
        return None if spec.endless else spec.warmup + self._each * spec.epochs

    @property
    def _each(self) -> int:
        return len(self.items) * len(self.spec.models)

    def bench(self, one: Estimate) -> Bench:
        """The run, ready to begin. `one`: what one pass over the data costs."""
        past, spec, total = self.past, self.spec, self.total
        kept = Keeping(Counts(total, len(past.calls)), self._answered(), self.journal)
        purse = Purse(self.caller.limit)
        purse.count(past.spent, past.known, past.unknown)
        till = Till(purse, kept.hold)
        work = Work(
            self._tasks(), self.caller.ask, kept.call, spec.at_once, self._slots(), self._duration,
            self.caller.most if self.caller.limit is not None else None, self.caller.patience, past.seconds,
            spec.endless,
        )  # fmt: skip
        estimate = (
            Estimate(None, None) if total is None else one.times(Decimal(total) / self._each) + self._judges(total)
        )
        rating = self._rating(till) if self.scorers else None
        return Bench(Load(work, till), kept, self._info(estimate, rating), rating, self.save)

    def _answered(self) -> list[Call]:
        """What earlier parts of the run have; a target that was corrected since then is scored afresh."""
        samples, past = {item.id: item for item in self.items}, self.past
        for call in past.calls.values():
            item = samples.get(call.id)
            if item is None:
                raise ConfigError(f"{self.save} has a call of sample {call.id!r}, which the data have not; {ANEW}")
            call.cluster, target = item.cluster, None if item.target is None else shown(item.target)
            if call.target != target:
                past.correct(call.key, target)
                if self.journal is not None:
                    self.journal.target(call.key, target)
        return list(past.calls.values())

    def _judges(self, total: int) -> Estimate:
        """What scorers that ask models cost."""
        samples = -(-total // len(self.spec.models))
        sums = NOTHING
        for scorer in self.scorers:
            for model in scorer.asks:
                questions = scorer.questions(samples, len(self.spec.models))
                sums += self.caller.question_costs(model, self.items[0]).times(questions)
        return sums

    def _tasks(self) -> Iterator[Task]:
        spec, past = self.spec, self.past
        if spec.duration is not None and not spec.open and past.seconds >= spec.duration:
            return iter(())
        every = itertools.chain(
            warmup(self.items, spec.models, spec.warmup, spec.seed),
            measured(self.items, spec.models, None if spec.endless else spec.epochs, spec.seed),
        )
        return (task for task in every if task.key not in past.calls)

    @property
    def _duration(self) -> float | None:
        """Seconds that are left of a closed loop that ends by time."""
        spec = self.spec
        return None if spec.duration is None or spec.open else spec.duration - self.past.seconds

    def _slots(self) -> Iterator[arrivals.Slot] | None:
        return arrivals.resumed(self._schedule(), len(self.past.calls)) if self.spec.open else None

    def _schedule(self) -> Iterator[arrivals.Slot]:
        spec = self.spec
        if not isinstance(spec.arrivals, str):
            return arrivals.trace(spec.arrivals)
        rates = tuple(spec.rate) if isinstance(spec.rate, Sequence) else (spec.rate or 1.0,)
        extent = arrivals.Extent(None if spec.endless else self._each * spec.epochs, spec.duration, spec.warmup)
        if spec.arrivals == "ramp":
            return arrivals.ramp(rates[0], rates[1], extent)
        return arrivals.sweep(rates, extent, spec.arrivals == "constant", spec.seed)

    def _rating(self, till: Till) -> Rating:
        spec, past = self.spec, self.past
        return Rating(
            self.scorers, self.items, spec.models, spec.seed, self.caller.question, self.caller.most_for, till,
            past.judged, past.votes, self.caller.options.get("schema"),
        )  # fmt: skip

    def _info(self, estimate: Estimate, rating: Rating | None) -> Info:
        spec = self.spec
        more = {
            "max_cost": None if spec.max_cost is None else float(spec.max_cost),
            "limits": dict(spec.limits),
            "likely_usd": None if estimate.likely is None else float(estimate.likely),
            "resumed_calls": len(self.past.calls),
        }
        return Info(
            settings={**told(spec, self.caller), **more},
            versions=versions(),
            started=utc_now(),
            scorers=rating.names if rating else (),
            notes=tuple(scoring.notes(self.scorers, spec.models)),
            estimate_usd=None if estimate.most is None else float(estimate.most),
        )
