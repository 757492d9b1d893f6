"""What is left of a configuration file with mistakes: never an error, never less than needed, never laxer."""

from __future__ import annotations

import tomllib

import pytest
import tomlkit
from hypothesis import example, given
from hypothesis import strategies as st

from hybrid_nb.core.config import Settings, validate
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.salvage import Flaw, salvage
from hybrid_nb.setup import check

GOOD = """# ours
[router]
retries = 1
mode = "local-first"

[budget]
daily_usd = 0.5

[[provider]]
name = "lab"
type = "ollama"
base_url = "http://10.0.0.5:11434"
models = [
  "qwen3",
]

[[provider]]
name = "cloud"
type = "openai"
api_key = "env:OPENAI_API_KEY"
models = ["gpt-6-luna"]

[provider.prices.gpt-6-luna]
input = 0.15
output = 0.6

[group]
fast = ["lab/qwen3", "cloud/gpt-6-luna"]
"""


def checked(settings: Settings) -> Settings:
    return check(settings, "the file")


def names(data: dict) -> list[str]:
    return [item["name"] for item in data.get("provider", [])]


def one(text: str) -> tuple[dict, Flaw]:
    data, flaws = salvage(text, checked)
    assert len(flaws) == 1, flaws
    return data, flaws[0]


def test_a_valid_text_loses_nothing():
    assert salvage(GOOD, checked) == (tomllib.loads(GOOD), ())


def test_a_mistake_in_toml_takes_only_its_table():
    data, flaw = one(GOOD.replace("retries = 1", "retries 1").replace('mode = "local-first"\n', ""))
    assert flaw.line == 3
    assert "=" in flaw.told
    assert flaw.done == "left out: [router]"
    assert names(data) == ["lab", "cloud"]
    assert data["budget"] == {"daily_usd": 0.5}
    assert "router" not in data


def test_tables_under_a_provider_go_with_it_and_not_to_the_one_before():
    data, flaws = salvage(GOOD.replace('type = "openai"', 'type = "openai'), checked)
    assert names(data) == ["lab"]
    assert "prices" not in data["provider"][0]
    assert (flaws[0].line, flaws[0].done) == (19, "left out: [provider] (cloud)")
    assert data["group"] == {"fast": ["lab/qwen3"]}
    assert "no provider 'cloud'" in flaws[1].told
    assert flaws[1].line == GOOD.split("\n").index('fast = ["lab/qwen3", "cloud/gpt-6-luna"]') + 1


def test_a_list_that_is_not_closed_does_not_take_the_next_table():
    data, flaws = salvage(GOOD.replace('  "qwen3",\n]', '  "qwen3",'), checked)
    assert names(data) == ["cloud"]
    assert 9 <= flaws[0].line <= 14
    assert data["router"] == {"retries": 1, "mode": "local-first"}


def test_lines_that_look_like_headers_inside_a_list_or_text_are_none():
    text = GOOD.replace('models = [\n  "qwen3",\n]', 'models = [\n["x"]\n]').replace("retries = 1", "retries 1")
    data, flaws = salvage(text)
    assert any("models" in flaw.told and flaw.line == 13 for flaw in flaws)
    assert names(data) == ["lab", "cloud"]


def test_a_table_that_is_there_twice_is_left_out_the_second_time():
    data, flaw = one(GOOD + "\n[router]\nretries = 7\n")
    assert data["router"]["retries"] == 1
    assert flaw.line == GOOD.count("\n") + 2


def test_a_wrong_value_takes_only_its_key_and_has_its_line():
    data, flaw = one(GOOD.replace("retries = 1", "retries = -1"))
    assert flaw.line == 3
    assert "router.retries" in flaw.told
    assert flaw.done == "left out: router.retries"
    assert data["router"] == {"mode": "local-first"}


