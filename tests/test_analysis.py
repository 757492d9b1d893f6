"""What costs did, will do and would have been: over ledgers whose calls are known."""

from __future__ import annotations

import datetime as dt
import json
import random
import sqlite3
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.analysis import forecast, pricing, trend
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.ledger import costs
from hybrid_nb.ledger.entries import CALL_COLUMNS
from tests.conftest import PRICES, model_of

NOW = dt.datetime(2026, 11, 21, 18, 0, tzinfo=dt.UTC).timestamp()  # a Saturday
DAY = 86400.0
CLOUD = {"name": "dear", "type": "custom", "base_url": "http://127.0.0.1:9/v1", "api_key": "k", "tier": "cloud",
         "models": ["m"], "prices": {"m": {"input": 10, "output": 30}}}  # fmt: skip
CHEAP = {**CLOUD, "name": "cheap", "prices": {"m": {"input": 1, "output": 2, "cached": 0.5}}}
UNPRICED = {**CLOUD, "name": "unpriced", "prices": {}}
LOCAL = {**CLOUD, "name": "near", "tier": "local", "prices": {}}
PROVIDERS = [CLOUD, CHEAP, UNPRICED, LOCAL]


def call(number: int, **values: Any) -> tuple[Any, ...]:
    """A row of the ledger; cost in dollars."""
    usual = {"time": NOW - DAY, "request_id": f"r{number:07}", "provider": "dear", "model": "m", "tier": "cloud",
             "status": "ok", "finish": "stop", "attempts": 1, "input_tokens": 1000, "output_tokens": 100,
             "usage_source": "provider", "cost_usd": 0.013, "cost_source": "config", "cache_hit": 0}  # fmt: skip
    row = {**usual, **values}
    if row["cost_usd"] is not None:
        row["cost_usd"] = int(Decimal(str(row["cost_usd"])) * 10**12)
    return tuple(row.get(name) for name in CALL_COLUMNS)


@pytest.fixture
def ledger(make_router, tmp_path):
    """A function that makes a router over these calls."""

    def make(rows, **config):
        router = make_router({"provider": PROVIDERS, **config}, health_interval=0)
        with sqlite3.connect(tmp_path / "ledger.db") as db:
            db.executemany(f"INSERT INTO calls VALUES ({','.join('?' * len(CALL_COLUMNS))})", rows)
        db.close()
        return router

    return make


# --- costs() by any column -------------------------------------------------------------------------------------


def test_costs_by_any_column(ledger):
    rows = [
        call(1, error="RateLimitError: slow down", status="error", cost_usd=None, attempts=3, finish=None),
        call(2, error="RateLimitError: again", status="error", cost_usd=0),
        call(3, error="cancelled", status="cancelled", tags=json.dumps({"team": "red"})),
        call(4, cache_hit=1, attempts=0, usage_source="estimate", route_reason="cheapest"),
    ]
    router = ledger(rows)

    def counted(by):
        table = router.costs(by=by)
        return {row[0]: row[1] for row in table[[by, "calls"]].itertuples(index=False) if row[0] is not pd.NA}

    assert counted("error") == {"RateLimitError": 2, "cancelled": 1}
    assert counted("finish") == {"stop": 3}
    assert counted("attempts") == {3: 1, 1: 2, 0: 1}
    assert counted("cache_hit") == {True: 1, False: 3}
    assert counted("usage_source") == {"provider": 3, "estimate": 1}
    assert counted("route_reason") == {"cheapest": 1}
    assert counted("tag:team") == {"red": 1}
    assert counted("status") == {"ok": 1, "error": 2, "cancelled": 1}
    table = router.costs(by=["error", "attempts"])
    assert table["unknown_cost"].sum() == 1
    assert str(table["attempts"].dtype) == "Int64"


@settings(max_examples=30, deadline=None)
@given(st.integers(1_500_000_000, 2_000_000_000))
def test_periods_are_named_by_the_calendar(at):
    db = sqlite3.connect(":memory:")
    found = db.execute(
        f"SELECT {', '.join(map(costs.group, ('hour', 'week', 'weekday')))} FROM (SELECT {at} AS time)"
    ).fetchone()
    db.close()
    day = dt.datetime.fromtimestamp(at, dt.UTC)
    monday = day.date() - dt.timedelta(days=day.weekday())
    assert found == (f"{day:%Y-%m-%d %H:00}", monday.isoformat(), f"{day.isoweekday()} {day:%a}")


def test_a_wrong_group_names_the_nearest(ledger):
    with pytest.raises(OptionValueError, match=r"cannot group by 'wek' \(did you mean 'week'\?\)"):
        ledger([]).costs(by="wek")


# --- trend -----------------------------------------------------------------------------------------------------


