"""HealthPanel: how providers are, over simulated vendors."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybrid_nb as hnb
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.notebook import vital_cells, words
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets.health import BYTES
from hybrid_nb.sim import Fault
from tests.conftest import model_of
from tests.notebook.widgets.test_panel import status, until

QUIET = {"health_interval": 0, "retries": 0, "breaker_threshold": 2, "breaker_seconds": 60}


@pytest.fixture
def router(fleet, make_router):
    return make_router(fleet, **QUIET)


@pytest.fixture
def panel(router):
    panel = hnb.HealthPanel(router)
    yield panel
    panel.close()


def cells(panel, name):
    """A row of the saved form by its heading."""
    heads, *lines = [line.split("  ") for line in panel.saved().text.splitlines()[1:]]
    heads = [head.strip() for head in heads if head]
    row = next(line for line in lines if line[0].strip() == name)
    return dict(zip(heads, [cell.strip() for cell in row if cell.strip()], strict=True))


def fail(router, model, times=1):
    for _ in range(times):
        with pytest.raises(HybridNbError):
            router.chat("hi", model=model)


def test_nothing_is_known_at_first_and_nobody_is_asked(panel, fleet):
    row = cells(panel, "openai")
    assert (row["status"], row["mean"], row["success"], row["last error"]) == ("unknown", "–", "–", "–")
    assert row["checked"] == "never"
    assert not fleet["openai"].requests


def test_a_killed_vendor_shows_in_its_row_and_when_it_is_next_tried(panel, router, fleet):
    router.chat("hi", model=model_of("gemini"))
    fleet["gemini"].kill()
    fail(router, model_of("gemini"), 2)
    until(lambda: "ConnectionFailedError" in panel.view.value)
    until(lambda: "in 60 s" in panel.view.value or "in 59 s" in panel.view.value)
    row = cells(panel, "gemini")
    assert (row["status"], row["breaker"], row["calls"], row["errors"]) == ("degraded", "open", "3", "2")
    until(lambda: "in 5" in panel.view.value)  # it counts down by itself
    router.update_provider("gemini", enabled=False)
    until(lambda: "not while disabled" in panel.view.value)
    assert cells(panel, "gemini")["status"] == "disabled"


def test_check_now_asks_all_in_the_background_and_says_what_it_found(panel, router, fleet):
    fleet["gemini"].kill()
    panel.check.click()
    until(lambda: "4 asked: 3 healthy, 1 down (gemini: ConnectionFailedError" in status(panel))
    until(lambda: not panel.check.disabled)
    assert cells(panel, "gemini")["status"] == "down"
    assert cells(panel, "openai")["status"] == "healthy"


def test_one_row_a_model(panel, router):
    panel.models.value = True
    assert "openai/simulated-openai" in panel.view.value
    assert "Health of 4 models" in panel.saved().text
    panel.models.value = False
    assert "openai/simulated-openai" not in panel.view.value


def test_latencies_are_a_line_with_its_words(panel, router, fleet):
    for _ in range(3):
        router.chat("hi", model=model_of("openai"))
    until(lambda: "last 3: " in panel.view.value)
    assert "<polyline" in panel.view.value
    assert "last 3: " in cells(panel, "openai")["latency"]
    assert cells(panel, "openai")["success"] == "100 %"


def test_a_provider_that_asks_for_time_is_next_tried_then(panel, router, fleet):
    fleet["openai"].fail(Fault("status", status=429, headers=(("Retry-After", "30"),)))
    fail(router, model_of("openai"))
    until(lambda: "in 30 s" in panel.view.value or "in 29 s" in panel.view.value)


def test_a_refused_key_is_tried_again_when_it_changes(panel, router, fleet):
    fleet["openai"].fail(Fault("status", status=401))
    fail(router, model_of("openai"))
    until(lambda: "when its key changes" in panel.view.value)


def test_a_missing_key_says_so(make_router):
    panel = hnb.HealthPanel(make_router([{"name": "a", "type": "openai", "models": ["m"], "api_key": "env:NO_SUCH"}]))
    assert cells(panel, "a")["status"] == "no key"
    assert cells(panel, "a")["next try"] == "when its key is set"
    panel.check.click()
    until(lambda: "nobody to ask; not asked: a: no key" in status(panel))


def test_without_providers_it_says_what_to_do(make_router):
    panel = hnb.HealthPanel(make_router([], discover=False))
    assert "add one with" in panel.view.value
    assert "add one with" in panel.saved().text
    assert status(panel) == ""


def test_what_vendors_say_is_escaped(panel, router, fleet):
    body = {"error": {"message": "<script>alert(1)</script>" + "x" * 100}}
    fleet["openai"].fail(Fault("status", status=500, body=body))
    fail(router, model_of("openai"))
    until(lambda: "&lt;script&gt;" in panel.view.value)
    assert "<script>" not in panel.view.value + panel.saved().html
    assert 'title="' in panel.view.value  # the whole of what is shortened


def test_redraws_are_few_however_many_the_calls(router):
    panel, drawn = hnb.HealthPanel(router), []
    panel.view.observe(lambda change: drawn.append(time.monotonic()), "value")
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        router.chat("hi", model=model_of("openai"))
    until(lambda: len(drawn) > 1)
    last = [at for at in drawn if at - started < 1.5]
    assert len(last) <= 7  # 4 a second, and the first
    assert router.health_rows()[0]["calls"] > len(last)


def test_a_large_table_is_redrawn_less_often(fleet, make_router):
    config = fleet.config()
    config["provider"][0]["models"] += [f"m{number}" for number in range(400)]
    router = make_router(config, **QUIET)
    panel, drawn = hnb.HealthPanel(router, by="model"), []
    gap = len(panel.view.value) / BYTES
    assert gap > 0.5
    panel.view.observe(lambda change: drawn.append(time.monotonic()), "value")
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        router.chat("hi", model=model_of("gemini"))
    asked = router.health_rows()[2]["calls"]
    until(lambda: f'<td class="num">{asked:,}</td>' in panel.view.value)
    assert all(later - earlier > gap * 0.9 for earlier, later in pairwise(drawn))
    panel.close()


def test_a_closed_router_says_what_to_do(panel, router):
    router.close()
    until(lambda: "router is closed" in status(panel))
    panel.check.click()
    assert "router is closed" in status(panel)
    assert not panel.check.disabled


def test_it_leaves_the_feed_when_it_is_closed(router):
    panel = hnb.HealthPanel(router)
    assert feed_of(router).readers == 1
    panel.close()
    assert feed_of(router).readers == 0


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (1, "1 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 2, "2 days")]
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


@given(st.floats(0, 1))
def test_only_all_is_a_hundred_percent_and_only_nothing_is_none(share):
    said = words.percent(share)
    assert (said == "100 %") == (share == 1)
    assert (said == "0 %") == (share == 0)


def test_what_is_not_known_has_no_words():
    assert [words.percent(None), words.latency(None), words.count(None), words.dollars(None), words.ago(None, 1)] == [
        None
    ] * 5


def test_the_result_of_a_check_names_who_is_ill():
    def row(name, status, error=None):
        return {"provider": name, "status": status, "last_error": error}

    rows = [row("a", "healthy"), row("b", "down", "E: no\nthing"), row("c", "disabled"), row("d", "unknown")]
    assert (
        vital_cells.result(rows) == "3 asked: 1 healthy, 1 down (b: E: no thing), 1 unknown (d); not asked: c: disabled"
    )
    assert not vital_cells.counts_down([{"opens_in_s": math.inf}, {"opens_in_s": None}])
