"""OpenAI chat/completions, spoken by most of the field; the differences are the fields of `OpenAIChat`.

Facts: openai SDK 3.52 types; the groq and mistralai SDKs; READMEs of llama.cpp, vLLM and LM Studio.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import orjson

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.provider import InBandError
from hybrid_nb.core.types import (
    Chunk,
    Finish,
    HttpCall,
    Image,
    Message,
    ModelInfo,
    Request,
    ToolCall,
    ToolDelta,
    Usage,
)
from hybrid_nb.wire.framing import ServerSentEvents, StreamDecoder, broken, keep, parse

JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

# unknown words map to "stop" when the answer has content (see decoders)
FINISH: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def finish_of(reason: str | None) -> Finish | None:
    """The neutral finish of a reason. "error" and its kin mean that generation failed."""
    if not reason:
        return None
    if reason in ("error", "abort"):
        raise InBandError(
            {"error": {"message": f"generation ended with finish_reason {reason!r}", "type": "server_error"}}
        )
    return FINISH.get(reason, "stop")


def data_url(image: Image) -> str:
    """The image as an http(s) or data: URL."""
    if image.url:
        return image.url
    return f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}"


def join_url(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


_NUMBER = (int, float)
MOST_DOLLARS = 1e6  # of one call
MOST_TOKENS = 2**40  # what is larger is no count, and would not fit the ledger times a price


def usage_of(data: Mapping[str, Any] | None) -> Usage | None:
    """Usage in OpenAI's names; a total that includes cached and reasoning tokens."""
    if not data:
        return None
    into = data.get("prompt_tokens_details") or {}
    out = data.get("completion_tokens_details") or {}
    return Usage(
        count(data.get("prompt_tokens")),
        count(into.get("cached_tokens")),
        count(into.get("cache_write_tokens")),
        count(data.get("completion_tokens")),
        count(out.get("reasoning_tokens")),
        "provider",
    )


def count(value: Any) -> int | None:
    """A number of tokens; None for what cannot be one (text, a negative number), which is as good as not told."""
    return int(value) if isinstance(value, _NUMBER) and 0 <= value < MOST_TOKENS else None


def text_of(content: Any) -> str:
    """Content is a string, null, or (Mistral) a list of chunks."""
    if not content:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content if part.get("type", "text") == "text")


def thinking_of(delta: Mapping[str, Any]) -> str:
    """Reasoning under its several names (vLLM, Groq, OpenRouter: reasoning; llama.cpp, DeepSeek: reasoning_content)."""
    found = delta.get("reasoning") or delta.get("reasoning_content")
    if found:
        return str(found)
    content = delta.get("content")
    if not isinstance(content, list):
        return ""
    pieces = [part.get("thinking") for part in content if part.get("type") == "thinking"]
    return "".join(text_of(piece) for piece in pieces)


