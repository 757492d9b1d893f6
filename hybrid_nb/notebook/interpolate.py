"""`{name}` in a prompt becomes the variable's text; every other brace stays as it is, byte for byte. Pure.

str.format would break on code and JSON, so only {name}, {name.attribute} and {name[key]} that resolve are replaced.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"\{([A-Za-z_]\w*)((?:\.[A-Za-z]\w*|\[[^\[\]{}\n]*\])*)\}")
_STEP = re.compile(r"\.([A-Za-z]\w*)|\[([^\[\]]*)\]")


def interpolate(text: str, namespace: Mapping[str, Any]) -> str:
    """The text with the variables of the namespace in it."""

    def replaced(match: re.Match[str]) -> str:
        try:
            return as_text(resolve(match[1], match[2], namespace))
        except (LookupError, AttributeError, TypeError, ValueError, SyntaxError):
            return match[0]

    return _FIELD.sub(replaced, text)


def resolve(name: str, path: str, namespace: Mapping[str, Any]) -> Any:
    """The value of name.attribute[key]. Raises LookupError, AttributeError, TypeError, ValueError or SyntaxError."""
    value = namespace[name]
    for attribute, key in _STEP.findall(path):
        value = getattr(value, attribute) if attribute else value[_key(key, namespace)]
    return value


def _key(text: str, namespace: Mapping[str, Any]) -> Any:
    """An index: a literal, a variable's name, or (as in str.format) bare text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return namespace.get(text, text)


def as_text(value: Any) -> str:
    """How a value reads in a prompt: a frame or series whole, not cut in the middle as its repr is."""
    if hasattr(value, "to_string") and hasattr(value, "iloc"):
        return str(value.to_string())
    return str(value)
