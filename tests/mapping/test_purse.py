"""What max_cost is held by: settled + held never passes the bound, whoever asks, settles or dies in whatever order."""

from __future__ import annotations

import asyncio
import random
import sqlite3

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from hybrid_nb.core.purse import MaxCostReachedError
from hybrid_nb.ledger import purse as purses
from hybrid_nb.ledger.purse import Ask, LedgerPurse, Settlement
from hybrid_nb.ledger.store import Ledger

BOUND = 1000
amounts_of = st.lists(st.integers(1, 600), min_size=1, max_size=3).map(lambda found: sorted(found, reverse=True))
owners = st.sampled_from(["a", "b", "c"])


class Held:
    """An attempt under way, as the world knows it: what it holds, and what it will truly have cost."""

    def __init__(self, name: str, owner: str, amount: int, cost: int) -> None:
        self.name, self.owner, self.amount, self.cost = name, owner, amount, cost


class Machine(RuleBasedStateMachine):
    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        purses.fill("p", BOUND, 0.0, self.db)
        purses.fill("other", 10**9, 0.0, self.db)
        self.count = 0
        self.billed = 0  # by the vendors, whether anybody heard of it or not
        self.held: dict[str, Held] = {}

    @rule(target=under_way, owner=owners, amounts=amounts_of, roomy=st.integers(1, 3), share=st.floats(0, 1))
    def ask(self, owner, amounts, roomy, share):
        self.count += 1
        name = f"{self.count}"
        before = purses.standing("p", self.db)
        answer = purses.hold(Ask(name, "p", owner, amounts, min(roomy, len(amounts))), self.db)
        if answer.place is None:
            if not before.held:  # nobody could make room: not even the smallest fits
                assert before.stopped or amounts[-1] > before.free
            return Held("", owner, 0, 0)
        amount = amounts[answer.place]
        assert answer.place < roomy or not before.held  # a tight amount is for those who would wait in vain
        assert all(larger > before.free for larger in amounts[: answer.place])
        self.held[name] = Held(name, owner, amount, int(share * amount))
        return self.held[name]

    @rule(call=consumes(under_way), known=st.booleans())
    def end(self, call, known):
        if call.name not in self.held:
            purses.settle([Settlement(call.name or "nobody", call.cost)], self.db)  # its worker was taken for dead
            return
        del self.held[call.name]
        self.billed += call.cost
        purses.settle([Settlement(call.name, call.cost if known else None)], self.db)

    @rule(owner=owners)
    def die(self, owner):
        for call in [call for call in self.held.values() if call.owner == owner]:
            self.billed += self.held.pop(call.name).cost
        purses.forfeit("p", lambda name: name == owner, self.db)

    @rule()
    def use_the_other(self):
        self.count += 1
        purses.hold(Ask(f"other {self.count}", "other", "a", [500], 1), self.db)

    @invariant()
    def never_over(self):
        found = purses.standing("p", self.db)
        assert found.settled + found.held <= BOUND
        assert self.billed + sum(call.cost for call in self.held.values()) <= BOUND
        assert found.held == sum(call.amount for call in self.held.values())
        assert found.settled >= self.billed  # who died, and whose cost nobody knows, is charged in whole

    def teardown(self):
        self.db.close()


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestPurse = Machine.TestCase


@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_share_one_purse(tmp_path, seed):
    """Two connections, many calls at once that wait for each other: nobody waits for ever, nothing is overdrawn."""
    ledgers = [Ledger(f"sqlite:///{tmp_path}/ledger.db") for _ in range(2)]
    await ledgers[0].transact(lambda db: purses.fill("p", BOUND, 0.0, db))
    sides = [LedgerPurse(ledger, "p", f"{number}") for number, ledger in enumerate(ledgers)]
    rng, billed, refused = random.Random(seed), 0, 0
    final: list[bool] = []

    async def call(number: int, purse: LedgerPurse) -> None:
        nonlocal billed, refused
        cost, pause = rng.randint(0, 100), rng.random() / 200
        try:
            await purse.hold(f"{number}", [100], 1, 20.0)
        except MaxCostReachedError as error:
            refused += 1
            final.append(error.final)
            return
        await asyncio.sleep(pause)
        billed += cost
        purse.settle(f"{number}", cost)

    async with asyncio.timeout(30):
        await asyncio.gather(*(call(number, sides[number % 2]) for number in range(60)))
    for ledger in ledgers:
        await ledger.drain()
    found = purses.read(ledgers[0], "p")
    assert (found.settled, found.held) == (billed, 0)
    assert BOUND - 100 < billed <= BOUND
    assert refused > 0
    assert all(final)
    for ledger in ledgers:
        ledger.close()


async def test_who_stopped_the_work_is_told_to_those_who_come_after(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    await ledger.transact(lambda db: purses.fill("p", None, 0.0, db))
    purse = LedgerPurse(ledger, "p")
    assert await purse.hold("1", [100], 1, 1.0) == 0
    await ledger.transact(lambda db: purses.stop("p", "the key was refused", db))
    await ledger.transact(lambda db: purses.stop("p", "another reason", db))
    with pytest.raises(MaxCostReachedError, match="the key was refused"):
        await purse.hold("2", [100], 1, 1.0)
    await ledger.transact(lambda db: purses.drop("p", db))
    with pytest.raises(MaxCostReachedError, match=purses.OVER):
        await purse.hold("3", [100], 1, 1.0)
    purse.settle("1", 5)  # of a purse that is gone: nothing happens
    await ledger.drain()
    ledger.close()


async def test_waiting_ends_with_the_patience_of_the_call(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    await ledger.transact(lambda db: purses.fill("p", 100, 0.0, db))
    purse = LedgerPurse(ledger, "p")
    await purse.hold("1", [100], 1, 1.0)
    with pytest.raises(MaxCostReachedError) as error:
        await purse.hold("2", [50], 1, 0.1)
    assert not error.value.final  # so that a map asks for it again
    purse.settle("1", 10)
    assert await purse.hold("2", [50], 1, 0.1) == 0
    await ledger.drain()
    ledger.close()
