"""What people pass -> Request: strings or messages, images in any form, functions or schemas as tools.

Raises TypeError or ValueError (OptionTypeError, OptionValueError) that says what was wrong, and InvalidRequestError's
kin never: nothing is sent yet.
"""

from __future__ import annotations

import difflib
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.types import CACHE_MODES, TIERS, Image, Message, Request, Tool, ToolCall

OPTIONS = (
    "model", "system", "temperature", "top_p", "max_tokens", "stop", "seed", "tools", "tool_choice", "schema", "images",
    "timeout", "max_cost", "max_ttft", "tier", "tags", "cache",
    "resume", "min_quality", "max_latency", "explore",
)  # fmt: skip
_NAMES = frozenset(OPTIONS)
ROLES = ("system", "user", "assistant", "tool")
_ONE_IMAGE = (str, bytes, bytearray, memoryview)  # sequences that are one image and not several
_MAGIC = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))


class OptionValueError(ValueError):
    """A wrong value from the person who asks."""

    def _render_traceback_(self) -> list[str]:
        return [f"ValueError: {self}"]  # IPython shows this instead of our own frames


class OptionTypeError(TypeError):
    """A value of a wrong type from the person who asks."""

    def _render_traceback_(self) -> list[str]:
        return [f"TypeError: {self}"]


def make_request(prompt: Any, **options: Any) -> Request:
    """The Request for a prompt (string, messages) and the options of chat().

    Raises OptionTypeError and OptionValueError.
    """
    try:
        return _request(prompt, options)
    except HybridNbError:
        raise
    except ValueError as error:
        raise OptionValueError(str(error)).with_traceback(error.__traceback__) from None
    except TypeError as error:
        raise OptionTypeError(str(error)).with_traceback(error.__traceback__) from None


def _request(prompt: Any, options: Mapping[str, Any]) -> Request:
    if not options.keys() <= _NAMES:
        raise _unknown(next(name for name in options if name not in _NAMES))
    given = {name: value for name, value in options.items() if value is not None}
    messages = to_messages(prompt)
    if given.get("images"):
        messages = _with_images(messages, given["images"])
    if given.get("system"):
        messages = (Message("system", str(given["system"])), *messages)
    if not messages or (messages[-1].role == "system" and all(m.role == "system" for m in messages)):
        raise ValueError("there is no message to send: the prompt is empty")
    fields = {name: _READERS[name](name, value) for name, value in given.items() if name in _READERS}
    if "schema" in given:
        fields["schema"], fields["schema_type"] = _schema(given["schema"])
    if "min_quality" in given:
        fields["min_quality"], fields["scorer"] = _quality("min_quality", given["min_quality"])
    if "tool_choice" in fields:
        _check_choice(fields["tool_choice"], [tool.name for tool in fields.get("tools", ())])
    return Request(messages, **fields)


def check_names(options: Iterable[str], own: Sequence[str]) -> None:
    """Whether each is an option of a call, for who has settings of their `own` beside them. Raises OptionTypeError."""
    for name in options:
        if name not in _NAMES:
            raise OptionTypeError(str(_unknown(name, (*own, *OPTIONS))))


def _unknown(name: str, known: Sequence[str] = OPTIONS) -> TypeError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return TypeError(f"unknown option {name!r}: {hint}")


# --- messages ---------------------------------------------------------------------------------------------


def to_messages(prompt: Any) -> tuple[Message, ...]:
    """A string, a Message, or a sequence of Messages and dicts in OpenAI's shape."""
    if isinstance(prompt, str):
        return (Message("user", prompt),) if prompt.strip() else ()
    if isinstance(prompt, Message | Mapping):
        return (to_message(prompt),)
    if isinstance(prompt, Iterable) and not isinstance(prompt, bytes):
        return tuple(to_message(item) for item in prompt)
    raise TypeError(f"the prompt must be a string or a list of messages, not {type(prompt).__name__}")


def to_message(item: Any) -> Message:
    """One turn from a Message, a dict {"role", "content", ...}, or a string (a user's turn)."""
    if isinstance(item, Message):
        return item
    if isinstance(item, str):
        return Message("user", item)
    if hasattr(item, "message") and callable(item.message):  # a Reply, as the assistant's turn
        return to_message(item.message())
    if not isinstance(item, Mapping):
        raise TypeError(f"a message must be a dict with role and content, not {type(item).__name__}")
    role: Any = item.get("role")
    role = "system" if role == "developer" else role
    if role not in ROLES:
        raise ValueError(f"a message's role must be one of {', '.join(ROLES)}, not {item.get('role')!r}")
    text, images = _content(item.get("content"))
    given = item.get("tool_calls") or ()
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise TypeError(f"a message's tool_calls must be a list, not {type(given).__name__}")
    calls = tuple(_tool_call(call) for call in given)
    return Message(role, text, images, calls, item.get("tool_call_id"), item.get("name"))


