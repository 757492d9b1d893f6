"""Prompts in any form as items."""

from __future__ import annotations

from typing import Any

from hybrid_nb.bench.records import Item
from hybrid_nb.core.inputs import OptionValueError


def items_of(prompts: Any) -> list[Item]:
    """Items of strings, dicts or Items."""
    if prompts is None:
        return []
    if isinstance(prompts, str):
        prompts = [prompts]
    found = [p if isinstance(p, Item) else Item(str(n), p) for n, p in enumerate(prompts)]
    if len({item.id for item in found}) < len(found):
        raise OptionValueError("two prompts have the same id")
    return found