def arguments_of(value: Any) -> str:
    """Tool arguments as JSON text: vendors send text, an object, or null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """The wire, with the ways in which vendors differ.

    `token_limit`: name of the output limit. `required`: the word for "must call a tool". `tool_id_length`:
    Mistral refuses ids that are not exactly nine letters or digits. `schema`: how a JSON schema is asked for.
    `prefix`: a last turn of the assistant is marked as the beginning of the answer (Mistral, DeepSeek).
    """

    token_limit: str = "max_tokens"  # noqa: S105 - tokens of text
    seed: str = "seed"
    required: str = "required"
    stream_usage: bool = True
    tool_id_length: int | None = None
    schema: Literal["json_schema", "json_object"] = "json_schema"
    fixed_sampling: tuple[str, ...] = ()  # model prefixes that refuse temperature and top_p
    prefix: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def chat(self, base_url: str, model: str, request: Request, stream: bool) -> HttpCall:
        body: dict[str, Any] = {"model": model, "messages": [self._message(m) for m in request.messages], **self.extra}
        if self.prefix and request.messages[-1].role == "assistant":
            body["messages"][-1]["prefix"] = True
        self._sampling(body, model, request)
        if request.tools and request.tool_choice != "none":
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
                }
                for t in request.tools
            ]
            if request.tool_choice:
                body["tool_choice"] = self._choice(request.tool_choice)
        if request.schema is not None:
            body["response_format"] = self._format(request.schema)
        if stream:
            body["stream"] = True
            if self.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return HttpCall("POST", join_url(base_url, "chat/completions"), JSON_HEADERS, orjson.dumps(body))

    def _sampling(self, body: dict[str, Any], model: str, request: Request) -> None:
        if not model.startswith(self.fixed_sampling or ("\0",)):
            if request.temperature is not None:
                body["temperature"] = request.temperature
            if request.top_p is not None:
                body["top_p"] = request.top_p
        if request.max_tokens is not None:
            body[self.token_limit] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body[self.seed] = request.seed

    def _choice(self, choice: str) -> Any:
        if choice == "required":
            return self.required
        return choice if choice == "auto" else {"type": "function", "function": {"name": choice}}

    def _format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if self.schema == "json_object":
            return {"type": "json_object", "schema": schema}
        named = {
            "name": str(schema.get("title") or "answer").replace(" ", "_")[:64],
            "schema": strict(schema),
            "strict": True,
        }
        return {"type": "json_schema", "json_schema": named}

    def _message(self, message: Message) -> dict[str, Any]:
        if message.role == "tool":
            return {"role": "tool", "tool_call_id": self._tool_id(message.tool_call_id or ""), "content": message.text}
        content: Any = message.text
        if message.images:
            content = [{"type": "text", "text": message.text}] if message.text else []
            content += [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in message.images]
        if not message.tool_calls:
            return {"role": message.role, "content": content}
        return {
            "role": message.role,
            "content": content or None,
            "tool_calls": [self._call(c) for c in message.tool_calls],
        }

    def _call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.arguments or "{}"}
        return {"id": self._tool_id(call.id), "type": "function", "function": function}

    def _tool_id(self, identifier: str) -> str:
        length = self.tool_id_length
        if not length or (len(identifier) == length and identifier.isalnum()):
            return identifier
        return hashlib.sha256(identifier.encode()).hexdigest()[:length]

    def decoder(self) -> ChatDecoder:
        return ChatDecoder()

    def decode(self, data: Any) -> Chunk:
        if data.get("error"):
            raise InBandError(data)
        choices = data.get("choices")
        if not choices:
            raise MalformedResponseError("the response has no choices")
        message = choices[0].get("message") or {}
        refusal = message.get("refusal")
        text = text_of(message.get("content")) or refusal or ""
        calls = message.get("tool_calls")
        tools = tuple(tool_delta(i, call) for i, call in enumerate(calls)) if calls else ()
        finish = "content_filter" if refusal else finish_of(choices[0].get("finish_reason"))
        return Chunk(
            text,
            thinking_of(message),
            tools,
            finish or "stop",
            usage_of(data.get("usage")),
            data.get("model"),
            cost_of(data.get("usage")),
        )

    def models(self, base_url: str) -> HttpCall:
        return HttpCall("GET", join_url(base_url, "models"), JSON_HEADERS)

    def decode_models(self, data: Any) -> list[ModelInfo]:
        return [model_info(item) for item in data.get("data") or () if can_chat(item)]


def can_chat(item: Mapping[str, Any]) -> bool:
    """False for what a model list says cannot chat (Mistral's capabilities; embeddings)."""
    able = item.get("capabilities")
    return not (isinstance(able, dict) and able.get("completion_chat") is False) and item.get("type") != "embeddings"


def model_info(item: Mapping[str, Any]) -> ModelInfo:
    """One entry of a model list, with the context size under the several names that vendors use."""
    meta = item.get("meta") or {}
    able = item.get("capabilities")
    able = able if isinstance(able, dict) else {}
    context = (
        item.get("context_window")  # Groq
        or item.get("max_context_length")  # Mistral, LM Studio
        or item.get("max_model_len")  # vLLM
        or item.get("context_length")  # OpenRouter
        or meta.get("n_ctx")
        or meta.get("n_ctx_train")  # llama.cpp
    )
    return ModelInfo(
        str(item["id"]),
        context=context,
        tools=able.get("function_calling"),
        vision=able.get("vision"),
        size=meta.get("size"),
    )


def _closed(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {name: strict(inner) for name, inner in value.items()}  # names, not keywords
    return value if key in ("enum", "const", "default", "examples") else strict(value)


_ROLE_TEXT = {"role", "content"}


def tool_delta(position: int, call: Mapping[str, Any]) -> ToolDelta:
    function = call.get("function") or {}
    identifier = call.get("id")
    index = call.get("index")
    return ToolDelta(
        position if index is None else index,
        None if identifier in (None, "", "null") else identifier,
        function.get("name") or None,
        arguments_of(function.get("arguments")),
    )


def strict(schema: Any) -> Any:
    """The schema with every object closed and all its keys required, as OpenAI's strict mode demands."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: _closed(key, value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict):
        closed["additionalProperties"] = False
        closed["required"] = list(closed["properties"])
    return closed


def plain_text(data: dict[str, Any]) -> str | None:
    """The text of an event that has nothing else, as most are; None for any other."""
    try:
        choice = data["choices"][0]
        delta = choice["delta"]
        text = delta["content"]
    except (LookupError, TypeError):
        return None
    if text.__class__ is not str or choice.get("finish_reason") or (len(delta) > 1 and delta.keys() != _ROLE_TEXT):
        return None
    return None if data.get("usage") or "error" in data or "x_groq" in data else text


def joined(texts: list[str], chunks: list[Chunk]) -> None:
    """Move texts into one chunk."""
    if texts:
        chunks.append(Chunk("".join(texts)))
        texts.clear()


class ChatDecoder(StreamDecoder):
    """chat.completion.chunk events. Usage comes after the finish, so reading goes on to [DONE] or the end."""

    __slots__ = ("_calls", "_last", "_open")

    def __init__(self) -> None:
        super().__init__(ServerSentEvents())
        self._calls: dict[str, int] = {}  # id -> place: some servers give every call the index 0
        self._open: dict[int, int] = {}  # the server's index -> place of the call that it last began there
        self._last = -1

    def _chunks(self, payloads: list[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        texts: list[str] = []  # plain text that came in one read stays together: less work, the same times
        try:
            for payload in payloads:
                if payload[:6] == b"[DONE]":
                    self.complete = True
                elif payload:
                    data = orjson.loads(payload)
                    text = plain_text(data)
                    if text is None:
                        joined(texts, chunks)
                        chunks.append(self._chunk(data if data.__class__ is dict else parse(payload)))
                    else:
                        texts.append(text)
        except Exception as error:
            joined(texts, chunks)
            found = broken(payload, error) if isinstance(error, orjson.JSONDecodeError) else error
            keep(found, chunks)
            raise found from None
        joined(texts, chunks)
        return chunks

    def _chunk(self, data: dict[str, Any]) -> Chunk:
        groq = data.get("x_groq") or {}
        if data.get("error") or groq.get("error"):
            raise InBandError(data if data.get("error") else groq)
        usage = data.get("usage") or groq.get("usage")
        choices = data.get("choices")
        if not choices:
            return Chunk(usage=usage_of(usage), model=data.get("model") or None, cost=cost_of(usage))
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message") or {}
        return self._full_chunk(data, choice, delta, usage)

    def _full_chunk(self, data: Any, choice: Any, delta: Any, usage: Any) -> Chunk:
        refusal = delta.get("refusal")
        finish: Finish | None = "content_filter" if refusal else finish_of(choice.get("finish_reason"))
        if finish:
            self.complete = True
        return Chunk(
            text_of(delta.get("content")) or refusal or "",
            thinking_of(delta),
            tuple(self._tool(i, call) for i, call in enumerate(delta.get("tool_calls") or ())),
            finish,
            usage_of(usage),
            data.get("model") or None,
            cost_of(usage),
        )

    def _tool(self, position: int, call: Mapping[str, Any]) -> ToolDelta:
        """A new id begins a call; without ids a new index does, and without indexes a name."""
        piece = tool_delta(position, call)
        indexed = call.get("index") is not None
        if piece.id is not None:
            place = self._calls.get(piece.id)
        elif piece.name and not indexed:
            place = None
        else:
            place = self._open.get(piece.place) if indexed else max(self._last, 0)
        if place is None:
            place = self._last = self._last + 1
            self._open[piece.place] = place
            if piece.id is not None:
                self._calls[piece.id] = place
        return piece._replace(place=place)


def cost_of(usage: Mapping[str, Any] | None) -> Decimal | None:
    """OpenRouter gives the price that it charged."""
    cost = usage.get("cost") if usage else None
    return Decimal(str(cost)) if isinstance(cost, int | float) and 0 <= cost < MOST_DOLLARS else None
