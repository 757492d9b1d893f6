"""What each scorer says of an answer, and why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybrid_nb as hnb
from hybrid_nb.bench.grading.numbers import answer, numbers
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError

scorers = hnb.scorers


def rated(scorer: Any, output: str, target: Any = None, **extra: Any) -> scorers.Score:
    return scorer.rate(scorers.Sample(output, scorers.Item("1", "q", target, None, extra), "a/m"))


def value(scorer: Any, output: str, target: Any = None, **extra: Any) -> float | None:
    return rated(scorer, output, target, **extra).value


# --- exact, includes, regex -------------------------------------------------------------------------------


def test_exact_forgives_what_it_is_told_to() -> None:
    assert value(scorers.exact(), " Paris\n", "Paris") == 1
    assert value(scorers.exact(), "paris", "Paris") == 0
    assert value(scorers.exact(ignore_case=True), "STRASSE", "straße") == 1
    assert value(scorers.exact(ignore_punctuation=True), "Well-known!", "Well known") == 1
    assert value(scorers.exact(ignore_space=False), "a  b", "a b") == 0
    assert value(scorers.exact(), "a \n b", "a b") == 1
    assert value(scorers.exact(), "Zu\u0308rich", "Z\u00fcrich") == 1  # two ways to write one letter


def test_a_list_of_targets_has_alternatives() -> None:
    assert value(scorers.exact(), "NYC", ["New York", "NYC"]) == 1
    told = rated(scorers.exact(), "LA", ["New York", "NYC"])
    assert told.explanation == "found 'LA', the target is 'New York' or 'NYC'"
    assert told.answer == "LA"


def test_targets_that_are_no_texts() -> None:
    assert value(scorers.exact(), "5", 5) == 1
    assert value(scorers.exact(), "5", 5.0) == 1
    assert value(scorers.exact(), "true", True) == 1


@pytest.mark.parametrize(
    ("output", "target", "right"),
    [
        ("It is Paris.", "paris", 1),
        ("It is 14.", "4", 0),
        ("It is 4.5", "4", 0),
        ("It is 1,591", "591", 0),
        ("It is 4.", "4", 1),
        ("a catalogue", "cat", 0),
        ("東京です", "東京", 1),
        ("élan", "lan", 0),
        ("foo_bar", "foo", 0),
        ("C++ it is", "C++", 1),
        ("", "x", 0),
    ],
)
def test_includes_finds_whole_words(output: str, target: str, right: int) -> None:
    assert value(scorers.includes(), output, target) == right


def test_includes_with_several_targets() -> None:
    assert value(scorers.includes(), "red and blue", ["red", "green"]) == 1
    told = rated(scorers.includes(every=True), "red and blue", ["red", "green"])
    assert (told.value, told.explanation) == (0, "the answer lacks 'green'")
    assert value(scorers.includes(words=False), "catalogue", "cat") == 1


def test_regex_takes_the_last_match_and_compares_it() -> None:
    scorer = scorers.regex(r"ANSWER: (\w+)")
    assert rated(scorer, "ANSWER: B. No, wait. ANSWER: C", "C") == (1, "found 'C', the target is 'C'", "C")
    assert value(scorers.regex(r"ANSWER: (\w+)", last=False), "ANSWER: B. ANSWER: C", "C") == 0
    assert value(scorers.regex(r"(x)?=(?P<answer>\d+)"), "y=5", "5") == 1
    assert value(scorers.regex(r"^yes$"), "I say\nyes\nindeed") == 1  # no target: it matches
    assert rated(scorer, "none", "C").explanation.startswith("nothing matches")


def test_a_wrong_pattern_is_told_at_once() -> None:
    with pytest.raises(OptionValueError, match="not a regular expression"):
        scorers.regex("(")
    with pytest.raises(OptionValueError, match="no group 2"):
        scorers.regex("(a)", group=2)


# --- numeric ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 1591.", 1591),
        ("1,591 apples", 1591),
        ("1.234.567,89", 1234567.89),
        ("3,14", 3.14),
        ("12,34,567", 1234567),
        ("1.5e3", 1500),
        ("1.5 × 10^3", 1500),
        ("10³", 1000),
        (r"1.5\times 10^{-3}", 0.0015),
        ("so x = −3", -3),
        ("-$3.50", -3.5),
        ("5-3=2", 2),
        ("3/4", 0.75),
        (r"thus \boxed{-\frac{1}{2}}, as 7 < 9", -0.5),
        ("#### 42 (of 50)", 42),
        ("it is 5, says GPT-4", 5),
        ("5 m^2", 5),
        ("答案是5", 5),
        ("1{,}591", 1591),
        ("**7**", 7),
        ("version v1.2", None),
        ("none at all", None),
        ("1e999", None),
    ],
)
def test_the_number_that_a_text_ends_in(text: str, number: float | None) -> None:
    found = answer(text)
    assert (None if found is None else found.value) == (None if number is None else pytest.approx(number))


WAYS = {
    "plain": lambda n: str(n),
    "thousands": lambda n: f"{n:,}",
    "thin": lambda n: f"{n:,}".replace(",", "\u202f"),
    "apostrophe": lambda n: f"{n:,}".replace(",", "'"),
    "underscore": lambda n: f"{n:_}",
    "decimals": lambda n: f"{n:,}.00",
    "exponent": lambda n: f"{n:.15e}",
    "times": lambda n: f"{n / 1000!r} × 10^3",
    "dollars": lambda n: f"${n:,}" if n >= 0 else f"-${-n:,}",
    "boxed": lambda n: rf"\boxed{{{n}}}",
    "minus sign": lambda n: str(n).replace("-", "−"),
    "bold": lambda n: f"**{n}**",
    "maths": lambda n: rf"\({n}\)",
    "zero fraction": lambda n: f"{n}/1",
}
FRAMES = ("{}", "The answer is {}.", "x = {}", "We add 2 and 3; so it is {}!", "答案是{}。", "= {} km", "({})\n")


@given(st.integers(-(10**12), 10**12), st.sampled_from(sorted(WAYS)), st.sampled_from(FRAMES))
def test_a_number_is_found_however_it_is_written(number: int, way: str, frame: str) -> None:
    told = rated(scorers.numeric(relative=1e-12), frame.format(WAYS[way](number)), number)
    assert told.value == 1, told.explanation


@given(st.text())
def test_no_text_breaks_the_reading_of_numbers(text: str) -> None:
    for found in numbers(text):
        assert abs(found.value) < float("inf")


def test_numeric_says_what_it_found() -> None:
    assert rated(scorers.numeric(), "so 1,591 it is", 1591) == (1, "found 1,591, the target is 1591", "1,591")
    assert rated(scorers.numeric(), "no idea", 1591) == (0, "no number in the answer, the target is 1591", None)
    near = rated(scorers.numeric(0.5), "1590.6", 1591)
    assert (near.value, near.explanation) == (1, "found 1590.6, the target is 1591: 0.4 apart, 0.5 allowed")


def test_numeric_tolerances() -> None:
    assert value(scorers.numeric(), "0.30000000000000004", 0.3) == 1
    assert value(scorers.numeric(0.1), "5.2", 5) == 0
    assert value(scorers.numeric(relative=0.05), "5.2", 5) == 1
    assert value(scorers.numeric(pick="first"), "7, not 8", 7) == 1


@pytest.mark.parametrize(
    ("output", "target", "right"),
    [("50%", 0.5, 1), ("50%", 50, 1), ("0.5", "50%", 1), ("0.5%", "50%", 0), ("2 million", 2_000_000, 1)],
)
def test_percent_and_millions_are_read_either_way(output: str, target: Any, right: int) -> None:
    assert value(scorers.numeric(), output, target) == right


def test_a_target_that_is_no_number_is_told_before_anything_is_asked() -> None:
    with pytest.raises(OptionValueError, match="the target of 'x' is 'Paris'"):
        scorers.numeric().check([scorers.Item("x", "q", "Paris")])


# --- choice -----------------------------------------------------------------------------------------------

CITIES = ["York", "New York", "Paris", "Rome"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("The answer is (B).", "B"),
        ("The correct answer is **B**, as A is too old.", "B"),
        ("Answer: b", "B"),
        ("Answer: B) New York", "B"),
        ("The answer is a matter of taste, but the answer is C", "C"),
        ("I first thought the answer is A. But the answer is D.", "D"),
        (r"\boxed{\text{C}}", "C"),
        ("A) is small, C) is old.\n\nB", "B"),
        ("B) New York, because it is larger", "B"),
        ("It must be New York.", "B"),
        ("It must be York.", "A"),
        ("Option C fits best", "C"),
        ("The answer is A because it is old", "A"),
        ("The answer is I think B. Answer: B", "B"),
        ("正确答案是B。", "B"),
        ("Die Antwort ist C.", "C"),
        ("**Final Answer:** (D)", "D"),
        ("Answer: D\r\n", "D"),
        ("A good question. It is Rome", "D"),
    ],
)
def test_the_option_that_an_answer_takes(text: str, letter: str) -> None:
    told = rated(scorers.choice(CITIES), text, letter)
    assert (told.value, told.answer) == (1, letter), told.explanation


def test_an_ambiguous_answer_is_wrong_and_says_so() -> None:
    told = rated(scorers.choice(CITIES), "Paris or Rome", "C")
    assert (told.value, told.explanation) == (
        0,
        "ambiguous: it names C and D and settles on none; the target is C (Paris)",
    )
    listed = rated(scorers.choice(CITIES), "(A) is near, (B) is far", "B")
    assert (listed.value, listed.explanation[:9]) == (0, "ambiguous")
    assert value(scorers.choice(), "The answer is A and C.", "A") == 0
    assert value(scorers.choice(), "The answer is A, C is wrong.", "A") == 1
    assert value(scorers.choice([str(n) for n in range(10)]), "The answer is I.", "I") == 1
    assert rated(scorers.choice(), "I do not know", "A").explanation == "it takes none of the options; the target is A"


def test_targets_of_choice_are_letters_texts_or_numbers() -> None:
    for target in ("B", "(b)", "new york", 1):
        assert value(scorers.choice(CITIES), "The answer is B", target) == 1
    assert value(scorers.choice(), "The answer is B", "D", choices={"text": CITIES, "label": list("ABCD")}) == 0
    assert value(scorers.choice(), "It is Rome", "D", choices=CITIES) == 1
    with pytest.raises(OptionValueError, match="must be one of York"):
        scorers.choice(CITIES).check([scorers.Item("1", "q", "Berlin")])


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["\n", "A\n", " ", "(A", "answer is ", "*", "1,", "{", "```python\n", "VERDICT", "-"])
def test_long_odd_answers_are_scored_in_time(piece: str) -> None:
    for scorer in (scorers.choice(), scorers.choice(CITIES), scorers.numeric(), scorers.json_schema(SCHEMA)):
        assert value(scorer, piece * 20_000, "A") in (0, 1, None)


@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"))
def test_what_is_said_last_is_the_choice(first: str, last: str) -> None:
    text = f"I think the answer is {first}. On reflection, the answer is ({last})."
    assert rated(scorers.choice(), text, last).value == 1


# --- json, similarity, bleu -------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def test_json_in_a_block_or_among_words_is_read() -> None:
    scorer = scorers.json_schema(SCHEMA)
    for text in ('{"age": 3}', 'Here:\n```json\n{"age": 3}\n```\nDone.', 'It is {"age": 3}, I think.'):
        assert value(scorer, text) == 1
    assert value(scorers.json_schema(SCHEMA, strict=True), 'It is {"age": 3}') == 0


def test_the_path_that_does_not_fit_is_told() -> None:
    told = rated(scorers.json_schema(SCHEMA), '{"age": "three"}')
    assert (told.value, told.explanation) == (0, "$.age: 'three' is not of type 'integer'")
    assert rated(scorers.json_schema(SCHEMA), "no").explanation.startswith("no JSON: ")
    assert value(scorers.json_schema(list[int]), "[1, 2]") == 1
    assert value(scorers.json_schema(list[int]), '["a"]') == 0


def test_a_wrong_schema_is_told_at_once() -> None:
    with pytest.raises(OptionValueError, match="not a JSON schema"):
        scorers.json_schema({"type": "objekt"})
    with pytest.raises(OptionTypeError, match="json_schema"):
        scorers.json_schema(5)


@given(st.text(min_size=1), st.text(min_size=1))
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    scorer = scorers.similarity()
    there, back = value(scorer, one, other), value(scorer, other, one)
    assert there == back
    assert there is not None
    assert 0 <= there <= 1
    assert value(scorer, one, one) == 1


def test_similarity_with_a_threshold_and_by_words() -> None:
    assert value(scorers.similarity(0.5), "hello world", "hello word") == 1
    assert value(scorers.similarity(0.99), "hello world", "hello word") == 0
    assert value(scorers.similarity(by="words"), "b a", "a b") == 1
    with pytest.raises(OptionValueError, match="threshold"):
        scorers.similarity(80)


def test_bleu_and_chrf_are_between_0_and_1() -> None:
    text = "the cat sat on the mat today"
    for scorer in (scorers.bleu(), scorers.chrf()):
        assert value(scorer, text, text) == pytest.approx(1)
        near = value(scorer, "the cat sat on the mat", ["a dog", text])
        assert near is not None
        assert 0.3 < near < 1
        assert value(scorer, "xyzzy", text) == pytest.approx(0, abs=0.05)
