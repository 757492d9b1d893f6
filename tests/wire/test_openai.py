# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""OpenAI's wire: what is written for each vendor, and what servers of all kinds send back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import ToolCall, Usage
from hybrid_nb.providers import vendor
from hybrid_nb.wire.openai_chat import FINISH, OpenAIChat, strict
from tests.wire.reading import Read, events

PNG = b"\x89PNG\r\n\x1a\nrest"
TOOL = {
    "name": "f",
    "description": "does f",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
HISTORY = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": {"a": 1}}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"},
]  # fmt: skip


def body(
    wire: Any = None, prompt: Any = "hi", *, model: str = "m", stream: bool = False, **options: Any
) -> dict[str, Any]:
    call = (wire or OpenAIChat()).chat("http://x/v1/", model, make_request(prompt, **options), stream)
    assert (call.method, call.url) == ("POST", "http://x/v1/chat/completions")
    written: dict[str, Any] = orjson.loads(call.body)
    return written


# --- writing --------------------------------------------------------------------------------------------------


def test_the_least_request_has_nothing_that_was_not_asked_for() -> None:
    assert body() == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_system_stop_seed_and_sampling() -> None:
    written = body(system="be brief", stop="END", seed=7, temperature=0, top_p=0.5, max_tokens=9)
    assert written["messages"][0] == {"role": "system", "content": "be brief"}
    assert {k: written[k] for k in ("stop", "seed", "temperature", "top_p", "max_tokens")} == {
        "stop": ["END"], "seed": 7, "temperature": 0, "top_p": 0.5, "max_tokens": 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "limit", "seed", "usage"),
    [
        ("openai", "max_completion_tokens", "seed", True),
        ("groq", "max_completion_tokens", "seed", True),
        ("mistral", "max_tokens", "random_seed", False),
        ("llamacpp", "max_tokens", "seed", True),
        ("lmstudio", "max_tokens", "seed", True),
        ("custom", "max_tokens", "seed", True),
    ],
)
def test_names_by_vendor(kind: str, limit: str, seed: str, usage: bool) -> None:
    written = body(vendor(kind).wire, stream=True, max_tokens=5, seed=3)
    assert (written[limit], written[seed], written["stream"]) == (5, 3, True)
    assert written.get("stream_options") == ({"include_usage": True} if usage else None)
    assert not {"max_tokens", "max_completion_tokens", "seed", "random_seed"} - {limit, seed} & written.keys()
    assert "stream_options" not in body(vendor(kind).wire)


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5.4-nano", "gpt-6-luna"])
def test_reasoning_models_get_no_temperature(model: str) -> None:
    written = body(vendor("openai").wire, model=model, temperature=0.2, top_p=0.5)
    assert not {"temperature", "top_p"} & written.keys()


def test_other_models_get_their_temperature() -> None:
    assert body(vendor("openai").wire, model="gpt-4.1", temperature=0.2)["temperature"] == 0.2
    assert body(vendor("custom").wire, model="gpt-5-like", temperature=0.2)["temperature"] == 0.2


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        ("auto", "auto"),
        ("required", "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tools_and_their_choice(choice: str | None, written: Any) -> None:
    found = body(tools=[TOOL], tool_choice=choice)
    assert found["tools"] == [{"type": "function", "function": TOOL}]
    assert found.get("tool_choice") == written


def test_tool_choice_none_leaves_the_tools_out() -> None:
    assert not {"tools", "tool_choice"} & body(tools=[TOOL], tool_choice="none").keys()


def test_mistral_says_any_and_takes_ids_of_nine_characters() -> None:
    wire = vendor("mistral").wire
    written = body(wire, HISTORY, tools=[TOOL], tool_choice="required")
    assert written["tool_choice"] == "any"
    asked, answered = written["messages"][1]["tool_calls"][0]["id"], written["messages"][2]["tool_call_id"]
    assert asked == answered
    assert len(asked) == 9
    assert asked.isalnum()
    own = [{**HISTORY[1], "tool_calls": [{"id": "abcDEF123", "function": {"name": "f"}}]}]
    assert body(wire, [HISTORY[0], *own])["messages"][1]["tool_calls"][0]["id"] == "abcDEF123"


def test_a_tool_round_is_written_back() -> None:
    _, turn, result = body(prompt=HISTORY)["messages"]
    assert turn == {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }  # fmt: skip
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def test_images_are_parts() -> None:
    parts = body(images=[PNG, "https://x/y.png"])["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "image_url"]
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0K")
    assert parts[2]["image_url"]["url"] == "https://x/y.png"


def test_a_schema_is_strict_all_the_way_down() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "string"}}}
    schema = {
        "title": "My Answer",
        "type": "object",
        "properties": {"a": {"type": "array", "items": inner}},
        "$defs": {"X": inner},
    }
    form = body(schema=schema)["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == (
        "json_schema",
        "My_Answer",
        True,
    )
    written = form["json_schema"]["schema"]
    closed = {**inner, "additionalProperties": False, "required": ["b"]}
    assert written["properties"]["a"]["items"] == written["$defs"]["X"] == closed
    assert written["required"] == ["a"]


