"""Scores the calls of a run when they have ended. Judges are paid out of the run's own limit."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from hybrid_nb.bench.grading.protocol import Ask, Context, PairScorer, Tally, Vote
from hybrid_nb.bench.grading.scoring import AnyScorer, answered_of, score_calls, unscored
from hybrid_nb.bench.grading.structured import parser
from hybrid_nb.bench.records import Call, Item, Score
from hybrid_nb.bench.traffic.outcome import paid_for
from hybrid_nb.bench.traffic.spending import NOTHING, Paid
from hybrid_nb.bench.traffic.till import Till
from hybrid_nb.core.errors import BudgetExceededError, HybridNbError
from hybrid_nb.core.types import Reply

Most = Callable[[Any, Mapping[str, Any]], Decimal | None]


class Keeper(Protocol):
    """Where scores go as soon as they are there."""

    def score(self, key: str, scorer: str, score: Score) -> None: ...

    def vote(self, vote: Vote) -> None: ...

    def judged(self, key: str, cost: float | None, spent: Decimal) -> None: ...


class Rating:
    """The scorers of one run, and what they need.

    Args:
        ask: asks a model for a judge. most: dollars that this costs at most; None: nobody knows.
        judged: what judges of earlier parts cost. votes: of earlier parts. schema: of the calls.
    """

    def __init__(
        self,
        scorers: Sequence[AnyScorer],
        items: Sequence[Item],
        models: Sequence[str],
        seed: int,
        ask: Ask,
        most: Most,
        till: Till,
        judged: Sequence[float | None] = (),
        votes: Sequence[Vote] = (),
        schema: Any = None,
    ) -> None:
        self.scorers = scorers
        self.items = items
        self.tally = Tally()
        for cost in judged:
            self.tally.add(cost)
        self.stopped: str | None = None
        self.done = 0
        self.total: int | None = None  # unknown while answers are compared
        self._context = Context(self._question, tuple(models), random.Random(seed), self.tally, parser(schema))
        self._ask, self._most, self._till = ask, most, till
        self.before = votes
        self._keeper: Keeper | None = None
        self._numbers = itertools.count()
        self._part = os.urandom(4).hex()  # holds of an earlier part keep their names
        self._asks: set[asyncio.Task[Reply]] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Of those that give a column of scores."""
        return tuple(scorer.name for scorer in self.scorers if not isinstance(scorer, PairScorer))

    async def score(self, calls: Sequence[Call], keeper: Keeper) -> list[Vote]:
        """Set the scores of the calls; returns the votes."""
        self._keeper = keeper
        alone = len(self.names) == len(self.scorers)
        scores = sum(unscored(call, name) for call in answered_of(calls) for name in self.names)
        self.total = scores if alone else None

        def done(key: str, scorer: str, score: Score) -> None:
            self.done += 1
            keeper.score(key, scorer, score)

        def voted(vote: Vote) -> None:
            self.done += 1
            keeper.vote(vote)

        return await score_calls(calls, self.items, self.scorers, self._context, done, voted, self.before)

    def stop(self, reason: str) -> None:
        """Ask nobody any more; what needs no asking is still scored."""
        self.stopped = self.stopped or reason
        for task in list(self._asks):
            task.cancel()

    async def _question(self, prompt: Any, options: Mapping[str, Any]) -> Reply:
        key = f"judge|{self._part}|{next(self._numbers)}"
        if self.stopped is not None:
            raise HybridNbError(f"not asked: the run was stopped ({self.stopped})")
        most = self._most(prompt, options)
        if most is None or not await self._till.hold(key, most):
            why = "the price of this judge is unknown" if most is None else "the run would pass its max_cost"
            self.stopped = self.stopped or "budget"
            raise BudgetExceededError(f"not asked: {why}", self._till.purse.limit)
        return await self._paid(key, prompt, options)

    async def _paid(self, key: str, prompt: Any, options: Mapping[str, Any]) -> Reply:
        task = asyncio.ensure_future(self._ask(prompt, options))
        self._asks.add(task)
        paid = Paid()
        try:
            reply = await task
            paid = paid_for(reply.route.attempts) if reply.route.attempts else Paid(reply.cost or NOTHING)
            return reply
        except HybridNbError as error:
            paid = paid_for(getattr(error, "attempts", ()))
            raise
        except asyncio.CancelledError:
            paid = Paid(NOTHING, 1)
            me = asyncio.current_task()
            if self.stopped is None or me is None or me.cancelling():
                raise  # it is the scoring that ends, and not only this question
            raise HybridNbError(f"cancelled: the run was stopped ({self.stopped})") from None
        finally:
            task.cancel()
            self._asks.discard(task)
            spent = self._till.settle(key, paid)
            if self._keeper is not None:
                self._keeper.judged(key, None if paid.unknown else float(paid.known), spent)
