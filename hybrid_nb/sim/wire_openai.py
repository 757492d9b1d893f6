# ruff: noqa: ARG002 - a wire has all the arguments of the protocol `Wire`, needed or not
"""OpenAI chat/completions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import tokens
from .plan import Send
from .types import Answer, Call, Json, Model, Problem, RefusedError, Shape, Stamp, Tool, ToolCall, Trouble, Turn
from .wire import ChatRoute, Headers, Page, bearer, by_name, dump, refuse, sse

_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_INVALID = "invalid_request_error"
_KEY_HELP = "You can find your API key at https://platform.openai.com/account/api-keys."
_TOO_LONG = (
    "This model's maximum context length is {context} tokens. However, your messages resulted in {tokens} tokens."
    " Please reduce the length of the messages."
)
_TOO_MANY = (
    "Rate limit reached for {model} in organization org-simulated on requests per min (RPM): Limit 60, Used 60,"
    " Requested 1. Please try again in {wait}s."
)
# kind -> status, type, code, message
_TROUBLES: dict[str, tuple[int, str, str | None, str]] = {
    "auth": (401, _INVALID, "invalid_api_key", f"Incorrect API key provided: sim-****. {_KEY_HELP}"),
    "no_key": (401, _INVALID, None, f"You didn't provide an API key. {_KEY_HELP}"),
    "billing": (402, "insufficient_quota", "credit_balance_exhausted", "Your credit balance is exhausted."),
    "denied": (403, "invalid_request_error", "unsupported_country_region_territory", "Country not supported."),
    "model": (
        404,
        _INVALID,
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "missing": (404, _INVALID, "unknown_url", "Invalid URL. {detail}"),
    "bad": (400, _INVALID, None, "{detail}"),
    "context": (
        400,
        _INVALID,
        "context_length_exceeded",
        _TOO_LONG,
    ),
    "too_large": (413, _INVALID, "request_too_large", "Request body is too large."),
    "rate": (
        429,
        "requests",
        "rate_limit_exceeded",
        _TOO_MANY,
    ),
    "quota": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "server": (500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "overloaded": (503, "server_error", "server_is_overloaded", "The server is overloaded. Please slow down."),
    "timeout": (504, "server_error", None, "The request timed out."),
    "conflict": (409, _INVALID, None, "The request conflicts with another one."),
}


class OpenAIWire:
    """POST /v1/chat/completions, GET /v1/models and /v1/models/{id}."""

    name = "openai"
    stream_type = "text/event-stream; charset=utf-8"
    json_type = "application/json"
    done = sse(b"[DONE]")
    refusal: str | None = None

    def chat_route(self, method: str, path: str, query: Headers) -> ChatRoute | None:
        return ChatRoute() if (method, path) == ("POST", "/v1/chat/completions") else None

    def page(self, method: str, path: str, body: Any, models: tuple[Model, ...]) -> Page | None:
        if method != "GET" or not path.startswith("/v1/models"):
            return None
        name = path.removeprefix("/v1/models").lstrip("/")
        if not name:
            return Page({"object": "list", "data": [_card(model.name) for model in models]})
        if not by_name(models, name):
            raise RefusedError(self.problem(Trouble("model", model=name), Stamp()))
        return Page(_card(name))

    def keys(self, headers: Headers, query: Headers) -> list[str]:
        return bearer(headers)

    def open_page(self, path: str) -> bool:
        return False

    def headers(self, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        return (
            ("x-request-id", f"req_{stamp.ident}"),
            ("openai-processing-ms", "1"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "5000"),
            ("x-ratelimit-remaining-requests", "4999"),
            ("x-ratelimit-reset-requests", "12ms"),
        )

    def parse(self, route: ChatRoute, body: Json, headers: Headers) -> Call:
        messages = self._messages(body)
        form = body.get("response_format") or {}
        choice, forced = _choice(body.get("tool_choice"))
        stop = body.get("stop") or ()
        return Call(
            model=str(body["model"]),
            turns=tuple(self._turn(message, messages) for message in messages),
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=tuple(_tool(one["function"]) for one in body.get("tools") or () if "function" in one),
            choice=choice,
            forced=forced,
            parallel=body.get("parallel_tool_calls") is not False,
            schema=(form.get("json_schema") or {}).get("schema"),
            json_mode=form.get("type") == "json_object",
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def _messages(self, body: Json) -> list[Json]:
        if not body.get("model"):
            raise refuse(self, "you must provide a model parameter")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise refuse(self, "Missing required parameter: 'messages'.")
        form = (body.get("response_format") or {}).get("type")
        if form == "json_object" and "json" not in str(messages).lower():
            raise refuse(self, "'messages' must contain the word 'json' in some form, to use 'response_format'.")
        self._check_results(messages)
        return messages

    def _check_results(self, messages: list[Json]) -> None:
        asked = {call["id"] for one in messages for call in one.get("tool_calls") or ()}
        given = {one.get("tool_call_id") for one in messages if one.get("role") == "tool"}
        if asked - given:
            raise refuse(
                self,
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. The following tool_call_ids did not have response messages: {sorted(asked - given)}",
            )

    def _turn(self, message: Json, messages: list[Json]) -> Turn:
        role = _ROLES.get(str(message.get("role")))
        if role is None:
            raise refuse(self, f"Invalid value: '{message.get('role')}'. Supported values are: {sorted(_ROLES)}.")
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part.get("text", "") for part in parts if part.get("type") == "text")
        images = sum(part.get("type") == "image_url" for part in parts)
        name = _called(messages, message.get("tool_call_id")) if role == "tool" else ""
        return Turn(role, text, images, name)  # type: ignore[arg-type]

    def whole(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        message: Json = {"role": "assistant", "content": said.text or None, "refusal": None, "annotations": []}
        if said.thoughts:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [_wired(one, stamp, index) for index, one in enumerate(said.calls)]
        elif said.finish != "content_filter":
            message["content"] = said.text
        finish = said.finish if shape.finish else None
        body = _base(call, stamp, "chat.completion")
        body["choices"] = [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}]
        return {**body, "usage": _usage(said)} if shape.usage else body

    def frames(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, size: int) -> Iterator[Send]:
        yield self._chunk(call, stamp, {"role": "assistant", "content": None if said.calls else "", "refusal": None})
        for text, number in tokens.group(said.thoughts, size):
            yield replace(self._chunk(call, stamp, {"reasoning_content": text}, tokens=number), reasoning=len(text))
        for text, number in tokens.group(said.tokens, size):
            yield replace(self._chunk(call, stamp, {"content": text}, tokens=number), text=len(text))
        for index, one in enumerate(said.calls):
            yield from self._call_frames(call, stamp, index, one, size)
        if not shape.finish:
            return
        yield self._chunk(call, stamp, {}, finish=said.finish)
        if call.include_usage and shape.usage:
            body = _base(call, stamp, "chat.completion.chunk")
            yield Send(sse({**body, "choices": [], "usage": _usage(said)}))
        if shape.done:
            yield Send(self.done)

    def _call_frames(self, call: Call, stamp: Stamp, index: int, one: ToolCall, size: int) -> Iterator[Send]:
        wired = _wired(one, stamp, index)
        arguments = wired["function"]["arguments"]
        wired["function"]["arguments"] = ""
        yield self._chunk(call, stamp, {"tool_calls": [{"index": index, **wired}]}, tokens=tokens.count(one.name))
        for text, number in tokens.group(tokens.split(arguments), size):
            piece = {"index": index, "function": {"arguments": text}}
            yield self._chunk(call, stamp, {"tool_calls": [piece]}, tokens=number)

    def _chunk(self, call: Call, stamp: Stamp, delta: Json, finish: str | None = None, tokens: int = 0) -> Send:
        body = _base(call, stamp, "chat.completion.chunk")
        body["choices"] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        if call.include_usage:
            body["usage"] = None
        return Send(sse(body), tokens)

    def problem(self, trouble: Trouble, stamp: Stamp) -> Problem:
        status, kind, code, message = _TROUBLES[trouble.kind]
        text = message.format(
            model=trouble.model,
            detail=trouble.detail,
            tokens=trouble.tokens,
            context=trouble.context,
            wait=trouble.retry_after or 1,
        )
        error = {"message": text, "type": kind, "param": _param(trouble.kind), "code": code}
        return Problem(trouble.status or status, {"error": error})

    def error_frame(self, problem: Problem) -> bytes:
        return sse(problem.body)

    def line(self, raw: bytes) -> bytes:
        return sse(raw)


def _param(kind: str) -> str | None:
    return {"context": "messages", "model": "model"}.get(kind)


def _base(call: Call, stamp: Stamp, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{stamp.ident}",
        "object": kind,
        "created": int(stamp.created),
        "model": call.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _usage(said: Answer) -> Json:
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(said.thoughts), "audio_tokens": 0},
    }


def _wired(one: ToolCall, stamp: Stamp, index: int) -> Json:
    function = {"name": one.name, "arguments": dump(one.arguments).decode()}
    return {"id": f"call_{stamp.ident}{index}", "type": "function", "function": function}


def _called(messages: list[Json], ident: object) -> str:
    calls = (call for one in messages for call in one.get("tool_calls") or ())
    return next((str(call["function"]["name"]) for call in calls if call.get("id") == ident), "")


def _choice(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, dict):
        return "required", (value.get("function") or {}).get("name")
    return (value if value in ("none", "required") else "auto"), None


def _tool(function: Json) -> Tool:
    return Tool(function["name"], function.get("description") or "", function.get("parameters") or {})


def _card(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_750_000_000, "owned_by": "simulated"}
