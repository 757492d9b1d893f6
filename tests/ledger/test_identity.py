"""What makes two requests the same, and what differs between two that are not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.types import Image, Message, Reply, Request, Tool, ToolCall
from hybrid_nb.ledger.cassette import Recording
from hybrid_nb.ledger.identity import canonical, key_of, prompt_of
from hybrid_nb.ledger.nearest import changed, differences, nearest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.text("abc", max_size=3)
numbers = st.none() | st.floats(0, 2)
counts = st.none() | st.integers(1, 9)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, plain, max_size=3)
calls = st.builds(ToolCall, words, words, words, st.none() | words)
images = st.builds(Image, st.sampled_from(["image/png", "image/jpeg"]), st.binary(max_size=3)) | st.builds(
    Image, url=st.sampled_from(["https://a/b.png", "https://a/c.png", "https://a/b.png?v=1"])
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    texts,
    st.lists(images, max_size=2).map(tuple),
    st.lists(calls, max_size=2).map(tuple),
    st.none() | words.filter(bool),
    st.none() | words.filter(bool),
)
DETERMINING: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(messages, min_size=1, max_size=3).map(tuple),
    "temperature": numbers,
    "top_p": numbers,
    "max_tokens": counts,
    "stop": st.lists(words, max_size=2).map(tuple),
    "seed": counts,
    "tools": st.lists(st.builds(Tool, words, words, objects), max_size=2).map(tuple),
    "tool_choice": st.none() | words,
    "schema": st.none() | objects,
}
requests = st.builds(Request, **DETERMINING)
OTHER = {"timeout": 9.0, "max_cost": Decimal(1), "tier": "local", "tags": {"a": "b"}, "cache": "on", "schema_type": int}


def key(request: Request, model: str | None = None) -> str:
    return key_of(canonical(request, model))


@pytest.mark.parametrize("name", DETERMINING)
@given(data=st.data())
def test_a_field_that_determines_the_answer_determines_the_key(name: str, data: st.DataObject) -> None:
    one = data.draw(requests)
    other = replace(one, **{name: data.draw(DETERMINING[name])})
    assert (key(one) == key(other)) == (getattr(one, name) == getattr(other, name))


@given(requests, st.none() | words, st.none() | words)
def test_the_model_determines_the_key(request: Request, one: str | None, other: str | None) -> None:
    assert (key(request, one) == key(request, other)) == (one == other)


@given(requests)
def test_what_bounds_or_labels_a_call_does_not(request: Request) -> None:
    assert key(replace(request, **OTHER)) == key(request)  # type: ignore[arg-type]


def turned(value: Any) -> Any:
    """The same data with its dicts in another order."""
    if isinstance(value, dict):
        return {name: turned(item) for name, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(requests)
def test_the_order_of_a_dict_does_not(request: Request) -> None:
    form = canonical(request, "m")
    assert key_of(turned(form)) == key_of(form)
    tools = tuple(replace(tool, parameters=turned(dict(tool.parameters))) for tool in request.tools)
    schema = None if request.schema is None else turned(dict(request.schema))
    assert key(replace(request, tools=tools, schema=schema)) == key(request)


def test_equal_numbers_are_equal_whatever_their_type() -> None:
    assert key(make_request("a", temperature=1)) == key(make_request("a", temperature=1.0))
    assert key(make_request("a", temperature=-0.0)) == key(make_request("a", temperature=0))
    assert key(make_request("a", temperature=0)) != key(make_request("a"))


def test_pictures_are_in_it_as_hashes_and_signed_addresses_without_their_secret() -> None:
    image = b"\x89PNG" + b"\0" * 100
    signed = "https://user:word@store.example/cat.png?X-Signature=hidden"
    form = canonical(make_request("what?", images=[image, signed]), None)
    one, two = form["messages"][0]["images"]
    assert (one["media_type"], len(one["sha256"])) == ("image/png", 64)
    assert two["url"] == "https://store.example/cat.png"
    assert "hidden" not in str(form)
    assert "word" not in str(form)
    assert key_of(form) != key(make_request("what?", images=[image, signed.replace("hidden", "other")]))


def test_the_prompt_is_the_users_last_text() -> None:
    turns = [Message("system", "s"), Message("user", "u"), Message("assistant", "a"), Message("user", "")]
    assert prompt_of(make_request(turns)) == "u"
    assert prompt_of(Request((Message("assistant", "a"),))) == "a"
    assert prompt_of(Request(())) == ""


def recording(prompt: str, **options: Any) -> Recording:
    request = make_request(prompt, **{k: v for k, v in options.items() if k != "model"})
    return Recording("k", prompt, canonical(request, options.get("model")), Reply("x"))


def test_the_nearest_recording_is_that_of_the_most_similar_prompt_then_of_the_most_equal_options() -> None:
    kept = [
        recording("Tell me about tides."),
        recording("What is 6 * 8?", temperature=0.9),
        recording("What is 6 * 8?", temperature=0.2),
        recording("Who was Ada Lovelace?"),
    ]
    form = canonical(make_request("What is 6 * 7?", temperature=0.2), None)
    assert nearest("What is 6 * 7?", form, kept) is kept[2]
    assert nearest("x", form, []) is None


def test_differences_are_told_field_by_field() -> None:
    old = canonical(make_request([{"role": "user", "content": "What is 6 * 8?"}], temperature=0.2, seed=1), "fast")
    new = canonical(make_request("What is 6 * 7?", temperature=0.7, system="Be brief."), None)
    assert differences(old, old) == ()
    assert differences(old, new) == (
        "message 1 role: [-user-]{+system+}",
        "message 1 text: [-What is 6 * 8?-]{+Be brief.+}",
        "messages: 2 turns, more than the 1 that were recorded",
        "temperature: recorded 0.2, asked 0.7",
        'model: recorded "fast", asked nothing',
        "seed: recorded 1, asked nothing",
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("What is 6 * 8?", "What is 6 * 7?", "What is 6 * [-8-]{+7+}?"),
        ("about tides", "about the tides", "about {+the +}tides"),
        ("a\nb", "a", "a[-⏎b-]"),
        ("x " * 40 + "1" + " y" * 40, "x " * 40 + "2" + " y" * 40, "…" + "x " * 12 + "[-1-]{+2+}" + " y" * 12 + "…"),
    ],
)  # fmt: skip
def test_a_change_of_a_text_is_shown_in_its_place(old: str, new: str, told: str) -> None:
    assert changed(old, new) == told


@given(texts, texts)
def test_any_change_is_told_shortly(old: str, new: str) -> None:
    assert len(changed(old, new)) < 250
