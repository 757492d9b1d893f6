"""CostTable: what was spent, over simulated vendors that cost $1 and $2 per million tokens."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
import time
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybrid_nb as hnb
from hybrid_nb.core.errors import BudgetExceededError, ConfigError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook import spending
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.spending import Sum
from hybrid_nb.notebook.widgets.costs import SHOWN
from hybrid_nb.sim import Fault
from tests.conftest import model_of
from tests.notebook.widgets.test_panel import status, until

PROMPT = "What is 6 * 7?"


@pytest.fixture
def router(fleet, make_router):
    return make_router(fleet, health_interval=0, retries=0)


@pytest.fixture
def table(router):
    table = hnb.CostTable(router)
    yield table
    table.close()


def ask(router, wire="openai", **options):
    return router.chat(PROMPT, model=model_of(wire), **options)


def lines(table):
    """The rows of the saved text, under its headings."""
    text = table.saved().text.split("\n")
    first = next(i for i, line in enumerate(text) if line.startswith("Spending"))
    return text[first + 2 :]


def test_no_calls_say_so(table):
    assert "No calls yet" in table.view.value
    assert "No calls yet" in table.saved().text
    assert len(table.frame) == 0


def test_a_call_raises_the_spend(table, router):
    first = ask(router)
    until(lambda: f"${float(first.cost):.6f}" in table.view.value)
    ask(router)
    until(lambda: f"${2 * float(first.cost):.6f}" in table.view.value)
    assert "for 2 calls" in table.view.value
    assert float(table.frame["cost_usd"].sum()) == pytest.approx(2 * float(first.cost))


def test_groups_by_tag_and_by_several(table, router):
    ask(router, tags={"project": "apollo"})
    ask(router, "gemini", tags={"project": "gemini-1"})
    ask(router)
    table.by = ("tag:project",)
    assert {line.split("  ")[0] for line in lines(table)} == {"apollo", "gemini-1", "(none)"}
    assert table.by == ("tag:project",)
    assert table.tag.options == ("project",)
    table.groups["provider"].value = True
    assert list(table.frame.columns)[:2] == ["provider", "tag:project"]
    assert len(table.frame) == 3


def test_a_wrong_tag_says_so_and_leaves_the_table(table, router):
    ask(router)
    table.tag.value = "a'b"
    assert "cannot group by" in status(table)
    table.tag.value = ""
    assert status(table) == ""
    assert len(table.frame) == 1


def test_filter_and_sort_both_ways(table, router):
    for wire, times in (("openai", 1), ("anthropic", 3), ("gemini", 2)):
        for _ in range(times):
            ask(router, wire)
    until(lambda: "for 6 calls" in table.view.value)
    table.sort.value = "calls"
    assert [line.split("  ")[0] for line in lines(table)] == ["anthropic", "gemini", "openai"]
    table.direction.value = "low to high"
    assert list(table.frame["calls"]) == [1, 2, 3]
    table.sort.value = "provider"
    assert list(table.frame["provider"]) == ["anthropic", "gemini", "openai"]
    table.filter.value = "SIMULATED-g"
    assert list(table.frame["provider"]) == ["gemini"]
    assert "2 rows do not match the filter" in table.view.value
    assert "for 2 calls" in table.view.value  # the total is of what is shown
    table.filter.value = "nothing like it"
    assert "3 rows do not match the filter" in table.view.value
    assert "3 rows do not match the filter" in table.saved().text


def test_unknown_cost_is_told_and_is_no_zero(fleet, make_router):
    config = fleet.config()
    del config["provider"][0]["prices"]  # nobody lists a price for a simulated model
    router = make_router(config, health_interval=0)
    table = hnb.CostTable(router)
    ask(router)
    until(lambda: "1 call of unknown cost for 1 call" in table.view.value)
    assert "$" not in lines(table)[0].replace("$0", "", 1)  # but for what was saved
    ask(router, "gemini")
    until(lambda: "and 1 call of unknown cost for 2 calls" in table.view.value)
    until(lambda: "In none of these: 1 call of unknown cost this month (openai/simulated-openai)" in table.bars.value)
    assert table.frame["cost_usd"].isna().sum() == 1
    csv = spending.csv_text(table.by, table.chosen()).splitlines()
    assert next(line for line in csv if line.startswith("openai")).split(",")[6] == ""


def test_budgets_are_bars_with_words(fleet, make_router):
    router = make_router(
        {**fleet.config(), "budget": {"daily_usd": 0.0001, "monthly_usd": 100, "alert_at": 0.15}}, health_interval=0
    )
    table = hnb.CostTable(router)
    assert "Today: $0 spent of $0.0001 (0 %)" in table.bars.value
    ask(router, max_tokens=8)
    until(lambda: "Alert: over 15 % is spent" in table.bars.value)
    assert table.bars.value.count("<progress") == 2
    assert "resets on" in table.bars.value
    ask(router, max_tokens=8)
    ask(router, max_tokens=8)
    until(lambda: "(54 %)" in table.bars.value)
    router.configure(budget={"daily_usd": 0.00001})
    with pytest.raises(BudgetExceededError):
        ask(router, max_tokens=8)
    until(lambda: "Alert: the limit is used up" in table.bars.value)
    router.configure(budget={"daily_usd": None})
    until(lambda: "spent, no limit" in table.bars.value)


def test_money_that_is_reserved_is_told(fleet, make_router):
    router = make_router({**fleet.config(), "budget": {"daily_usd": 5}}, health_interval=0)
    fleet["openai"].fail(Fault("stall", after_tokens=1))
    table = hnb.CostTable(router)
    with router.stream(PROMPT, model=model_of("openai")) as stream:
        next(stream)
        ask(router, "gemini")
        until(lambda: "reserved by calls under way" in table.bars.value)


def test_what_the_cache_saved(table, router):
    first = ask(router, cache="on")
    until(lambda: "for 1 call" in table.view.value)
    ask(router, cache="on")
    until(lambda: f"{spending.dollars(float(first.cost))} saved by answers that were kept" in table.view.value)


def test_since(table, router):
    ask(router)
    until(lambda: "for 1 call" in table.view.value)
    for choice in ("today", "7 days", "this month"):
        table.since.value = choice
        assert f"{choice}: $" in table.view.value
    table.since.value = "a date"
    assert table.date.layout.display is None
    table.date.value = dt.date(2999, 1, 1)
    assert "No calls" in table.view.value
    table.since.value = "all time"
    assert table.date.layout.display == "none"
    assert "for 1 call" in table.view.value


def test_the_frame_goes_to_the_notebook(table, router):
    from IPython.core.interactiveshell import InteractiveShell

    ask(router)
    until(lambda: "for 1 call" in table.view.value)
    table.to_frame.click()
    assert "There is no notebook here" in status(table)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        table.to_frame.click()
        assert "llm_costs is a DataFrame of 1 rows and 9 columns now" in status(table)
        assert shell.user_ns["llm_costs"].equals(table.frame)
    finally:
        shell.history_manager.end_session()
        InteractiveShell.clear_instance()


def test_links_hold_the_whole_table(table, router):
    ask(router)
    until(lambda: "for 1 call" in table.view.value)
    table.export.click()
    assert table.links.value.count("download=") == 2
    assert "openai,simulated-openai,1,0," in unquote(table.links.value)
    assert "| openai | simulated-openai | 1 | 0 |" in unquote(table.links.value)
    assert "data:" not in table.saved().html


def test_long_tables_tell_what_is_left_out(table, router):
    ask(router)
    for number in range(SHOWN + 5):
        ask(router, tags={"n": str(number)})
    table.by = ("tag:n",)
    assert "6 more rows are not shown" in table.view.value
    assert table.view.value.count("<tr>") == SHOWN + 2
    assert len(table.frame) == SHOWN + 6
    assert f"for {SHOWN + 6} calls" in table.view.value


def test_outside_text_is_escaped(table, router):
    ask(router, tags={"project": "<b>bold</b>"})
    table.by = ("tag:project",)
    assert "&lt;b&gt;bold" in table.view.value
    assert "<b>" not in table.view.value + table.saved().html


def test_redraws_are_few_however_many_the_calls(router):
    table, drawn = hnb.CostTable(router), []
    started = time.monotonic()
    table.view.observe(lambda change: drawn.append(time.monotonic()), "value")
    count = 0
    while time.monotonic() - started < 1.5:
        ask(router)
        count += 1
    until(lambda: f"for {count:,} calls" in table.view.value)  # the last one is not left out
    assert len([at for at in drawn if at - started < 1.5]) <= 7


def test_five_panels_are_one_subscription(router):
    threads = threading.active_count()
    panels = [hnb.CostTable(router), hnb.HealthPanel(router), hnb.CostTable(router), hnb.Dashboard(router)]
    assert feed_of(router).readers == 5  # the dashboard's tab too
    assert len(router._news._listeners) == 1
    assert threading.active_count() <= threads + 1
    for panel in panels:
        panel.close()
    assert feed_of(router).readers == 0


def test_a_ledger_that_cannot_be_read_is_told(table, router, tmp_path):
    other = sqlite3.connect(tmp_path / "ledger.db")
    ask(router)
    until(lambda: "for 1 call" in table.view.value)
    other.execute("ALTER TABLE calls RENAME TO elsewhere")
    table.groups["day"].value = True
    assert "no such table: calls" in status(table)
    assert table.trouble is not None
    other.execute("ALTER TABLE elsewhere RENAME TO calls")
    other.close()
    table.groups["tier"].value = True
    assert status(table) == ""


def test_what_others_spend_is_seen_from_time_to_time(router, fleet, make_router):
    class Often(hnb.CostTable):
        renewed = 0.3

    table, other = Often(router), make_router(fleet, health_interval=0)
    ask(other)
    until(lambda: "for 1 call" in table.view.value)
    ask(other)
    until(lambda: "for 2 calls" in table.view.value)
    table.close()


def test_a_slow_ledger_is_read_aside_and_not_at_every_call(router):
    table = hnb.CostTable(router)
    ask(router)
    until(lambda: "for 1 call" in table.view.value)
    with table.lock:
        table._took, table._read_at = 0.2, time.monotonic()  # the next is in two seconds
    drawn = []
    table.view.observe(lambda change: drawn.append(threading.current_thread().name), "value")
    for _ in range(5):
        ask(router)
    time.sleep(0.5)
    assert drawn == []
    until(lambda: "for 6 calls" in table.view.value)
    assert drawn == ["hybrid_nb CostTable"]
    until(lambda: not table._reading)
    table._reading = True  # a read that began before the next call, and takes long
    table._took = 0.0
    ask(router)
    time.sleep(0.5)
    assert "for 6 calls" in table.view.value
    table._reading = False
    until(lambda: "for 7 calls" in table.view.value)
    table.close()


def test_sums_hold_no_call_up(router):
    slow = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 8000000) SELECT COUNT(*) FROM c"
    ask(router)
    reading = threading.Thread(target=router._ledger.sums, args=(slow,))
    reading.start()
    ask(router)
    assert reading.is_alive()
    reading.join(30)
    assert router.costs(by=None)["calls"][0] == 2


def test_sums_make_no_file_where_there_is_none(router, tmp_path):
    ledger = router._ledger
    ledger.path = str(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigError, match="cannot be read"):
        ledger.sums("SELECT 1")
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_closed_router_says_what_to_do(table, router):
    router.close()
    until(lambda: "router is closed" in status(table))
    table.groups["day"].value = True
    assert "router is closed" in status(table)


def test_wrong_arguments_are_refused(router):
    with pytest.raises(OptionValueError, match="no group 'providr'"):
        hnb.CostTable(router, by="providr")
    with pytest.raises(OptionValueError, match="since: one of all time"):
        hnb.CostTable(router, since="yesterday")


# --- the rules ----------------------------------------------------------------------------------------------------

OPTIONAL = st.none() | st.integers(0, 10**6)
SUMS = st.lists(
    st.builds(
        Sum, st.tuples(st.none() | st.text(max_size=3)), st.integers(1, 99), st.integers(0, 9), OPTIONAL, OPTIONAL,
        st.none() | st.floats(0, 1e3), st.integers(0, 9), st.none() | st.floats(0, 10),
    )
)  # fmt: skip


@given(SUMS, st.sampled_from(["provider", *spending.FIGURES]), st.booleans())
def test_sorting_keeps_all_rows_and_puts_the_unknown_last(rows, column, down):
    found = spending.ordered(rows, ("provider",), column, down)
    assert sorted(map(repr, found)) == sorted(map(repr, rows))
    place = (lambda r: r.groups[0]) if column == "provider" else (lambda r: getattr(r, spending.FIGURES[column]))
    values = [place(row) for row in found]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=down)


@given(SUMS)
def test_a_total_knows_what_any_row_knows(rows):
    whole = spending.total(rows)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    assert whole.cost_usd == (pytest.approx(sum(costs)) if costs else None)
    assert whole.calls == sum(row.calls for row in rows)


@given(st.floats(0, 100))
def test_a_slow_ledger_is_asked_for_a_tenth_of_the_time_and_at_least_once_a_minute(took):
    wait = spending.wait_after(took)
    assert 0.25 <= wait <= 60
    assert wait == 60 or wait >= 10 * took


def test_since_is_in_utc():
    now = dt.datetime(2026, 3, 15, 13, 30, tzinfo=dt.UTC).timestamp()

    def when(choice, date=None):
        at = spending.since_of(choice, date, now)
        return None if at is None else dt.datetime.fromtimestamp(at, dt.UTC).isoformat()[:16]

    assert when("all time") is None
    assert when("today") == "2026-03-15T00:00"
    assert when("7 days") == "2026-03-09T00:00"
    assert when("this month") == "2026-03-01T00:00"
    assert when("a date", dt.date(2026, 2, 3)) == "2026-02-03T00:00"
    assert when("a date") is None


@given(st.floats(0, 1e6))
def test_dollars_are_whole_words(amount):
    said = spending.dollars(amount)
    assert not said.endswith(".")
    assert (said == "$0") == (amount == 0)