def _content(content: Any) -> tuple[str, tuple[Image, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, Iterable) or isinstance(content, bytes | Mapping):
        raise TypeError(f"a message's content must be a string or a list of parts, not {type(content).__name__}")
    texts, images = [], []
    for part in content:
        found = _part(part)
        if isinstance(found, str):
            texts.append(found)
        else:
            images.append(found)
    return "\n".join(texts), tuple(images)


def _part(part: Any) -> str | Image:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise TypeError(f"a message part must be a string or a dict with a type, not {type(part).__name__}")
    kind = part.get("type")
    if kind in ("text", "input_text"):
        text = part.get("text")
        if not isinstance(text, str):
            raise ValueError('a message part of type "text" needs its "text", a string')
        return text
    if kind == "image_url":
        given = part.get("image_url")
        url = given.get("url") if isinstance(given, Mapping) else given
        if not isinstance(url, str):
            raise ValueError('a message part of type "image_url" needs {"image_url": {"url": "https://..."}}')
        return to_image(url)
    raise ValueError(f"a message part of type {kind!r} is not known; use text or image_url")


def _tool_call(call: Any) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "id" not in call or "name" not in function:
        raise ValueError('a tool call needs {"id": ..., "function": {"name": ..., "arguments": ...}}')
    arguments = function.get("arguments") or "{}"
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(call["id"], function["name"], text, call.get("signature"))


# --- images -----------------------------------------------------------------------------------------------


def _with_images(messages: tuple[Message, ...], images: Any) -> tuple[Message, ...]:
    many = images if isinstance(images, Sequence) and not isinstance(images, _ONE_IMAGE) else [images]
    found = tuple(to_image(image) for image in many)
    place = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), None)
    if place is None:
        return (*messages, Message("user", "", found))
    turn = messages[place]
    joined = Message("user", turn.text, turn.images + found)
    return (*messages[:place], joined, *messages[place + 1 :])


def to_image(source: Any) -> Image:
    """An Image from bytes, a path, an http(s) or data: URL, or a PIL image."""
    if isinstance(source, Image):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), "the bytes")
    if hasattr(source, "save") and hasattr(source, "mode"):
        return _from_pil(source)
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return Image(url=source)
    if isinstance(source, str) and source.startswith("data:"):
        return _from_data_url(source)
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        if not path.is_file():
            raise ValueError(f"no image at {path}")
        return _from_bytes(path.read_bytes(), str(path))
    raise TypeError(f"an image must be a path, bytes, URL or PIL image, not {type(source).__name__}")


def _from_bytes(data: bytes, name: str) -> Image:
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
    if kind is None:
        raise ValueError(f"{name}: not a PNG, JPEG, GIF or WebP image")
    return Image(kind, data)


def _from_pil(picture: Any) -> Image:
    import io

    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Image("image/png", buffer.getvalue())


def _from_data_url(url: str) -> Image:
    import base64

    head, _, data = url.partition(",")
    kind, _, coding = head.removeprefix("data:").partition(";")
    if not kind.startswith("image/"):
        raise ValueError(f"an image's data: URL must begin with data:image/, not data:{kind[:40]}")
    try:
        if not data or not coding.endswith("base64"):
            raise ValueError("no base64")
        return Image(kind, base64.b64decode("".join(data.split()), validate=True))
    except ValueError:
        raise ValueError(f"an image's data: URL must be data:{kind[:40]};base64, and then valid base64") from None


# --- tools ------------------------------------------------------------------------------------------------

_CHOICES = ("auto", "none", "required")
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def to_tool(tool: Any) -> Tool:
    """A Tool from a Tool, a dict (OpenAI's or flat), a pydantic class, or a function with type hints."""
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, Mapping):
        inner = tool.get("function", tool)
        if "name" not in inner:
            raise ValueError("a tool needs a name")
        parameters = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
        return Tool(inner["name"], inner.get("description", ""), parameters)
    if isinstance(tool, type) and hasattr(tool, "model_json_schema"):
        return Tool(tool.__name__, inspect.getdoc(tool) or "", tool.model_json_schema())
    if callable(tool):
        return _from_function(tool)
    raise TypeError(f"a tool must be a function, a pydantic class, a dict or a Tool, not {type(tool).__name__}")


