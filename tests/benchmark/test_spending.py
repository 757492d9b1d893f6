"""What a run may spend: whatever the order of calls and answers, the limit is never passed."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.bench.traffic.spending import Leave, Paid, Purse
from hybrid_nb.bench.traffic.till import Till

dollars = st.decimals(0, 2, places=4)


@given(dollars, st.lists(st.tuples(dollars, st.floats(0, 1), st.booleans(), st.integers(0, 5)), max_size=40))
def test_the_limit_is_never_passed(limit: Decimal, calls: list[tuple[Decimal, float, bool, int]]) -> None:
    purse, under_way, paid = Purse(limit), [], Decimal(0)
    for number, (most, share, told, ends) in enumerate(calls):
        leave = purse.hold(str(number), most)
        if leave is Leave.YES:
            under_way.append((str(number), most, (most * Decimal(share)).quantize(Decimal("0.0001")), told))
        for name, held, cost, known in under_way[:ends]:
            purse.settle(name, Paid(cost) if known else Paid(Decimal(0), 1))
            paid += cost if known else held
        under_way = under_way[ends:]
        assert purse.spent + purse.held <= limit
        assert purse.spent == paid
        assert purse.held == sum((held for _, held, _, _ in under_way), Decimal(0))


@given(dollars, dollars, dollars)
def test_waiting_is_told_only_where_it_may_help(limit: Decimal, other: Decimal, most: Decimal) -> None:
    purse = Purse(limit)
    if purse.hold("other", other) is not Leave.YES:
        return
    leave = purse.hold("call", most)
    if leave is not Leave.YES:
        purse.settle("other", Paid(Decimal(0)))
        assert (purse.hold("call", most) is Leave.YES) == (leave is Leave.WAIT)


def test_an_unknown_cost_counts_as_all_that_was_held() -> None:
    purse = Purse(Decimal(1))
    purse.hold("a", Decimal("0.6"))
    assert purse.settle("a", Paid(Decimal("0.1"), 1)) == Decimal("0.7")
    assert (purse.known, purse.unknown, purse.spent) == (Decimal("0.1"), 1, Decimal("0.7"))
    assert purse.hold("b", Decimal("0.4")) is Leave.NO


def test_without_a_limit_everything_is_counted() -> None:
    purse = Purse()
    assert purse.hold("a", Decimal(10**6)) is Leave.YES
    with pytest.raises(ValueError, match="holds already"):
        purse.hold("a", Decimal(0))


async def test_calls_wait_for_money_in_the_order_in_which_they_came() -> None:
    till = Till(Purse(Decimal(1)))
    assert await till.hold("first", Decimal("0.8"))
    order: list[str] = []

    async def call(name: str, most: str) -> None:
        if await till.hold(name, Decimal(most)):
            order.append(name)

    waiting = [asyncio.create_task(call("dear", "0.7")), asyncio.create_task(call("cheap", "0.1"))]
    await asyncio.sleep(0)
    assert order == []
    till.settle("first", Paid(Decimal("0.1")))
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order == ["dear", "cheap"]


async def test_nobody_waits_where_waiting_brings_nothing() -> None:
    till = Till(Purse(Decimal(1)))
    await till.hold("a", Decimal("0.5"))
    till.settle("a", Paid(Decimal("0.5")))
    await till.hold("b", Decimal("0.1"))
    assert not await asyncio.wait_for(till.hold("c", Decimal("0.6")), 5)
