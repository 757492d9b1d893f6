# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""The wires of Anthropic, Gemini and Ollama."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hybrid_nb.core.errors import ContentFilterError, MalformedResponseError, UnsupportedFeatureError
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.types import Usage
from hybrid_nb.wire.anthropic import Anthropic
from hybrid_nb.wire.gemini import FAILED, FILTERED, FOREIGN_SIGNATURE, Gemini
from hybrid_nb.wire.ollama import Ollama
from tests.wire.reading import Read, events, lines
from tests.wire.test_openai import HISTORY, PNG, TOOL

PARALLEL = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": "well", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}, {"id": "2", "function": {"name": "g", "arguments": '{"a":1}'}}]},
    {"role": "tool", "tool_call_id": "1", "content": "one"},
    {"role": "tool", "tool_call_id": "2", "content": "two"},
    {"role": "user", "content": "and?"},
]  # fmt: skip


def body(wire: Any, prompt: Any = "hi", *, model: str = "m", stream: bool = False, **options: Any) -> dict[str, Any]:
    call = wire.chat("http://x", model, make_request(prompt, **options), stream)
    written: dict[str, Any] = orjson.loads(call.body)
    return written


# --- Anthropic ------------------------------------------------------------------------------------------------


def test_anthropic_the_least_request() -> None:
    call = Anthropic().chat("http://x/", "claude-haiku-4-5", make_request("hi"), stream=True)
    assert call.url == "http://x/v1/messages"
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert orjson.loads(call.body) == {
        "model": "claude-haiku-4-5", "max_tokens": 4096, "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }  # fmt: skip


def test_anthropic_options() -> None:
    written = body(
        Anthropic(),
        system="brief",
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        seed=7,
        max_tokens=5,
        schema={"type": "object", "properties": {"a": {}}},
    )
    assert (written["system"], written["temperature"], written["top_p"], written["max_tokens"]) == (
        "brief",
        0.5,
        0.9,
        5,
    )
    assert written["stop_sequences"] == ["END"]
    assert "seed" not in written
    form = written["output_config"]["format"]
    assert (form["type"], form["schema"]["additionalProperties"]) == ("json_schema", False)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-7",
        "claude-opus-5-5",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-fable-5-1",
    ],
)
def test_anthropic_newer_models_get_no_sampling(model: str) -> None:
    assert not {"temperature", "top_p"} & body(Anthropic(), model=model, temperature=0.5, top_p=0.9).keys()


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5", "other"])
def test_anthropic_older_models_keep_it(model: str) -> None:
    assert body(Anthropic(), model=model, temperature=0.5)["temperature"] == 0.5


@pytest.mark.parametrize(("choice", "written"), [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("required", {"type": "any"}), ("f", {"type": "tool", "name": "f"}), (None, None)])  # fmt: skip
def test_anthropic_tool_choice(choice: str | None, written: Any) -> None:
    found = body(Anthropic(), tools=[TOOL], tool_choice=choice)
    assert found.get("tool_choice") == written
    assert found["tools"] == [{"name": "f", "description": "does f", "input_schema": TOOL["parameters"]}]


def test_anthropic_results_of_one_turn_stand_in_one_message_before_the_text() -> None:
    user, assistant, results = body(Anthropic(), PARALLEL)["messages"]
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use"]
    assert assistant["content"][2]["input"] == {"a": 1}
    assert [block["type"] for block in results["content"]] == ["tool_result", "tool_result", "text"]
    assert results["role"] == user["role"] == "user"


def test_anthropic_images_come_before_the_text_and_empty_text_is_left_out() -> None:
    content = body(Anthropic(), images=[PNG, "https://x/y.png"])["messages"][0]["content"]
    assert [block["type"] for block in content] == ["image", "image", "text"]
    assert content[0]["source"]["media_type"] == "image/png"
    assert content[1]["source"] == {"type": "url", "url": "https://x/y.png"}
    assert [len(m["content"]) for m in body(Anthropic(), HISTORY)["messages"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"), ("model_context_window_exceeded", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"), ("new", "stop")],
)  # fmt: skip
def test_anthropic_finish(reason: str, finish: str) -> None:
    data = {
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": reason,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    assert Anthropic().decode(data).finish == finish
    read = Read(
        Anthropic(), events({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2}})
    )
    assert (read.finish, read.complete) == (finish, True)


def test_anthropic_usage_is_cumulative_and_includes_the_cache() -> None:
    start = {
        "type": "message_start",
        "message": {
            "usage": {
                "input_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens": 1,
            }
        },
    }
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 20, "input_tokens": None, "output_tokens_details": {"thinking_tokens": 6}},
    }
    read = Read(Anthropic(), events(start, {**delta, "usage": {"output_tokens": 10}}, delta))
    assert read.usage == Usage(129, 100, 20, 20, 6, "provider")


