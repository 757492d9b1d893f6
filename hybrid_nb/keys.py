"""The only place that sees a secret: keys come in from the environment or settings, and leave into one header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, NoReturn

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.late import late
from hybrid_nb.core.provider import Auth, Secret

SERVICE = "hybrid_nb"  # the name that our keys stand under in the system's keyring
Place = Literal["keyring", "environment"]


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
    """The key that `spec` means: "env:NAME" (or env:NAME[2], of a list with commas), "keyring:NAME" or the key itself.

    None takes the first of `names` that is set. Raises ConfigError for what no header can carry, and for a name
    where the key or "env:NAME" is meant.
    """
    if spec is None:
        name = next((name for name in names if environ.get(name, "").strip()), None)
        return _key(environ[name], f"env:{name}") if name else None
    variable = variable_of(spec)
    if variable is not None:
        return _key(_from(variable, environ), f"env:{variable}")
    if spec.startswith("keyring:"):
        return _key(_kept(spec[8:].strip()), spec)
    _refuse_name(spec.strip(), environ)
    return _key(spec, "config")


def variable_of(spec: str | None) -> str | None:
    """The variable that "env:NAME" means; None for anything else."""
    return spec[4:].strip() if spec is not None and spec.startswith("env:") else None


def place_of(spec: str | None) -> str | None:
    """Where a key is to be put that is missing there: a variable's name, or "keyring:NAME"; None: nothing is named."""
    return spec if spec is not None and spec.startswith("keyring:") else variable_of(spec)


# --- the system's keyring -----------------------------------------------------------------------------------


def _keyring() -> Any:
    return late("keyring", "keyring")


def _kept(name: str) -> str:
    """The key under this name; "" when there is none, or no keyring that would open."""
    try:
        return _keyring().get_password(SERVICE, name) or ""
    except ImportError as error:
        raise ConfigError(f"the key of keyring:{name}: {error}") from None
    except Exception:  # backends raise what they like; the key is missing then, and that is told where it is used
        return ""


def has_keyring() -> bool:
    """Whether keys can be kept in the system's keyring."""
    try:
        return bool(_keyring().get_keyring().priority >= 1)
    except Exception:  # not installed, or a backend that cannot tell
        return False


def taken(value: str, environ: Mapping[str, str]) -> Key:
    """What somebody typed, as a key. Raises ConfigError for what is none."""
    key = _key(value, "the form")
    if key is None:
        raise ConfigError("the key is empty")
    _refuse_name(key._value, environ)
    return key


def keep(name: str, variable: str, value: str | Key, place: Place, environ: MutableMapping[str, str]) -> str:
    """Put a key where it is kept, and return the `api_key` that means it. "environment" lasts as long as this process.

    Raises ConfigError for a key that no header can carry, and for a keyring that does not take it.
    """
    key = value if isinstance(value, Key) else taken(value, environ)
    if place == "environment":
        environ[variable] = key._value
        return f"env:{variable}"
    try:
        _keyring().set_password(SERVICE, name, key._value)
    except ImportError as error:
        raise ConfigError(str(error)) from None
    except Exception as error:  # backends raise what they like, and their texts may hold what was given
        raise ConfigError(
            f"the system's keyring did not take the key ({type(error).__name__}); keep it in the environment instead"
        ) from None
    return f"keyring:{name}"


def forget(name: str) -> None:
    """Take a key out of the keyring; nothing happens when it is not there."""
    try:
        _keyring().delete_password(SERVICE, name)
    except Exception:  # likewise; it is not there any more, or never was
        return


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
