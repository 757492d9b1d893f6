"""`{name}` in a prompt becomes the variable's text; every other brace stays as it is, byte for byte. Pure.

str.format would break on code and JSON, so only {name}, {name.attribute} and {name[key]} that resolve are replaced.
{Out[3]}, {In[3]} and {_} are variables of IPython's; one that does not exist is an error, for it can mean nothing else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hybrid_nb.notebook.references import as_text

_FIELD = re.compile(r"\{([A-Za-z_]\w*)((?:\.[A-Za-z]\w*|\[[^\[\]{}\n]*\])*)\}")
_STEP = re.compile(r"\.([A-Za-z]\w*)|\[([^\[\]]*)\]")
_HISTORY = re.compile(r"\[\s*(-?\d+)\s*\]")
_UNRESOLVED = (LookupError, AttributeError, TypeError, ValueError, SyntaxError)


class MissingCellError(ValueError):
    """A prompt refers to a cell that has no such input or output."""


def interpolate(text: str, namespace: Mapping[str, Any]) -> str:
    """The text with the variables of the namespace in it. Raises MissingCellError."""

    def replaced(match: re.Match[str]) -> str:
        _check_history(match[1], match[2], namespace)
        try:
            return as_text(resolve(match[1], match[2], namespace))
        except _UNRESOLVED:
            return match[0]

    return _FIELD.sub(replaced, text)


def refer(text: str, namespace: Mapping[str, Any]) -> Any:
    """The value of `name`, `name.attribute` or `Out[3]` without braces. Raises LookupError where it is none."""
    match = _FIELD.fullmatch(f"{{{text}}}")
    if match is None:
        raise LookupError(text)
    _check_history(match[1], match[2], namespace)
    try:
        return resolve(match[1], match[2], namespace)
    except _UNRESOLVED as error:
        raise LookupError(text) from error


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


def _check_history(name: str, path: str, namespace: Mapping[str, Any]) -> None:
    """Raises MissingCellError for Out[n] and In[n] that do not exist."""
    number, known = _HISTORY.match(path), namespace.get(name)
    if number is None:
        return
    n = int(number[1])
    if name == "Out" and isinstance(known, dict) and n not in known:
        there = _listed(k for k in known if isinstance(k, int))
        raise MissingCellError(f"{{Out[{n}]}}: cell {n} has left no output; there are {there}")
    if name == "In" and isinstance(known, list) and not -len(known) <= n < len(known):
        raise MissingCellError(f"{{In[{n}]}}: no cell {n} was run; the last is In[{len(known) - 1}]")


def _listed(numbers: Iterable[int]) -> str:
    found = sorted(numbers)[-8:]
    return ", ".join(f"Out[{n}]" for n in found) or "none yet: the last line of a cell leaves one"
