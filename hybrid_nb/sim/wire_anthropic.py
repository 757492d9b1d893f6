# ruff: noqa: ARG002 - a wire has all the arguments of the protocol `Wire`, needed or not
"""Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import tokens
from .plan import Send
from .types import Answer, Call, Json, Model, Problem, RefusedError, Shape, Stamp, Tool, Trouble, Turn
from .wire import ChatRoute, Headers, Page, bearer, by_name, dump, refuse, sse

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_INVALID = "invalid_request_error"
_SPENT = {"error_code": "enforced_spend_limit_reached"}
# kind -> status, type, message, details
_TROUBLES: dict[str, tuple[int, str, str, Json | None]] = {
    "auth": (401, "authentication_error", "invalid x-api-key", None),
    "no_key": (401, "authentication_error", "x-api-key header is required", None),
    "billing": (402, "billing_error", "Your credit balance is too low to access the API.", None),
    "denied": (403, "permission_error", "Your API key does not have permission to use this resource.", None),
    "model": (404, "not_found_error", "model: {model}", None),
    "missing": (404, "not_found_error", "Not Found", None),
    "bad": (400, _INVALID, "{detail}", None),
    "context": (400, _INVALID, "prompt is too long: {tokens} tokens > {context} maximum", None),
    "too_large": (413, "request_too_large", "Request exceeds the maximum allowed number of bytes.", None),
    "rate": (429, "rate_limit_error", "This request would exceed your organization's rate limit.", None),
    "quota": (429, "rate_limit_error", "You have reached your specified API usage limits.", _SPENT),
    "server": (500, "api_error", "Internal server error", None),
    "overloaded": (529, "overloaded_error", "Overloaded", None),
    "timeout": (504, "timeout_error", "Request timed out", None),
    "conflict": (409, "conflict_error", "The request conflicts with another one.", None),
}
_SAMPLING = ("temperature", "top_p", "top_k")


class AnthropicWire:
    """POST /v1/messages, GET /v1/models and /v1/models/{id}."""

    name = "anthropic"
    stream_type = "text/event-stream; charset=utf-8"
    json_type = "application/json"
    done = b""
    refusal: str | None = None

    def chat_route(self, method: str, path: str, query: Headers) -> ChatRoute | None:
        return ChatRoute() if (method, path) == ("POST", "/v1/messages") else None

    def page(self, method: str, path: str, body: Any, models: tuple[Model, ...]) -> Page | None:
        if method != "GET" or not path.startswith("/v1/models"):
            return None
        name = path.removeprefix("/v1/models").lstrip("/")
        if name and not by_name(models, name):
            raise RefusedError(self.problem(Trouble("model", model=name), Stamp()))
        cards = [_card(model) for model in models if name in ("", model.name)]
        ends = {"has_more": False, "first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {}
        return Page(cards[0] if name else {"data": cards, **ends})

    def keys(self, headers: Headers, query: Headers) -> list[str]:
        return [headers["x-api-key"]] if headers.get("x-api-key") else bearer(headers)

    def open_page(self, path: str) -> bool:
        return False

    def headers(self, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        return (
            ("request-id", f"req_{stamp.ident}"),
            ("anthropic-organization-id", "org-simulated"),
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2026-01-01T00:01:00Z"),
        )

    def parse(self, route: ChatRoute, body: Json, headers: Headers) -> Call:
        self._check(body, headers)
        choice = body.get("tool_choice") or {}
        form = (body.get("output_config") or {}).get("format") or {}
        messages = body["messages"]
        system = Turn("system", _text(body.get("system")))
        turns = tuple(turn for message in messages for turn in _turns(message, messages))
        return Call(
            model=str(body["model"]),
            turns=(system, *turns) if system.text else turns,
            stream=bool(body.get("stream")),
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences") or ()),
            tools=tuple(_tool(one) for one in body.get("tools") or () if "name" in one),
            choice="none" if choice.get("type") == "none" else "required" if _forces(choice) else "auto",
            forced=choice.get("name"),
            parallel=not choice.get("disable_parallel_tool_use"),
            schema=form.get("schema"),
        )

    def _check(self, body: Json, headers: Headers) -> None:
        if not headers.get("anthropic-version"):
            raise refuse(self, "anthropic-version: header is required")
        for name in ("model", "max_tokens", "messages"):
            if body.get(name) is None:
                raise refuse(self, f"{name}: Field required")
        messages = body["messages"]
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise refuse(self, "messages: at least one message is required")
        banned = [name for name in _SAMPLING if name in body]
        if banned and headers["anthropic-version"] >= "2026-10-21":
            raise refuse(self, f"{banned[0]}: Extra inputs are not permitted")
        for index, message in enumerate(messages):
            self._check_message(index, message)

    def _check_message(self, index: int, message: Json) -> None:
        if message.get("role") not in ("user", "assistant", "system"):
            raise refuse(self, f'messages.{index}.role: Input should be "user" or "assistant"')
        content = message.get("content")
        if not content:
            raise refuse(self, f"messages.{index}: all messages must have non-empty content")
        if not isinstance(content, str) and any(one.get("type") == "text" and not one["text"] for one in content):
            raise refuse(self, "messages: text content blocks must be non-empty")

    def whole(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        content: list[Json] = [_thought(said.reasoning)] if said.thoughts else []
        content += [{"type": "text", "text": said.text, "citations": None}] if said.tokens else []
        content += [_tool_use(said, stamp, index, one.arguments) for index, one in enumerate(said.calls)]
        body = {**_base(call, stamp), "content": content, **_ending(said, shape)}
        return {**body, "usage": _usage(said, said.output_tokens)} if shape.usage else body

    def frames(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, size: int) -> Iterator[Send]:
        start: Json = {**_base(call, stamp), "content": [], "stop_reason": None, "stop_sequence": None}
        if shape.usage:
            start["usage"] = _usage(said, min(1, said.output_tokens))
        yield _event("message_start", message=start)
        if said.thoughts:
            yield from self._thought_frames(said, size)
        at = int(bool(said.thoughts))  # the index of the next block
        if said.tokens:
            yield from self._text_frames(said, at, size)
        for index in range(len(said.calls)):
            yield from self._call_frames(said, stamp, index, at, size)
        if shape.finish:
            usage: Json = {"usage": _usage(said, said.output_tokens)} if shape.usage else {}
            yield _event("message_delta", **{"delta": _ending(said, shape), **usage})
            yield _event("message_stop")

    def _thought_frames(self, said: Answer, size: int) -> Iterator[Send]:
        yield _event("content_block_start", index=0, content_block=_thought(""))
        for text, number in tokens.group(said.thoughts, size):
            delta = {"type": "thinking_delta", "thinking": text}
            yield replace(_event("content_block_delta", number, index=0, delta=delta), reasoning=len(text))
        yield _event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ltdWxhdGVk"})
        yield _event("content_block_stop", index=0)

    def _text_frames(self, said: Answer, index: int, size: int) -> Iterator[Send]:
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield _event("ping")
        for text, number in tokens.group(said.tokens, size):
            delta = {"type": "text_delta", "text": text}
            yield replace(_event("content_block_delta", number, index=index, delta=delta), text=len(text))
        yield _event("content_block_stop", index=index)

    def _call_frames(self, said: Answer, stamp: Stamp, which: int, at: int, size: int) -> Iterator[Send]:
        call, index = said.calls[which], at + which
        block = _tool_use(said, stamp, which, {})
        yield _event("content_block_start", tokens.count(call.name), index=index, content_block=block)
        arguments = dump(call.arguments).decode() if call.arguments else ""
        for text, number in [("", 0), *tokens.group(tokens.split(arguments), size)]:
            delta = {"type": "input_json_delta", "partial_json": text}
            yield _event("content_block_delta", number, index=index, delta=delta)
        yield _event("content_block_stop", index=index)

    def problem(self, trouble: Trouble, stamp: Stamp) -> Problem:
        status, kind, message, details = _TROUBLES[trouble.kind]
        text = message.format(
            model=trouble.model, detail=trouble.detail, tokens=trouble.tokens, context=trouble.context
        )
        error: Json = {"type": kind, "message": text}
        if details:
            error["details"] = details
        body = {"type": "error", "error": error, "request_id": f"req_{stamp.ident}"}
        return Problem(trouble.status or status, body)

    def error_frame(self, problem: Problem) -> bytes:
        return sse(problem.body, "error")

    def line(self, raw: bytes) -> bytes:
        return sse(raw, "content_block_delta")


def _event(kind: str, number: int = 0, **fields: Any) -> Send:
    return Send(sse({"type": kind, **fields}, kind), number)


def _base(call: Call, stamp: Stamp) -> Json:
    return {"id": f"msg_{stamp.ident}", "type": "message", "role": "assistant", "model": call.model}


def _thought(text: str) -> Json:
    return {"type": "thinking", "thinking": text, "signature": "c2ltdWxhdGVk" if text else ""}


def _ending(said: Answer, shape: Shape) -> Json:
    if not shape.finish:
        return {"stop_reason": None, "stop_sequence": None}
    if said.stop_hit:
        return {"stop_reason": "stop_sequence", "stop_sequence": said.stop_hit}
    ending: Json = {"stop_reason": _STOPS[said.finish], "stop_sequence": None}
    if said.finish == "content_filter":
        ending["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": "Simulated refusal."}
    return ending


def _usage(said: Answer, out: int) -> Json:
    return {
        "input_tokens": said.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": out,
        "output_tokens_details": {"thinking_tokens": len(said.thoughts)},
        "service_tier": "standard",
    }


def _tool_use(said: Answer, stamp: Stamp, index: int, arguments: Json) -> Json:
    ident = f"toolu_{stamp.ident}{index}"
    return {"type": "tool_use", "id": ident, "name": said.calls[index].name, "input": arguments}


def _forces(choice: Json) -> bool:
    return choice.get("type") in ("any", "tool")


def _tool(one: Json) -> Tool:
    return Tool(one["name"], one.get("description") or "", one.get("input_schema") or {})


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content or ""
    return "\n".join(block.get("text", "") for block in content if block.get("type") == "text")


def _turns(message: Json, messages: list[Json]) -> list[Turn]:
    """A message's own text, then its tool results as turns of their own."""
    content = message["content"]
    if isinstance(content, str):
        return [Turn(message["role"], content)]
    results = [
        Turn("tool", _text(block.get("content")), tool=_called(messages, block.get("tool_use_id")))
        for block in content
        if block.get("type") == "tool_result"
    ]
    images = sum(block.get("type") == "image" for block in content)
    text = _text(content)
    rest = [Turn(message["role"], text, images)] if text or images or not results else []
    return [*rest, *results]


def _called(messages: list[Json], ident: object) -> str:
    blocks = (block for one in messages if isinstance(one["content"], list) for block in one["content"])
    return next((str(one["name"]) for one in blocks if one.get("type") == "tool_use" and one["id"] == ident), "")


def _card(model: Model) -> Json:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": model.context,
        "max_tokens": model.context,
    }
