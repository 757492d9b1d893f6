"""What is left of the budget, as every process sees it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from hybrid_nb.ledger.budget import Period, resets_at
from hybrid_nb.remaining import budget
from hybrid_nb.sim import Fleet
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import RawServer, answer, said, until

Raw = Callable[..., RawServer]
USD = 10**12
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp()


def row(frame: pd.DataFrame, number: int = 0) -> dict[str, Any]:
    return dict(frame.iloc[number])


@pytest.mark.parametrize(
    ("limit", "spent", "share", "alert"),
    [(10, 7, 0.7, False), (10, 8, 0.8, True), (10, 11, 1.1, True), (0, 0, 1.0, True), (None, 3, None, None)],
)
def test_the_share_and_its_alert(limit: int | None, spent: int, share: float | None, alert: bool | None) -> None:
    amount = None if limit is None else limit * USD
    found = row(budget([Period("daily", amount, spent * USD, USD, ())], 0.8, NOON))
    assert (found["spent_usd"], found["reserved_usd"], found["unpriced_calls"]) == (spent, 1.0, 0)
    assert pd.isna(found["unpriced_models"])
    if limit is None:
        assert all(pd.isna(found[name]) for name in ("limit_usd", "remaining_usd", "share", "alert"))
    else:
        assert (found["limit_usd"], found["share"], found["alert"]) == (limit, pytest.approx(share), alert)
        assert found["remaining_usd"] == max(0, limit - spent - 1)
    assert found["resets_at"] == pd.Timestamp("2026-11-21", tz="UTC")


def test_before_anything_was_asked(make_router: MakeRouter, fleet: Fleet) -> None:
    frame = make_router(fleet).budget()
    assert list(frame["limit"]) == ["day", "month"]
    assert list(frame["limit_usd"]) == list(frame["remaining_usd"]) == [5.0, 100.0]
    assert not frame["alert"].any()
    assert str(frame["resets_at"].dtype) == "datetime64[ns, UTC]"
    assert frame["resets_at"][1].timestamp() == resets_at("monthly", time.time())


def test_spent_and_reserved_are_those_of_all_who_share_the_ledger(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi", (1000, 500))), [0.3, *answer(said("hi", (1000, 500)))])
    config = {"provider": [at(server)], "budget": {"daily_usd": Decimal("0.01"), "monthly_usd": None, "alert_at": 0.2}}
    one, other = make_router(config), make_router(config)
    one.chat("hi", max_tokens=1000)
    found = row(other.budget())
    assert found["spent_usd"] == pytest.approx(0.002)  # 1,000 at $1 and 500 at $2 a million
    assert (found["share"], found["alert"]) == (pytest.approx(0.2), True)
    stream = one.stream("hi", max_tokens=1000)
    assert until(lambda: len(server.seen) == 2)
    found = row(other.budget())
    assert 0.002 < found["reserved_usd"] < 0.003
    assert found["remaining_usd"] == pytest.approx(0.01 - 0.002 - found["reserved_usd"])
    assert stream.reply.text == "hi"
    day, month = (row(other.budget(), number) for number in range(2))
    assert (day["spent_usd"], day["reserved_usd"]) == (pytest.approx(0.004), 0)
    assert month["spent_usd"] == pytest.approx(0.004)
    assert pd.isna(month["limit_usd"])
    one.configure()
    assert row(one.budget())["spent_usd"] == day["spent_usd"]


def test_a_lost_reservation_counts_as_it_will_be_charged(make_router: MakeRouter, fleet: Fleet) -> None:
    router = make_router(fleet)
    with router._ledger._db as db:
        db.execute("INSERT INTO reservations VALUES ('dead', ?, ?, ?)", (time.time() - 1, 3 * USD, USD))
    found = row(router.budget())
    assert (found["spent_usd"], found["reserved_usd"], found["remaining_usd"]) == (1.0, 0.0, 4.0)


def test_what_no_price_is_known_for_is_told(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([at(server, prices={}), at(raw(answer({"error": {"message": "no"}}, 400)), "b", prices={})])
    for _ in range(2):
        router.chat("hi", model="a/m")
    with pytest.raises(Exception, match="no"):
        router.chat("hi", model="b/m")  # which cost nothing
    for number in range(2):
        found = row(router.budget(), number)
        assert (found["unpriced_calls"], found["unpriced_models"], found["spent_usd"]) == (2, "a/m", 0.0)


def test_a_plan_foresees_that_the_budget_is_used_up(raw: Callable[..., RawServer], make_router: MakeRouter) -> None:
    server = raw(answer(said("hi", (1000, 1000))))
    paid, free = at(server, "paid"), at(server, "free", tier="local", prices={"m": {"input": 0, "output": 0}})
    config = {"provider": [paid, free], "budget": {"daily_usd": 0.004, "monthly_usd": None}}
    router = make_router(config)
    assert len(router.plan("hi", max_tokens=100).accepted) == 2
    router.chat("hi", model="paid/m", max_tokens=100)
    router.chat("hi", model="paid/m", max_tokens=100, max_cost=1)
    found = router.plan("hi", max_tokens=100)
    assert [c.target.provider for c in found.accepted] == ["free"]
    assert "the daily budget of $0.004 is used up until" in str(found)
