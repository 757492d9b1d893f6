"""Where each row's prompt comes from: a template over columns, a column or Series of prompts, or a function of a row.

Prompts are made when they are needed and not kept, so that a long frame takes no more memory than its own. What is
wrong with the source as a whole raises OptionValueError or OptionTypeError before anything is spent; what is wrong with
one row is a Missing in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError

if TYPE_CHECKING:
    import pandas as pd


class Missing(NamedTuple):
    """A row without a prompt, and why."""

    why: str


Prompt = Any  # a string, or messages as chat() takes them


class Source(Protocol):
    """The prompts of a frame."""

    name: str  # for people

    def __iter__(self) -> Iterator[Prompt | Missing]:
        """The prompt of every row, in order."""

    def at(self, row: int) -> Prompt | Missing:
        """The prompt of one row, by its place."""


def source(frame: pd.DataFrame, prompt: Any) -> Source:
    """The prompts that `prompt` means for a frame. Raises OptionValueError and OptionTypeError."""
    import pandas

    if isinstance(prompt, str):
        if prompt in _names(frame) and not _fields(prompt):
            return Column(_column(frame, prompt), f"the column {prompt!r}")
        return Template(frame, prompt)
    if isinstance(prompt, pandas.Series):
        return Column(_aligned(frame, prompt), "the prompts")
    if callable(prompt):
        if inspect.iscoroutinefunction(prompt):
            raise OptionTypeError(
                "the prompt's function must be a plain one: it makes the prompt, and waits for nothing"
            )
        return Function(frame, prompt)
    raise OptionTypeError(
        'the prompt must be a template such as "Classify: {text}", a column\'s name, a Series or a function of a row, '
        f"not {type(prompt).__name__}"
    )


# --- a template -------------------------------------------------------------------------------------------


_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}


class Part(NamedTuple):
    """Text, and the column that follows it (None: nothing) with its format."""

    text: str
    column: str | None
    spec: str = ""
    conversion: str | None = None


def parts(template: str) -> tuple[Part, ...]:
    """The pieces of a template. Raises OptionValueError."""
    try:
        found = tuple(Part(t, c, s or "", v) for t, c, s, v in Formatter().parse(template))
    except ValueError as error:
        raise OptionValueError(f"the prompt: {error}; a brace that is text is written twice: {{{{ or }}}}") from None
    for part in found:
        if part.conversion and part.conversion not in _CONVERSIONS:
            raise OptionValueError(f"the prompt: there is !r, !s and !a, and no !{part.conversion}")
    return found


def _fields(template: str) -> list[str]:
    return [part.column for part in parts(template) if part.column is not None]


class Template:
    """A text with the names of columns in braces; a format may follow a name, as in {price:.2f}."""

    def __init__(self, frame: pd.DataFrame, template: str) -> None:
        self.name = "the template"
        self._parts = parts(template)
        fields = _fields(template)
        names = _names(frame)
        if not fields:
            raise OptionValueError(_no_column(template, names))
        missing = next((name for name in fields if name not in names), None)
        if missing is not None:
            told = f"the frame has no column {missing!r}{nearest(missing, names)}" if missing else "{} names no column"
            raise OptionValueError(f"{told}; a brace that is text is written twice: {{{{ or }}}}")
        self._columns = {name: _column(frame, name) for name in fields}

    def __iter__(self) -> Iterator[Prompt | Missing]:
        names = list(self._columns)
        for values in zip(*self._columns.values(), strict=True):
            yield self._made(dict(zip(names, values, strict=True)))

    def at(self, row: int) -> Prompt | Missing:
        return self._made({name: column.iloc[row] for name, column in self._columns.items()})

    def _made(self, values: Mapping[str, Any]) -> Prompt | Missing:
        for name, value in values.items():
            if is_missing(value):
                return Missing(f"{name} is missing")
        try:
            return "".join(_piece(part, values) for part in self._parts)
        except (ValueError, TypeError) as error:
            return Missing(f"the row does not fit the template: {error}")


def _piece(part: Part, values: Mapping[str, Any]) -> str:
    if part.column is None:
        return part.text
    value = values[part.column]
    if part.conversion:
        value = _CONVERSIONS[part.conversion](value)
    return f"{part.text}{format(value, part.spec) if part.spec else value}"


def _no_column(template: str, names: Mapping[str, Any]) -> str:
    shown = ", ".join(names) or "none"
    if " " in template.strip():
        return f"the prompt names no column: write one in braces, as in {{text}}; there are {shown}"
    return f"the frame has no column {template!r}{nearest(template, names)}; a template names columns in braces"


# --- a column, a function ---------------------------------------------------------------------------------


class Column:
    """Prompts that are there already."""

    def __init__(self, values: pd.Series[Any], name: str) -> None:
        self.name = name
        self._values = values

    def __iter__(self) -> Iterator[Prompt | Missing]:
        return (self._told(value) for value in self._values)

    def at(self, row: int) -> Prompt | Missing:
        return self._told(self._values.iloc[row])

    def _told(self, value: Any) -> Prompt | Missing:
        return Missing("the prompt is missing") if is_missing(value) else value


class Function:
    """Prompts that a function makes of a row (a Series); it is called anew when a prompt is needed again."""

    def __init__(self, frame: pd.DataFrame, function: Callable[[pd.Series[Any]], Any]) -> None:
        self.name = "the function"
        self._frame = frame
        self._function = function

    def __iter__(self) -> Iterator[Prompt | Missing]:
        return (self.at(row) for row in range(len(self._frame)))

    def at(self, row: int) -> Prompt | Missing:
        try:
            made = self._function(self._frame.iloc[row])
        except Exception as error:  # it is the user's: a row that it cannot take is a row's error
            return Missing(f"the prompt's function raised {type(error).__name__}: {error}")
        return Missing("the prompt is missing") if is_missing(made) else made


def is_missing(value: Any) -> bool:
    """None, NaN, NaT or NA. A list or an array is none of them."""
    if value is None:
        return True
    import pandas

    return bool(pandas.api.types.is_scalar(value)) and bool(pandas.isna(value))


def _names(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): name for name in frame.columns}


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    same = sum(str(other) == name for other in frame.columns)  # 1 and "1" too
    if same > 1:
        raise OptionValueError(f"the frame has {same} columns {name!r}; rename them, so that one is meant")
    series: pd.Series[Any] = frame[_names(frame)[name]]
    return series


def _aligned(frame: pd.DataFrame, prompts: pd.Series[Any]) -> pd.Series[Any]:
    if len(prompts) != len(frame):
        raise OptionValueError(f"there are {len(prompts):,} prompts for {len(frame):,} rows")
    if not prompts.index.equals(frame.index):
        raise OptionValueError(
            "the prompts' index is not the frame's; give prompts.reindex(frame.index) or .to_numpy()"
        )
    return prompts
