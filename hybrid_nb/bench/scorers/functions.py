"""A person's own function as a scorer, sync or async."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

from hybrid_nb.bench.grading.protocol import Scorer, in_thread
from hybrid_nb.bench.records import Sample, Score
from hybrid_nb.core.inputs import OptionTypeError

_FORMS = "a scorer is a function of (output, target) or of (sample: Sample)"
_OUTPUTS = frozenset({"output", "answer", "text", "response", "completion"})
_TARGETS = frozenset({"target", "expected", "reference", "truth"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Function(Scorer):
    """Calls a function with what its signature asks for."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or _name(function)
        self._arguments = _arguments(function)
        self._waits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
        )

    async def score(self, sample: Sample) -> Score:
        given = self._arguments(sample)
        if self._waits:
            return to_score(await self.function(*given))
        found = await in_thread(self.function, *given)
        return to_score(await found if inspect.isawaitable(found) else found)


def function(function: Callable[..., Any], name: str | None = None) -> Scorer:
    """A function as a scorer, under another name than its own.

    It takes (output, target) or (sample: Sample), or the output alone as `output`, and returns a number, a bool, a
    Score (value, explanation, answer) or None for "it cannot be told". Sync ones run in a thread. Raises
    OptionTypeError for another signature.
    """
    return Function(function, name)


def _name(function: Callable[..., Any]) -> str:
    found = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if found == "<lambda>" else str(found)


def _arguments(function: Callable[..., Any]) -> Callable[[Sample], tuple[Any, ...]]:
    """What the function is called with, by its signature."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise OptionTypeError(f"{_FORMS}; the signature of {_name(function)} cannot be read") from None
    places = [p for p in parameters if p.kind in _POSITIONAL]
    needed = sum(p.default is p.empty for p in places)
    stray = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    if stray or needed > 2 or not (places or any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        raise OptionTypeError(f"{_FORMS}, not {_name(function)}{inspect.signature(function)}")
    if needed == 2 or not places or (len(places) > 1 and places[1].name in _TARGETS):
        return lambda sample: (sample.output, sample.target)
    return _output if _takes_text(places[0]) else lambda sample: (sample,)


def _takes_text(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (str, "str") or parameter.name in _OUTPUTS


def _output(sample: Sample) -> tuple[Any, ...]:
    return (sample.output,)


def to_score(found: Any) -> Score:
    """What a function returned as a Score. Raises TypeError for what is none."""
    if isinstance(found, Score):
        return found._replace(value=_value(found.value))
    if isinstance(found, tuple) and len(found) in (2, 3) and isinstance(found[1], str):
        return Score(_value(found[0]), *found[1:])
    value = _value(found)
    if value is None:
        return Score(None, "it could not tell" if found is None else f"it returned {found}")
    return Score(value, f"it returned {found}")


def _value(found: Any) -> float | None:
    if hasattr(found, "item") and not isinstance(found, Real):
        found = found.item()  # numpy's own numbers and booleans
    if found is None or type(found).__name__ == "NAType":  # of pandas, which no comparison may touch
        return None
    if not isinstance(found, Real | Decimal):
        raise TypeError(f"a scorer returns a number, a bool, a Score or None, not {type(found).__name__}")
    return float(found) if math.isfinite(found) else None
