"""Dashboard, its tests of models and its configuration, over simulated vendors."""

from __future__ import annotations

import time

import pytest

import hybrid_nb as hnb
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets.configuration import ConfigPanel
from hybrid_nb.notebook.widgets.testing import TestPanel
from hybrid_nb.sim import Fault
from tests.conftest import model_of
from tests.notebook.widgets.test_panel import status, until

PROMPT = "What is 6 * 7?"


@pytest.fixture
def router(fleet, make_router):
    return make_router(fleet, health_interval=0, retries=0)


# --- the dashboard ------------------------------------------------------------------------------------------------


@pytest.fixture
def dashboard(router):
    dashboard = hnb.Dashboard(router, tab="Health")
    yield dashboard
    dashboard.close()


def test_a_tab_is_made_when_it_is_opened(dashboard):
    assert list(dashboard.panels) == ["Health"]
    for title in dashboard.tabs.titles:
        dashboard.tabs.selected_index = dashboard.tabs.titles.index(title)
        assert dashboard.tab == title
        assert dashboard.tabs.children[dashboard.tabs.selected_index].children == (dashboard.panel,)
    assert list(dashboard.tabs.titles)[-4:] == ["Testing", "Usage", "Health", "Configuration"]
    assert len(set(map(id, dashboard.panels.values()))) == len(dashboard.tabs.titles)


def test_a_tab_that_nobody_sees_rests_and_is_up_to_date_when_it_is_opened_again(dashboard, router):
    dashboard.tab = "Usage"
    usage = dashboard.panel
    assert feed_of(router).readers == 2  # it and the dashboard
    router.chat(PROMPT, model=model_of("openai"))
    until(lambda: "for 1 call" in usage.view.value)
    dashboard.tab = "Health"
    health, before = dashboard.panel, usage.view.value
    router.chat(PROMPT, model=model_of("gemini"))
    until(lambda: "gemini" in health.view.value and health.view.value.count("100 %") == 2)
    assert usage.view.value == before
    dashboard.tab = "Usage"
    assert "for 2 calls" in usage.view.value


def test_a_tab_that_cannot_be_made_is_told_and_the_others_work(make_router):
    dashboard = hnb.Dashboard(make_router([], discover=False), tab="Configuration")
    dashboard.tab = "Health"
    assert "No providers yet" in dashboard.saved().text
    dashboard.tab = "Testing"
    assert dashboard.panel.models.options == ()


def test_its_saved_form_has_what_was_opened(dashboard, router):
    router.chat(PROMPT, model=model_of("openai"))
    dashboard.tab = "Usage"
    text = dashboard.saved().text
    assert "Health\nHealth of 4 providers" in text
    assert "Usage\nToday: " in text
    assert "Configuration" not in text
    assert dashboard.saved().html.count("<caption>") == 2


def test_a_wrong_tab_is_refused(dashboard, router):
    with pytest.raises(OptionValueError, match=r"no tab 'Helth' \(did you mean 'Health'\?\)"):
        hnb.Dashboard(router, tab="Helth")
    with pytest.raises(OptionValueError, match="no tab"):
        dashboard.tab = "Costs"


def test_closing_it_closes_all(dashboard, router):
    dashboard.tab = "Usage"
    dashboard.close()
    assert feed_of(router).readers == 0


def test_a_closed_router_says_what_to_do(dashboard, router):
    router.close()
    until(lambda: "router is closed" in status(dashboard))
    dashboard.tab = "Usage"
    assert "router is closed" in status(dashboard)


# --- testing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def testing(router):
    panel = TestPanel(router)
    panel.prompt.value = PROMPT
    yield panel
    panel.close()


def test_a_prompt_goes_to_all_chosen_models_at_once(testing, fleet):
    testing.models.value = [model_of(wire) for wire in ("openai", "gemini", "ollama")]
    testing.run.click()
    assert testing.run.disabled
    until(lambda: testing.comparison is not None)
    assert all("42" in reply.text for reply in testing.comparison.replies)
    assert "3 answered" in testing.view.value
    assert "$0.00001" in testing.view.value
    assert (testing.run.disabled, testing.stop.disabled) == (False, True)
    assert "to 3 models: 3 answered" in testing.saved().text
    assert not fleet["anthropic"].chats


def test_a_model_that_fails_is_a_row(testing, fleet):
    fleet["openai"].fail(Fault("status", status=500))
    testing.models.value = [model_of("openai"), model_of("gemini")]
    testing.run.click()
    until(lambda: testing.comparison is not None)
    assert "1 answered, 1 failed or stopped" in testing.view.value
    assert "openai: " in str(testing.comparison.errors[model_of("openai")])
    assert type(testing.comparison.errors[model_of("openai")]).__name__ in testing.view.value