def test_anthropic_blocks_of_all_kinds() -> None:
    read = Read(
        Anthropic(),
        events(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "a"}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "b"}},
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "server_tool_use", "id": "x", "name": "y", "input": {}},
            },
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {
                "type": "content_block_start",
                "index": 3,
                "content_block": {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            },
            {"type": "something_new"},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
            {"type": "message_stop"},
        ),
    )
    assert (read.text, read.reasoning, [c.name for c in read.calls], read.calls[0].args) == ("ab", "hm", ["f"], {})


def test_anthropic_a_stream_without_its_end_is_not_complete() -> None:
    assert not Read(
        Anthropic(), events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}})
    ).complete


# --- Gemini ---------------------------------------------------------------------------------------------------


def test_gemini_the_least_request() -> None:
    call = Gemini().chat("http://x/v1beta", "models/gemini-3.8-flash", make_request("hi"), stream=True)
    assert call.url == "http://x/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
    assert orjson.loads(call.body) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert (
        Gemini().chat("http://x", "a/b", make_request("hi"), stream=False).url
        == "http://x/models/a%2Fb:generateContent"
    )


def test_gemini_options() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    written = body(
        Gemini(), system="brief", temperature=0, top_p=0.9, stop=["END"], seed=7, max_tokens=5, schema=schema
    )
    assert written["systemInstruction"] == {"parts": [{"text": "brief"}]}
    assert written["generationConfig"] == {
        "temperature": 0, "topP": 0.9, "maxOutputTokens": 5, "seed": 7, "stopSequences": ["END"],
        "responseMimeType": "application/json", "responseJsonSchema": schema,
    }  # fmt: skip


@pytest.mark.parametrize(("choice", "config"), [("auto", {"mode": "AUTO"}), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}), ("f", {"mode": "ANY", "allowedFunctionNames": ["f"]})])  # fmt: skip
def test_gemini_tool_choice(choice: str, config: Any) -> None:
    written = body(Gemini(), tools=[TOOL], tool_choice=choice)
    assert written["toolConfig"]["functionCallingConfig"] == config
    declared = written["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"] == TOOL["parameters"]


