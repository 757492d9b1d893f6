"""What a run may spend: each call holds its upper estimate until its cost is known. A state machine; no clock, no I/O.

Spent and held together never pass the limit, whatever the order of calls and answers, as long as no call costs more
than it held. A cost that nobody knows counts as all that was held for it.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

NOTHING = Decimal(0)


class Leave(Enum):
    """Whether a call may be made."""

    YES = "yes"
    WAIT = "wait"  # what others hold may become free
    NO = "no"  # not even when all others have ended


class Purse:
    """Dollars of one run.

    Attributes:
        limit: None: there is none.
        spent: what is known to be spent, and what was held for calls whose cost nobody knows.
        held: for calls under way.
        known: what is known to be spent. `unknown` counts the calls whose cost is not.
    """

    def __init__(self, limit: Decimal | None = None, spent: Decimal = NOTHING) -> None:
        self.limit = limit
        self.spent = self.known = spent
        self.unknown = 0
        self.held = NOTHING
        self._holds: dict[str, Decimal] = {}

    def hold(self, name: str, most: Decimal) -> Leave:
        """Set aside what a call costs at most; it is held after YES only."""
        if name in self._holds:
            raise ValueError(f"{name} holds already")
        if self.limit is not None and self.spent + self.held + most > self.limit:
            return Leave.WAIT if self.spent + most <= self.limit else Leave.NO
        self._holds[name] = most
        self.held += most
        return Leave.YES

    def settle(self, name: str, cost: Decimal | None) -> None:
        """A call has ended. `cost` None: unknown; 0: it was free, or nothing was sent."""
        most = self._holds.pop(name)
        self.held -= most
        self.spent += most if cost is None else cost
        if cost is None:
            self.unknown += 1
        else:
            self.known += cost
