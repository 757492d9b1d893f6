"""The rest of a broken answer: how it is asked for, and the seam, at which no word is lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Message, Request, Usage
from hybrid_nb.engine.resume import INSTRUCTION, Seam, Unfit, anchor, asking, seam, total, ways
from hybrid_nb.providers import vendor

SEEDED = settings(derandomize=True, max_examples=300, deadline=None)
WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=7), min_size=3, max_size=30)
GAPS = st.sampled_from([" ", " ", " ", "\n", "\n\n", ", ", ". "])
PROSE = st.builds(lambda words, gap: gap.join(words) + ".", WORDS, GAPS)
HELLO = Request((Message("user", "hi"),), max_tokens=100)


def told(found: Seam, text: str, size: int) -> str:
    """What is shown of a text that comes in pieces of so many characters."""
    shown = "".join(found.feed(text[at : at + size]) for at in range(0, len(text), size))
    return shown + found.end()


def cut(text: str, share: float) -> int:
    return max(1, min(len(text) - 1, int(share * len(text))))


# --- what is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "model", "first"),
    [
        ("mistral", "mistral-small-latest", "prefill"),
        ("ollama", "llama3.2", "prefill"),
        ("llamacpp", "x", "prefill"),
        ("groq", "llama-3.3-70b-versatile", "prefill"),
        ("groq", "openai/gpt-oss-20b", "instruction"),
        ("anthropic", "claude-haiku-4-5-20251001", "prefill"),
        ("anthropic", "claude-opus-4-20250514", "prefill"),
        ("anthropic", "claude-opus-4-6", "instruction"),  # answers a prefill with a 400
        ("anthropic", "claude-sonnet-5-5", "instruction"),
        ("openai", "gpt-5", "instruction"),
        ("gemini", "gemini-3-pro", "instruction"),
        ("custom", "m", "instruction"),
    ],
)
def test_the_first_way_is_the_one_that_the_model_knows(kind: str, model: str, first: str) -> None:
    found = ways(vendor(kind), model, HELLO, tools_begun=False)
    assert found[0] == first
    assert found[-1] == "restart"


def test_what_has_a_grammar_or_a_tool_call_is_restarted() -> None:
    by_schema = Request((Message("user", "hi"),), schema={"type": "object"})
    assert ways(vendor("mistral"), "m", by_schema, tools_begun=False) == ("restart",)
    assert ways(vendor("mistral"), "m", HELLO, tools_begun=True) == ("restart",)


def test_a_prefill_ends_without_space_and_has_what_is_left_of_the_limit() -> None:
    request = asking(HELLO, "prefill", "One two \n")
    assert request.messages[-1] == Message("assistant", "One two")
    assert request.max_tokens == 97
    assert asking(HELLO, "prefill", "x" * 4000).max_tokens == 1


def test_a_turn_that_the_person_began_is_gone_on_with() -> None:
    request = Request((Message("user", "hi"), Message("assistant", "Once")))
    assert asking(request, "prefill", " upon a").messages[1:] == (Message("assistant", "Once upon a"),)


def test_an_instruction_names_the_last_words() -> None:
    request = asking(HELLO, "instruction", "First line.\nThe second line ")
    assert [m.role for m in request.messages] == ["user", "assistant", "user"]
    assert request.messages[-1].text == INSTRUCTION + "The second line"
    assert asking(HELLO, "restart", "x") == HELLO


@SEEDED
@given(PROSE)
def test_the_anchor_is_an_end_from_the_beginning_of_a_word(text: str) -> None:
    found = anchor(text)
    assert found
    assert text.endswith(found)
    assert "\n" not in found
    assert len(found) <= 60
    before = text[: -len(found)]
    assert not before or before[-1].isspace()


# --- the seam ---------------------------------------------------------------------------------------------


@SEEDED
@given(PROSE, st.floats(0, 1), st.integers(1, 9))
def test_a_restart_shows_the_rest_only(text: str, share: float, size: int) -> None:
    at = cut(text, share)
    assert told(seam("restart", text[:at]), text, size) == text[at:]


@SEEDED
@given(PROSE, PROSE, st.floats(0, 1), st.integers(1, 9))
def test_a_restart_that_differs_shows_nothing(text: str, other: str, share: float, size: int) -> None:
    at = cut(text, share)
    if other.startswith(text[:at]):
        return
    shown: list[str] = []

    def shows() -> None:
        found = seam("restart", text[:at])
        shown.extend(found.feed(other[place : place + size]) for place in range(0, len(other), size))
        shown.append(found.end())

    with pytest.raises(Unfit):
        shows()
    assert not any(shown)


@SEEDED
@given(PROSE, st.floats(0, 1), st.integers(1, 9), st.sampled_from(["bare", "echo"]))
def test_a_prefill_joins_whether_the_server_echoes_it_or_not(text: str, share: float, size: int, how: str) -> None:
    at = cut(text, share)
    shown = text[:at]
    if not shown.strip():
        return
    sent = shown.rstrip()
    rest = text[len(sent) :]  # what a model adds to the prefill that was sent
    came = rest if how == "bare" else sent + rest
    new, last = rest.lstrip(), (sent.lstrip(), anchor(sent))
    if how == "bare" and any(new.startswith(words) or words.startswith(new) for words in last):
        return  # the text says the same words twice here, which nobody can tell from a repetition
    assert shown + told(seam("prefill", shown), came, size) == text


@SEEDED
@given(PROSE, st.floats(0, 1), st.integers(1, 9), st.sampled_from(["", " ", "\n\n", '"', "…", "... "]))
def test_an_instructed_answer_joins_behind_its_last_words(text: str, share: float, size: int, before: str) -> None:
    at = cut(text, share)
    shown = text[:at]
    if not shown.strip():
        return
    sent = shown.rstrip()
    came = before + anchor(sent) + text[len(sent) :]
    assert shown + told(seam("instruction", shown), came, size) == text


@pytest.mark.parametrize(
    ("shown", "came", "rest"),
    [
        ("The quick bro", "The quick brown fox.", "wn fox."),  # it began anew
        ("The quick brown", " fox.", " fox."),  # it went on without the last words, but with a space
        ("The quick brown ", "fox.", "fox."),
        ("The quick brown ", " fox.", "fox."),
        ("The quick brown", ", lazy fox", ", lazy fox"),
        ("Line one.\n\n", "Line one.\n\nLine two.", "Line two."),
        ("Line one.\n", "Line one.\n\nLine two.", "\nLine two."),
        ("It is done.", "It is done.", ""),
        ("It is done.", "", ""),
        ("It is done.", "is done.", ""),  # fewer words than it was told to repeat
        ("The quick brown ", "brown fox", "fox"),
        ("The quick brown ", "Foxes are small.", None),
    ],
)
def test_seams_of_an_instructed_answer(shown: str, came: str, rest: str | None) -> None:
    for size in (1, 3, 100):
        if rest is None:
            with pytest.raises(Unfit):
                told(seam("instruction", shown), came, size)
        else:
            assert told(seam("instruction", shown), came, size) == rest


def test_words_that_may_be_glued_are_not() -> None:
    with pytest.raises(Unfit):
        told(seam("instruction", "The quick bro"), "wn fox", 4)
    with pytest.raises(Unfit):
        told(seam("instruction", "The quick brown"), "fox", 2)


def test_a_prefilled_answer_that_was_whole_ends_with_nothing_more() -> None:
    assert told(seam("prefill", "All said."), "", 1) == ""


def test_usage_of_parts_is_summed_and_unknown_stays_unknown() -> None:
    whole, guess = Usage(10, 2, None, 5, None, "provider"), Usage(12, None, None, 3, None, "estimate")
    assert total([whole]) is whole
    assert total([whole, guess]) == Usage(22, None, None, 8, None, "estimate")
    assert total([whole, whole]) == Usage(20, 4, None, 10, None, "provider")
