"""The only place that sees a secret: keys come in from the environment or settings, and leave into one header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Auth, Secret


class Key:
    """A secret with its source. Its repr, str and pickle hold nothing of it."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    def __repr__(self) -> str:
        return f"<key from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied out of its process")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def resolve(spec: str | None, names: Iterable[str], environ: Mapping[str, str]) -> Key | None:
    """The key that `spec` means: "env:NAME" (or env:NAME[2], of a list with commas) or the key itself.

    None takes the first of `names` that is set. Raises ConfigError for what no header can carry, and for a name
    where the key or "env:NAME" is meant.
    """
    if spec is None:
        name = next((name for name in names if environ.get(name, "").strip()), None)
        return _key(environ[name], f"env:{name}") if name else None
    variable = variable_of(spec)
    if variable is not None:
        return _key(_from(variable, environ), f"env:{variable}")
    _refuse_name(spec.strip(), environ)
    return _key(spec, "config")


def variable_of(spec: str | None) -> str | None:
    """The variable that "env:NAME" means; None for anything else."""
    return spec[4:].strip() if spec is not None and spec.startswith("env:") else None


def _key(value: str, source: str) -> Key | None:
    value = value.strip()
    wrong = (
        "a line break" if re.search(r"[\r\n\v\f\x85\u2028\u2029]", value)
        else "a control character" if re.search(r"[\x00-\x1f\x7f-\x9f]", value)
        else "a character that no key has (a dash, a quote or a space of a text editor?)"
        if any(letter > "\xff" for letter in value)
        else None
    )  # fmt: skip
    if wrong:
        raise ConfigError(f"the key from {source} contains {wrong}; copy it again, as one line without quotes")
    return Key(value, source) if value else None


def _refuse_name(spec: str, environ: Mapping[str, str]) -> None:
    """OPENAI_API_KEY, $OPENAI_API_KEY and ${OPENAI_API_KEY} are no keys. What may be one is not repeated."""
    name = spec.removeprefix("$").removeprefix("{").removesuffix("}")
    looks = re.fullmatch(r"[A-Z][A-Z0-9_]*", name) is not None and ("_" in name or name in environ)
    if not looks and not spec.startswith("$"):
        return
    shown = name if looks and (name in environ or re.search("KEY|TOKEN|SECRET", name)) else "NAME"
    raise ConfigError(f'api_key is the name of a variable, not a key; write "env:{shown}"')


def _from(name: str, environ: Mapping[str, str]) -> str:
    """The variable's value, or with NAME[2] the third of its comma-separated values."""
    listed = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    if not listed:
        return environ.get(name, "").strip()
    parts = environ.get(listed[1], "").split(",")
    return parts[int(listed[2])].strip() if int(listed[2]) < len(parts) else ""


def authorised(headers: dict[str, str], auth: Auth, key: Secret | None) -> dict[str, str]:
    """The headers, with the key put in its place."""
    if isinstance(key, Key):
        headers[auth.header] = auth.prefix + key._value
    return headers


def values(keys: Iterable[Secret | None]) -> tuple[str, ...]:
    """The secrets themselves, for scrubbing them from texts that a server echoes. For `scrub` only."""
    return tuple(key._value for key in keys if isinstance(key, Key))
