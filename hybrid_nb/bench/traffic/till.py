"""Where calls of a run wait until there is money for them, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from hybrid_nb.bench.traffic.spending import Leave, Paid, Purse


class Till:
    """A purse on a loop."""

    def __init__(self, purse: Purse, held: Callable[[str, Decimal], None] | None = None) -> None:
        """`held` is told what is held for whom, where there is a limit."""
        self.purse = purse
        self._held = held
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
        if leave is Leave.YES and self._held is not None:
            self._held(name, most)
        return leave is Leave.YES

    def settle(self, name: str, paid: Paid) -> Decimal:
        """A call has ended. Returns what counts as spent for it."""
        spent = self.purse.settle(name, paid)
        self._settled.set()
        return spent
