"""What strategies are asked, and what they answer with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from hybrid_nb.engine.catalogue import Option
from hybrid_nb.engine.facts import Fact, Facts

Pair = tuple[Option, Fact]
Ranked = tuple[Option, str]


def _unpriced(_option: Option, _output: float | None) -> float | None:
    return None


class Ask(NamedTuple):
    """What a strategy may look at besides the options: `cost` gives dollars of this request, None where unknown.

    `expected` gives them for so many tokens of output, if they are known; the needs are the request's.
    """

    facts: Facts
    cost: Callable[[Option], Decimal | float | None]
    max_ttft: float | None = None
    explore: float = 0.0
    min_quality: float | None = None
    max_latency: float | None = None
    expected: Callable[[Option, float | None], float | None] = _unpriced


Strategy = Callable[[Sequence[Pair], Ask], list[Ranked]]
