"""What a run may spend: each call holds its upper estimate until its cost is known. A state machine; no clock, no I/O.

Spent and held together never pass the limit, whatever the order of calls and answers, as long as no call costs more
than it held. An attempt whose cost nobody knows counts as all that was held for it.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import NamedTuple

NOTHING = Decimal(0)


class Paid(NamedTuple):
    """What a call cost: dollars that are known, and how many of its attempts cost nobody knows what."""

    known: Decimal = NOTHING
    unknown: int = 0


class Leave(Enum):
    """Whether a call may be made."""

    YES = "yes"
    WAIT = "wait"  # what others hold may become free
    NO = "no"  # not even when all others were free


class Purse:
    """Dollars of one run.

    Attributes:
        limit: None: there is none.
        spent: what counts as spent. held: for calls under way.
        known: what is known to be spent. unknown: the calls of which something is not.
    """

    def __init__(self, limit: Decimal | None = None) -> None:
        self.limit = limit
        self.spent = self.known = self.held = NOTHING
        self.unknown = 0
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

    def settle(self, name: str, paid: Paid) -> Decimal:
        """A call has ended. Returns what counts as spent for it."""
        most = self._holds.pop(name)
        self.held -= most
        spent = paid.known + paid.unknown * most
        self.count(spent, paid.known, bool(paid.unknown))
        return spent

    def count(self, spent: Decimal, known: Decimal, unknown: int) -> None:
        """Count what was spent without a hold, as in an earlier part of the run."""
        self.spent += spent
        self.known += known
        self.unknown += unknown
