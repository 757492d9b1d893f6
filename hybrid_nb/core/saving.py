"""Writing settings back into a TOML file, keeping the comments and order of what a person wrote there.

Those who save at once take turns by a lock, and nobody overwrites what another has written since it was read.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from hybrid_nb.core.config import NO_LIMIT, Settings, is_reference
from hybrid_nb.core.errors import ConfigError

LOCK_PATIENCE = 10.0  # seconds that a save waits for another one
ABSENT = ""  # the stamp of a file that is not there


def stamp(path: Path) -> str:
    """What tells whether a file is the same as before: of its bytes, not of its time."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a configuration file, among the processes of this user on this machine. Raises ConfigError."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else "user"
    lock = FileLock(Path(tempfile.gettempdir()) / f"hybrid_nb-{user}-{name}.lock", timeout=LOCK_PATIENCE)
    try:
        with lock:
            yield
    except Timeout:
        raise ConfigError(f"{path}: another program has been writing it for {LOCK_PATIENCE:g} s; try again") from None


def text_of(settings: Settings) -> str:
    """What was set, as TOML, without any key in clear text."""
    data = _said(settings)
    for item in data.get("provider", ()):
        for place in (item, *item.get("endpoints", ())):
            if "api_key" in place and not is_reference(place["api_key"]):
                del place["api_key"]
    document = tomlkit.document()
    _sections(document, data)
    return tomlkit.dumps(document)


def save(settings: Settings, path: Path) -> Path:
    """Write what was set (not the defaults) to `path`, all or nothing. Raises ConfigError."""
    data = _said(settings)
    try:
        document = tomlkit.parse(path.read_text("utf-8-sig")) if path.exists() else tomlkit.document()
        _sections(document, data)
        _write(path, tomlkit.dumps(document))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML, so it is left as it is: {error}") from None
    return path


def write(text: str, path: Path) -> None:
    """Write a text, all or nothing. Raises ConfigError."""
    try:
        _write(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _said(settings: Settings) -> dict[str, Any]:
    """What was set, without sections in which nothing is."""
    said = settings.model_dump(exclude_unset=True)
    for name, limit in said.get("budget", {}).items():
        if limit is None:
            said["budget"][name] = NO_LIMIT
    data: dict[str, Any] = _plain(said)
    return {name: value for name, value in data.items() if value != {}}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def _sections(document: Any, data: dict[str, Any]) -> None:
    for name in [key for key in document if key not in data]:
        del document[name]
    for name, value in data.items():
        if name == "provider":
            _providers(document, value)
        elif name in document:
            _update(document[name], value)
        else:
            document[name] = value


def _update(table: Any, values: dict[str, Any]) -> None:
    for key in [key for key in table if key not in values]:
        del table[key]
    for key, value in values.items():
        if key in table and isinstance(value, dict):
            _update(table[key], value)
        elif key not in table or table[key] != value:
            table[key] = value


def _providers(document: Any, values: list[dict[str, Any]]) -> None:
    if not values:
        document.pop("provider", None)
        return
    found = document.get("provider")
    names = [value["name"] for value in values]
    old = [item.get("name") for item in found] if isinstance(found, AoT) else []
    if isinstance(found, AoT) and old == names[: len(old)]:  # in place: comments stay where they stand
        for table, value in zip(found, values, strict=False):
            _update(table, value)
        for value in values[len(old) :]:
            found.append(_table(value))
        return
    known = {item.get("name"): item for item in found} if isinstance(found, AoT) else {}
    tables = tomlkit.aot()
    for value in values:
        table = known.get(value["name"])
        if table is None:
            table = _table(value)
        else:
            _update(table, value)
        tables.append(table)
    document["provider"] = tables


def _table(value: dict[str, Any]) -> Any:
    table = tomlkit.table()
    for key, item in value.items():
        table[key] = item
    return table


def _write(path: Path, text: str) -> None:
    """Through a neighbour and a rename: a crash leaves the old file or the new one. Only the owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
