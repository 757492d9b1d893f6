"""Opening a configuration file that has mistakes: what is left of it is used, and the file stays as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_nb import setup
from hybrid_nb.core.config import Settings, find_file
from hybrid_nb.core.errors import ConfigError, Mistake
from hybrid_nb.core.salvage import Flaw, Salvage, salvage

Config = str | os.PathLike[str] | Mapping[str, Any] | None


class Broken(NamedTuple):
    """A file that cannot be used as it is. `text` is None where it cannot be read at all."""

    path: Path
    text: str | None
    flaws: tuple[Flaw, ...]

    def __str__(self) -> str:
        first = self.flaws[0]
        where = f"{self.path}, line {first.line}" if first.line else str(self.path)
        more = f" (and {len(self.flaws) - 1} more)" if len(self.flaws) > 1 else ""
        return f"{where}: {first.told}{more}"


def load(config: Config, environ: Mapping[str, str]) -> tuple[setup.Loaded, Broken | None]:
    """As setup.load; a file with mistakes gives what is left of it. Raises ConfigError for mistakes elsewhere."""
    try:
        loaded = setup.load(config, environ)
        usable(loaded.settings, environ)
    except ConfigError as error:
        path = _path(config, environ)
        if path is None:
            raise
        broken, data = _salvaged(path, environ, error)
        return setup.loaded(data, path, config is None, environ), broken
    return loaded, None


def usable(settings: Settings, environ: Mapping[str, str], source: str = "the configuration") -> None:
    """Raises ConfigError, with the place, for settings that no router can be made from."""
    setup.check(settings, source)
    for number, item in enumerate(settings.provider):
        try:
            setup.build(item, environ)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}", [Mistake(("provider", number, "api_key"), str(error))]) from None


def look(text: str, environ: Mapping[str, str]) -> Salvage:
    """What is wrong in a text, and what is left of it."""
    return salvage(text, lambda settings: usable(settings, environ))


def _path(config: Config, environ: Mapping[str, str]) -> Path | None:
    if isinstance(config, Mapping):
        return None
    if config is not None:
        return Path(config).expanduser()
    try:
        return find_file(environ)
    except ConfigError:
        return Path(environ["HYBRID_NB_CONFIG"])


def _salvaged(path: Path, environ: Mapping[str, str], error: ConfigError) -> tuple[Broken, dict[str, Any]]:
    try:
        text = readable(path.read_bytes())
    except OSError as trouble:
        told = "there is no such file; Save makes it" if isinstance(trouble, FileNotFoundError) else trouble.strerror
        return Broken(path, None, (Flaw(None, f"cannot be read: {told}", "left out: everything"),)), {}
    found = look(text, environ)
    if not found.flaws:
        raise error  # the file is well: the mistake is the environment's
    return Broken(path, text, found.flaws), found.data


def readable(content: bytes) -> str:
    """The text of a file. What is no UTF-8 becomes NUL, which no TOML may hold, so that its table is known as wrong."""
    return content.decode("utf-8-sig", "replace").replace("\ufffd", "\0").replace("\r\n", "\n")
