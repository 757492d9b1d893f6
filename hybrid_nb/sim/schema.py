# ruff: noqa: ARG002 - every maker has the signature that `fill` calls it with
"""From a JSON schema to an instance that is valid for it. Not covered: ``pattern``, ``not``, ``if``/``then``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from .chance import digest, pick, share
from .hints import ANSWER_FIELDS, Hints
from .types import Json

_DEEP = 6
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "url": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "duration": "PT1S",
}
_WORDS = ("simulated", "sample", "example", "placeholder", "plain", "quiet")


def instance(schema: Json, hints: Hints | None = None, *, optional: bool = True) -> Any:
    """A value that is valid for the schema, the same each time.

    Args:
        schema: JSON Schema, or the OpenAPI subset that Gemini takes (upper-case types, ``nullable``).
        hints: what the prompt offers to fill fields with.
        optional: fill properties that are not required too.

    >>> instance({"type": "object", "properties": {"n": {"const": 3}}})
    {'n': 3}
    """
    return _Filler(schema, hints or Hints(), optional).fill(schema, "", 0)


class _Filler:
    def __init__(self, root: Json, hints: Hints, optional: bool) -> None:
        self.root = root
        self.hints = hints
        self.optional = optional
        self.open_answer = hints.answer
        self.named_answer = any(f'"{name}"' in json.dumps(root).lower() for name in ANSWER_FIELDS)

    def fill(self, schema: Any, name: str, depth: int) -> Any:
        node = self._resolve(schema, depth)
        if "const" in node:
            return node["const"]
        if node.get("enum"):
            return self._choose(node["enum"], name)
        if node.get("examples"):
            return node["examples"][0]
        maker: Callable[[Json, str, int], Any] = getattr(self, f"_{_kind(node)}")
        return maker(node, name, depth)

    def _resolve(self, schema: Any, depth: int) -> Json:
        """Follow references, merge ``allOf`` and settle on one of ``anyOf``."""
        node: Json = schema if isinstance(schema, dict) else {}
        for _ in range(32):
            if "$ref" in node:
                node = {**self._refer(node["$ref"]), **_without(node, "$ref")}
            elif node.get("allOf"):
                node = _merge([_without(node, "allOf"), *(self._resolve(part, depth) for part in node["allOf"])])
            elif options := node.get("anyOf") or node.get("oneOf"):
                node = _merge([_without(node, "anyOf", "oneOf"), self._option(options, depth)])
            else:
                break
        return node

    def _refer(self, reference: str) -> Json:
        node: Any = self.root
        for part in reference.lstrip("#").strip("/").split("/"):
            if part:
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node if isinstance(node, dict) else {}

    def _option(self, options: list[Any], depth: int) -> Json:
        """The first option; deep inside a recursion the one that is sure to end."""
        if depth < _DEEP:
            return options[0] if isinstance(options[0], dict) else {}
        flat = [one for one in options if isinstance(one, dict) and not {"$ref", "properties", "items"} & set(one)]
        return flat[0] if flat else options[-1]

    def _choose(self, options: list[Any], name: str) -> Any:
        texts = [str(option).lower() for option in options]
        if self.open_answer is not None and self.open_answer.lower() in texts:
            return options[texts.index(self.open_answer.lower())]
        mentioned = [option for option in options if str(option).lower() in self.hints.prompt.lower()]
        return pick(mentioned or options, *self.hints.seed, name)

    def _object(self, node: Json, name: str, depth: int) -> Json:
        properties: Json = node.get("properties") or {}
        required = [key for key in node.get("required") or [] if isinstance(key, str)]
        wanted = list(properties) if self._fills_all(required, depth) else required
        names = [key for key in properties if key in wanted] + [key for key in required if key not in properties]
        return {key: self.fill(properties.get(key), key, depth + 1) for key in names}

    def _fills_all(self, required: list[str], depth: int) -> bool:
        return depth < _DEEP and (self.optional or not required)

    def _array(self, node: Json, name: str, depth: int) -> list[Any]:
        least = int(node.get("minItems") or 0)
        most = int(node.get("maxItems", max(least, 2)))
        fixed = node.get("prefixItems") or []
        size = max(least, min(most, 0 if depth >= _DEEP else 2))
        if fixed:
            size = max(least, min(len(fixed), most))
        parts = [*fixed, *[node.get("items")] * size][:size]
        items = [self.fill(part, name, depth + 1) for part in parts]
        return _distinct(items) if node.get("uniqueItems") else items

    def _string(self, node: Json, name: str, depth: int) -> str:
        if node.get("format") in _FORMATS:
            return _FORMATS[node["format"]]
        text = self._answer_text(name) or self.hints.text(name) or f"{pick(_WORDS, *self.hints.seed, name)} {name}"
        text = text.strip()[: int(node.get("maxLength", len(text)))]
        return text.ljust(int(node.get("minLength") or 0), "x")

    def _integer(self, node: Json, name: str, depth: int) -> int:
        return int(self._bounded(node, name, step=max(1, math.ceil(node.get("multipleOf") or 1))))

    def _number(self, node: Json, name: str, depth: int) -> float:
        return self._bounded(node, name, step=node.get("multipleOf"))

    def _bounded(self, node: Json, name: str, step: float | None) -> float:
        value = float(self._answer_number(name) or self.hints.number() or digest(*self.hints.seed, name) % 100)
        unit = step or 0.5
        low, high = _bound(node, "inimum", unit), _bound(node, "aximum", -unit)
        if step is not None:
            value = math.floor(value / step) * step
        if low is not None and value < low:
            value = math.ceil(low / step) * step if step else low
        if high is not None and value > high:
            value = math.floor(high / step) * step if step else high
        if not step and low is not None and high is not None and low > high:
            value = (low + high) / 2
        return int(value) if value == int(value) else value

    def _boolean(self, node: Json, name: str, depth: int) -> bool:
        return share(*self.hints.seed, name) < 0.5

    def _null(self, node: Json, name: str, depth: int) -> None:
        return None

    def _answer_text(self, name: str) -> str | None:
        if self.open_answer is None or (self.named_answer and name.lower() not in ANSWER_FIELDS):
            return None
        taken, self.open_answer = self.open_answer, None
        return taken

    def _answer_number(self, name: str) -> str | None:
        return self._answer_text(name) if _is_number(self.open_answer) else None


def _kind(node: Json) -> str:
    """The type to build; a schema that names none is read by its other words."""
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    named = [kind.lower() for kind in kinds if isinstance(kind, str)]
    known = [kind for kind in named if kind in _KINDS and kind != "null"]
    if known:
        return known[0]
    if "null" in named:
        return "null"
    return "object" if "properties" in node or "required" in node else "array" if "items" in node else "string"


_KINDS = {"object", "array", "string", "integer", "number", "boolean", "null"}


def _bound(node: Json, ending: str, unit: float) -> float | None:
    """An inclusive limit, from either the inclusive or the exclusive form."""
    first = "m" + ending
    exclusive = node.get("exclusive" + first[0].upper() + first[1:])
    limits = [node[first]] if first in node else []
    if exclusive is True:
        limits = [limit + unit for limit in limits]
    elif exclusive is not None and exclusive is not False:
        limits.append(exclusive + unit)
    return (max(limits) if unit > 0 else min(limits)) if limits else None


def _merge(parts: list[Json]) -> Json:
    """One schema that asks for what all of them ask for, as far as a plain union can."""
    merged: Json = {}
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = list(dict.fromkeys([*merged.get(key, []), *value]))
            else:
                merged[key] = value
    return merged


def _without(node: Json, *names: str) -> Json:
    return {key: value for key, value in node.items() if key not in names}


def _distinct(items: list[Any]) -> list[Any]:
    """The same items made different where they repeat."""
    seen: list[Any] = []
    for index, item in enumerate(items):
        if item not in seen:
            seen.append(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            seen.append(max(one for one in seen if isinstance(one, int | float)) + 1)
        elif isinstance(item, str):
            seen.append(f"{item} {index}")
    return seen


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:
        return False
