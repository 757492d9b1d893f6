"""Scores a finished run again, with other scorers, without asking its models."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from hybrid_nb.bench.grading.protocol import AnyScorer, Ask, Context, PairScorer, Scorer, Tally, Vote
from hybrid_nb.bench.grading.scoring import notes, prepared, score_calls
from hybrid_nb.bench.grading.structured import parser
from hybrid_nb.bench.grading.targets import untext
from hybrid_nb.bench.records import SCORE_COLUMNS, VOTE_COLUMNS, Call, Item, Score
from hybrid_nb.bench.results import Info, Run, frame
from hybrid_nb.bench.traffic.bar import Shower, cell, shower
from hybrid_nb.bench.traffic.data import items_of
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.core.types import Reply
from hybrid_nb.portal import SLICE, Job, portal

if TYPE_CHECKING:
    import pandas as pd

_TAKEN = {"key", "id", "cluster", "epoch", "model", "phase", "status", "answered_by", "input", "target", "output"}


class Asker(Protocol):
    """What a judge needs of a router."""

    def plan(self, prompt: Any, **options: Any) -> Any: ...

    def absent(self, model: str) -> str | None: ...

    def achat(self, prompt: Any, **options: Any) -> Awaitable[Reply]: ...


def rescored(
    run: Run,
    scorers: Any,
    data: Any,
    router: Asker | None,
    allow_code: bool,
    progress: bool | Callable[[Progress], object],
) -> Run:
    """Run.rescore()."""
    found = prepared(scorers, allow_code)
    calls = _calls(run.calls)
    items = _items(calls, data)
    for scorer in found:
        scorer.check(items)
    chance = random.Random(run.info.settings.get("seed") or 0)
    context = Context(_ask(found, router), tuple(run.models), chance, parse=_parse(run))
    told = notes(found, run.models)
    for note in told:
        warnings.warn(note, stacklevel=3)
    votes: list[Vote] = []
    seen = Seen(context.tally, _total(calls, found))
    place = shower(progress, cell)  # it may import, so before the work begins
    job = portal().submit(score_calls(calls, items, found, context, seen.scored, votes.append))
    stopped = _follow(job, place, seen) or run.info.stopped
    cost = _sum(run.info.judge_cost_usd, context.tally.cost_usd)
    warned = tuple(dict.fromkeys([*run.info.notes, *told]))
    info = replace(run.info, judge_cost_usd=cost, stopped=stopped, notes=warned)
    return _with(run, calls, found, votes, info)


def _parse(run: Run) -> Callable[[str], Any] | None:
    """By the schema of its calls, where the run keeps it whole."""
    schema = (run.info.settings.get("options") or {}).get("schema")
    return parser(schema) if isinstance(schema, Mapping) else None


class Seen:
    """Counts scores as they come."""

    def __init__(self, tally: Tally, total: int) -> None:
        self.tally, self.total = tally, total
        self.done = self.failed = 0
        self._began = time.monotonic()

    def scored(self, _key: str, _scorer: str, score: Score) -> None:
        self.done += 1
        self.failed += score.value is None

    @property
    def progress(self) -> Progress:
        seconds = time.monotonic() - self._began
        left = seconds / self.done * (self.total - self.done) if self.done else None
        spent, unknown = self.tally.known_usd, self.tally.unknown
        return Progress("scoring", self.done, self.total, self.failed, 0, spent, unknown, None, seconds, left)


def _total(calls: Sequence[Call], scorers: Sequence[AnyScorer]) -> int:
    answered = sum(call.phase == "measured" and call.status == "ok" for call in calls)
    return answered * sum(isinstance(scorer, Scorer) for scorer in scorers)


def _follow(job: Job[list[Vote]], place: Shower, seen: Seen) -> str | None:
    """Wait in short slices, and show. "interrupt" when it was stopped: what is scored is kept; a second is raised."""
    over = threading.Event()
    if not job.when_done(over.set):
        over.set()
    stopped: str | None = None
    try:
        while True:
            try:
                while not over.is_set():
                    place.show(seen.progress)
                    over.wait(SLICE)
                place.show(seen.progress)
                break
            except KeyboardInterrupt:
                if stopped:
                    raise
                job.cancel()
                stopped = "interrupt"
    except BaseException:
        job.cancel()
        raise
    finally:
        place.close()
    if stopped is None:
        job.result()
    return stopped


def _calls(table: pd.DataFrame) -> list[Call]:
    """The calls of a frame, as far as scorers need them."""
    columns = [item.name for item in fields(Call) if item.name in _TAKEN]
    rows = table[columns].astype(object).where(table[columns].notna(), None)
    return [Call(**dict(zip(columns, row, strict=True))) for row in rows.itertuples(index=False)]


def _items(calls: Sequence[Call], data: Any) -> list[Item]:
    """The samples: of the data, which has to know all that were answered; else as they stand in the run."""
    answered = {call.id: call for call in calls if call.status == "ok"}
    if data is None:
        return [Item(ident, call.input, untext(call.target), call.cluster) for ident, call in answered.items()]
    items = [item for item in items_of(data) if item.id in answered]
    lacking = sorted(answered.keys() - {item.id for item in items})
    if lacking:
        shown = ", ".join(map(repr, lacking[:3])) + (", ..." if len(lacking) > 3 else "")
        raise OptionValueError(f"the data has no sample {shown} of this run; are these its own ids?")
    return items


def _ask(scorers: Sequence[AnyScorer], router: Asker | None) -> Ask:
    """A way to ask judges, whose models the router knows. Raises before anything is spent."""
    for scorer in scorers:
        for model in scorer.asks:
            if router is None:
                raise OptionValueError(
                    f"the scorer {scorer.name} asks {model}: pass the router, rescore(router=router)"
                )
            router.plan("?", model=model)
            absent = router.absent(model)
            if absent is not None:
                raise OptionValueError(f"the scorer {scorer.name}: {absent}")

    def ask(prompt: Any, options: Mapping[str, Any]) -> Awaitable[Reply]:
        if router is None:
            raise OptionValueError("this scorer asks a model: pass the router, rescore(router=router)")
        return router.achat(prompt, **options)

    return ask


def _sum(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else before + now


def _with(run: Run, calls: Sequence[Call], scorers: Sequence[AnyScorer], votes: Sequence[Vote], info: Info) -> Run:
    """The run with new scores in the place of those of the same name; votes are added."""
    new = [scorer.name for scorer in scorers if isinstance(scorer, Scorer)]
    pandas = late("pandas", "frames")
    table = run.calls.copy()
    for name in new:
        values = [call.scores[name].value if name in call.scores else None for call in calls]
        table[f"score_{name}"] = pandas.array(values, dtype="Float64")
    rows = [(call.key, name, *score) for call in calls for name, score in call.scores.items()]
    kept = run.scores[~run.scores["scorer"].isin(new)]
    names = tuple(dict.fromkeys([*run.info.scorers, *new]))
    raters = {scorer.name for scorer in scorers if isinstance(scorer, PairScorer)}
    return replace(
        run,
        calls=table,
        scores=_joined(kept, frame(rows, SCORE_COLUMNS)),
        votes=_joined(run.votes, frame(votes, VOTE_COLUMNS)) if raters else run.votes,
        info=replace(info, scorers=names),
    )


def _joined(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    if one.empty or other.empty:
        return other if one.empty else one
    joined: pd.DataFrame = late("pandas", "frames").concat([one, other], ignore_index=True)
    return joined
