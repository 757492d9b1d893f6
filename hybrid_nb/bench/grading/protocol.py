# ruff: noqa: ARG002 - what subclasses are given
"""What a scorer is, and what it may use of the run that it serves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.types import Reply

Ask = Callable[[Any, Mapping[str, Any]], Awaitable[Reply]]
"""Asks a model: (prompt, options of chat()) -> the reply."""
T = TypeVar("T")
Vote = tuple[Any, ...]
"""One row of VOTE_COLUMNS."""


@dataclass
class Tally:
    """What judges cost. `unknown` counts calls whose cost is not known; `failed` those without an answer."""

    asked: int = 0
    failed: int = 0
    unknown: int = 0
    known_usd: float = 0.0

    @property
    def cost_usd(self) -> float | None:
        """Dollars for all of them; None when the cost of one is unknown."""
        return None if self.unknown else self.known_usd

    def add(self, cost: Any) -> None:
        if cost is None:
            self.unknown += 1
        else:
            self.known_usd += float(cost)


@dataclass(frozen=True)
class Context:
    """What scorers may use.

    Attributes:
        ask: asks a model; for judges. Use question(), which counts.
        models: the models that are compared, as they were asked for and as they answered.
        rng: a generator with the run's seed.
        tally: what judges cost so far.
        parse: reads an answer by the schema of the calls; None where there is none.
    """

    ask: Ask
    models: tuple[str, ...] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    tally: Tally = field(default_factory=Tally)
    parse: Callable[[str], Any] | None = None

    async def question(self, prompt: Any, options: Mapping[str, Any]) -> Reply:
        """Ask a judge, and count what it costs. Raises what `ask` raises."""
        self.tally.asked += 1
        try:
            reply = await self.ask(prompt, options)
        except HybridNbError as error:
            self.tally.failed += 1
            for attempt in getattr(error, "attempts", ()):
                self.tally.add(attempt.cost)
            raise
        self.tally.add(reply.cost)
        return reply


async def in_thread(work: Callable[..., T], *given: Any) -> T:
    """What a function of a person's gives, off the loop.

    A StopIteration, as of a next() that finds nothing, cannot be handed over: whoever waited would wait for ever.
    """

    def called() -> T:
        try:
            return work(*given)
        except StopIteration as error:
            raise RuntimeError(f"StopIteration{f': {error}' if str(error) else ''}") from error

    return await asyncio.to_thread(called)


class Scorer:
    """Looks at one answer. Override score(), or rate() where it does not wait.

    Attributes:
        name: of its column, `score_NAME`.
        needs_target: whether samples without a target are refused by check().
        concurrency: answers that it looks at at once.
        runs_code: whether it runs code that a model wrote; refused unless allow_code=True.
        asks: models that it asks, so that they and their prices can be looked at before.
    """

    name: str = "scorer"
    needs_target: ClassVar[bool] = False
    concurrency: int = 4
    runs_code: ClassVar[bool] = False
    asks: tuple[str, ...] = ()

    def check(self, items: Sequence[Item]) -> None:
        """Raise OptionValueError for data that this cannot score, before anything is spent."""
        if self.needs_target:
            told_missing(self.name, items)

    def begin(self, context: Context) -> None:
        """Called once a run, before its first score."""

    def notes(self, models: Sequence[str]) -> list[str]:
        """What a person should know before money is spent on scoring these models."""
        return []

    def questions(self, samples: int, models: int, epochs: int = 1) -> int:
        """How often it asks a model, at most."""
        return 0

    def rate(self, sample: Sample) -> Score:
        """The score of an answer. Runs in a thread."""
        raise NotImplementedError

    async def score(self, sample: Sample) -> Score:
        """The score of an answer. Runs on hybrid_nb's own loop, so it must not block."""
        return await in_thread(self.rate, sample)

    def __repr__(self) -> str:
        return f"<scorer {self.name}>"


class PairScorer:
    """Compares two answers to the same sample. As Scorer, with compare() in place of score().

    Attributes:
        sample: how many samples are compared, drawn by the run's seed; None: all.
        pairs: "all" compares every two models, "baseline" the first with every other.
    """

    name: str = "pairwise"
    concurrency: int = 4
    sample: int | None = None
    pairs: str = "all"
    asks: tuple[str, ...] = ()

    def check(self, items: Sequence[Item]) -> None:
        """Raise OptionValueError for data that this cannot score, before anything is spent."""

    def begin(self, context: Context) -> None:
        """Called once a run, before its first comparison."""

    def notes(self, models: Sequence[str]) -> list[str]:
        """What a person should know before money is spent on comparing these models."""
        return []

    def questions(self, samples: int, models: int, epochs: int = 1) -> int:
        """How often it asks a model, at most."""
        return 0

    async def compare(self, first: Sample, second: Sample) -> Vote:
        """A row of VOTE_COLUMNS in which `first` is a. Its winner is None where the judge failed."""
        raise NotImplementedError

    def wrote(self, vote: Vote) -> bool:
        """Whether a vote of an earlier attempt is this scorer's; asked only where a run has several of them."""
        return False

    def __repr__(self) -> str:
        return f"<scorer {self.name}>"


AnyScorer = Scorer | PairScorer


def told_missing(name: str, items: Sequence[Item], what: str = "a target") -> None:
    """Raise OptionValueError that names the samples without a target."""
    lacking = [item.id for item in items if missing(item.target)]
    if lacking:
        shown = ", ".join(repr(ident) for ident in lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        count = "1 sample has" if len(lacking) == 1 else f"{len(lacking)} samples have"
        raise OptionValueError(f"the scorer {name} needs {what} for every sample; {count} none: {shown}")


def missing(target: Any) -> bool:
    """Whether a target is not there: None, NaN (an empty cell of a frame), or no alternatives."""
    if isinstance(target, list | tuple | set):
        return not target
    return target is None or (isinstance(target, float) and target != target)