def test_strict_leaves_the_callers_schema_alone() -> None:
    schema = {
        "type": "object",
        "properties": {"required": {"type": "string"}, "properties": {"type": "object", "properties": {}}},
    }
    before = orjson.dumps(schema)
    closed = strict(schema)
    assert orjson.dumps(schema) == before
    assert closed["properties"]["required"] == {"type": "string"}
    assert closed["required"] == ["required", "properties"]


# --- reading --------------------------------------------------------------------------------------------------


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


def tool(*, index: int | None = None, **call: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{**({} if index is None else {"index": index}), **call}]})


def piece(name: str | None = None, arguments: Any = None) -> dict[str, Any]:
    return {"function": {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}}


F, G = ToolCall("1", "f", '{"a":1}'), ToolCall("2", "g", '{"b":2}')
CALLS: dict[str, list[dict[str, Any]]] = {
    "in pieces": [tool(index=0, id="1", **piece("f", "")), tool(index=0, **piece(arguments='{"a"')), tool(index=0, **piece(arguments=":1}")), tool(index=1, id="2", **piece("g", '{"b":2}'))],
    "interleaved": [tool(index=0, id="1", **piece("f")), tool(index=1, id="2", **piece("g")), tool(index=0, **piece(arguments='{"a":1}')), tool(index=1, **piece(arguments='{"b":2}'))],
    "index always 0": [tool(index=0, id="1", **piece("f", '{"a":1}')), tool(index=0, id="2", **piece("g", '{"b":2}'))],
    "index always 0, in pieces": [tool(index=0, id="1", **piece("f")), tool(index=0, **piece(arguments='{"a":1}')), tool(index=0, id="2", **piece("g")), tool(index=0, **piece(arguments='{"b":2}'))],
    "index from 1": [tool(index=1, id="1", **piece("f")), tool(index=1, **piece(arguments='{"a":1}')), tool(index=2, id="2", **piece("g")), tool(index=2, **piece(arguments='{"b":2}'))],
    "no index": [tool(id="1", **piece("f", '{"a"')), tool(**piece(arguments=":1}")), tool(id="2", **piece("g", '{"b":2}'))],
    "id and name repeated": [tool(index=0, id="1", **piece("f", '{"a"')), tool(index=0, id="1", **piece("f", ":1}")), tool(index=1, id="2", **piece("g", '{"b":2}'))],
    "arguments as objects": [tool(index=0, id="1", **piece("f", {"a": 1})), tool(index=1, id="2", **piece("g", {"b": 2}))],
    "two in one event": [chunk({"tool_calls": [{"id": "1", **piece("f", '{"a":1}')}, {"id": "2", **piece("g", '{"b":2}')}]})],
    "with empty text": [chunk({"role": "assistant", "content": "", "tool_calls": [{"index": 0, "id": "1", **piece("f", '{"a":1}')}, {"index": 1, "id": "2", **piece("g", '{"b":2}')}]})],
}  # fmt: skip
WITHOUT_ID = {
    "index": [
        tool(index=0, **piece("f", '{"a":1}')),
        tool(index=1, **piece("g", '{"b"')),
        tool(index=1, **piece(arguments=":2}")),
    ],
    "nothing": [tool(**piece("f", '{"a":1}')), tool(**piece("g", '{"b":2}'))],
    "null ids": [tool(index=0, id="null", **piece("f", '{"a":1}')), tool(index=1, id="", **piece("g", '{"b":2}'))],
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_however_they_come(name: str) -> None:
    read = Read(OpenAIChat(), events(*CALLS[name], chunk({}, "tool_calls")))
    assert read.calls == (F, G)
    assert read.final_finish() == "tool_calls"


@pytest.mark.parametrize("name", WITHOUT_ID)
def test_tool_calls_without_ids_get_some(name: str) -> None:
    first, second = Read(OpenAIChat(), events(*WITHOUT_ID[name], chunk({}, "stop"))).calls
    assert (first.name, first.args, second.name, second.args) == ("f", {"a": 1}, "g", {"b": 2})
    assert first.id != second.id


def test_calls_make_the_finish_whatever_was_said() -> None:
    assert Read(OpenAIChat(), events(*CALLS["in pieces"], chunk({}, "stop"))).final_finish() == "tool_calls"


def test_no_arguments_are_an_empty_object() -> None:
    for nothing in ("", None):
        (call,) = Read(
            OpenAIChat(), events(tool(index=0, id="1", **piece("f", nothing)), chunk({}, "tool_calls"))
        ).calls
        assert call.args == {}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_under_its_names(field: str) -> None:
    read = Read(
        OpenAIChat(), events(chunk({field: "hm", "content": ""}), chunk({field: "m"}), chunk({"content": "hi"}, "stop"))
    )
    assert (read.reasoning, read.text) == ("hmm", "hi")


def test_content_as_a_list() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "hi"},
        {"type": "reference"},
    ]
    read = Read(OpenAIChat(), events(chunk({"content": parts}), chunk({"content": " you"}, "stop")))
    assert (read.reasoning, read.text) == ("hm", "hi you")