def test_stop_ends_the_calls_and_keeps_what_came(testing, fleet):
    fleet["openai"].set(tokens_per_second=5)
    testing.prompt.value = "Explain tides"
    testing.models.value = [model_of("openai"), model_of("gemini")]
    testing.run.click()
    until(lambda: "answering …" in testing.view.value)
    until(lambda: testing._trials.running == 1)
    testing.stop.click()
    assert testing.comparison is not None
    assert testing.comparison.errors[model_of("openai")].partial_text
    assert "stopped" in testing.view.value
    assert not testing.run.disabled


def test_long_answers_are_bounded_and_escaped(testing, fleet):
    testing.prompt.value = "Explain tides <img src=x>"
    testing.models.value = [model_of("openai")]
    testing.run.click()
    until(lambda: testing.comparison is not None)
    assert "<img" not in testing.view.value + testing.saved().html
    answer = testing.comparison.replies[0].text
    assert (len(answer) > 300) == ("more characters" in testing.view.value)


def test_nothing_to_ask_is_said(testing, fleet):
    testing.models.value = ()
    testing.run.click()
    assert "choose at least one model" in status(testing)
    testing.prompt.value = "  "
    testing.run.click()
    assert "write a prompt first" in status(testing)
    assert not [log for handle in fleet for log in handle.chats]


def test_redraws_of_a_run_are_few(testing, fleet):
    fleet["openai"].set(tokens_per_second=50)
    testing.prompt.value = "Explain tides"
    testing.models.value, drawn = [model_of("openai")], []
    testing.view.observe(lambda change: drawn.append(time.monotonic()), "value")
    testing.run.click()
    started = time.monotonic()
    until(lambda: testing.comparison is not None)
    assert len(drawn) <= (time.monotonic() - started) * 4 + 3


def test_new_models_can_be_chosen_and_the_choice_stays(testing, router):
    testing.models.value = [model_of("gemini")]
    router.remove_provider("openai")
    until(lambda: len(testing.models.options) == 3)
    assert testing.models.value == (model_of("gemini"),)


# --- the configuration --------------------------------------------------------------------------------------------


@pytest.fixture
def filed(fleet, make_router, tmp_path):
    path = tmp_path / "team.toml"
    path.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n\n# ours\n{fleet.toml()}', "utf-8")
    return make_router(path), path


def test_what_is_not_saved_is_told_and_saved(filed):
    router, path = filed
    panel = ConfigPanel(router)
    assert "All changes are saved" in panel.bar.unsaved.value
    assert str(path) in panel.bar.unsaved.value
    assert panel.bar.undo.disabled
    panel.settings.lines["router", "retries"].input.value = "1"
    assert router.settings.router.retries == 1
    assert "1 unsaved change" in panel.bar.unsaved.value
    assert "retries = 1" in panel.exchange.exported.value
    panel.bar.save.click()
    assert f"saved to {path}" in status(panel)
    assert "retries = 1" in path.read_text()
    assert "# ours" in path.read_text()
    assert "All changes are saved" in panel.bar.unsaved.value
    panel.close()


def test_changes_that_others_make_are_shown(filed):
    router, _ = filed
    panel = ConfigPanel(router)
    router.configure(strategy="cheapest")
    until(lambda: panel.settings.lines["router", "strategy"].value == "cheapest")
    until(lambda: panel.bar.undo.description == "Undo: set strategy")
    panel.bar.undo.click()
    assert router.settings.router.strategy == "tiered"
    assert "taken back: set strategy" in status(panel)
    panel.close()


def test_no_key_is_shown(fleet, make_router):
    panel = ConfigPanel(make_router(fleet))
    shown = panel.exchange.exported.value + panel.exchange.link.value + "".join(panel.saved())
    assert "sim-key" not in shown
    assert "openai" in shown
    panel.close()


def test_a_broken_file_says_where(filed):
    router, path = filed
    panel = ConfigPanel(router)
    path.write_text(path.read_text() + "\n[router]\nretries = 'many'\n")
    panel.exchange.reload.click()
    assert "ConfigError" in status(panel)
    assert "router.retries" in status(panel)
    assert router.settings.router.retries == 2
    panel.close()


def test_a_dashboard_opens_on_a_broken_file(fleet, tmp_path):
    path = tmp_path / "team.toml"
    ledger = f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n\n[router]\nretrys = 1\n\n'
    path.write_text(ledger + fleet.toml(), "utf-8")
    dashboard = hnb.Dashboard(path)
    assert "retrys: no such key (did you mean &#x27;retries&#x27;?)" in dashboard.saved().html
    assert dashboard.router.chat(PROMPT, model=model_of("openai")).text
    dashboard.close()
    dashboard.router.close()