def _from_function(function: Callable[..., Any]) -> Tool:
    import typing

    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    properties = {name: _property(hints.get(name, str)) for name in parameters}
    required = [name for name, p in parameters.items() if p.default is inspect.Parameter.empty]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(function.__name__, inspect.getdoc(function) or "", schema)


def _property(hint: Any) -> dict[str, Any]:
    if hint in _JSON_TYPES:
        return {"type": _JSON_TYPES[hint]}
    from pydantic import TypeAdapter

    return TypeAdapter(hint).json_schema()


# --- options ----------------------------------------------------------------------------------------------


def _schema(schema: Any) -> tuple[Any, type | None]:
    from hybrid_nb.core.schema import schema_of

    return schema_of(schema)


def _string(name: str, value: Any) -> str:
    if name == "model":
        return str(value)  # a Target too
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


def _number(name: str, value: Any, low: float = 0, high: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not low <= value <= (math.inf if high is None else high) or value == math.inf:
        bounds = f"between {low} and {high}" if high is not None else f"at least {low}"
        raise ValueError(f"{name} must be {bounds}, not {value}")
    return value


def _seconds(name: str, value: Any) -> float:
    if _number(name, value) == 0:
        raise ValueError(f"{name} must be above 0 seconds; leave it out for the configured one")
    return float(value)


def _quality(name: str, value: Any) -> tuple[float, str | None]:
    """0.8, or {"judge": 0.8} where several scorers were learned."""
    if not isinstance(value, Mapping):
        return float(_number(name, value, 0, 1)), None
    if len(value) != 1:
        raise ValueError(f"{name} must be a number, or a dict of one scorer such as {{'exact': 0.8}}, not {value!r}")
    scorer, least = next(iter(value.items()))
    return float(_number(name, least, 0, 1)), _string(f"the scorer in {name}", scorer)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0, not {value!r}")
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return value


def _stop(name: str, stop: Any) -> tuple[str, ...]:
    several = (stop,) if isinstance(stop, str) else stop
    if not isinstance(several, Iterable) or isinstance(several, bytes | Mapping):
        raise TypeError(f"{name} must be a string or a list of strings, not {stop!r}")
    return tuple(_string(name, item) for item in several)


def _tools(name: str, tools: Any) -> tuple[Tool, ...]:
    if not isinstance(tools, Iterable) or isinstance(tools, str | bytes | Mapping | Tool | type):
        raise TypeError(f"{name} must be a list, such as [get_weather], not {type(tools).__name__}")
    return tuple(to_tool(tool) for tool in tools)


def _check_choice(choice: str | None, names: Sequence[str]) -> None:
    if choice in (None, "auto", "none") or choice in names or (choice == "required" and names):
        return
    if not names:
        raise ValueError(f"tool_choice is {choice!r}, but there are no tools: give them as tools=[...]")
    near = difflib.get_close_matches(choice, [*names, *_CHOICES], 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([*names, *_CHOICES])}"
    raise ValueError(f"tool_choice names no tool: {choice!r}; {hint}")


def _money(name: str, value: Any) -> Decimal:
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"{name} must be US dollars such as 0.01, not {value!r}") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{name} must be US dollars such as 0.01, not {value!r}")
    return amount


def money_of(name: str, value: Any) -> Decimal:
    """US dollars as a person gives them. Raises OptionValueError."""
    try:
        return _money(name, value)
    except ValueError as error:
        raise OptionValueError(str(error)) from None


def _one_of(*words: str) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if value not in words:
            raise ValueError(f"{name} must be one of {', '.join(words)}, not {value!r}")
        return value

    return read


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def _tags(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict such as {{'project': 'x'}}, not {type(value).__name__}")
    return {str(k): str(v) for k, v in value.items()}


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "model": _string,
    "temperature": lambda name, value: _number(name, value, 0, 2),
    "top_p": lambda name, value: _number(name, value, 0, 1),
    "max_tokens": _count,
    "stop": _stop,
    "seed": _whole,
    "tools": _tools,
    "tool_choice": _string,
    "timeout": _seconds,
    "max_cost": _money,
    "max_ttft": _seconds,
    "tier": _one_of(*TIERS),
    "tags": _tags,
    "cache": _one_of(*CACHE_MODES),
    "resume": _yes_or_no,
    "max_latency": _seconds,
    "explore": _yes_or_no,
}