def test_a_refusal_is_text_and_a_filter() -> None:
    for delta in ({"refusal": "no"}, {"content": "", "refusal": "no"}, {"content": None, "refusal": "no"}):
        read = Read(OpenAIChat(), events(chunk(delta), chunk({}, "stop")))
        assert (read.text, read.complete) == ("no", True)


@pytest.mark.parametrize("usage_at", ["finish", "after", "every", "finish and after"])
def test_usage_wherever_it_stands(usage_at: str) -> None:
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 5}}
    early = {"usage": {"prompt_tokens": 9, "completion_tokens": 1}} if usage_at == "every" else {}
    frames = [chunk({"content": "hi"}, **early), chunk({}, "stop", **(usage if usage_at != "after" else {}))]
    frames += [{"choices": [], **usage}] if "after" in usage_at else []
    read = Read(OpenAIChat(), events(*frames, b"[DONE]"))
    assert read.usage == Usage(9, None, None, 5, None, "provider")


def test_an_end_by_done_or_finish_is_complete_and_one_without_is_not() -> None:
    assert Read(OpenAIChat(), events(chunk({"content": "hi"}), b"[DONE]")).complete
    assert Read(OpenAIChat(), events(chunk({"content": "hi"}, "stop"))).complete
    assert not Read(OpenAIChat(), events(chunk({"content": "hi"}))).complete
    assert not Read(OpenAIChat(), events(chunk({"content": "hi"}, ""))).complete


@pytest.mark.parametrize("reason", [*FINISH, "something new"])
def test_every_finish_reason(reason: str) -> None:
    read = Read(OpenAIChat(), events(chunk({"content": "hi"}, reason)))
    assert read.finish == FINISH.get(reason, "stop")
    whole = OpenAIChat().decode({"choices": [{"message": {"content": "hi"}, "finish_reason": reason}]})
    assert whole.finish == read.finish


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_a_failed_generation_is_an_error(reason: str) -> None:
    with pytest.raises(InBandError):
        OpenAIChat().decode({"choices": [{"message": {"content": "hi"}, "finish_reason": reason}]})


def test_noise_is_ignored() -> None:
    azure = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    frames = [
        azure,
        {"choices": None},
        chunk({"content": "hi"}, obfuscation="xyz"),
        {"choices": [{"delta": None}]},
        chunk({}, "stop"),
    ]
    read = Read(OpenAIChat(), events(*frames, b"[DONE]"))
    assert (read.text, read.model, read.complete) == ("hi", None, True)


def test_odd_figures_are_not_figures() -> None:
    frame = chunk({"content": "x"}, "stop", usage={"prompt_tokens": "many", "completion_tokens": -1, "cost": "free"})
    read = Read(OpenAIChat(), events(frame))
    assert read.usage == Usage(source="provider")
    assert read.cost is None


def test_a_whole_answer() -> None:
    message = {
        "content": "hi",
        "reasoning": "hm",
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}],
    }
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    found = OpenAIChat().decode(
        {"model": "m", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage}
    )
    assert (found.text, found.reasoning, found.finish, found.model) == ("hi", "hm", "tool_calls", "m")
    assert found.usage == Usage(9, 4, 2, 5, 3, "provider")
    assert found.tools[0].arguments == '{"a":1}'


@pytest.mark.parametrize("data", [{}, {"choices": []}, {"choices": None}])
def test_no_choices_are_no_answer(data: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponseError):
        OpenAIChat().decode(data)


def test_model_lists_of_all_kinds() -> None:
    items = [
        {"id": "a"},
        {"id": "b", "context_window": 1000},
        {
            "id": "c",
            "max_context_length": 2000,
            "capabilities": {"completion_chat": True, "function_calling": True, "vision": False},
        },
        {"id": "d", "max_model_len": 3000},
        {"id": "e", "meta": None, "owned_by": "llamacpp"},
        {"id": "f", "meta": {"n_ctx_train": 4000, "size": 5}},
        {"id": "no", "capabilities": {"completion_chat": False}},
        {"id": "no", "type": "embeddings"},
    ]
    found = {info.id: info for info in OpenAIChat().decode_models({"data": items})}
    assert [info.context for info in found.values()] == [None, 1000, 2000, 3000, None, 4000]
    assert (found["c"].tools, found["c"].vision, found["a"].tools, found["f"].size) == (True, False, None, 5)
    assert OpenAIChat().decode_models({}) == []
