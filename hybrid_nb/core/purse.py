"""The money of one piece of work: many calls that together may cost so much and no more (`max_cost` of a map).

Work that has a limit runs its calls with PURSE set in their tasks. The gate takes an upper bound of each attempt's
cost out of the purse before the first byte is sent, retries and failovers too, and hands back what was not needed; an
attempt whose upper bound is not there any more is not sent. Amounts are integers of 1e-12 dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from hybrid_nb.core.errors import BudgetExceededError


class MaxCostReachedError(BudgetExceededError):
    """The next attempt might pass the limit. `final`: nothing that is under way could make room for it."""

    def __init__(self, message: str, *args: Any, final: bool = True) -> None:
        super().__init__(message, *args)
        self.final = final


class Purse(Protocol):
    """The money as the gate sees it."""

    async def hold(self, identifier: str, amounts: Sequence[int], roomy: int, patience: float) -> int:
        """Take the first amount that is there out of the purse, and return its place.

        The amounts fall; those behind the first `roomy` are taken only where no call under way may make room for more.
        Waits up to `patience` seconds for calls under way. Raises MaxCostReachedError.
        """

    def settle(self, identifier: str, cost: int | None) -> None:
        """The attempt ended: what it cost, 0 when nothing was billed, None when nobody knows: all that it held."""

    def unpriced(self) -> BudgetExceededError:
        """The error of an attempt whose price nobody knows."""


PURSE: ContextVar[Purse | None] = ContextVar("hybrid_nb_purse", default=None)
