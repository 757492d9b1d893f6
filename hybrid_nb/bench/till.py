"""Where calls of a run wait until there is money for them, in the order in which they came."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from hybrid_nb.bench.spending import Leave, Purse


class Till:
    """A purse on a loop."""

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()

    async def hold(self, name: str, most: Decimal) -> bool:
        """Set aside what a call may cost; waits for calls under way when that may help. False: there is no money."""
        if self.purse.limit is None:
            return self.purse.hold(name, most) is Leave.YES
        async with self._turn:
            while (leave := self.purse.hold(name, most)) is Leave.WAIT:
                self._settled.clear()
                await self._settled.wait()
        return leave is Leave.YES

    def settle(self, name: str, cost: Decimal | None) -> None:
        """A call has ended; None: what it cost is unknown."""
        self.purse.settle(name, cost)
        self._settled.set()
