"""Forms as data: which fields a provider or a section of the settings has, and text to value and back. Pure.

What is valid, and what a default is, the settings' own models say; here are the words around it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hybrid_nb.core.config import ProviderSettings
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Vendor
from hybrid_nb.notebook.wording import PROVIDER, TIER_WORDS, Words

Kind = Literal["text", "whole", "number", "yes-no", "choice", "list", "prices", "contexts"]
MOST_DIGITS = 30  # of a number, before and after the point
_PRICE_KEYS = ("input", "output", "cached", "cache_write")


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form. `default` is what an empty one means, but where it may be none (`optional`); `more`: it
    stands under "More".
    """

    name: str
    label: str
    help: str = ""
    kind: Kind = "text"
    default: Any = None
    required: bool = False
    choices: tuple[tuple[str, Any], ...] = ()
    more: bool = False
    optional: bool = False


# --- which fields -------------------------------------------------------------------------------------------


def provider_fields(vendor: Vendor) -> tuple[Field, ...]:
    """The fields that a provider of this kind has beside its key, those that it needs first."""
    found = [_field(ProviderSettings.model_fields[name], name, words) for name, words in PROVIDER.items()]
    return tuple(sorted((_for(vendor, field) for field in found), key=lambda field: field.more))


def _for(vendor: Vendor, field: Field) -> Field:
    if field.name == "base_url":
        own = vendor.base_url is not None
        told = field.help if not own else f"{field.help}; empty: {vendor.base_url}"
        return _with(field, help=told, required=not own, more=own and vendor.tier == "cloud")
    if field.name == "models":
        told = f"empty: {', '.join(vendor.models)}" if vendor.models else "empty: every model that the server lists"
        return _with(field, help=f"{field.help}; {told}")
    if field.name == "tier":
        return _with(field, default=vendor.tier, choices=tuple((words, tier) for tier, words in TIER_WORDS.items()))
    return field


def section_fields(section: type[BaseModel], words: Mapping[str, Words]) -> tuple[Field, ...]:
    """The fields of a section of the settings, in the order of `words`."""
    return tuple(_field(section.model_fields[name], name, told) for name, told in words.items())


def _with(field: Field, **changes: Any) -> Field:
    from dataclasses import replace

    return replace(field, **changes)


def _field(info: FieldInfo, name: str, words: Words) -> Field:
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    kind, choices = _kind(info.annotation, name)
    parts = [words.help, _bounds(info), _default(default, kind) if not words.quiet else ""]
    told = "; ".join(part for part in parts if part)
    optional = types.NoneType in get_args(info.annotation)
    return Field(name, words.label, told, kind, default, info.is_required(), choices, words.more, optional)


def _kind(annotation: Any, name: str) -> tuple[Kind, tuple[tuple[str, Any], ...]]:
    inner = [a for a in get_args(annotation) if a is not types.NoneType]
    if get_origin(annotation) in (Union, types.UnionType):
        kind, choices = _kind(inner[0], name)
        if kind == "yes-no":  # and not set, which is a third answer
            return "choice", (("by itself", ""), ("yes", True), ("no", False))
        return kind, choices
    if get_origin(annotation) is Literal:
        return "choice", tuple((str(choice), choice) for choice in inner)
    if get_origin(annotation) is dict:
        return ("prices" if name == "prices" else "contexts"), ()
    plain: dict[Any, Kind] = {bool: "yes-no", int: "whole", float: "number", Decimal: "number"}
    return plain.get(annotation, "list" if get_origin(annotation) is tuple else "text"), ()


def _bounds(info: FieldInfo) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    found = [
        f"{words[sign]} {getattr(item, sign):g}" for item in info.metadata for sign in words if hasattr(item, sign)
    ]
    return ", ".join(found)


def _default(default: Any, kind: Kind) -> str:
    if default is None or default in ((), {}) or default == "":
        return ""
    return f"default: {'yes' if default is True else 'no' if default is False else shown(kind, default)}"


# --- text and value -----------------------------------------------------------------------------------------


def to_text(field: Field, value: Any) -> str:
    """A value as it stands in the form; unset is empty."""
    return "" if value is None else shown(field.kind, value)


