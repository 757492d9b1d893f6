"""The columns that a map adds: what the answers are, of which type, and beside them who answered, what it cost, and
what went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.core.schema import schema_of, wraps

if TYPE_CHECKING:
    import pandas as pd

ALONE = "output"  # the name of a single column
BESIDE = ("answered_by", "cost_usd", "error")
_BESIDE_KINDS = ("string", "Float64", "string")
_KINDS = {"integer": "Int64", "number": "Float64", "boolean": "boolean", "string": "string"}


class Field(NamedTuple):
    """One result column: its name, the field that it holds (None: the whole answer), and its dtype."""

    column: str
    field: str | None
    kind: str


class Columns(NamedTuple):
    """The columns that are added, in order: results, then `beside` (answered_by, cost_usd, error)."""

    results: tuple[Field, ...]
    beside: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*(field.column for field in self.results), *self.beside)

    @property
    def error(self) -> str:
        return self.beside[-1]


def columns_of(output: Any, into: str | None) -> Columns:
    """The columns for what is asked for: None is text. `into` names a single column, and is before the others' names.

    Raises OptionTypeError and OptionValueError.
    """
    if into is not None and (not isinstance(into, str) or not into):
        raise OptionTypeError(f"into must be a column's name, not {into!r}")
    if output is None:
        found = [Field(into or ALONE, None, "string")]
    else:
        fields = fields_of(output)
        before = f"{into}_" if into else ""
        found = [Field(f"{before}{name}", name, kind) for name, kind in fields if name is not None]
        found = found or [Field(into or ALONE, None, fields[0][1])]
    beside = tuple(f"{into}_{name}" if into else name for name in BESIDE)
    made = Columns(tuple(found), beside)
    twice = next((name for name in made.names if made.names.count(name) > 1), None)
    if twice is not None:
        raise OptionValueError(f"output has a field {twice!r}, which a map adds itself; give that field another name")
    return made


def fields_of(output: Any) -> list[tuple[str | None, str]]:
    """(field, dtype) of each column; the field None is the whole answer."""
    try:
        schema, kind = schema_of(output)
    except TypeError as error:
        raise OptionTypeError(str(error).replace("schema must", "output must")) from None
    except ValueError as error:
        raise OptionValueError(str(error)) from None
    defs = schema.get("$defs", schema.get("definitions", {}))
    shown: Mapping[str, Any] = schema.get("properties", {})
    if wraps(kind):
        return [(None, dtype(shown["answer"], defs))]
    if kind is not None:
        named = ((name, info.validation_alias or info.alias or name) for name, info in kind.model_fields.items())  # type: ignore[attr-defined]  # a pydantic class
        return [(name, dtype(shown.get(str(alias), {}), defs)) for name, alias in named]
    if schema.get("type") == "object" and shown:
        return [(name, dtype(inner, defs)) for name, inner in shown.items()]
    return [(None, dtype(schema, defs))]


def dtype(schema: Any, defs: Mapping[str, Any]) -> str:
    """The pandas dtype that holds what a JSON schema lets through; "object" for all that is nested or mixed."""
    kinds = _kinds(schema, defs, 0) - {"null"}
    if kinds == {"integer", "number"}:
        return "Float64"
    return _KINDS.get(kinds.pop(), "object") if len(kinds) == 1 else "object"


def _kinds(schema: Any, defs: Mapping[str, Any], depth: int) -> set[str]:
    if not isinstance(schema, Mapping) or depth > 8:
        return {"any"}
    if "$ref" in schema:
        return _kinds(defs.get(str(schema["$ref"]).rpartition("/")[2]), defs, depth + 1)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return {kind for inner in several for kind in _kinds(inner, defs, depth + 1)}
    if len(schema.get("allOf", ())) == 1:
        return _kinds(schema["allOf"][0], defs, depth + 1)
    given = schema.get("type")
    if given is None:
        return {_of_value(value) for value in schema.get("enum", [schema.get("const", ...)])}
    kinds = {given} if isinstance(given, str) else set(given)
    return {"any"} if "string" in kinds and "format" in schema else kinds  # dates are objects of their own


def _of_value(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return names.get(type(value), "any")


def check_clash(columns: Columns, there: Iterable[Any]) -> None:
    """Raises OptionValueError when the frame has a column of one of these names."""
    known = {str(name) for name in there}
    clash = [name for name in columns.names if name in known]
    if clash:
        told = ", ".join(repr(name) for name in clash)
        raise OptionValueError(
            f"the frame has {told} already, perhaps from a map before; give into='x', which adds x_{columns.error} "
            "and so on"
        )


class Result(NamedTuple):
    """The outcome of one row. Cost is in dollars, None where nobody knows; `value` counts where `error` is None."""

    value: Any = None
    answered_by: str | None = None
    cost_usd: float | None = None
    error: str | None = None


def filled(index: pd.Index[Any], columns: Columns, results: Sequence[Result]) -> pd.DataFrame:
    """The columns with these results, one a row."""
    pandas = late("pandas", "frames")
    made: dict[str, Any] = {}
    for column, field, kind in columns.results:
        made[column] = _array([_value(result, field) for result in results], kind)
    for column, kind, values in zip(columns.beside, _BESIDE_KINDS, _beside(results), strict=True):
        made[column] = _array(values, kind)
    table: pd.DataFrame = pandas.DataFrame(made, index=index)
    return table


def _beside(results: Sequence[Result]) -> tuple[list[Any], list[Any], list[Any]]:
    return [r.answered_by for r in results], [r.cost_usd for r in results], [r.error for r in results]


def _value(result: Result, field: str | None) -> Any:
    if result.error is not None and result.value is None:
        return None
    value = result.value
    if field is not None:
        value = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
    return plain(value)


def plain(value: Any) -> Any:
    """What a frame, a file and a person can read: models as dicts, members of an Enum as their values."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def _array(values: list[Any], kind: str) -> Any:
    """An array of this dtype; of objects where a value does not fit, as an integer above 64 bits."""
    pandas = late("pandas", "frames")
    if kind != "object":
        try:
            return pandas.array(values, dtype=kind)
        except (TypeError, ValueError, OverflowError):
            pass
    numpy = late("numpy", "frames")
    made = numpy.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        made[place] = value
    return made
