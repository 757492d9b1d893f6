"""Anthropic Messages. Facts: anthropic SDK 2.11 types; platform.claude.com migration notes (October 2026).

The version header stays 2023-06-01: under 2026-10-21 sampling parameters are refused for every model.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import Chunk, Finish, HttpCall, Image, Message, ModelInfo, Request, ToolDelta, Usage
from hybrid_nb.wire.framing import ServerSentEvents, StreamDecoder, parse
from hybrid_nb.wire.openai_chat import JSON_HEADERS, count, join_url, strict

VERSION = "2023-06-01"
HEADERS = {**JSON_HEADERS, "anthropic-version": VERSION}
DEFAULT_MAX_TOKENS = 4096  # max_tokens is mandatory on this wire
FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# opus >= 4.7, sonnet >= 5, haiku >= 5.5 and fable refuse temperature and top_p under either version
_NO_SAMPLING = re.compile(r"claude-(opus-(4-[7-9]|[5-9])|sonnet-[5-9]|haiku-[5-9]|fable)")


def usage_of(data: dict[str, Any] | None) -> Usage | None:
    """Anthropic's input_tokens exclude cached ones; ours include them."""
    if not data:
        return None
    plain, read, written = (
        count(data.get(key)) for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    total = None if plain is None else plain + (read or 0) + (written or 0)
    thinking = count((data.get("output_tokens_details") or {}).get("thinking_tokens"))
    return Usage(total, read, written, count(data.get("output_tokens")), thinking, "provider")


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    encoded = base64.b64encode(image.data or b"").decode()
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": encoded}}


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}]
    blocks = [_image(image) for image in message.images]
    if message.text:  # empty text blocks are refused
        blocks.append({"type": "text", "text": message.text})
    blocks += [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.args} for c in message.tool_calls]
    return blocks


def turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Neighbours of one role merged: all results of a turn's tool calls must stand in one user turn."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        elif blocks:
            merged.append({"role": role, "content": blocks})
    return merged


@dataclass(frozen=True, slots=True)
class Anthropic:
    """The wire of POST /v1/messages."""

    default_output: ClassVar[int] = DEFAULT_MAX_TOKENS  # where the request says nothing

    def chat(self, base_url: str, model: str, request: Request, stream: bool) -> HttpCall:
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
            "messages": turns(m for m in request.messages if m.role != "system"),
        }
        system = "\n\n".join(m.text for m in request.messages if m.role == "system")
        if system:
            body["system"] = system
        if not _NO_SAMPLING.match(model):
            body |= {k: v for k in ("temperature", "top_p") if (v := getattr(request, k)) is not None}
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if request.tools:
            body["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": t.parameters} for t in request.tools
            ]
            if request.tool_choice:
                body["tool_choice"] = _choice(request.tool_choice)
        if request.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": strict(request.schema)}}
        if stream:
            body["stream"] = True
        return HttpCall("POST", join_url(base_url, "v1/messages"), HEADERS, orjson.dumps(body))

    def decoder(self) -> MessagesDecoder:
        return MessagesDecoder()

    def decode(self, data: Any) -> Chunk:
        if data.get("type") == "error" or data.get("error"):
            raise InBandError(data)
        blocks = data["content"] or []
        tools = [b for b in blocks if b.get("type") == "tool_use"]
        return Chunk(
            "".join(b.get("text") or "" for b in blocks if b.get("type") == "text"),
            "".join(b.get("thinking") or "" for b in blocks if b.get("type") == "thinking"),
            tuple(
                ToolDelta(i, b["id"], b["name"], orjson.dumps(b.get("input") or {}).decode())
                for i, b in enumerate(tools)
            ),
            FINISH.get(data.get("stop_reason") or "", "stop"),
            usage_of(data.get("usage")),
            data.get("model"),
        )

    def models(self, base_url: str) -> HttpCall:
        return HttpCall("GET", join_url(base_url, "v1/models?limit=1000"), HEADERS)

    def decode_models(self, data: Any) -> list[ModelInfo]:
        return [
            ModelInfo(item["id"], context=item.get("max_input_tokens"), max_output=item.get("max_tokens"))
            for item in data.get("data") or ()
        ]


def _choice(choice: str) -> dict[str, str]:
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


class MessagesDecoder(StreamDecoder):
    """Named events, dispatched on data.type; message_delta carries cumulative usage, message_stop ends."""

    __slots__ = ("_tools", "_usage")

    def __init__(self) -> None:
        super().__init__(ServerSentEvents())
        self._usage: dict[str, Any] = {}
        self._tools: dict[int, int] = {}  # content block index -> tool index

    def _payload(self, payload: bytes) -> Chunk | None:
        return None if payload.startswith(b"[DONE]") else self._event(parse(payload))

    def _event(self, data: dict[str, Any]) -> Chunk | None:
        kind = data.get("type")
        if kind == "content_block_delta":
            return self._delta(data["index"], data["delta"])
        if kind == "error" or data.get("error"):
            raise InBandError(data)
        if kind == "content_block_start":
            return self._start(data["index"], data["content_block"])
        if kind == "message_start":
            return Chunk(usage=self._counted(data["message"].get("usage")), model=data["message"].get("model"))
        if kind == "message_delta":
            reason = data["delta"].get("stop_reason")
            self.complete = self.complete or bool(reason)
            return Chunk(finish=FINISH.get(reason, "stop") if reason else None, usage=self._counted(data.get("usage")))
        if kind == "message_stop":
            self.complete = True
        return None

    def _start(self, index: int, block: dict[str, Any]) -> Chunk | None:
        if block.get("type") == "tool_use":
            self._tools[index] = len(self._tools)
            return Chunk(tools=(ToolDelta(self._tools[index], block["id"], block["name"]),))
        return Chunk(block["text"]) if block.get("text") else None

    def _delta(self, index: int, delta: dict[str, Any]) -> Chunk | None:
        kind = delta["type"]
        if kind == "text_delta":
            return Chunk(delta["text"])
        if kind == "thinking_delta":
            return Chunk(reasoning=delta["thinking"])
        if kind == "input_json_delta" and index in self._tools:
            return Chunk(tools=(ToolDelta(self._tools[index], arguments=delta["partial_json"]),))
        return None

    def _counted(self, usage: dict[str, Any] | None) -> Usage | None:
        self._usage |= {k: v for k, v in (usage or {}).items() if v is not None}  # cumulative: overwrite, never add
        return usage_of(self._usage)
