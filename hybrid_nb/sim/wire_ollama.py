# ruff: noqa: ARG002 - a wire has all the arguments of the protocol `Wire`, needed or not
"""Ollama's native API: NDJSON, streaming unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from . import tokens
from .plan import Send
from .types import Answer, Call, Json, Model, Problem, RefusedError, Shape, Stamp, Tool, Trouble, Turn
from .wire import ChatRoute, Headers, Page, bearer, by_name, dump, refuse

_TROUBLES: dict[str, tuple[int, str]] = {
    "auth": (401, "unauthorized"),
    "no_key": (401, "unauthorized"),
    "billing": (402, "subscription required"),
    "denied": (403, "cloud models are disabled by policy"),
    "model": (404, "model '{model}' not found"),
    "missing": (404, "404 page not found"),
    "bad": (400, "{detail}"),
    "context": (400, "the input length exceeds the context length"),
    "too_large": (413, "request body too large"),
    "rate": (429, "you have reached your rate limit, please try again later"),
    "quota": (429, "you've reached your weekly usage limit, please upgrade to continue"),
    "server": (500, "llama runner process has terminated: exit status 2"),
    "overloaded": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "timeout": (504, "timed out waiting for llama runner to start"),
    "conflict": (409, "conflict"),
}
_FIXED = {
    ("GET", "/"): Page("Ollama is running", "text/plain; charset=utf-8"),
    ("HEAD", "/"): Page("Ollama is running", "text/plain; charset=utf-8"),
    ("GET", "/api/version"): Page({"version": "0.13.0"}),
}
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "simulated",
    "families": ["simulated"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}
_SIZE = 2_000_000_000
_NANO = 1_000_000_000


class OllamaWire:
    """POST /api/chat and /api/show; GET /, /api/version, /api/tags and /api/ps."""

    name = "ollama"
    stream_type = "application/x-ndjson"
    json_type = "application/json; charset=utf-8"
    done = b""
    refusal: str | None = "I'm sorry, but I can't help with that."

    def chat_route(self, method: str, path: str, query: Headers) -> ChatRoute | None:
        return ChatRoute() if (method, path) == ("POST", "/api/chat") else None

    def page(self, method: str, path: str, body: Any, models: tuple[Model, ...]) -> Page | None:
        if fixed := _FIXED.get((method, path)):
            return fixed
        if (method, path) == ("GET", "/api/tags"):
            return Page({"models": [{**_card(model), "modified_at": "2026-01-01T00:00:00Z"} for model in models]})
        if (method, path) == ("GET", "/api/ps"):
            return Page({"models": [_loaded(model) for model in models]})
        return Page(self._show(body, models)) if (method, path) == ("POST", "/api/show") else None

    def _show(self, body: Any, models: tuple[Model, ...]) -> Json:
        name = str((body or {}).get("model") or (body or {}).get("name") or "")
        model = by_name(models, name)
        if model is None:
            raise RefusedError(self.problem(Trouble("model", model=name), Stamp()))
        return {
            "modelfile": f"FROM {model.name}",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": _DETAILS,
            "model_info": {"general.architecture": "simulated", "simulated.context_length": model.context},
            "capabilities": _capabilities(model),
            "modified_at": "2026-01-01T00:00:00Z",
        }

    def keys(self, headers: Headers, query: Headers) -> list[str]:
        return bearer(headers)

    def open_page(self, path: str) -> bool:
        return path in ("/", "/api/version")

    def headers(self, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        return ()

    def parse(self, route: ChatRoute, body: Json, headers: Headers) -> Call:
        if not body.get("model"):
            raise refuse(self, "model is required")
        options = body.get("options") or {}
        limit = options.get("num_predict")
        form = body.get("format") or None
        return Call(
            model=str(body["model"]),
            turns=tuple(self._turn(message) for message in body.get("messages") or ()),
            stream=body.get("stream") is not False,
            max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
            stop=_stops(options.get("stop")),
            tools=tuple(_tool(one["function"]) for one in body.get("tools") or ()),
            schema=form if isinstance(form, dict) else None,
            json_mode=form == "json",
            context=options.get("num_ctx"),
        )

    def _turn(self, message: Json) -> Turn:
        content = message.get("content") or ""
        if not isinstance(content, str):
            detail = "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
            raise refuse(self, detail)
        role = message.get("role")
        if role not in ("system", "user", "assistant", "tool"):
            raise refuse(self, f"invalid role: {role}")
        return Turn(role, content, len(message.get("images") or ()), message.get("tool_name") or "")

    def whole(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        message: Json = {"role": "assistant", "content": said.text}
        if said.thoughts:
            message["thinking"] = said.reasoning
        if said.calls:
            message["tool_calls"] = _calls(said, stamp)
        return {**_base(call, stamp, message), **_ending(call, said, shape, stamp)}

    def frames(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, size: int) -> Iterator[Send]:
        for text, number in tokens.group(said.thoughts, size):
            message = {"role": "assistant", "content": "", "thinking": text}
            frame = self._frame({**_base(call, stamp, message), "done": False}, number)
            yield replace(frame, reasoning=len(text))
        for text, number in tokens.group(said.tokens, size):
            message = {"role": "assistant", "content": text}
            yield replace(self._frame({**_base(call, stamp, message), "done": False}, number), text=len(text))
        if said.calls:
            message = {"role": "assistant", "content": "", "tool_calls": _calls(said, stamp)}  # type: ignore[dict-item]
            yield self._frame({**_base(call, stamp, message), "done": False}, said.call_tokens)
        if shape.finish:
            last = _base(call, stamp, {"role": "assistant", "content": ""})
            yield self._frame({**last, **_ending(call, said, shape, stamp)})

    def _frame(self, body: Json, number: int = 0) -> Send:
        return Send(dump(body) + b"\n", number)

    def problem(self, trouble: Trouble, stamp: Stamp) -> Problem:
        status, message = _TROUBLES[trouble.kind]
        text = message.format(model=trouble.model, detail=trouble.detail)
        return Problem(trouble.status or status, {"error": text})

    def error_frame(self, problem: Problem) -> bytes:
        return dump(problem.body) + b"\n"

    def line(self, raw: bytes) -> bytes:
        return raw + b"\n"


def _base(call: Call, stamp: Stamp, message: Json) -> Json:
    created = datetime.fromtimestamp(stamp.created, UTC).isoformat().replace("+00:00", "Z")
    return {"model": call.model, "created_at": created, "message": message}


def _ending(call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
    """The fields of the last line; the real server leaves zeros out."""
    if not shape.finish:
        return {"done": False}
    reason = "load" if not call.turns else "length" if said.finish == "length" else "stop"
    ending: Json = {"done": True, "done_reason": reason}
    return {**ending, **_durations(said, stamp)} if shape.usage and call.turns else ending


def _durations(said: Answer, stamp: Stamp) -> Json:
    first = int(stamp.ttft * _NANO)
    rest = int(said.output_tokens / stamp.rate * _NANO) if stamp.rate else said.output_tokens
    fields = {
        "total_duration": first + rest + 1,
        "load_duration": 1,
        "prompt_eval_count": said.input_tokens,
        "prompt_eval_duration": first,
        "eval_count": said.output_tokens,
        "eval_duration": rest,
    }
    return {name: value for name, value in fields.items() if value}


def _calls(said: Answer, stamp: Stamp) -> list[Json]:
    return [
        {
            "id": f"call_{stamp.ident}{index}",
            "function": {"index": index, "name": one.name, "arguments": one.arguments},
        }
        for index, one in enumerate(said.calls)
    ]


def _stops(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _tool(function: Json) -> Tool:
    return Tool(function["name"], function.get("description") or "", function.get("parameters") or {})


def _card(model: Model) -> Json:
    name = model.name if ":" in model.name else f"{model.name}:latest"
    able = _capabilities(model)
    return {"name": name, "model": name, "size": _SIZE, "digest": "5" * 64, "details": _DETAILS, "capabilities": able}


def _capabilities(model: Model) -> list[str]:
    return ["completion", "tools", *(["vision"] if model.vision else [])]


def _loaded(model: Model) -> Json:
    extra = {"size_vram": _SIZE, "expires_at": "2036-01-01T00:00:00Z", "context_length": model.context}
    return {**_card(model), **extra}
