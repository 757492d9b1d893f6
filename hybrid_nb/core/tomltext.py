"""A TOML text by its tables and lines: what can be read of one with mistakes, and where each key stands. Pure.

tomllib reads all or nothing and keeps no lines, and so the text is cut at its headers first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hybrid_nb.core.config import parse
from hybrid_nb.core.errors import ConfigError

Place = tuple[int | str, ...]
_HEADER = re.compile(r"""\s*(\[\[?)\s*([\w"'][^\]\n#]*)""")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[\w-]+|"[^"\n]*"|'[^'\n]*'))*)\s*=""")
_NAME = re.compile(r""""[^"\n]*"|'[^'\n]*'|[^.\s"']+""")
_REACH = 4  # lines of a list or text that look like headers, which a table may go on behind


class Table(NamedTuple):
    """A header and what stands under it; the first has none. `start` is its first line, from 0."""

    start: int
    lines: tuple[str, ...]
    path: tuple[str, ...]
    listed: bool  # [[path]]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def holds(self, line: int) -> bool:
        return self.start <= line < self.start + len(self.lines)


class Broken(NamedTuple):
    """A table that cannot be read, the line (from 1) and why."""

    table: Table
    line: int
    told: str


def tables(text: str) -> list[Table]:
    """The text cut at its headers; together they are the text."""
    lines = text.split("\n")
    starts = [0, *(i for i, line in enumerate(lines) if i and _HEADER.match(line))]
    return _joined([_table(a, lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)])


def _table(start: int, lines: Sequence[str]) -> Table:
    head = _HEADER.match(lines[0])
    return Table(start, tuple(lines), _names(head[2]) if head else (), bool(head) and head[1] == "[[")  # type: ignore[index]


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip("\"'") for name in _NAME.findall(dotted))


def _joined(cut: list[Table]) -> list[Table]:
    """With those put together again that were cut inside a list or a text of several lines."""
    found: list[Table] = []
    at = 0
    while at < len(cut):
        reach = range(1, min(_REACH, len(cut) - at) + 1)
        size = next((n for n in reach if _wrong("\n".join(t.text for t in cut[at : at + n])) is None), 1)
        lines = tuple(line for table in cut[at : at + size] for line in table.lines)
        found.append(cut[at]._replace(lines=lines))
        at += size
    return found


def _wrong(text: str) -> ConfigError | None:
    try:
        parse(text, "")
    except ConfigError as error:
        return error
    except RecursionError:  # lists in lists in lists ...
        return ConfigError("nested too deeply", line=1)
    return None


def readable(text: str) -> tuple[dict[str, Any], list[Broken]]:
    """What can be read, and the tables that cannot."""
    if _wrong(text) is None:
        return parse(text, ""), []
    whole = tables(text)
    broken: list[Broken] = []
    for table in whole:
        error = _wrong(table.text)
        if error is not None:
            broken.append(_broken(table, table.start + min(error.line or 1, _written(table)), error))
    left = _without(whole, [b.table for b in broken])
    while (error := _wrong(_text(whole, left))) is not None:  # each may be read, and not all together
        line = (error.line or 1) - 1
        table = next((t for t in left if t.holds(line)), left[-1])
        broken.append(_broken(table, line + 1, error))
        left = _without(left, [table])
    return parse(_text(whole, left), ""), broken


def _written(table: Table) -> int:
    """How many lines of a table there are up to the last that is not empty."""
    return max((i for i, line in enumerate(table.lines, 1) if line.strip()), default=1)


def _broken(table: Table, line: int, error: ConfigError) -> Broken:
    told = re.sub(r"\s*\(at (line \d+, column \d+|end of document)\)$", "", str(error))
    return Broken(table, line, told.removeprefix(": not valid TOML: "))


def _without(found: Sequence[Table], gone: Sequence[Table]) -> list[Table]:
    """The tables that are left: what stands under an item of a list goes with it."""
    left: list[Table] = []
    under: tuple[str, ...] | None = None
    for table in found:
        if under is not None and (table.path[: len(under)] != under or table.path == under):
            under = None
        if table in gone:
            under = table.path if table.listed else under
        elif under is None:
            left.append(table)
    return left


def _text(whole: Sequence[Table], left: Sequence[Table]) -> str:
    """The tables that are left, each on its own lines."""
    kept = {table.start for table in left}
    return "\n".join(table.text if table.start in kept else "\n" * (len(table.lines) - 1) for table in whole)


def places(text: str) -> dict[Place, int]:
    """The line (from 1) of each table and key, by its place in the data: ("provider", 0, "name")."""
    found: dict[Place, int] = {}
    counts: dict[tuple[str, ...], int] = {}
    for table in tables(text):
        if table.listed:
            counts[table.path] = counts.get(table.path, -1) + 1
        base = tuple(_numbered(table.path, counts))
        found.setdefault(base, table.start + 1)
        for number, line in enumerate(table.lines, table.start + 1):
            key = _KEY.match(line)
            if key:
                names = _names(key[1])
                for depth in range(1, len(names) + 1):
                    found.setdefault((*base, *names[:depth]), number)
    return found


def _numbered(path: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> Iterator[int | str]:
    for depth, name in enumerate(path, 1):
        yield name
        if path[:depth] in counts:
            yield counts[path[:depth]]


def line_of(where: Place, known: dict[Place, int]) -> int | None:
    """The line of a place, or of the nearest one around it."""
    return next((known[where[:n]] for n in range(len(where), 0, -1) if where[:n] in known), None)
