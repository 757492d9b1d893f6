"""What is left of a configuration text with mistakes: plain data that validates, and each mistake at its line. Pure.

A mistake in TOML takes the table that holds it out; a wrong key or value only that key, or the provider that would be
something else without it. What bounds spending, or where texts may go, is never widened by leaving something out: the
strictest value stands in for it then, and the mistake says so.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hybrid_nb.core import tomltext
from hybrid_nb.core.config import Settings, validate
from hybrid_nb.core.errors import ConfigError, Mistake
from hybrid_nb.core.tomltext import Place

Data = dict[str, Any]
Check = Callable[[Settings], Any]

# without one of these a provider would be asked elsewhere, with another key, or although it was turned off
VITAL = frozenset({"name", "type", "base_url", "endpoints", "api_key", "enabled", "tier"})
STRICTEST: dict[tuple[str, str], tuple[str, str, Any]] = {
    ("router", "mode"): ("router", "mode", "local-only"),
    ("router", "regions"): ("router", "mode", "local-only"),
    ("budget", "daily_usd"): ("budget", "daily_usd", 0),
    ("budget", "monthly_usd"): ("budget", "monthly_usd", 0),
}


class Flaw(NamedTuple):
    """A mistake: its line (from 1; None: not known), what it is, and what was left out or put in its place."""

    line: int | None
    told: str
    done: str


class Salvage(NamedTuple):
    """Plain data that validates, and what was wrong."""

    data: Data
    flaws: tuple[Flaw, ...]


def salvage(text: str, check: Check | None = None) -> Salvage:
    """What can be used of a text. `check` raises ConfigError for settings that are wrong though each value is valid."""
    data, broken = tomltext.readable(text)
    flaws = [Flaw(b.line, f"not valid TOML: {b.told}", _left_out(b.table)) for b in broken]
    for name in dict.fromkeys(name for b in broken for name in _guards(b.table)):
        data, done = _guarded(data, name)
        flaws[-1] = flaws[-1]._replace(done=f"{flaws[-1].done}; {done}")
    left = _Left(data, tomltext.places(text), _numbers(text, broken))
    flaws += left.clean(check)
    return Salvage(left.data, tuple(sorted(flaws, key=lambda flaw: flaw.line or 0)))


def _left_out(table: tomltext.Table) -> str:
    name = re.search(r"""^\s*name\s*=\s*["']([^"'\n]+)["']""", table.text, re.MULTILINE)
    told = f"[{'.'.join(table.path)}]" if table.path else "what stands above the first table"
    return f"left out: {told}{f' ({name[1]})' if name else ''}"


def _guards(table: tomltext.Table) -> list[tuple[str, str]]:
    """The guards that a table sets, which cannot be read."""
    if len(table.path) > 1:
        return []
    own = [name for name in STRICTEST if table.path in ((), name[:1])]
    return [name for name in own if re.search(rf"^[\s\w.]*\b{name[1]}\s*=", table.text, re.MULTILINE)]


def _guarded(data: Data, name: tuple[str, str]) -> tuple[Data, str]:
    section, key, value = STRICTEST[name]
    table = data.get(section)
    table = {**table} if isinstance(table, dict) else {}
    table.pop(name[1], None)
    return {**data, section: {**table, key: value}}, f"{section}.{key} is {value!r} until this is mended"


def _numbers(text: str, broken: list[tomltext.Broken]) -> list[int]:
    """Which of the text's providers are read."""
    gone = {b.table.start for b in broken}
    listed = [t for t in tomltext.tables(text) if t.listed and t.path == ("provider",)]
    return [number for number, table in enumerate(listed) if table.start not in gone]


class _Left:
    """What is left of the data, one mistake after another."""

    def __init__(self, data: Data, lines: dict[Place, int], numbers: list[int]) -> None:
        self.data = copy.deepcopy(data)
        self._lines = lines
        self._numbers = numbers  # of the providers that are left, as they stand in the text

    def clean(self, check: Check | None) -> list[Flaw]:
        flaws: list[Flaw] = []
        while (error := _wrong(self.data, check)) is not None:
            if not self.data:
                break
            if error.problems:
                flaws.append(self._take_out(error.problems[0]))
            else:
                self.data = {}
                flaws.append(Flaw(None, str(error), "left out: everything"))
        return flaws

    def _take_out(self, problem: Mistake) -> Flaw:
        where, told = self._as_written(problem)
        told = told.replace("Input should be", "must be")
        line = tomltext.line_of(where, self._lines)
        guard = _guard_of(problem)
        if guard is not None and not self._strict(guard):
            _cut(self.data, problem.where)
            self.data, done = _guarded(self.data, guard)
            return Flaw(line, told, done)
        return Flaw(line, told, f"left out: {self._cut(problem.where)}")

    def _strict(self, guard: tuple[str, str]) -> bool:
        section, key, value = STRICTEST[guard]
        table = self.data.get(section)
        return isinstance(table, dict) and table.get(key) == value

    def _as_written(self, problem: Mistake) -> tuple[Place, str]:
        """The place and sentence with the provider's number in the text."""
        where, told = problem
        if where[:1] != ("provider",) or len(where) < 2 or not isinstance(where[1], int):
            return where, told
        number = self._numbers[where[1]] if where[1] < len(self._numbers) else where[1]
        return ("provider", number, *where[2:]), told.replace(f"provider[{where[1]}]", f"provider[{number}]", 1)

    def _cut(self, where: Place) -> str:
        providers = self.data.get("provider")
        if where[:1] != ("provider",) or not isinstance(providers, list) or len(where) < 2:
            return _cut(self.data, where)
        number = int(where[1])
        item = providers[number]
        name = item.get("name") if isinstance(item, dict) else None
        whom = f"the provider {name!r}" if isinstance(name, str) else "the provider"
        if len(where) > 2 and isinstance(item, dict) and where[2] in item and where[2] not in VITAL:
            return f"{_cut(item, where[2:])} of {whom}"
        del providers[number]
        del self._numbers[number : number + 1]
        return whom


def _wrong(data: Data, check: Check | None) -> ConfigError | None:
    try:
        settings = validate(data, "")
        if check is not None:
            check(settings)
    except ConfigError as error:
        return error
    return None


def _guard_of(problem: Mistake) -> tuple[str, str] | None:
    """The guard that is wrong, or is meant by a key that there is not."""
    if len(problem.where) < 2:
        return None
    meant = re.search(r"did you mean '(\w+)'", problem.told)
    for key in (problem.where[1], meant[1] if meant and "no such key" in problem.told else None):
        if (problem.where[0], key) in STRICTEST:
            return str(problem.where[0]), str(key)
    return None


def _cut(data: Data, where: Place) -> str:
    """Take the innermost thing out that is there; returns its name."""
    inner: Any = data
    for depth, part in enumerate(where):
        last = depth == len(where) - 1
        more = inner[part] if _has(inner, part) else None
        if not last and isinstance(more, dict | list) and _has(more, where[depth + 1]):
            inner = more
        elif _has(inner, part):
            del inner[part]
            return ".".join(map(str, where[: depth + 1]))
    data.clear()
    return "everything"


def _has(holder: Any, part: int | str) -> bool:
    return part in holder if isinstance(holder, dict) else isinstance(part, int) and part < len(holder)
