"""The vendors: one file each, found by itself. The file's name is the provider's type.

To add one, write a file here with a `VENDOR`; nothing else has to change.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Vendor


@cache
def types() -> tuple[str, ...]:
    """The names of all provider types."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def vendor(kind: str) -> Vendor:
    """The vendor of a type. Raises ConfigError with the nearest name."""
    if kind not in types():
        near = difflib.get_close_matches(kind, types(), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(types())}"
        raise ConfigError(f"unknown provider type {kind!r}: {hint}")
    found: Vendor = importlib.import_module(f"{__name__}.{kind}").VENDOR
    return found


def vendors() -> list[Vendor]:
    """Every vendor."""
    return [vendor(kind) for kind in types()]
