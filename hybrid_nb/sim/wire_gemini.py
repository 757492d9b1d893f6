# ruff: noqa: ARG002 - a wire has all the arguments of the protocol `Wire`, needed or not
"""Gemini generateContent and streamGenerateContent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from . import tokens
from .plan import Send
from .types import Answer, Call, Json, Model, Problem, RefusedError, Shape, Stamp, Tool, Trouble, Turn
from .wire import ChatRoute, Headers, Page, by_name, dump, refuse, sse

_CHAT = re.compile(r"/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent)")
_MODELS = re.compile(r"/v1(?:beta)?/models(?:/([^/:]+))?")
_STOPS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_RPC = "type.googleapis.com/google.rpc."
_BAD_KEY: Json = {
    "@type": _RPC + "ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
_NO_MODEL = (
    "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to"
    " see the list of available models and their supported methods."
)
# kind -> status, name of the status, message
_TROUBLES: dict[str, tuple[int, str, str]] = {
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "no_key": (403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers. Please use API Key."),
    "billing": (402, "RESOURCE_EXHAUSTED", "Your prepaid credits are used up."),
    "denied": (403, "PERMISSION_DENIED", "Permission denied."),
    "model": (
        404,
        "NOT_FOUND",
        _NO_MODEL,
    ),
    "missing": (404, "NOT_FOUND", "Requested entity was not found."),
    "bad": (400, "INVALID_ARGUMENT", "{detail}"),
    "context": (
        400,
        "INVALID_ARGUMENT",
        "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({context}).",
    ),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
    "rate": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "timeout": (504, "DEADLINE_EXCEEDED", "The request timed out. Please try again."),
    "conflict": (409, "ABORTED", "The operation was aborted."),
}
_STATUS_NAMES = {401: "UNAUTHENTICATED", 502: "UNAVAILABLE"}


class GeminiWire:
    """POST /v1beta/models/{m}:generateContent and :streamGenerateContent, GET /v1beta/models; the same under /v1."""

    name = "gemini"
    stream_type = "text/event-stream"
    json_type = "application/json; charset=UTF-8"
    done = b""
    refusal: str | None = None

    def chat_route(self, method: str, path: str, query: Headers) -> ChatRoute | None:
        hit = _CHAT.fullmatch(path) if method == "POST" else None
        if hit is None:
            return None
        stream = hit.group(2) == "streamGenerateContent"
        return ChatRoute(hit.group(1), stream, sse=query.get("alt") == "sse")

    def page(self, method: str, path: str, body: Any, models: tuple[Model, ...]) -> Page | None:
        hit = _MODELS.fullmatch(path) if method == "GET" else None
        if hit is None:
            return None
        if not hit.group(1):
            return Page({"models": [_card(model) for model in models]}, self.json_type)
        model = by_name(models, hit.group(1))
        if model is None:
            raise RefusedError(self.problem(Trouble("model", model=hit.group(1)), Stamp()))
        return Page(_card(model), self.json_type)

    def keys(self, headers: Headers, query: Headers) -> list[str]:
        found = (headers.get("x-goog-api-key"), query.get("key"))
        return [key for key in found if key]

    def open_page(self, path: str) -> bool:
        return False

    def headers(self, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", stamp.ident), ("server-timing", "gfet4t7; dur=1"))

    def parse(self, route: ChatRoute, body: Json, headers: Headers) -> Call:
        if route.stream and not route.sse:
            raise refuse(self, "This simulator streams with alt=sse only.")
        contents = self._contents(body)
        config = body.get("generationConfig") or {}
        calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        schema = _first(config, "responseJsonSchema", "response_json_schema", "responseSchema")
        system = Turn("system", _text((body.get("systemInstruction") or {}).get("parts") or ()))
        turns = tuple(turn for content in contents for turn in self._turns(content))
        names: list[str] = list(calling.get("allowedFunctionNames") or ())
        tools = [_tool(one) for group in body.get("tools") or () for one in group.get("functionDeclarations") or ()]
        return Call(
            model=route.model or "",
            turns=(system, *turns) if system.text else turns,
            stream=bool(route.stream),
            max_tokens=config.get("maxOutputTokens"),
            stop=tuple(config.get("stopSequences") or ()),
            tools=tuple(tool for tool in tools if not names or tool.name in names),
            choice={"NONE": "none", "ANY": "required"}.get(str(calling.get("mode") or "").upper(), "auto"),  # type: ignore[arg-type]
            forced=names[0] if len(names) == 1 else None,
            schema=schema,
            json_mode=config.get("responseMimeType") == "application/json" and not schema,
        )

    def _contents(self, body: Json) -> list[Json]:
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            raise refuse(self, "* GenerateContentRequest.contents: contents is not specified")
        config = body.get("generationConfig") or {}
        if "responseJsonSchema" in config and "responseSchema" in config:
            raise refuse(self, "Only one of responseSchema and responseJsonSchema may be set.")
        for content in contents:
            if content.get("role", "user") not in ("user", "model"):
                raise refuse(self, "Please use a valid role: user, model.")
            if not content.get("parts"):
                raise refuse(self, "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.")
        return contents

    def _turns(self, content: Json) -> list[Turn]:
        """The text of a content as one turn; each function response as a turn of its own."""
        parts = content["parts"]
        results = [self._result(part["functionResponse"]) for part in parts if "functionResponse" in part]
        images = sum("inlineData" in part or "fileData" in part for part in parts)
        text = _text(parts)
        role = "assistant" if content.get("role") == "model" else "user"
        rest = [Turn(role, text, images)] if text or images or not results else []  # type: ignore[arg-type]
        return [*rest, *results]

    def _result(self, part: Json) -> Turn:
        response = part.get("response")
        if not isinstance(response, dict):
            raise refuse(self, "Invalid value at 'function_response.response': must be an object.")
        value = next((response[name] for name in ("output", "result", "error") if name in response), response)
        return Turn("tool", value if isinstance(value, str) else dump(value).decode(), tool=part.get("name", ""))

    def whole(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        if said.finish == "content_filter" and not said.tokens:
            return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **self._around(call, said, shape, stamp)}
        parts: list[Json] = [{"text": said.reasoning, "thought": True}] if said.thoughts else []
        parts += [{"text": said.text}] if said.tokens else []
        parts += _call_parts(said, stamp)
        return self._response(call, said, shape, stamp, parts, shape.finish)

    def frames(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, size: int) -> Iterator[Send]:
        thoughts, words = tokens.group(said.thoughts, size), tokens.group(said.tokens, size)
        chunks = [*thoughts, *words]
        so_far = 0
        for index, (text, number) in enumerate(chunks):
            so_far += number
            last = shape.finish and index == len(chunks) - 1 and not said.calls
            thought = index < len(thoughts)
            part = {"text": text, "thought": True} if thought else {"text": text}
            body = self._response(call, said, shape, stamp, [part], last)
            if shape.usage:
                body["usageMetadata"] = _usage(said, so_far)
            yield Send(sse(body), number, 0 if thought else len(text), len(text) if thought else 0)
        if said.calls:
            body = self._response(call, said, shape, stamp, _call_parts(said, stamp), shape.finish)
            yield Send(sse(body), said.call_tokens)
        elif not chunks and shape.finish:
            yield Send(sse(self.whole(call, said, shape, stamp)))

    def _response(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, parts: list[Json], last: bool) -> Json:
        content = {"role": "model", "parts": parts} if parts else {"role": "model"}
        candidate: Json = {"content": content, "index": 0}
        if last:
            candidate["finishReason"] = _STOPS[said.finish]
        return {"candidates": [candidate], **self._around(call, said, shape, stamp)}

    def _around(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        around: Json = {"modelVersion": call.model, "responseId": stamp.ident}
        if shape.usage:
            around["usageMetadata"] = _usage(said, said.output_tokens)
        return around

    def problem(self, trouble: Trouble, stamp: Stamp) -> Problem:
        status, name, message = _TROUBLES[trouble.kind]
        status = trouble.status or status
        text = message.format(
            model=trouble.model, detail=trouble.detail, tokens=trouble.tokens, context=trouble.context
        )
        error: Json = {"code": status, "message": text, "status": _STATUS_NAMES.get(status, name)}
        if details := _details(trouble):
            error["details"] = details
        return Problem(status, {"error": error})

    def error_frame(self, problem: Problem) -> bytes:
        return sse(problem.body)

    def line(self, raw: bytes) -> bytes:
        return sse(raw)


def _details(trouble: Trouble) -> list[Json]:
    if trouble.kind == "auth" and trouble.status is None:
        return [_BAD_KEY]
    if trouble.kind not in ("rate", "quota"):
        return []
    window = "PerMinute" if trouble.kind == "rate" else "PerDay"
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": f"GenerateRequests{window}PerProjectPerModel",
        "quotaValue": "60",
    }
    wait = {"@type": _RPC + "RetryInfo", "retryDelay": f"{trouble.retry_after or 1}s"}
    return [{"@type": _RPC + "QuotaFailure", "violations": [violation]}, wait]


def _usage(said: Answer, out: int) -> Json:
    """Usage after `out` tokens, the thoughts first; the real server leaves their count out when there are none."""
    thought = min(out, len(said.thoughts))
    return {
        "promptTokenCount": said.input_tokens,
        "candidatesTokenCount": out - thought,
        "totalTokenCount": said.input_tokens + out,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": said.input_tokens}],
        **({"thoughtsTokenCount": thought} if thought else {}),
    }


def _call_parts(said: Answer, stamp: Stamp) -> list[Json]:
    parts: list[Json] = [
        {"functionCall": {"id": f"fc_{stamp.ident}{index}", "name": one.name, "args": one.arguments}}
        for index, one in enumerate(said.calls)
    ]
    if parts:
        parts[0]["thoughtSignature"] = "c2ltdWxhdGVk"
    return parts


def _first(fields: Json, *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name)), None)


def _text(parts: Any) -> str:
    return "\n".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _tool(one: Json) -> Tool:
    """A declaration; the official SDK writes this one schema field in snake case, and the real server takes both."""
    schema = _first(one, "parametersJsonSchema", "parameters_json_schema", "parameters")
    return Tool(one["name"], one.get("description") or "", schema or {})


def _card(model: Model) -> Json:
    return {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "description": "A simulated model.",
        "version": "001",
        "inputTokenLimit": model.context,
        "outputTokenLimit": model.context,
        "supportedGenerationMethods": ["generateContent"],
    }