def test_a_wrong_price_takes_only_that_price():
    data, flaw = one(GOOD.replace("input = 0.15", 'input = "cheap"'))
    assert data["provider"][1]["prices"] == {"gpt-6-luna": {"output": 0.6}}
    assert GOOD.split("\n")[flaw.line - 1] == "input = 0.15"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('base_url = "http://10.0.0.5:11434"', 'base_url = "10.0.0.5"'),
        ('type = "ollama"', 'type = "olama"'),
        ('type = "ollama"', 'type = "ollama"\nenabled = "nope"'),
        ('name = "lab"', 'name = "my lab"'),
        ('name = "lab"', ""),
        ('name = "lab"', 'name = "cloud"'),
    ],
)
def test_a_provider_that_would_be_another_without_the_key_is_left_out(old, new):
    data, flaws = salvage(GOOD.replace(old, new).replace('"lab/qwen3", ', ""), checked)
    assert names(data) == ["cloud"]
    assert len(flaws) == 1


def test_numbers_of_providers_are_those_of_the_file():
    text = GOOD.replace('type = "ollama"', "type = ollama").replace('api_key = "env:OPENAI_API_KEY"', "rpm = -1")
    _, flaws = salvage(text, checked)
    wrong = next(flaw for flaw in flaws if "rpm" in flaw.told)
    assert wrong.told.startswith("provider[1].rpm (cloud)")
    assert wrong.done == "left out: rpm of the provider 'cloud'"
    assert text.split("\n")[wrong.line - 1] == "rpm = -1"


@pytest.mark.parametrize(
    ("old", "new", "section", "strict"),
    [
        ('mode = "local-first"', 'mode = "local-onyl"', "router", {"retries": 1, "mode": "local-only"}),
        ('mode = "local-first"', 'mod = "local-only"', "router", {"retries": 1, "mode": "local-only"}),
        ('mode = "local-first"', "regions = 5", "router", {"retries": 1, "mode": "local-only"}),
        ("retries = 1", "retries 1", "router", {"mode": "local-only"}),
        ("daily_usd = 0.5", 'daily_usd = "0,5"', "budget", {"daily_usd": 0}),
        ("daily_usd = 0.5", "daily_usd = 0,5", "budget", {"daily_usd": 0}),
    ],
)
def test_what_guards_is_never_laxer_for_being_wrong(old, new, section, strict):
    data, flaw = one(GOOD.replace(old, new))
    assert data[section] == strict
    assert "until this is mended" in flaw.done


def test_not_even_a_table_is_needed():
    assert salvage("", checked) == ({}, ())
    data, flaws = salvage("\x00", checked)
    assert data == {}
    assert flaws[0].line == 1


LINES = st.sampled_from(
    [*GOOD.split("\n"), "[[provider", "[provider]", "a = '''", "]", '"', "group = 5", "[a]]", "=", ""]
)


@given(st.one_of(st.lists(LINES, max_size=40).map("\n".join), st.text()))
@example(GOOD.replace("\n", "\r\n"))
@example("[[provider]]\nname='a'\n" * 3)
@example("[" * 2000)
def test_it_never_raises_and_what_is_left_is_valid(text):
    data, flaws = salvage(text, checked)
    try:
        checked(validate(tomllib.loads(text), ""))
    except (ConfigError, tomllib.TOMLDecodeError, RecursionError):
        assert flaws or data == {}
    else:
        assert (data, flaws) == (tomllib.loads(text), ())
    checked(validate(data, ""))
    assert all(flaw.line is None or 1 <= flaw.line <= text.count("\n") + 1 for flaw in flaws)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "router": st.fixed_dictionaries({}, optional={"retries": st.integers(0, 9), "hedge": st.floats(0.1, 0.9)}),
        "group": st.dictionaries(
            st.text("ab .[]='\"#", min_size=1, max_size=4), st.just(["x/[y]", "[z]\n"]), max_size=2
        ),
        "provider": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from("abc"), "type": st.just("ollama")},
                optional={"region": st.text(max_size=8), "context": st.dictionaries(st.text(max_size=3), st.just(5))},
            ),
            max_size=3,
        ),
    },
)


@given(VALUES)
def test_any_valid_text_loses_nothing(value):
    text = tomlkit.dumps(value)
    assert salvage(text) == (tomllib.loads(text), ())
