"""Scores the answers of a run: every scorer looks at every answer, each at its own pace."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hybrid_nb.bench.grading.protocol import AnyScorer, Ask, Context, PairScorer, Scorer, Tally, Vote
from hybrid_nb.bench.records import VOTE_COLUMNS, Call, Item, Sample, Score
from hybrid_nb.bench.scorers.named import prepared

__all__ = ["AnyScorer", "Ask", "Context", "PairScorer", "Scorer", "Tally", "Vote", "notes", "prepared", "score_calls"]

Done = Callable[[str, str, Score], None]
"""Told of each score when it is there: (the call's key, the scorer's name, the score)."""
Voted = Callable[[Vote], None]
"""Told of each comparison when it is there."""
Work = Coroutine[Any, Any, None]
_WINNER = VOTE_COLUMNS.index("winner")


def notes(scorers: Sequence[AnyScorer], models: Sequence[str]) -> list[str]:
    """What a person should know before money is spent, one sentence each."""
    return [note for scorer in scorers for note in scorer.notes(models)]


async def score_calls(
    calls: Sequence[Call],
    items: Iterable[Item],
    scorers: Sequence[AnyScorer],
    context: Context,
    done: Done | None = None,
    voted: Voted | None = None,
    before: Iterable[Vote] = (),
) -> list[Vote]:
    """Score every measured answer, set Call.scores, and return all votes.

    A call that failed has no answer and so no score; one that has a score of this name already is left as it is, and
    so are comparisons that stand in `before` (votes of an earlier attempt, which are returned too); those without a
    value or a winner are made again. A scorer that raises leaves Score(None, what it raised). When this is cancelled,
    what is done has been told.
    """
    known = {item.id: item for item in items}
    answered = answered_of(calls)
    votes = [vote for vote in before if vote[_WINNER] is not None]  # a comparison that failed is made again
    context = replace(context, models=_models(context, answered))

    def keep(vote: Vote) -> None:
        votes.append(vote)
        if voted is not None:
            voted(vote)

    alone = sum(isinstance(scorer, PairScorer) for scorer in scorers) == 1
    own = {id(s): [v for v in votes if alone or s.wrote(v)] for s in scorers if isinstance(s, PairScorer)}
    queues = [(s.concurrency, _work(s, answered, known, context, done, keep, own.get(id(s), ()))) for s in scorers]
    for scorer in scorers:
        scorer.begin(context)
    await _all(_pool(work, size) for size, work in queues)
    return votes


def answered_of(calls: Iterable[Call]) -> list[Call]:
    """Those that have something to score."""
    return [c for c in calls if c.phase == "measured" and c.status == "ok" and c.output is not None]


def _models(context: Context, answered: Sequence[Call]) -> tuple[str, ...]:
    """As they were named, then as they answered: a group's name does not tell what a model is."""
    found = [*context.models, *(c.model for c in answered), *(c.answered_by for c in answered if c.answered_by)]
    return tuple(dict.fromkeys(found))


def _work(
    scorer: AnyScorer,
    answered: Sequence[Call],
    known: dict[str, Item],
    context: Context,
    done: Done | None,
    keep: Voted,
    votes: Sequence[Vote],
) -> Iterator[Work]:
    def sample(call: Call) -> Sample:
        return _sample(call, known, context)

    if isinstance(scorer, PairScorer):
        pairs = pairs_of(scorer, answered, context, votes)
        return (_compare(scorer, sample(a), sample(b), keep) for a, b in pairs)
    return (_score(scorer, call, sample(call), done) for call in answered if unscored(call, scorer.name))


def unscored(call: Call, scorer: str) -> bool:
    """Whether an answer has no score of this name, or one without a value: a judge that failed may be back."""
    known = call.scores.get(scorer)
    return known is None or known.value is None


def _sample(call: Call, known: dict[str, Item], context: Context) -> Sample:
    item = known.get(call.id) or Item(call.id, call.input, call.target, call.cluster)
    output = call.output or ""
    return Sample(output, item, call.model, None if context.parse is None else context.parse(output))


async def _score(scorer: Scorer, call: Call, sample: Sample, done: Done | None) -> None:
    try:
        score = await scorer.score(sample)
    except BaseException as error:  # a person's own code: kept as a row, and the others go on
        if _ours(error):
            raise
        score = Score(None, raised("scorer", error))
    call.scores[scorer.name] = score
    if done is not None:
        done(call.key, scorer.name, score)


async def _compare(scorer: PairScorer, first: Sample, second: Sample, keep: Voted) -> None:
    try:
        vote = await scorer.compare(first, second)
    except BaseException as error:
        if _ours(error):
            raise
        item, told = first.item, raised("scorer", error)
        vote = (time.time(), item.id, item.cluster, str(item.input), first.model, second.model, None, None, None, told)
    keep(vote)


def _ours(error: BaseException) -> bool:
    """Whether it ends the scoring, and is not a person's own code: exit() there would end hybrid_nb's loop."""
    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, GeneratorExit)
    me = asyncio.current_task()
    return me is None or me.cancelling() > 0


def raised(who: str, error: BaseException) -> str:
    """What is told of an exception in one line."""
    text = " ".join(str(error).split())
    return f"{who} raised {type(error).__name__}" + (f": {text[:500]}" if text else "")


# --- pairs ------------------------------------------------------------------------------------------------


def pairs_of(
    scorer: PairScorer, answered: Sequence[Call], context: Context, votes: Sequence[Vote] = ()
) -> list[tuple[Call, Call]]:
    """The answers to compare: of every sample (or as many as the scorer takes), epoch and two models that answered.

    The models stand in the order in which they were named; which answer a judge sees first is the judge's matter.
    """
    place = {name: number for number, name in enumerate(context.models)}
    groups: dict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in answered:
        groups[call.id, call.epoch].append(call)
    chosen = _chosen(scorer, list(dict.fromkeys(call.id for call in answered)), context)
    over = _counted(votes)
    found = []
    for (ident, _), group in sorted(groups.items(), key=lambda pair: pair[0][1]):
        if ident in chosen:
            group.sort(key=lambda call: place.get(call.model, len(place)))
            found += [pair for pair in _pairs(scorer.pairs, group, context) if not _taken(over, ident, pair)]
    return found


def _pairs(kind: str, group: Sequence[Call], context: Context) -> Iterator[tuple[Call, Call]]:
    for first, second in itertools.combinations(group, 2):
        if kind == "all" or first.model == context.models[0]:
            yield first, second


def _chosen(scorer: PairScorer, ids: Sequence[str], context: Context) -> set[str]:
    if scorer.sample is None or scorer.sample >= len(ids):
        return set(ids)
    return set(context.rng.sample(sorted(ids), scorer.sample))


def _counted(votes: Iterable[Vote]) -> dict[tuple[str, frozenset[str]], int]:
    """How often each sample and pair was compared before."""
    counts: dict[tuple[str, frozenset[str]], int] = defaultdict(int)
    for _, ident, _, _, a, b, winner, *_ in votes:
        counts[ident, frozenset((a, b))] += winner is not None
    return counts


def _taken(over: dict[tuple[str, frozenset[str]], int], ident: str, pair: tuple[Call, Call]) -> bool:
    key = (ident, frozenset(call.model for call in pair))
    over[key] -= 1
    return over[key] >= 0


# --- at their own pace ------------------------------------------------------------------------------------


async def _pool(work: Iterator[Work], size: int) -> None:
    """Run all the work, at most `size` at once."""

    async def worker() -> None:
        for one in work:
            await one

    await _all(worker() for _ in range(max(1, size)))


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Wait for all; the first that raises cancels the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
