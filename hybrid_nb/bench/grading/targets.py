"""Targets as texts: what a sample's target says, one or several alternatives; and as they stand in a run's frame."""

from __future__ import annotations

from typing import Any

import orjson


def texts(target: Any) -> list[str]:
    """The alternatives of a target, any of which is right: a list has several, all else is one."""
    many = list(target) if isinstance(target, list | tuple | set | frozenset) else [target]
    return [plain(one) for one in many]


def plain(value: Any) -> str:
    """A value as a person writes it: 5.0 is "5", True is "true"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def untext(told: str | None) -> Any:
    """The target of a row: a JSON list or dict as such, all else as it stands."""
    if told is None or told[:1] not in ("[", "{"):
        return told
    try:
        return orjson.loads(told)
    except orjson.JSONDecodeError:
        return told


def shown(text: str, limit: int = 80) -> str:
    """A text for an explanation: one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
