"""The pure part: tokens, accuracy, schemas, tools; no socket anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.sim import Model, facts, prose, tokens
from hybrid_nb.sim.answers import answer
from hybrid_nb.sim.hints import Hints
from hybrid_nb.sim.schema import instance
from hybrid_nb.sim.types import Call, Tool, Turn

SURE = Model("simulated-sure", accuracy=1.0)
WEATHER = Tool(
    "get_weather",
    "Get the weather in a city",
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
)
SUM = Tool("add_numbers", "Adds", {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}})


def ask(prompt: str, model: Model = SURE, seed: int = 0, **fields: Any) -> Any:
    return answer(Call(model.name, (Turn("user", prompt),), **fields), model, seed)


def test_what_a_model_says_to_given_words_comes_before_what_it_knows() -> None:
    model = Model(
        "simulated-told", accuracy=1.0, says=(("capital of France", "Lyon, for once."), ("France", "A country."))
    )
    assert ask("What is the capital of France?", model).text == "Lyon, for once."
    assert ask("Where is France?", model).text == "A country."
    assert ask("What is 6 * 7?", model).text == "6 * 7 = 42."


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text
    assert tokens.count(text) == len(tokens.split(text))
    assert "".join(part for part, _ in tokens.group(tokens.split(text), 3)) == text


@pytest.mark.parametrize(
    ("prompt", "truth"),
    [
        ("What is 17 * 23?", "391"),
        ("12 + 30", "42"),
        ("48/6", "8"),
        ("What's 2 + 3 * 4?", "14"),
        ("Calculate (2+3)*4.", "20"),
        ("what is 7 times 8", "56"),
        ("What is 1,000 minus 1?", "999"),
        ("How much is 10 divided by 4?", "2.5"),
        ("What is the sum of 19 and 23?", "42"),
        ("Compute 6 x 7, please.", "42"),
        ("What is -3 + 5?", "2"),
        ("What is the capital of France?", "Paris"),
        ("Who wrote War and Peace?", "Leo Tolstoy"),
        ("Give the chemical symbol for gold.", "Au"),
    ],
)
def test_known_questions(prompt: str, truth: str) -> None:
    fact = facts.find(prompt)
    assert fact is not None
    assert fact.truth == truth
    assert truth in ask(prompt).text
    assert all(fact.wrong(seed) != truth for seed in range(50))


@pytest.mark.parametrize(
    "prompt", ["Summarise the meeting of 2024-11-20", "Hello", "What is 1/0?", "Write 3-4 lines on capital markets"]
)
def test_unknown_questions(prompt: str) -> None:
    assert facts.find(prompt) is None


@pytest.mark.parametrize("prompt", ["What is 17 * 23? Reply with only the number.", "Just the number: 17 * 23 ="])
def test_bare_answers(prompt: str) -> None:
    assert ask(prompt).text == "391"


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.8, 1.0])
def test_accuracy_is_the_rate_that_was_set(rate: float) -> None:
    model = Model("simulated-student", accuracy=rate)
    total = 500
    right = sum(
        ask(f"What is {number} + {2 * number}? Answer with only the number.", model).text == str(3 * number)
        for number in range(total)
    )
    spread = 4 * (total * rate * (1 - rate)) ** 0.5
    assert abs(right - total * rate) <= spread


def test_answers_depend_on_seed_model_and_prompt_only() -> None:
    model = Model("simulated-student", accuracy=0.5)
    prompts = [f"What is {number} * 7?" for number in range(60)]
    assert [ask(one, model).text for one in prompts] == [ask(one, model).text for one in prompts]
    assert [ask(one, model, seed=1).text for one in prompts] != [ask(one, model, seed=2).text for one in prompts]


def test_answers_survive_another_process() -> None:
    code = (
        "from hybrid_nb.sim.answers import answer; from hybrid_nb.sim.types import *;"
        "print(repr(answer(Call('simulated-sure', (Turn('user', 'Tell me about bees'),)),"
        " Model('simulated-sure'), 3).text))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == repr(ask("Tell me about bees", Model("simulated-sure"), 3).text)


def test_prose_says_that_it_is_simulated_and_echoes() -> None:
    texts = {ask(f"Tell me about {thing}.").text for thing in ("bees", "trains", "rivers")}
    assert len(texts) == 3
    assert all("simulated" in text for text in texts)
    assert any("bees" in text for text in texts)


@pytest.mark.parametrize("words", [1, 20, 777])
def test_length_is_what_was_asked_for(words: int) -> None:
    assert len(prose.write(f"Write {words} words about dust", "m").split()) == words


def test_limits() -> None:
    said = ask("Count to 50", max_tokens=5)
    assert (len(said.tokens), said.finish) == (5, "length")
    said = ask("Count to 50", stop=("13", "9"))
    assert (said.text[-3:], said.stop_hit, said.finish) == ("8, ", "9", "stop")


def test_images_are_counted() -> None:
    turn = Turn("user", "Compare these.", images=2)
    assert answer(Call("m", (turn,)), SURE).text.startswith("I see 2 images.")


def test_tools_are_called_when_the_prompt_fits() -> None:
    said = ask("How is the weather in Rome for 3 days?", tools=(WEATHER, SUM))
    assert [(call.name, call.arguments) for call in said.calls] == [("get_weather", {"city": "Rome"})]
    assert said.finish == "tool_calls"
    assert said.output_tokens > 0
    assert not ask("Tell me a joke", tools=(WEATHER, SUM)).calls
    assert not ask("How is the weather?", tools=(WEATHER,), choice="none").calls


def test_forced_and_parallel_tools() -> None:
    forced = ask("Tell me a joke about 4 and 5", tools=(WEATHER, SUM), choice="required", forced="add_numbers")
    assert forced.calls[0].arguments == {"a": 4, "b": 5}
    both = "Use get_weather and add_numbers."
    assert len(ask(both, tools=(WEATHER, SUM)).calls) == 2
    assert len(ask(both, tools=(WEATHER, SUM), parallel=False).calls) == 1


def test_tool_results_are_read_out() -> None:
    turns = (Turn("user", "Weather?"), Turn("tool", "18", tool="a"), Turn("tool", "rain", tool="b"))
    assert answer(Call("m", turns, tools=(WEATHER,)), SURE).text == "According to a says: 18; b says: rain."


NODE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 3, "maxLength": 5},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "next", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: list[dict[str, Any]] = [
    NODE,
    {"const": 5},
    {"enum": ["a", None, 3]},
    {"type": ["null", "integer"], "minimum": 500},
    {"type": "array", "items": {"type": "integer"}, "minItems": 4, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "maxItems": 2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "minimum": 7, "maximum": 19, "multipleOf": 6},
    {"type": "object", "required": ["free"]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"]}, {"type": "null"}]},
    {"type": "object", "properties": {"d": {"type": "string", "format": "date"}, "u": {"type": "null"}}},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_instances_are_valid(schema: dict[str, Any]) -> None:
    hints = Hints.of('Say "a quoted text" for 3.5 and 12 in Rome', "-7")
    for optional in (True, False):
        value = instance(schema, hints, optional=optional)
        jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
        assert json.loads(json.dumps(value)) == value


def _bounds(low: str, high: str, most: int) -> st.SearchStrategy[dict[str, int]]:
    pairs = st.tuples(st.integers(0, most), st.integers(0, most)).map(sorted)
    return pairs.map(lambda pair: {low: pair[0], high: pair[1]})


LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), min_size=1, max_size=3).map(lambda v: {"enum": v}),
    _bounds("minLength", "maxLength", 30).map(lambda b: {"type": "string", **b}),
    _bounds("minimum", "maximum", 10**6).map(lambda b: {"type": "integer", **b}),
    _bounds("minimum", "maximum", 10**6).map(lambda b: {"type": "number", **b}),
)


def _branches(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    objects = st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4).map(
        lambda p: {"type": "object", "properties": p, "required": list(p)[::2], "additionalProperties": False}
    )
    arrays = st.tuples(inner, _bounds("minItems", "maxItems", 4)).map(
        lambda pair: {"type": "array", "items": pair[0], **pair[1]}
    )
    choices = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return st.one_of(objects, arrays, choices)


@settings(max_examples=150, deadline=None)
@given(st.recursive(LEAVES, _branches, max_leaves=8), st.text(max_size=30), st.booleans())
def test_random_schemas_have_valid_instances(schema: dict[str, Any], prompt: str, optional: bool) -> None:
    value = instance(schema, Hints.of(prompt, "42", (prompt,)), optional=optional)
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)


def test_the_answer_goes_where_it_fits() -> None:
    schema = {
        "type": "object",
        "properties": {"note": {"type": "string"}, "answer": {"type": "number"}, "sure": {"type": "boolean"}},
    }
    value = json.loads(ask("What is 17 * 23?", schema=schema).text)
    assert value["answer"] == 391
    assert value["note"] != "391"
    colours = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}
    assert json.loads(ask("I like green most", schema=colours).text) == {"colour": "green"}
    assert json.loads(ask("JSON: what is 2 + 2?", json_mode=True).text)["answer"] == "4"
