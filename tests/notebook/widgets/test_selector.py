"""ProviderSelector: what is chosen is what is asked, live, and "auto" says why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.config import RouterSettings
from hybrid_nb.core.types import RoutePlan
from hybrid_nb.notebook.widgets.choices import Choice, Seen, explain, narrowed, places
from hybrid_nb.notebook.widgets.selector import ProviderSelector
from hybrid_nb.router import Router
from tests.notebook.widgets.front import said, until


@pytest.fixture
def mixed(make_router, fleet) -> Router:
    """Ollama here, gemini in the LAN, the others in the cloud; openai has two models."""
    config = fleet.config()
    tiers = {"ollama": "local", "gemini": "edge"}
    for item in config["provider"]:
        item["tier"] = tiers.get(item["name"], "cloud")
    config["provider"][0]["models"] = ["simulated-openai", "second"]
    return make_router(config)


@pytest.fixture
def selector(mixed):
    selector = ProviderSelector(mixed)
    yield selector
    selector.close()


def values(dropdown) -> list[str]:
    return [value for _, value in dropdown.options]


def test_auto_is_what_it_begins_with_and_says_who_is_asked_and_why(selector):
    assert (selector.value, selector.options) == (None, {})
    assert "auto asks ollama/simulated-ollama first: local before LAN before cloud" in selector.words.value
    assert "then gemini/simulated-gemini, openai/simulated-openai" in selector.words.value
    assert selector.dropdowns.layout.display == "none"


def test_auto_follows_strategy_default_and_mode(selector, mixed):
    mixed.configure(mode="cloud-only", strategy="round-robin")
    until(lambda: "cloud only, each in its turn (strategy round-robin)" in selector.words.value)
    mixed.configure(default_model="anthropic/simulated-anthropic")
    until(lambda: "auto asks anthropic/simulated-anthropic first: it is the default" in selector.words.value)
    assert "there is no other" in selector.words.value


def test_a_place_narrows_the_providers_and_they_the_models(selector):
    selector.where.value = "cloud"
    assert values(selector.provider) == ["", "openai", "anthropic"]
    assert selector.options == {"tier": "cloud"}
    assert "cloud: 3 models; the first that can take the call is asked." in selector.words.value
    selector.provider.value = "openai"
    assert values(selector.model) == ["", "simulated-openai", "second"]
    assert (selector.value, selector.options) == ("openai/simulated-openai", {"model": "openai/simulated-openai"})
    selector.model.value = "second"
    assert selector.value == "openai/second"
    selector.where.value = "local"
    assert selector.choice == Choice("local", "", "")
    assert values(selector.provider) == ["", "ollama"]


@pytest.mark.parametrize(
    ("where", "provider", "asked"),
    [("edge", "", "gemini"), ("local", "ollama", "ollama"), ("cloud", "anthropic", "anthropic")],
)
def test_what_is_chosen_is_asked(selector, mixed, where, provider, asked):
    selector.where.value = where
    selector.provider.value = provider
    assert mixed.chat("What is 6 * 7?", **selector.options).provider == asked


def test_the_value_can_be_observed(selector):
    seen = []
    selector.observe(lambda change: seen.append(change["new"]), "value")
    selector.where.value = "cloud"
    selector.provider.value = "anthropic"
    selector.where.value = "auto"
    assert seen == ["anthropic/simulated-anthropic", None]


def test_a_choice_is_not_lost_by_changes_and_comes_and_goes_with_its_provider(selector, mixed):
    selector.choose("openai/second")
    mixed.configure(retries=0)
    mixed.update_provider("openai", enabled=False)
    until(lambda: "disabled" in selector.words.value)
    assert selector.value == "openai/second"
    mixed.remove_provider("openai")
    until(lambda: "nothing like that is there now" in selector.words.value)
    assert selector.value == "openai/second"
    assert "openai (not there now)" in [words for words, _ in selector.provider.options]
    mixed.undo()
    until(lambda: "nothing like that" not in selector.words.value)
    assert selector.value == "openai/second"


def test_health_is_there_in_words_and_follows(selector, mixed, fleet):
    selector.choose("anthropic/simulated-anthropic")
    mixed.chat("hi", model=selector.value)
    mixed.health()
    until(lambda: "anthropic · healthy" in [words for words, _ in selector.provider.options])
    assert "is asked: healthy" in selector.words.value
    fleet["anthropic"].kill()
    mixed.health()
    until(lambda: "anthropic · down" in [words for words, _ in selector.provider.options])
    assert selector.provider.value == "anthropic"


def test_a_choice_becomes_the_default_and_back(selector, mixed):
    assert selector.make_default.disabled
    selector.choose("gemini/simulated-gemini")
    selector.make_default.click()
    assert mixed.settings.router.default_model == "gemini/simulated-gemini"
    assert mixed.chat("hi").provider == "gemini"
    assert selector.make_default.disabled
    selector.choose(None)
    assert "it is the default (gemini/simulated-gemini)" in selector.words.value
    selector.no_default.click()
    assert mixed.settings.router.default_model is None
    assert "auto asks ollama/simulated-ollama first" in selector.words.value
    assert selector.trouble is None


def test_nobody_to_ask_is_told(make_router):
    selector = ProviderSelector(make_router([]))
    try:
        assert "auto has nobody to ask now: there is no provider." in selector.words.value
        assert "local (none)" in [words for words, _ in selector.where.options]
        assert "Selected: auto" in selector.saved().text
    finally:
        selector.close()


def test_names_from_outside_are_escaped(make_router):
    router = make_router([{"name": "a", "type": "openai", "models": ["<img src=x>"], "api_key": "x-y"}])
    selector = ProviderSelector(router)
    try:
        selector.where.value = "cloud"
        selector.model.value = "<img src=x>"
        assert selector.value == "a/<img src=x>"
        assert "<img" not in selector.words.value + selector.saved().html
    finally:
        selector.close()


def test_the_saved_form_is_a_static_table(selector):
    selector.where.value = "cloud"
    saved = selector.saved()
    assert saved.html.count("<tr>") == 4
    assert "Selected: cloud" in saved.text
    assert "openai     second" in saved.text


def test_a_closed_router_says_what_to_do(selector, mixed):
    mixed.close()
    until(lambda: "This router is closed" in said(selector))
    selector.where.value = "cloud"
    assert "This router is closed" in said(selector)
    assert selector.trouble is None


TIERS = ["local", "edge", "cloud"]
MODELS = st.builds(Seen, st.sampled_from("ab"), st.sampled_from("mn"), st.sampled_from(TIERS), st.just("healthy"))
SEEN = st.lists(MODELS, max_size=6).map(tuple)
NAMES = (st.sampled_from(["", *"abc"]), st.sampled_from(["", *"mno"]))
CHOICES = st.builds(Choice, st.sampled_from(["auto", *TIERS]), *NAMES)


@given(SEEN, CHOICES)
def test_a_choice_within_what_is_there_is_there(seen, choice):
    kept = choice.within(seen)
    assert kept.within(seen) == kept
    if kept.where == "auto":
        assert kept.target(seen) is None
    elif kept.provider or kept.model:
        assert kept.target(seen) in [str(s) for s in seen if s.tier == kept.where]
        assert kept.provider in ("", *[name for _, name in narrowed(seen, kept.where)])
    assert [value for _, value in places(seen, choice.where)] == ["auto", "local", "edge", "cloud"]


def test_nobody_is_explained_by_the_first_reason():
    assert "there is no provider" in explain(RoutePlan(()), RouterSettings(), None)