def test_gemini_a_round_of_tools_keeps_names_and_signatures() -> None:
    contents = body(Gemini(), PARALLEL)["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    calls = [part for part in contents[1]["parts"] if "functionCall" in part]
    assert [call["thoughtSignature"] for call in calls] == [FOREIGN_SIGNATURE] * 2
    answers = [part["functionResponse"] for part in contents[2]["parts"] if "functionResponse" in part]
    assert answers == [{"name": "f", "response": {"output": "one"}}, {"name": "g", "response": {"output": "two"}}]
    own = [{"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "signature": "QUJD"}]}]
    assert body(Gemini(), ["x", *own])["contents"][1]["parts"][0]["thoughtSignature"] == "QUJD"


def test_gemini_images() -> None:
    parts = body(Gemini(), images=[PNG])["contents"][0]["parts"]
    assert parts[1]["inlineData"]["mimeType"] == "image/png"
    with pytest.raises(UnsupportedFeatureError, match="URL"):
        body(Gemini(), images=["https://x/y.png"])


@pytest.mark.parametrize(
    "reason", ["STOP", "MAX_TOKENS", "CONTINUATION", "NEW", *FILTERED, "OTHER", "NO_IMAGE", "IMAGE_SAFETY"]
)
def test_gemini_finish(reason: str) -> None:
    expected = {"STOP": "stop", "NEW": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}.get(
        reason, "content_filter"
    )
    data = {"candidates": [{"finishReason": reason}]}  # content may be absent
    assert Gemini().decode(data).finish == expected
    assert Read(Gemini(), events(data)).told[3] == expected


@pytest.mark.parametrize("reason", sorted(FAILED))
def test_gemini_failed_generations_are_errors(reason: str) -> None:
    from hybrid_nb.core.provider import InBandError

    with pytest.raises(InBandError, match="error"):
        Gemini().decode({"candidates": [{"content": {"role": "model"}, "finishReason": reason}]})


def test_gemini_a_blocked_prompt_is_a_filter() -> None:
    for act in (lambda d: Gemini().decode(d), lambda d: Read(Gemini(), events(d))):
        with pytest.raises(ContentFilterError, match="SAFETY"):
            act({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})


def test_gemini_thoughts_are_reasoning_and_calls_are_counted_on() -> None:
    def event(*parts: Any, **more: Any) -> dict[str, Any]:
        return {
            "candidates": [{"content": {"parts": list(parts)}, **more}],
            "usageMetadata": {
                "promptTokenCount": 2,
                "toolUsePromptTokenCount": 3,
                "cachedContentTokenCount": 1,
                "candidatesTokenCount": 4,
            },
        }

    read = Read(
        Gemini(),
        events(
            event({"text": "hm", "thought": True}, {"text": "hi"}),
            event({"functionCall": {"name": "f"}}),
            event({"functionCall": {"name": "g", "args": {"a": 1}, "id": "x"}}),
            event({"text": "", "thoughtSignature": "QQ"}, finishReason="STOP"),
        ),
    )
    assert (read.text, read.reasoning, [c.name for c in read.calls], read.calls[1].id) == ("hi", "hm", ["f", "g"], "x")
    assert read.usage == Usage(5, 1, None, 4, None, "provider")


def test_gemini_lists_what_generates() -> None:
    found = Gemini().decode_models(
        {
            "models": [
                {"name": "models/a", "inputTokenLimit": 5, "supportedGenerationMethods": ["generateContent"]},
                {"name": "models/e", "supportedGenerationMethods": ["embedContent"]},
            ]
        }
    )
    assert [(info.id, info.context) for info in found] == [("a", 5)]


# --- Ollama ---------------------------------------------------------------------------------------------------


def test_ollama_the_least_request_says_whether_it_streams() -> None:
    assert body(Ollama()) == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def test_ollama_options_stand_inside_options() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    written = body(
        Ollama(), system="brief", temperature=0, top_p=0.9, stop=["END"], seed=7, max_tokens=5, schema=schema
    )
    assert written["options"] == {"temperature": 0, "top_p": 0.9, "num_predict": 5, "seed": 7, "stop": ["END"]}
    assert written["format"] == schema
    assert not {"temperature", "max_tokens", "seed"} & written.keys()


def test_ollama_a_round_of_tools() -> None:
    _, turn, one, two, _ = body(Ollama(), PARALLEL)["messages"]
    assert turn["tool_calls"][1] == {"id": "2", "function": {"name": "g", "arguments": {"a": 1}}}
    assert (one["tool_name"], two["tool_name"]) == ("f", "g")


def test_ollama_tool_choice() -> None:
    assert "tools" in body(Ollama(), tools=[TOOL], tool_choice="auto")
    assert "tools" not in body(Ollama(), tools=[TOOL], tool_choice="none")
    for forced in ("required", "f"):
        with pytest.raises(UnsupportedFeatureError):
            body(Ollama(), tools=[TOOL], tool_choice=forced)


def test_ollama_images_are_bare_base64() -> None:
    assert body(Ollama(), images=[PNG])["messages"][0]["images"][0].startswith("iVBORw0K")
    with pytest.raises(UnsupportedFeatureError, match="URL"):
        body(Ollama(), images=["https://x/y.png"])


def test_ollama_calls_in_several_lines_with_and_without_ids() -> None:
    def line(*calls: Any, **more: Any) -> dict[str, Any]:
        return {"message": {"content": "", "tool_calls": list(calls)}, "done": False, **more}

    read = Read(
        Ollama(),
        lines(
            line({"function": {"name": "f", "arguments": {"a": 1}}}),
            line({"id": "x", "function": {"name": "g", "arguments": '{"b":2}'}}, {"function": {"name": "h"}}),
            {"message": {"content": "", "thinking": "hm"}, "done": True, "done_reason": "stop", "eval_count": 3},
        ),
    )
    assert [(c.name, c.args) for c in read.calls] == [("f", {"a": 1}), ("g", {"b": 2}), ("h", {})]
    assert read.reasoning == "hm"
    assert read.final_finish() == "tool_calls"
    assert read.usage == Usage(None, None, None, 3, None, "provider")


def test_ollama_an_end_without_done_is_not_complete() -> None:
    assert not Read(Ollama(), lines({"message": {"content": "a"}, "done": False})).complete
    with pytest.raises(MalformedResponseError):
        Ollama().decode({"message": {"content": "a"}, "done": False})
    assert (
        Read(Ollama(), lines({"message": {"content": "a"}, "done": True, "done_reason": "length"})).finish == "length"
    )


def test_ollama_lists_models_old_and_new() -> None:
    found = Ollama().decode_models(
        {
            "models": [
                {"name": "a:latest", "size": 5},
                {"name": "b", "model": "b:1", "capabilities": ["completion", "tools"]},
            ]
        }
    )
    assert [(i.id, i.tools, i.vision, i.size) for i in found] == [
        ("a:latest", None, None, 5),
        ("b:1", True, False, None),
    ]
