"""Lines of the magics: parsed from the left, the prompt untouched, errors that say what to write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.notebook.options import ASK, COSTS, OptionError, completions, parse, usage


def known(word: str) -> bool:
    return word in ("fast", "a/m")


def test_model_options_and_prompt_of_a_line():
    parsed = parse("a/m --temperature 0.2 --system 'be brief' What's up?", ASK, known)
    assert parsed.words == ["a/m"]
    assert parsed.values == {"temperature": 0.2, "system": "be brief"}
    assert parsed.rest == "What's up?"


def test_a_prompt_that_begins_with_an_unknown_word_is_all_prompt():
    parsed = parse("What is fast?", ASK, known)
    assert (parsed.words, parsed.rest) == ([], "What is fast?")


def test_only_the_first_model_is_taken_from_a_line():
    assert parse("fast fast food", ASK, known).rest == "fast food"


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1).filter(
        lambda t: not t.startswith(("-", "'", '"'))
    )
)
def test_a_prompt_is_never_changed(prompt):
    assert parse(f"fast --max-tokens 5 {prompt}", ASK, known).rest == prompt or prompt == "fast"


def test_equals_and_repeated_options():
    parsed = parse("--max-tokens=5 --image a.png --image b.png --new", ASK)
    assert parsed.values == {"max_tokens": 5, "image": ["a.png", "b.png"], "new": True}


def test_quotes_after_an_equals_sign():
    assert parse("--system='be brief' fast", ASK).values == {"system": "be brief"}


def test_a_prompt_may_begin_with_a_quote_that_is_not_closed():
    assert parse("'tis the season", ASK, known).rest == "'tis the season"


def test_dollars_are_money():
    assert parse("--max-cost $0.05", ASK).values == {"max_cost": "0.05"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--temprature 1", "did you mean --temperature?"),
        ("--zzz", "there are --system"),
        ("--temperature warm", "--temperature must be a number, not 'warm'"),
        ("--max-tokens 1.5", "--max-tokens must be a whole number, not '1.5'"),
        ("--format pdf", "--format must be one of markdown, text, json, code, html, not 'pdf'"),
        ("--system", "--system needs a value"),
        ('--system "be brief', 'a quote is not closed: "be brief'),
        ("--system='be brief", "a quote is not closed: 'be brief"),
        ("'fast", "a quote is not closed: 'fast"),
        ("--new=1", "--new takes no value"),
        ("--to 1x", "--to must be a variable's name, not '1x'"),
        ("--to class", "--to must be a variable's name, not 'class'"),
    ],
)
def test_wrong_options_say_what_to_write(line, told):
    with pytest.raises(OptionError) as caught:
        parse(line, ASK)
    assert told in str(caught.value)


def test_every_option_is_in_the_usage():
    text = usage("%llm", "[model] prompt", ASK)
    assert all(option.name in text and option.help in text for option in ASK)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("--te", ["--temperature"]),
        ("--max", ["--max-tokens", "--max-cost", "--max-ttft", "--max-latency"]),
        ("--format ", ["markdown", "text", "json", "code", "html"]),
        ("--format j", ["json"]),
        ("--schema S", ["Sum"]),
        ("fa", ["fast"]),
        ("--temperature 1 a", ["a/m"]),
        ("--temperature ", []),
    ],
)
def test_completions(before, expected):
    assert completions(before, ASK, ["fast", "a/m"], ["Sum", "x"]) == expected


def test_costs_have_their_own_options():
    assert parse("--by provider,day", COSTS).values == {"by": "provider,day"}
