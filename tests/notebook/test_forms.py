"""Forms as data: every setting has its field, texts and values go both ways, and mistakes find their field."""

from __future__ import annotations

import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.config import BudgetSettings, CacheSettings, ProviderSettings, RouterSettings, validate
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.notebook import forms, wording
from hybrid_nb.providers import vendor, vendors

WORDS = {
    RouterSettings: {**wording.ROUTING, **wording.TIMES, **wording.HEALTH},
    BudgetSettings: wording.BUDGET,
    CacheSettings: wording.CACHE,
}


def field(kind: forms.Kind, **more) -> forms.Field:
    return forms.Field("x", "X", kind=kind, **more)


@pytest.mark.parametrize("section", WORDS)
def test_every_setting_has_a_field(section):
    assert set(WORDS[section]) == set(section.model_fields)
    found = forms.section_fields(section, WORDS[section])
    assert all(f.label for f in found)
    assert all(f.choices for f in found if f.kind == "choice")


def test_every_setting_of_a_provider_has_a_field_or_a_place():
    elsewhere = {"type", "api_key", "enabled", "endpoints"}  # chosen first, kept in keyring, a button, only in files
    assert {f.name for f in forms.provider_fields(vendor("openai"))} | elsewhere == set(ProviderSettings.model_fields)


def test_help_has_bounds_and_defaults():
    found = {f.name: f for f in forms.section_fields(RouterSettings, WORDS[RouterSettings])}
    assert found["retries"].help == "further attempts of a call; at least 0, at most 100; default: 2"
    assert found["hedge"].help.endswith("above 0, below 1")
    assert ("cheapest", "cheapest") in found["strategy"].choices
    assert found["discover"].choices == (("by itself", ""), ("yes", True), ("no", False))


@pytest.mark.parametrize(
    ("kind", "required", "more"),
    [("openai", False, True), ("ollama", False, False), ("custom", True, False)],
)
def test_the_address_is_asked_for_where_it_is_needed(kind, required, more):
    found = {f.name: f for f in forms.provider_fields(vendor(kind))}
    assert (found["base_url"].required, found["base_url"].more) == (required, more)
    assert found["tier"].default == vendor(kind).tier


NAMES = st.text(string.ascii_letters + string.digits + ":./-_", min_size=1, max_size=12)
MONEY = st.decimals(0, 10_000, places=4)
VALUES = {
    "text": NAMES,
    "whole": st.integers(-(10**9), 10**9),
    "number": st.one_of(MONEY, st.floats(1e-6, 1e9).map(lambda x: Decimal(repr(x)))),
    "list": st.lists(NAMES, min_size=1, max_size=4),
    "prices": st.dictionaries(
        NAMES, st.dictionaries(st.sampled_from(forms._PRICE_KEYS), MONEY, min_size=1), min_size=1, max_size=3
    ),
    "contexts": st.dictionaries(NAMES, st.integers(1, 10**7), min_size=1, max_size=3),
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_a_value_comes_back_as_it_was(kind, data):
    value = data.draw(VALUES[kind])
    assert forms.to_value(field(kind), forms.to_text(field(kind), value)) == value


@given(st.sampled_from(list(VALUES)), st.text(max_size=30))
def test_any_text_is_a_value_or_a_mistake_with_words(kind, text):
    told = "fine"
    try:
        forms.to_value(field(kind), text)
    except ValueError as error:
        told = str(error)
    assert told


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("prices", "m = 0.15 / 0.60", {"m": {"input": Decimal("0.15"), "output": Decimal("0.60")}}),
        ("prices", "qwen3:8b = cached 0.1\n\n", {"qwen3:8b": {"cached": Decimal("0.1")}}),
        ("list", "a, b\nc,,", ["a", "b", "c"]),
        ("whole", " 7 ", 7),
        ("number", "", None),
    ],
)
def test_what_a_text_means(kind, text, value):
    assert forms.to_value(field(kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("whole", "7.5", "whole number"), ("number", "five", "a number"), ("number", "nan", "a number"),
        ("number", "0,5", "such as 0.5"), ("prices", "0.15", "lines such as"), ("prices", "m = cheap", "lines such as"),
        ("contexts", "m = big", "lines such as"),
    ],
)  # fmt: skip
def test_a_mistake_says_what_to_write(kind, text, told):
    with pytest.raises(ValueError, match=told):
        forms.to_value(field(kind), text)


def test_all_mistakes_are_told_at_once_each_at_its_field():
    fields = forms.provider_fields(vendor("custom"))
    given_ = {f.name: "" for f in fields} | {"name": "", "rpm": "many", "tier": "cloud"}
    values, wrong = forms.values_of(fields, given_)
    assert set(wrong) == {"name", "base_url", "rpm"}
    assert values["tier"] == "cloud"


def test_mistakes_of_the_settings_find_their_field():
    bad = {"name": "my lab", "type": "custom", "base_url": "10.0.0.5", "rpm": 0}
    with pytest.raises(ConfigError) as caught:
        validate({"provider": [bad], "router": {"retries": 1}}, "the change")
    found = forms.mistakes(caught.value, ["name", "base_url", "rpm"])
    assert set(found) == {"name", "base_url", "rpm"}
    assert found["base_url"] == "must begin with http:// or https://"
    assert found["rpm"] == "must be greater than 0"
    assert forms.mistakes(ConfigError("no"), ["name"]) == {"": "no"}
    assert set(forms.mistakes(caught.value, ["rpm"])) == {"", "rpm"}


def test_a_suggested_name_is_free():
    assert forms.free_name("openai", ()) == "openai"
    assert forms.free_name("openai", ("openai", "openai-2", "x")) == "openai-3"


def test_every_kind_can_be_chosen_by_its_title():
    found = forms.kinds(vendors())
    assert found[0] == ("Anthropic", "anthropic")
    assert found[-1] == ("Any OpenAI-compatible endpoint", "custom")
    assert {kind for _, kind in found} == {v.type for v in vendors()}


@pytest.mark.parametrize("text", ["1e99999999", "1e-999999999", "0e-999999999", "inf", "nan"])
def test_a_number_that_would_fill_the_memory_is_refused(text):
    with pytest.raises(ValueError, match="must be a number"):
        forms.to_value(field("number"), text)


@pytest.mark.parametrize("name", ["daily_usd", "monthly_usd"])
@pytest.mark.parametrize("amount", ["1e999", "1e99999999", "1e-999999999"])
def test_a_budget_that_cannot_be_counted_is_refused_at_its_field(name, amount):
    with pytest.raises(ConfigError, match="1e-18 to below 1e13") as caught:
        validate({"budget": {name: amount}}, "the form")
    assert name in forms.mistakes(caught.value, [name])


def test_a_price_that_cannot_be_counted_is_refused():
    item = {"name": "a", "type": "openai", "prices": {"m": {"input": "1e999999"}}}
    with pytest.raises(ConfigError, match=r"prices.*1e13"):
        validate({"provider": [item]}, "the form")
    with pytest.raises(ConfigError, match="cost_multiplier"):
        validate({"provider": [{"name": "a", "type": "openai", "cost_multiplier": "1e99"}]}, "the form")
