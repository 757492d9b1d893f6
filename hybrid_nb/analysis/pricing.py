"""The same calls at another model's price: what they would have cost, from the tokens that were recorded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from hybrid_nb.core.types import Usage
from hybrid_nb.ledger.costs import Tokens
from hybrid_nb.ledger.entries import PICO

Price = Callable[[Usage], Decimal | None]
"""Dollars for a usage, or None when no price is known."""
WHAT_IF_COLUMNS = ("calls", "compared", "unpriced", "actual_usd", "would_be_usd", "difference_usd")
SAVINGS_COLUMNS = ("source", "calls", "unknown", "actual_usd", "would_be_usd", "saved_usd", "against")


class Candidate(NamedTuple):
    """A cloud model whose price is known; `context` is in tokens, None: not known."""

    name: str
    price: Price
    context: int | None


def used(input_tokens: int, cached_tokens: int, output_tokens: int) -> Usage:
    return Usage(input_tokens, cached_tokens or None, None, output_tokens, None, "estimate")


def linear(price: Price) -> bool:
    """Whether a sum of calls costs what the calls cost: some lists ask more for a long prompt."""
    return all(
        (a := price(used(*small))) is not None and (b := price(used(*(n * 5000 for n in small)))) is not None
        and abs(b - 5000 * a) <= abs(b) / 10**9
        for small in ((1000, 0, 0), (1000, 1000, 0), (0, 0, 1000))
    )  # fmt: skip


def would_be(rows: Iterable[Tokens], price: Price, sizes: bool = False) -> list[tuple[Any, ...]]:
    """(groups ..., calls, compared, unpriced, actual, would-be, difference) by group; the dollars are of the calls
    that are compared, whose tokens and cost are known. `sizes`: each row is of calls of one size (see costs.tokens)."""
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        total = sums.setdefault(row.groups, [0, 0, Decimal(0), Decimal(0)])
        total[0] += row.calls
        asked = _asked(row, price, sizes) if row.counted else None
        if asked is not None:
            total[1] += row.counted
            total[2] += Decimal(row.cost) / PICO
            total[3] += asked
    return [(*groups, *_compared(*total)) for groups, total in sums.items()]


def _asked(row: Tokens, price: Price, sizes: bool) -> Decimal | None:
    times = row.counted if sizes else 1
    one = price(used(row.input_tokens // times, row.cached_tokens // times, row.output_tokens // times))
    return None if one is None else one * times


def _compared(calls: int, compared: int, actual: Decimal, asked: Decimal) -> tuple[Any, ...]:
    if not compared:
        return calls, 0, calls, None, None, None
    return calls, compared, calls - compared, float(actual), float(asked), float(asked - actual)


def cheapest(candidates: Sequence[Candidate], calls: Tokens) -> Candidate | None:
    """The model at which these calls together cost least, among those whose context holds the largest of them, or is
    not known; None when there is none."""
    priced = [
        (amount, candidate.name, candidate) for candidate in candidates
        if (candidate.context is None or candidate.context >= calls.largest)
        and (amount := candidate.price(used(calls.input_tokens, calls.cached_tokens, calls.output_tokens))) is not None
    ]  # fmt: skip
    return min(priced, key=lambda item: item[:2])[2] if priced else None
