"""Which two models answer which prompt next, and who stands left. Pure: chance is passed in."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from hybrid_nb.bench.records import Item

Pair = frozenset[str]
OWN = "own:"  # how the id of a prompt begins that somebody typed
Key = tuple[str, Pair]  # a prompt's id, and the two models


class Match(NamedTuple):
    """A prompt, and the models whose answers stand left and right."""

    number: int
    item: Item
    left: str
    right: str

    @property
    def pair(self) -> Pair:
        return frozenset((self.left, self.right))

    @property
    def key(self) -> Key:
        return (self.item.id, self.pair)


def pairs(models: Iterable[str]) -> list[Pair]:
    """Every two models."""
    return [frozenset(two) for two in combinations(models, 2)]


def choose(
    items: Sequence[Item], among: Sequence[Pair], votes: Counter[Key], gone: Collection[Key], chance: random.Random
) -> tuple[Item, Pair] | None:
    """The pair with the fewest votes that has a prompt left, on its prompt with the fewest; among equals by lot.

    `gone`: what was voted on already, skipped, or is under way. None: nothing is left.
    """
    left = [(item, pair) for pair in among for item in items if (item.id, pair) not in gone]
    if not left:
        return None
    of_pair, of_item = Counter[Pair](), Counter[str]()
    for (ident, pair), count in votes.items():
        of_pair[pair] += count
        of_item[ident] += count
    least = min((of_pair[pair], of_item[item.id]) for item, pair in left)
    return chance.choice([(item, pair) for item, pair in left if (of_pair[pair], of_item[item.id]) == least])


def seated(number: int, item: Item, pair: Pair, chance: random.Random) -> Match:
    """A match with its places drawn by lot."""
    first, second = chance.sample(sorted(pair), 2)
    return Match(number, item, first, second)


def text_of(item: Item) -> str:
    """A prompt as text: itself, or the last message."""
    if isinstance(item.input, str):
        return item.input
    last = item.input[-1] if isinstance(item.input, Sequence) and item.input else item.input
    content = last.get("content") if isinstance(last, dict) else getattr(last, "text", last)
    return content if isinstance(content, str) else str(content)


def own(text: str) -> Item:
    """A prompt that somebody typed; the same text has the same id."""
    return Item(f"{OWN}{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
