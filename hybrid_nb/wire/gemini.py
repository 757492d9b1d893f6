"""Google Gemini generateContent. Facts: google-genai 3.4 types and its API client."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from hybrid_nb.core.errors import ContentFilterError, MalformedResponseError, UnsupportedFeatureError
from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import Chunk, Finish, HttpCall, Image, Message, ModelInfo, Request, ToolCall, ToolDelta, Usage
from hybrid_nb.wire.framing import ServerSentEvents, StreamDecoder, parse
from hybrid_nb.wire.openai_chat import JSON_HEADERS, count, join_url

FAILED = {
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "PUP_LIMITED_DISABLED",
}
FILTERED = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"}
# stands in for the signature that Gemini 3+ wants with every call, when another model made the call
FOREIGN_SIGNATURE = "skip_thought_signature_validator"


def finish_of(reason: str | None) -> Finish | None:
    if not reason or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    if reason in FAILED:
        raise InBandError({"error": {"message": f"generation ended with {reason}", "status": "INTERNAL"}})
    if reason in ("MAX_TOKENS", "CONTINUATION"):
        return "length"
    filtered = reason in FILTERED or reason.startswith("IMAGE_") or reason in ("NO_IMAGE", "OTHER")
    return "content_filter" if filtered else "stop"


def usage_of(data: Mapping[str, Any] | None) -> Usage | None:
    """candidatesTokenCount excludes thoughts and promptTokenCount tool-use prompts; ours include them."""
    if not data:
        return None
    into, out, thoughts, tool_use, cached = (
        count(data.get(f"{name}TokenCount"))
        for name in ("prompt", "candidates", "thoughts", "toolUsePrompt", "cachedContent")
    )
    total_in = None if into is None else into + (tool_use or 0)
    total_out = None if out is None and thoughts is None else (out or 0) + (thoughts or 0)
    return Usage(total_in, cached, None, total_out, thoughts, "provider")


def _image(image: Image) -> dict[str, Any]:
    if image.data is None:
        raise UnsupportedFeatureError(f"Gemini takes no image by URL ({image.url}): pass its bytes or path")
    return {"inlineData": {"mimeType": image.media_type, "data": base64.b64encode(image.data).decode()}}


def _call_part(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "args": call.args}
    return {"functionCall": function, "thoughtSignature": call.signature or FOREIGN_SIGNATURE}


def _parts(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        response = {"name": message.name or message.tool_call_id, "response": {"output": message.text}}
        return [{"functionResponse": response}]
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
    parts += [_image(image) for image in message.images]
    return parts + [_call_part(call) for call in message.tool_calls]


def contents(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Roles user and model only, neighbours merged; results of tools carry the name of their call."""
    names = {call.id: call.name for m in messages for call in m.tool_calls}
    merged: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message)
        if message.role == "tool" and not message.name and message.tool_call_id in names:
            parts[0]["functionResponse"]["name"] = names[message.tool_call_id]
        if merged and merged[-1]["role"] == role:
            merged[-1]["parts"] += parts
        elif parts:
            merged.append({"role": role, "parts": parts})
    return merged


def _generation(request: Request) -> dict[str, Any]:
    named = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "maxOutputTokens": request.max_tokens,
        "seed": request.seed,
        "stopSequences": list(request.stop) or None,
    }
    config: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if request.schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": request.schema}
    return config


def _tools(request: Request) -> dict[str, Any]:
    if not request.tools:
        return {}
    declared = [
        {"name": t.name, "description": t.description, "parametersJsonSchema": t.parameters} for t in request.tools
    ]
    body: dict[str, Any] = {"tools": [{"functionDeclarations": declared}]}
    if request.tool_choice:
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}.get(request.tool_choice)
        config: dict[str, Any] = {"mode": mode or "ANY"}
        if mode is None:
            config["allowedFunctionNames"] = [request.tool_choice]
        body["toolConfig"] = {"functionCallingConfig": config}
    return body


@dataclass(frozen=True, slots=True)
class Gemini:
    """The wire of models/{m}:generateContent and :streamGenerateContent?alt=sse."""

    def chat(self, base_url: str, model: str, request: Request, stream: bool) -> HttpCall:
        body: dict[str, Any] = {"contents": contents(request.messages), **_tools(request)}
        system = "\n\n".join(m.text for m in request.messages if m.role == "system")
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        config = _generation(request)
        if config:
            body["generationConfig"] = config
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        url = join_url(base_url, f"models/{quote(model.removeprefix('models/'), safe='')}:{verb}")
        return HttpCall("POST", url, JSON_HEADERS, orjson.dumps(body))

    def decoder(self) -> GeminiDecoder:
        return GeminiDecoder()

    def decode(self, data: Any) -> Chunk:
        if isinstance(data, list) and data:
            data = data[0]
        chunk = read(data, 0)
        if not data.get("candidates"):
            raise MalformedResponseError("the response has no candidates")
        return chunk if chunk.finish else chunk._replace(finish="stop")

    def models(self, base_url: str) -> HttpCall:
        return HttpCall("GET", join_url(base_url, "models?pageSize=1000"), JSON_HEADERS)

    def decode_models(self, data: Any) -> list[ModelInfo]:
        return [
            ModelInfo(
                item["name"].removeprefix("models/"),
                context=item.get("inputTokenLimit"),
                max_output=item.get("outputTokenLimit"),
            )
            for item in data.get("models") or ()
            if "generateContent" in item.get("supportedGenerationMethods", ["generateContent"])
        ]


def read(data: dict[str, Any], calls: int) -> Chunk:
    """One GenerateContentResponse; `calls` is the number of tool calls seen before it. Calls arrive whole."""
    if data.get("error"):
        raise InBandError(data)
    usage = usage_of(data.get("usageMetadata"))
    blocked = (data.get("promptFeedback") or {}).get("blockReason")
    if blocked:
        raise ContentFilterError(f"the prompt was blocked ({blocked})")
    candidates = data.get("candidates")
    if not candidates:
        return Chunk(usage=usage, model=data.get("modelVersion"))
    parts = (candidates[0].get("content") or {}).get("parts") or ()
    found = [part for part in parts if "functionCall" in part]
    return Chunk(
        "".join(p["text"] for p in parts if p.get("text") and not p.get("thought")),
        "".join(p["text"] for p in parts if p.get("text") and p.get("thought")),
        tuple(_tool(calls + i, part) for i, part in enumerate(found)),
        finish_of(candidates[0].get("finishReason")),
        usage,
        data.get("modelVersion"),
    )


def _tool(index: int, part: dict[str, Any]) -> ToolDelta:
    call = part["functionCall"]
    arguments = orjson.dumps(call.get("args") or {}).decode()
    return ToolDelta(index, call.get("id"), call["name"], arguments, part.get("thoughtSignature"))


class GeminiDecoder(StreamDecoder):
    """Each event is a whole response with new parts only; usage is cumulative; the last has a finishReason."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        super().__init__(ServerSentEvents())
        self._calls = 0

    def _payload(self, payload: bytes) -> Chunk:
        if payload.startswith(b"[DONE]"):
            self.complete = True
            return Chunk()
        chunk = read(parse(payload), self._calls)
        self._calls += len(chunk.tools)
        self.complete = self.complete or chunk.finish is not None
        return chunk
