# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""Transcripts of the vendors, read whole and byte by byte, with the same outcome."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import ToolCall, Usage
from hybrid_nb.wire.anthropic import Anthropic
from hybrid_nb.wire.gemini import Gemini
from hybrid_nb.wire.ollama import Ollama
from hybrid_nb.wire.openai_chat import OpenAIChat
from tests.wire.reading import Read, cut, events, lines

CALL = ToolCall("call_1", "f", '{"a":1}')

OPENAI = events(
    {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}], "usage": None},
    {"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}, "finish_reason": None}], "usage": None},
    {"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}, "finish_reason": None}], "usage": None},
    {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": None},
    {"id": "c1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 0}}},
    b"[DONE]",
)  # fmt: skip

ANTHROPIC = b"".join(
    b"event: " + p["type"].encode() + b"\n" + events(p)  # type: ignore[attr-defined]
    for p in (
        {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "usage": {"input_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    )
)  # fmt: skip

GEMINI = events(
    {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "QUJD"}]}, "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 21}, "modelVersion": "m", "responseId": "r1"},
)  # fmt: skip

OLLAMA = lines(
    {"model": "m:latest", "created_at": "2026-11-20T00:00:00Z", "message": {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]}, "done": False},
    {"model": "m:latest", "created_at": "2026-11-20T00:00:01Z", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "total_duration": 5, "prompt_eval_count": 9, "eval_count": 5},
)  # fmt: skip

GROQ = events(
    {"id": "c1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}], "x_groq": {"id": "req_1"}},
    {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "req_1", "usage": {"queue_time": 0.01, "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}},
)  # fmt: skip

OPENROUTER = (
    b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"
    + events(
        {"id": "gen-1", "provider": "x", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi", "reasoning": "hm"}, "finish_reason": None}]},
        {"id": "gen-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "native_finish_reason": "STOP"}]},
        {"id": "gen-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.00014, "completion_tokens_details": {"reasoning_tokens": 2}}},
        b"[DONE]",
    )
)  # fmt: skip

GOOD: dict[str, tuple[Any, bytes, tuple[Any, ...]]] = {
    "openai": (OpenAIChat(), OPENAI, ("", "", (CALL,), "tool_calls", Usage(9, 0, None, 5, None, "provider"), "m", None, True)),
    "anthropic": (Anthropic(), ANTHROPIC, ("", "", (ToolCall("toolu_1", "f", '{"a":1}'),), "tool_calls", Usage(109, 100, 0, 20, None, "provider"), "m", None, True)),
    "gemini": (Gemini(), GEMINI, ("", "", (ToolCall("call_t_0", "f", '{"a":1}', "QUJD"),), "tool_calls", Usage(9, None, None, 12, 7, "provider"), "m", None, True)),
    "ollama": (Ollama(), OLLAMA, ("", "", (CALL,), "tool_calls", Usage(9, None, None, 5, None, "provider"), "m:latest", None, True)),
    "groq": (OpenAIChat(), GROQ, ("Hi", "", (), "stop", Usage(9, None, None, 5, None, "provider"), "m", None, True)),
    "openrouter": (OpenAIChat(), OPENROUTER, ("Hi", "hm", (), "stop", Usage(9, None, None, 5, 2, "provider"), None, Decimal("0.00014"), True)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
@settings(derandomize=True, max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 5000), max_size=30))
def test_a_transcript_reads_the_same_in_any_pieces(name: str, places: list[int]) -> None:
    wire, data, expected = GOOD[name]
    assert Read(wire, cut(data, places)).told == expected


@pytest.mark.parametrize("name", GOOD)
def test_a_transcript_reads_the_same_byte_by_byte(name: str) -> None:
    wire, data, expected = GOOD[name]
    assert Read(wire, [bytes([byte]) for byte in data]).told == expected
    assert Read(wire, data.replace(b"\n", b"\r\n")).told == expected


@pytest.mark.parametrize("name", GOOD)
def test_a_transcript_without_its_end_is_not_complete(name: str) -> None:
    wire, data, _ = GOOD[name]
    sign = {"anthropic": b'"stop_reason":"tool_use"', "gemini": b'"finishReason"', "ollama": b'"done":true'}
    end = data.index(sign.get(name, b'"finish_reason":"'))
    for frame in range(data[:end].count(b"\n\n") or data[:end].count(b"\n")):
        pieces = data.split(b"\n\n" if b"\n\n" in data else b"\n")[: frame + 1]
        assert not Read(wire, b"\n\n".join(pieces[:frame]) + b"\n\n").complete


ERRORS: dict[str, tuple[Any, bytes, str]] = {
    "anthropic": (Anthropic(), b"event: error\n" + events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), "Overloaded"),
    "gemini raw": (Gemini(), b'{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[]}}', "quota"),
    "gemini raw lines": (Gemini(), b'[{\n  "error": {\n    "code": 503,\n    "message": "busy"\n  }\n}\n]\n', "busy"),
    "gemini data": (Gemini(), events({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}), "busy"),
    "gemini malformed call": (Gemini(), events({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}), "MALFORMED"),
    "ollama": (Ollama(), lines({"error": "something broke"}), "something broke"),
    "openrouter": (OpenAIChat(), events({"id": "gen-1", "error": {"code": 502, "message": "Provider disconnected"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}), "disconnected"),
    "vllm": (OpenAIChat(), events({"error": {"message": "boom", "type": "InternalServerError", "param": None, "code": 500}}, b"[DONE]"), "boom"),
    "lmstudio": (OpenAIChat(), b"event: error\n" + events({"error": {"message": "The number of tokens to keep from the initial prompt is greater than the context length"}, "message": "x"}), "number of tokens"),
    "finish error": (OpenAIChat(), events({"choices": [{"delta": {}, "finish_reason": "error"}]}), "error"),
    "groq stopped early": (OpenAIChat(), events({"choices": [{"delta": {}, "finish_reason": None}], "x_groq": {"id": "r", "error": "out of capacity"}}), "capacity"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
@settings(derandomize=True, max_examples=15, deadline=None)
@given(places=st.lists(st.integers(0, 500), max_size=30))
def test_an_error_in_the_stream_is_never_a_normal_end(name: str, places: list[int]) -> None:
    wire, data, sign = ERRORS[name]
    with pytest.raises(InBandError) as caught:
        Read(wire, cut(data, places))
    assert sign in str(caught.value.data)