def shown(kind: Kind, value: Any) -> str:
    if kind == "list":
        return ", ".join(value)
    if kind == "prices":
        return "\n".join(f"{model} = {_price_text(price)}" for model, price in value.items())
    if kind == "contexts":
        return "\n".join(f"{model} = {tokens}" for model, tokens in value.items())
    return _number_text(value) if kind in ("whole", "number") else str(value)


def _number_text(value: Any) -> str:
    text = format(value if isinstance(value, Decimal) else Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _price_text(price: Any) -> str:
    known = price if isinstance(price, Mapping) else dict(price)
    return ", ".join(f"{key} {_number_text(known[key])}" for key in _PRICE_KEYS if known.get(key) is not None)


def to_value(field: Field, text: str) -> Any:
    """What a text means; None: unset. Raises ValueError with what to write instead. Bounds are checked later."""
    text = text.strip()
    if not text:
        if field.required:
            raise ValueError("this is needed")
        return None
    return _READ.get(field.kind, str)(text)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ValueError("must be a whole number, such as 3")
    return int(text)


def _number(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number, such as 0.5") from None
    if not value.is_finite() or abs(value.adjusted()) > MOST_DIGITS:  # written out it would fill the memory
        raise ValueError("must be a number, such as 0.5")
    return value


def _list(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _lines(text: str, read: Callable[[str], Any], example: str) -> dict[str, Any]:
    found = {}
    for line in filter(None, map(str.strip, text.split("\n"))):
        model, sign, value = line.rpartition("=")
        try:
            if not sign or not model.strip():
                raise ValueError
            found[model.strip()] = read(value.strip())
        except ValueError:
            raise ValueError(f"{line!r} is not one of lines such as {example!r}") from None
    return found


def _prices(text: str) -> dict[str, Any]:
    return _lines(text, _price, "gpt-6 = input 0.15, output 0.60")


def _price(text: str) -> dict[str, Decimal]:
    """ "input 0.15, output 0.60", or "0.15 / 0.60"."""
    parts = [part.split() for part in re.split(r"[,/]", text)]
    if all(len(part) == 1 for part in parts):
        parts = [[key, *part] for key, part in zip(_PRICE_KEYS, parts, strict=False)]
    if any(len(part) != 2 or part[0] not in _PRICE_KEYS for part in parts):
        raise ValueError
    return {key: _number(value) for key, value in parts}


def _contexts(text: str) -> dict[str, int]:
    return _lines(text, _whole, "qwen3:8b = 32768")


_READ: dict[Kind, Callable[[str], Any]] = {
    "whole": _whole, "number": _number, "list": _list, "prices": _prices, "contexts": _contexts,
}  # fmt: skip


def values_of(fields: Iterable[Field], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(values by field, mistakes by field) of what stands in a form: texts, and values where one is chosen."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for field in fields:
        raw = given[field.name]
        try:
            values[field.name] = to_value(field, raw) if isinstance(raw, str) else raw
        except ValueError as error:
            wrong[field.name] = str(error)
    return values, wrong


def mistakes(error: ConfigError, fields: Collection[str]) -> dict[str, str]:
    """The parts of an error by the field that each belongs to; "": to none of these."""
    found: dict[str, str] = {}
    for where, told in error.problems or ():
        name = next((str(part) for part in where[1:] if part in fields), "")
        found[name] = "; ".join(filter(None, (found.get(name), _sentence(told) if name else told)))
    return found or {"": str(error)}


def _sentence(told: str) -> str:
    """Without the place that the form shows already."""
    text = re.sub(r"^[\w\[\].-]+( \([^)]*\))?: ", "", told)
    return text.replace("Input should be", "must be")


def free_name(kind: str, taken: Collection[str]) -> str:
    """A name for a provider of this type that nobody has: openai, openai-2 ..."""
    names = (kind if number == 1 else f"{kind}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def kinds(vendors: Iterable[Vendor]) -> list[tuple[str, str]]:
    """(title, type) of every kind of provider: cloud, then local, then any other server."""
    order = sorted(vendors, key=lambda v: (v.base_url is None, v.tier != "cloud", v.title.lower()))
    return [(v.title if v.base_url else f"Any {v.title}", v.type) for v in order]