def days(*amounts: float, now: float = NOW) -> list[trend.Day]:
    """Complete days before today, and today without calls."""
    first = trend.today(now) - dt.timedelta(days=len(amounts))
    found = [trend.Day(first + dt.timedelta(days=n), 1, amount, 0) for n, amount in enumerate(amounts)]
    return [*found, trend.Day(trend.today(now), 0, 0.0, 0)]


def test_the_trend_fills_days_without_calls_and_says_what_is_unknown(ledger):
    rows = [call(1, time=NOW - 3 * DAY, cost_usd=1.5), call(2, time=NOW - 3 * DAY, cost_usd=None), call(3, time=NOW)]
    table = ledger(rows).cost_trend(now=NOW)
    assert list(table["day"]) == ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"]
    assert list(table["cost_usd"]) == [1.5, 0, 0, 0.013]
    assert list(table["unknown_cost"]) == [1, 0, 0, 0]
    assert list(table["complete"]) == [True, True, True, False]
    assert table["mean_7d_usd"].isna().all()
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "day": "string", "calls": "Int64", "cost_usd": "Float64", "unknown_cost": "Int64", "mean_7d_usd": "Float64",
        "change_7d": "Float64", "complete": "boolean",
    }  # fmt: skip


def test_the_mean_and_its_change_are_of_whole_weeks():
    rows = trend.trend(days(*[1.0] * 7, *[2.0] * 7), NOW)
    assert [row["mean_7d_usd"] for row in rows[:6]] == [None] * 6
    assert rows[6]["mean_7d_usd"] == 1.0
    assert rows[12]["change_7d"] is None
    assert rows[13]["mean_7d_usd"] == 2.0
    assert rows[13]["change_7d"] == pytest.approx(1.0)
    assert (rows[14]["mean_7d_usd"], rows[14]["change_7d"]) == (None, None)  # today is not over


def test_a_week_without_spending_before_has_no_change():
    assert trend.trend(days(*[0.0] * 7, *[2.0] * 7), NOW)[13]["change_7d"] is None


def test_an_empty_ledger_has_no_trend_but_its_columns(ledger):
    router = ledger([])
    assert list(router.cost_trend().columns) == list(trend.TREND_COLUMNS)
    assert router.cost_forecast(now=NOW)["method"][0] == "insufficient data"
    assert router.savings().empty
    assert router.what_if("cheap/m").empty
    assert "no calls yet" in router.cost_plot().alt


