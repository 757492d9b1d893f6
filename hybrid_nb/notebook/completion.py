"""Completion of the magics' lines: options, their values, models, providers and settings."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hybrid_nb.core.config import RouterSettings
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.notebook.options import ASK, COMPARE, COSTS, EXPLAIN, completions

_TABLES = {"llm": ASK, "llm_compare": COMPARE, "llm_costs": COSTS, "llm_explain": EXPLAIN}


class Known(NamedTuple):
    """Where names come from; asked only when they are wanted."""

    models: Callable[[], Iterable[str]]
    variables: Callable[[], Iterable[str]]
    providers: Callable[[], Iterable[str]]


def complete(text: str, known: Known) -> list[str] | None:
    """Completions for the text of a cell up to the cursor; None when it is not a line of our magics."""
    line = text.rpartition("\n")[2]
    start = line.lstrip()
    body = start.rpartition("= ")[2] if "= %" in start else start
    if not body.startswith("%"):
        return None
    magic, space, rest = body.lstrip("%").partition(" ")
    if not space:
        return None
    if magic == "llm_models":
        return [name for name in known.providers() if name.startswith(rest)]
    if magic == "llm_config":
        return settings(rest)
    if magic not in _TABLES:
        return None
    return completions(rest, _TABLES[magic], known.models() if magic != "llm_costs" else (), known.variables())


def settings(before: str) -> list[str]:
    """What may stand at the end of a line of %llm_config: keys with "=", then their values where they are few."""
    word = before.rpartition(" ")[2]
    if before.split()[:1] == ["nested_asyncio"] and " " in before:
        return [value for value in ("on",) if value.startswith(word)]
    key, equals, value = word.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in choices(key) if choice.startswith(value)]
    words = [f"{name}=" for name in RouterSettings.model_fields]
    first = ["load", "nested_asyncio"] if " " not in before else []
    return [found for found in (*words, *first) if found.startswith(word)]


def choices(key: str) -> list[str]:
    """The values of a setting that has few of them."""
    field = RouterSettings.model_fields.get(key)
    kind = field.annotation if field is not None else None
    if kind is bool or bool in typing.get_args(kind):
        return ["true", "false"]
    return [str(value) for value in typing.get_args(kind) if isinstance(value, str)]


def matcher(magics: Any) -> Callable[..., Any]:
    """A matcher for IPython's completer, over the magics of a shell."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    known = Known(
        lambda: sorted(magics.router.model_names()),
        lambda: [name for name in magics.names if not name.startswith("_")],
        lambda: magics.router.provider_names(),
    )

    @context_matcher(identifier="hybrid_nb")
    def match(context: Any) -> dict[str, Any]:
        before = context.line_with_cursor[: context.cursor_position]
        try:
            found = complete(before, known)
        except ConfigError:  # told when the cell runs, not while it is typed
            found = None
        shown = [SimpleCompletion(text, type="magic") for text in found or ()]
        return {"completions": shown, "suppress": bool(found), "matched_fragment": before.rpartition(" ")[2]}

    match_any: Callable[..., Any] = match
    return match_any
