"""What a run keeps of how it was run: settings, versions, and a name for its data."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import orjson

from hybrid_nb.bench.records import Item
from hybrid_nb.bench.traffic.caller import Caller
from hybrid_nb.bench.traffic.outcome import shown
from hybrid_nb.bench.traffic.spec import Spec

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PACKAGES = ("aiohttp", "orjson", "pandas", "scipy")


def told(spec: Spec, caller: Caller) -> dict[str, Any]:
    """The settings that make a run what it is."""
    return {
        "models": list(spec.models),
        "epochs": spec.epochs,
        "concurrency": spec.at_once,
        "rate": spec.rate,
        "arrivals": spec.arrivals if spec.open else None,
        "warmup": spec.warmup,
        "duration": spec.duration,
        "prompt": spec.prompt,
        "timeout": spec.timeout,
        "unique": spec.unique,
        "seed": spec.seed,
        "options": {name: _plain(value) for name, value in caller.options.items() if name != "timeout"},
    }


def head(spec: Spec, caller: Caller, items: Iterable[Item]) -> dict[str, Any]:
    """What must not differ between the parts of one run."""
    return {**told(spec, caller), "data": fingerprint(items)}


def fingerprint(items: Iterable[Item]) -> str:
    """Names the data by what is asked."""
    found = hashlib.sha256()
    for item in items:
        found.update(orjson.dumps([item.id, shown(item.input)]))
    return found.hexdigest()[:16]


def _plain(value: Any) -> Any:
    """An option as it can be written down; a class by its name, so that it is the same in the next process."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return f"bytes:{hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, os.PathLike):
        return str(value)
    return getattr(value, "__qualname__", None) or _ADDRESS.sub("", repr(value))


def versions() -> dict[str, str]:
    """Of what may matter to times."""
    from hybrid_nb import __version__

    found = {"hybrid_nb": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