@given(
    st.sampled_from(trend.PERIODS), st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2026, 1, 1)), st.integers(0, 60)
)
def test_periods_have_no_gap(over, first, steps):
    written = {"hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}.get(over, "%Y-%m-%d")
    last = first + steps * {
        "hour": dt.timedelta(hours=1),
        "week": dt.timedelta(days=7),
        "month": dt.timedelta(days=31),
    }.get(over, dt.timedelta(days=1))
    names = trend.periods(first.strftime(written), last.strftime(written), over)
    assert names[0] == first.strftime(written)
    assert names == sorted(set(names))
    if over != "month":
        assert len(names) == steps + 1
        assert names[-1] == last.strftime(written)


# --- forecast --------------------------------------------------------------------------------------------------


def test_a_steady_spending_is_foreseen_exactly():
    row = forecast.forecast(days(*[2.0] * 20), NOW, limit=55.0)
    assert row["spent_usd"] == 40.0
    assert row["days_left"] == pytest.approx(9.25)
    assert row["expected_usd"] == row["low_usd"] == row["high_usd"] == pytest.approx(58.5)
    assert row["chance_over"] == 1.0
    assert row["reached_on"] == "2026-11-29"  # 40.5 by the end of the 21st, then 2 a day: 56.5 by the end of the 29th
    assert "working days and weekends apart" in row["method"]


def test_too_few_days_are_not_made_a_forecast():
    row = forecast.forecast(days(*[2.0] * 6), NOW, limit=5.0)
    assert row["method"] == "insufficient data"
    assert row["explanation"] == "insufficient data: 6 complete days, 7 are needed"
    assert row.get("expected_usd") is None
    assert row["reached_on"] == "2026-11-17"  # which is no forecast: 2 + 2 + 2 dollars from the 15th on


def test_a_limit_that_was_reached_says_when():
    row = forecast.forecast(days(*[2.0] * 20), NOW, limit=9.0)
    assert row["reached_on"] == "2026-11-05"
    assert "was reached on 2026-11-05" in row["explanation"]


def test_weekends_are_drawn_apart():
    quiet = [0.0 if (trend.today(NOW) - dt.timedelta(days=28 - n)).weekday() >= 5 else 10.0 for n in range(28)]
    row = forecast.forecast(days(*quiet), NOW)
    assert row["expected_usd"] == row["spent_usd"] + 60  # six working days are left after this Saturday


@pytest.mark.parametrize("seen", [10, 20])
def test_the_interval_holds_what_it_says(seen):
    """The month's true end lies in the interval in 90 % of months whose days come from one skewed distribution."""
    rng, held, months = random.Random(7), 0, 150
    now = dt.datetime(2026, 11, seen + 1, tzinfo=dt.UTC).timestamp()
    for month in range(months):
        amounts = [rng.gammavariate(2.0, 3.0) for _ in range(30)]
        row = forecast.forecast(days(*amounts[:seen], now=now), now, seed=month)
        held += row["low_usd"] <= sum(amounts) <= row["high_usd"]
    assert 0.82 <= held / months <= 0.97


def test_the_same_days_give_the_same_forecast(ledger):
    rng = random.Random(1)
    rows = [call(n, time=NOW - n * DAY / 4, cost_usd=round(rng.uniform(0, 2), 4)) for n in range(60)]
    router = ledger(rows, budget={"monthly_usd": 60})
    first, second = router.cost_forecast(now=NOW), router.cost_forecast(now=NOW)
    pd.testing.assert_frame_equal(first, second)
    row = first.iloc[0]
    assert row["low_usd"] < row["expected_usd"] < row["high_usd"]
    assert row["limit_usd"] == 60.0
    assert row["spent_usd"] == pytest.approx(router.costs(by="month").iloc[-1]["cost_usd"])
    with pytest.raises(OptionValueError, match="between 0 and 1"):
        router.cost_forecast(confidence=90)


# --- what if ---------------------------------------------------------------------------------------------------


def test_what_if_prices_the_recorded_tokens(ledger):
    rows = [
        call(1), call(2, provider="near", tier="local", cost_usd=0, input_tokens=3000, output_tokens=10),
        call(3, input_tokens=None), call(4, cost_usd=None), call(5, attempts=0, cost_usd=None, status="error"),
        call(6, attempts=0, cost_usd=0, cache_hit=1),
    ]  # fmt: skip
    table = ledger(rows).what_if("cheap/m", by="provider").set_index("provider")
    assert list(table.loc["dear"]) == [3, 1, 2, pytest.approx(0.013), pytest.approx(0.0012), pytest.approx(-0.0118)]
    assert list(table.loc["near"]) == [1, 1, 0, 0.0, pytest.approx(0.00302), pytest.approx(0.00302)]


def test_what_if_counts_cached_tokens_at_their_price(ledger):
    table = ledger([call(1, cached_tokens=400)]).what_if("cheap/m", by=None)
    assert table["would_be_usd"][0] == pytest.approx((600 * 1 + 400 * 0.5 + 100 * 2) / 1e6)


def test_what_if_by_day_and_model_sums_to_the_whole(ledger):
    rng = random.Random(3)
    rows = [call(n, time=NOW - rng.random() * 5 * DAY, model=rng.choice("mn"), input_tokens=rng.choice([None, 50, 999]),
                 output_tokens=rng.randrange(500)) for n in range(80)]  # fmt: skip
    router = ledger(rows)
    parts, whole = router.what_if("cheap/m", by=["day", "model"]), router.what_if("cheap/m", by=None).iloc[0]
    for name in ("calls", "compared", "unpriced"):
        assert parts[name].sum() == whole[name]
    for name in ("actual_usd", "would_be_usd", "difference_usd"):
        assert parts[name].sum() == pytest.approx(whole[name])
    assert 0 < whole["unpriced"] < whole["calls"]


def test_a_price_that_changes_with_the_size_is_counted_call_by_call(ledger):
    def stepped(usage):
        return Decimal(usage.input_tokens) * (2 if usage.input_tokens > 5000 else 1) / 10**6

    assert not pricing.linear(stepped)
    router = ledger([call(1, input_tokens=4000), call(2, input_tokens=4000), call(3, input_tokens=6000)])
    found = pricing.would_be(costs.tokens(router._ledger, ["provider"], None, each=True), stepped, sizes=True)
    assert found == [("dear", 3, 3, 0, pytest.approx(0.039), pytest.approx(0.02), pytest.approx(-0.019))]


def test_a_listed_price_is_found_and_one_that_is_not_known_is_told(ledger):
    config = {"provider": [*PROVIDERS, {"name": "openai", "type": "openai", "api_key": "k", "models": ["gpt-4o-mini"]}]}
    router = ledger([call(1)], **config)
    table = router.what_if("openai/gpt-4o-mini", by=None)
    assert table["would_be_usd"][0] == pytest.approx((1000 * 0.15 + 100 * 0.60) / 1e6)
    with pytest.raises(OptionValueError, match="no price is known for 'unpriced/m'"):
        router.what_if("unpriced/m")
    with pytest.raises(OptionValueError, match=r"no model 'cheep/m' \(did you mean 'cheap/m'\?\)"):
        router.what_if("cheep/m")


# --- savings ---------------------------------------------------------------------------------------------------


def test_savings_by_local_calls_are_at_the_cheapest_cloud_price(ledger):
    near = {"provider": "near", "tier": "local", "cost_usd": 0, "cost_source": "free"}
    router = ledger([call(1, **near), call(2, **near, input_tokens=None), call(3)])
    row = router.savings().set_index("source").loc["local"]
    assert list(row) == [2, 1, 0.0, pytest.approx(0.0012), pytest.approx(0.0012), "cheap/m"]
    named = router.savings(against="dear/m").set_index("source").loc["local"]
    assert named["saved_usd"] == pytest.approx(0.013)
    assert list(router.savings()["source"]) == ["local"]


def test_a_cloud_model_whose_context_is_too_small_is_not_adequate():
    calls = costs.Tokens((), 1, 1, 1000, 0, 100, 0, 1100)
    one = [pricing.Candidate(name, lambda usage, rate=rate: Decimal(usage.input_tokens * rate), context)
           for name, rate, context in (("small", 1, 1000), ("right", 3, 2000), ("unknown", 2, None))]  # fmt: skip
    best = pricing.cheapest(one, calls)
    assert best is not None
    assert best.name == "unknown"
    assert pricing.cheapest(one[:1], calls) is None


def test_without_a_cloud_price_what_was_saved_is_unknown(ledger):
    near = {"provider": "near", "tier": "local", "cost_usd": 0}
    row = ledger([call(1, **near)], provider=[UNPRICED, LOCAL]).savings().iloc[0]
    assert row["unknown"] == row["calls"] == 1
    assert row["saved_usd"] is pd.NA


def test_savings_by_the_cache(fleet, make_router):
    router = make_router(fleet, health_interval=0)
    first = router.chat("What is 6 * 7?", model=model_of("openai"), cache="on")
    for _ in range(2):
        router.chat("What is 6 * 7?", model=model_of("openai"), cache="on")
    row = router.savings().set_index("source").loc["cache"]
    assert (row["calls"], row["unknown"]) == (2, 0)
    assert row["saved_usd"] == pytest.approx(2 * float(first.cost))
    usage = first.usage
    paid = usage.input_tokens * PRICES["input"] + usage.output_tokens * PRICES["output"]
    assert float(first.cost) == pytest.approx(paid / 1e6)


# --- pictures --------------------------------------------------------------------------------------------------


def test_the_bars_of_a_picture_are_the_costs(ledger):
    rows = [call(1, time=NOW - 3 * DAY, cost_usd=1.5), call(2, time=NOW - DAY, provider="cheap", cost_usd=0.25),
            call(3, time=NOW - DAY, cost_usd=None)]  # fmt: skip
    picture = ledger(rows).cost_plot()
    dear, cheap = picture.chart.marks
    assert [name for _, name in picture.chart.x.ticks] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    assert (dear.name, dear.y) == ("dear", (1.5, 0.0, 0.0))
    assert (cheap.name, cheap.y) == ("cheap", (0.0, 0.0, 0.25))
    assert "1 call of unknown cost not in it" in picture.alt


def test_small_groups_are_one_and_nothing_is_lost(ledger):
    rows = [call(n, provider=f"p{n:02}", cost_usd=n) for n in range(1, 13)]
    chart = ledger(rows).cost_plot(kind="cumulative").chart
    assert [mark.name for mark in chart.marks] == [*(f"p{n:02}" for n in range(12, 5, -1)), "others (5)"]
    assert sum(mark.y[-1] for mark in chart.marks) == sum(range(1, 13))


def test_every_kind_is_drawn(ledger):
    rows = [call(n, time=NOW - n * DAY / 2, cost_usd=0.1 * n) for n in range(40)]
    router = ledger(rows, budget={"monthly_usd": 60})
    for options in ({}, {"by": None}, {"over": None}, {"over": "week", "by": "tag:x"}, {"kind": "cumulative"},
                    {"kind": "forecast"}, {"over": "month", "by": "weekday"}):  # fmt: skip
        picture = router.cost_plot(**options)
        assert picture.svg().startswith("<svg")
        assert picture.figure.data
    with pytest.raises(OptionValueError, match="did you mean 'bars'"):
        router.cost_plot(kind="bar")
    with pytest.raises(OptionValueError, match="did you mean 'day'"):
        router.cost_plot(over="days")
