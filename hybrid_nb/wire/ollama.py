"""Ollama's native /api/chat: NDJSON, sampling inside `options`, images as bare base64.

Facts: ollama/ollama api/types.go and server/routes.go (August 2026).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hybrid_nb.core.errors import MalformedResponseError, UnsupportedFeatureError
from hybrid_nb.core.models import parameters
from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import Chunk, Finish, HttpCall, Image, Message, ModelInfo, Request, ToolDelta, Usage
from hybrid_nb.wire.framing import JsonLines, StreamDecoder, parse
from hybrid_nb.wire.openai_chat import JSON_HEADERS, arguments_of, count, join_url


def _image(image: Image) -> str:
    if image.data is None:
        raise UnsupportedFeatureError(f"Ollama takes no image by URL ({image.url}): pass its bytes or path")
    return base64.b64encode(image.data).decode()


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    names = {call.id: call.name for m in messages for call in m.tool_calls}
    return [_message(m, names) for m in messages]


def _message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.images:
        body["images"] = [_image(image) for image in message.images]
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": c.id, "function": {"name": c.name, "arguments": c.args}} for c in message.tool_calls
        ]
    if message.role == "tool":
        name = message.name or names.get(message.tool_call_id or "", "")
        body |= {"tool_name": name, "tool_call_id": message.tool_call_id}
    return body


def _options(request: Request) -> dict[str, Any]:
    named = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "num_predict": request.max_tokens,
        "seed": request.seed,
        "stop": list(request.stop) or None,
    }
    return {key: value for key, value in named.items() if value is not None}


def usage_of(data: Mapping[str, Any]) -> Usage | None:
    """Counts stand in the last line; a count of zero is left out there."""
    if not data.get("done"):
        return None
    return Usage(count(data.get("prompt_eval_count")), None, None, count(data.get("eval_count")), None, "provider")


@dataclass(frozen=True, slots=True)
class Ollama:
    """The wire of POST /api/chat."""

    def chat(self, base_url: str, model: str, request: Request, stream: bool) -> HttpCall:
        if request.tools and request.tool_choice not in (None, "auto", "none"):
            raise UnsupportedFeatureError(f"Ollama cannot be made to call a tool (tool_choice={request.tool_choice!r})")
        body: dict[str, Any] = {"model": model, "messages": _messages(request.messages), "stream": stream}
        options = _options(request)
        if options:
            body["options"] = options
        if request.schema is not None:
            body["format"] = request.schema
        if request.tools and request.tool_choice != "none":
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
                }
                for t in request.tools
            ]
        return HttpCall("POST", join_url(base_url, "api/chat"), JSON_HEADERS, orjson.dumps(body))

    def decoder(self) -> OllamaDecoder:
        return OllamaDecoder()

    def decode(self, data: Any) -> Chunk:
        chunk = read(data, 0)
        if not data.get("done"):
            raise MalformedResponseError("the response is not done")
        return chunk

    def models(self, base_url: str) -> HttpCall:
        return HttpCall("GET", join_url(base_url, "api/tags"), JSON_HEADERS)

    def decode_models(self, data: Any) -> list[ModelInfo]:
        return [_model_info(item) for item in data.get("models") or ()]


def _model_info(item: Mapping[str, Any]) -> ModelInfo:
    able = item.get("capabilities") or None  # old servers do not list them
    return ModelInfo(
        item.get("model") or item["name"],
        tools="tools" in able if able else None,
        vision="vision" in able if able else None,
        size=item.get("size"),
        parameters=parameters(str((item.get("details") or {}).get("parameter_size") or "")),
    )


def read(data: dict[str, Any], calls: int) -> Chunk:
    """One object; `calls` is the number of tool calls seen before it. Calls arrive whole, in any line."""
    if data.get("error"):
        raise InBandError(data)
    message = data.get("message") or {}
    tools = tuple(_tool(calls + i, call) for i, call in enumerate(message.get("tool_calls") or ()))
    return Chunk(
        message.get("content") or "",
        message.get("thinking") or "",
        tools,
        _finish(data),
        usage_of(data),
        data.get("model") if data.get("done") else None,
    )


def _finish(data: Mapping[str, Any]) -> Finish | None:
    if not data.get("done"):
        return None
    return "length" if data.get("done_reason") == "length" else "stop"


def _tool(index: int, call: Mapping[str, Any]) -> ToolDelta:
    function = call["function"]
    return ToolDelta(index, call.get("id") or None, function["name"], arguments_of(function.get("arguments")) or "{}")


class OllamaDecoder(StreamDecoder):
    """One JSON object a line; the last says done, and an end without it is a broken stream."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        super().__init__(JsonLines())
        self._calls = 0

    def _payload(self, payload: bytes) -> Chunk:
        chunk = read(parse(payload), self._calls)
        self._calls += len(chunk.tools)
        self.complete = self.complete or chunk.finish is not None
        return chunk
