"""What makes two requests the same: their canonical form, and its hash. Pure.

In it is what determines an answer. What only bounds or labels the call is not: timeout, max_cost, tier, tags, cache,
resume, what is needed of quality and time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from hybrid_nb.core.types import Image, Message, Request, Tool

Canonical = dict[str, Any]


def canonical(request: Request, model: str | None) -> Canonical:
    """The request as plain data, without what was not given; images as hashes. `model` is the name that counts."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
        "temperature": _number(request.temperature),
        "top_p": _number(request.top_p),
        "max_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": request.tool_choice,
        "schema": request.schema,
    }
    return {name: value for name, value in fields.items() if value is not None}


def key_of(form: Mapping[str, Any]) -> str:
    """SHA-256 of a canonical form, whatever the order of its keys. Raises TypeError for what is not JSON."""
    return hashlib.sha256(orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).hexdigest()


def prompt_of(request: Request) -> str:
    """What a person would call the prompt: the last text of the user, else of anybody."""
    texts = [m.text for m in request.messages if m.text]
    asked = [m.text for m in request.messages if m.text and m.role == "user"]
    return (asked or texts or [""])[-1]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value) + 0.0  # 1 is 1.0, and -0.0 is 0.0


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "role": message.role,
        "text": message.text,
        "images": [_image(image) for image in message.images],
        "tool_calls": [
            _given({"id": c.id, "name": c.name, "arguments": c.arguments, "signature": c.signature})
            for c in message.tool_calls
        ],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], "")}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _image(image: Image) -> dict[str, Any]:
    """A picture by its hash. Of a URL the query is left out, where signed addresses carry their secret."""
    if image.url is not None:
        parts = urlsplit(image.url)
        host = parts.netloc.rpartition("@")[2]
        return {"url": urlunsplit((parts.scheme, host, parts.path, "", "")), "sha256": _hash(image.url.encode())}
    return _given({"media_type": image.media_type, "sha256": _hash(image.data or b"")})


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
