"""The options of the magics: one table from which lines are parsed, explained and completed. Pure.

A line magic's prompt may hold quotes, braces and dollars, so options are read from the left and the rest of the
line is the prompt, untouched.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_nb.core.types import CACHE_MODES, TIERS

FORMATS = ("markdown", "text", "json", "code", "html")


class OptionError(ValueError):
    """The line is wrong; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `kind` turns its text into a value; a flag takes none."""

    name: str
    help: str
    kind: Callable[[str], Any] | None = str
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def key(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")


def dollars(text: str) -> str:
    return text.removeprefix("$")


def variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError(text)
    return text


ASK = (
    Option("--system", "instructions for the model"),
    Option("--temperature", "0 (steady) to 2 (wild)", float),
    Option("--max-tokens", "longest answer", int),
    Option("--to", "variable that gets the Reply (with --background the job)", variable),
    Option("--format", "how the answer is shown", str, FORMATS),
    Option("--chat", "conversation to go on with, by name"),
    Option("--new", "begin that conversation afresh", None),
    Option("--tier", "ask only here", str, TIERS),
    Option("--max-cost", "dollars that the call may cost", dollars),
    Option("--max-ttft", "seconds to the first token that are fast enough", float),
    Option("--min-quality", "0 to 1, as learned from runs (strategy measured)", float),
    Option("--max-latency", "seconds to the end that are fast enough (strategy measured)", float),
    Option("--image", "path, URL or variable of a picture; may be repeated", str, (), True),
    Option("--schema", "pydantic class, JSON schema, or a type such as list[Item]"),
    Option("--frame", "variable that gets the parsed answer as a DataFrame", variable),
    Option("--background", "go on with other cells; the job is in _llm_job", None),
    Option("--no-stream", "show the answer when it is whole", None),
    Option("--cache", "give answers again: from the cache, or from a cassette", str, CACHE_MODES),
    Option("--explain", "show the route too", None),
)
_COMPARED = ("--system", "--temperature", "--max-tokens", "--to", "--image", "--cache")
COMPARE = tuple(o for o in ASK if o.name in _COMPARED)
_EXPLAINED = ("--temperature", "--max-tokens", "--to", "--format", "--tier", "--max-cost", "--max-ttft", "--no-stream")
EXPLAIN = (
    Option("--route", "the last call's route or error; no model is asked", None),
    *(o for o in ASK if o.name in (*_EXPLAINED, "--cache")),
)
COSTS = (
    Option("--by", "columns to group by, with commas"),
    Option("--since", "a date such as 2026-11-01"),
)


@dataclass(slots=True)
class Parsed:
    """A line, taken apart: leading words that are no options, options by key, and the rest."""

    words: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    rest: str = ""


_TOKEN = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))""")


def parse(line: str, options: Sequence[Option], is_word: Callable[[str], bool] | None = None) -> Parsed:
    """Take a line apart. `is_word` tells the words that may stand before the rest (None: every word may).

    Raises OptionError.
    """
    parsed = Parsed()
    at = 0
    while match := _TOKEN.match(line, at):
        bare = match[3]
        if bare is not None and bare.startswith("--") and len(bare) > 2:
            at = _option(line, match, options, parsed)
            continue
        word = next(group for group in match.groups() if group is not None)
        if is_word is not None and (bare is None or not is_word(word) or parsed.words):
            break
        parsed.words.append(_value(match))
        at = match.end()
    parsed.rest = line[at:].strip()
    return parsed


def _value(match: re.Match[str]) -> str:
    """The text of a token, without its quotes. Raises OptionError for a quote that is not closed."""
    bare = match[3]
    if bare is not None and bare.startswith(("'", '"')):
        raise OptionError(f"a quote is not closed: {match.string[match.start(3) :].strip()}")
    return next(group for group in match.groups() if group is not None)


def _option(line: str, match: re.Match[str], options: Sequence[Option], parsed: Parsed) -> int:
    """Read one option at `match`; returns where to go on."""
    name, equals, value = match[3].partition("=")
    option = find(name, options)
    end = match.end()
    if option.kind is None:
        if equals:
            raise OptionError(f"{name} takes no value")
        parsed.values[option.key] = True
        return end
    if not equals or value.startswith(("'", '"')):
        following = _TOKEN.match(line, match.start(3) + len(name) + 1 if equals else end)
        if following is None:
            raise OptionError(f"{name} needs a value: {option.help}")
        value = _value(following)
        end = following.end()
    _store(parsed, option, converted(option, value))
    return end


def one_model(parsed: Parsed, instead: str) -> Parsed:
    """The line, when it names one model at most. Raises OptionError."""
    if len(parsed.words) > 1:
        raise OptionError(f"one model at a time, not {' '.join(parsed.words)!r}; {instead}")
    return parsed


def _store(parsed: Parsed, option: Option, value: Any) -> None:
    if option.many:
        parsed.values.setdefault(option.key, []).append(value)
    else:
        parsed.values[option.key] = value


def find(name: str, options: Sequence[Option]) -> Option:
    """The option of this name. Raises OptionError with the nearest."""
    found = next((option for option in options if option.name == name), None)
    if found:
        return found
    names = [option.name for option in options]
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    raise OptionError(f"unknown option {name}: {hint}")


def converted(option: Option, text: str) -> Any:
    """The value of an option's text. Raises OptionError."""
    if option.choices and text not in option.choices:
        raise OptionError(f"{option.name} must be one of {', '.join(option.choices)}, not {text!r}")
    try:
        return option.kind(text) if option.kind else True
    except OptionError:
        raise
    except ValueError:
        what = {float: "a number", variable: "a variable's name"}.get(option.kind, "a whole number")
        raise OptionError(f"{option.name} must be {what}, not {text!r}") from None


def usage(magic: str, words: str, options: Iterable[Option]) -> str:
    """The help text of a magic."""
    lines = [f"{magic} {words} [options]", ""]
    for option in options:
        value = "" if option.kind is None else " " + ("|".join(option.choices) or option.key.upper())
        lines.append(f"  {option.name + value:44}{option.help}")
    return "\n".join(lines)


_NAMED = ("--schema", "--to", "--frame", "--image")  # options whose value may be a variable


def completions(before: str, options: Sequence[Option], models: Iterable[str], names: Iterable[str]) -> list[str]:
    """What may stand at the end of `before`, a magic's line up to the cursor: options, their values, models."""
    words = before.split(" ")
    word, last = words[-1], words[-2] if len(words) > 1 else ""
    if word.startswith("--"):
        return [option.name for option in options if option.name.startswith(word)]
    option = next((o for o in options if o.name == last and o.kind is not None), None)
    if option is None:
        return [model for model in models if model.startswith(word)]
    among = option.choices or (names if option.name in _NAMED else ())
    return [value for value in among if value.startswith(word)]
