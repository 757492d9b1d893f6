"""Which calls a run makes, and in which order. Pure: the same seed gives the same order.

Prompts are shuffled, and the models of one prompt follow each other in random order, so that the time of day does not
favour one of them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hybrid_nb.bench.records import Item, Phase


class Task(NamedTuple):
    """One call to make."""

    item: Item
    model: str
    epoch: int
    phase: Phase = "measured"

    @property
    def key(self) -> str:
        """Its name within the run. Epochs of the warm-up are negative."""
        return f"{self.model}|{self.item.id}|{self.epoch}"


def epoch_tasks(items: Sequence[Item], models: Sequence[str], epoch: int, seed: int) -> Iterator[Task]:
    """All calls of one epoch; each epoch has an order of its own."""
    chance = random.Random(f"{seed}:{epoch}")
    places = list(range(len(items)))
    chance.shuffle(places)
    for place in places:
        for model in chance.sample(models, len(models)):
            yield Task(items[place], model, epoch)


def measured(items: Sequence[Item], models: Sequence[str], epochs: int | None, seed: int) -> Iterator[Task]:
    """The calls that count; without end where `epochs` is None."""
    for epoch in itertools.count() if epochs is None else range(epochs):
        yield from epoch_tasks(items, models, epoch, seed)


def warmup(items: Sequence[Item], models: Sequence[str], count: int, seed: int) -> Iterator[Task]:
    """The calls before them; in addition, so that every sample is measured all the same."""
    epochs = (epoch_tasks(items, models, epoch, seed) for epoch in itertools.count(-1, -1))
    found = itertools.islice(itertools.chain.from_iterable(epochs), count)
    return (task._replace(phase="warmup") for task in found)
