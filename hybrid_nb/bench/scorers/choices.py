# ruff: noqa: ARG001 - every way of choosing is called alike
"""The scorer choice: which of several options an answer takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hybrid_nb.bench.grading.numbers import last_boxed
from hybrid_nb.bench.grading.protocol import Scorer
from hybrid_nb.bench.grading.targets import plain, shown
from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.bench.scorers.texts import Normal, contains
from hybrid_nb.core.inputs import OptionValueError

LETTERS = "ABCDEFGHIJ"
_SAYS = re.compile(
    r"(?:\b(?:answer|choice|option|antwort|respuesta|réponse|risposta|resposta)\b|答案)[*_\s]*"
    r"(?:(?:is|would be|should be|must be|ist|es|est|è|é)\b|[:：=是为])+[*_:：\s]*(?:the\s+)?"
    r"(?:option|choice|letter)?[*_:\s]*[(\[{]?[*_]*(?:\$?\\(?:text|mathrm|textbf)\{)?"
    r"(?P<letter>[A-Z])(?![\w'’])(?!\s+(?:think|believe|guess|would|am)\b)"
    r"(?P<after>[*_}\$]*[)\]}.,:;*\n]|[*_\s]*$)?",
    re.IGNORECASE,
)
_ALSO = re.compile(r"[*_}\$)\]]*\s*(?:,|and|or|&|/|und|oder)\s*[(\[*_]*(?P<letter>[A-Z])(?![\w'’]|\s+[a-z])")
_LINE = re.compile(r"^[ \t*_>#]*[(\[]?(?P<letter>[A-Z])[)\].:]?[ \t*_.]*\r?$", re.MULTILINE)
_LEAD = re.compile(r"^[\s*_>#]*(?:[(\[](?P<a>[A-Z])[)\]]|(?P<b>[A-Z])[).:](?=\s|\*|$))")
_MARKED = re.compile(r"[(\[](?P<a>[A-Z])[)\]]|\*\*(?P<b>[A-Z])\*\*|\b(?i:option|choice)\s+(?P<c>[A-Z])\b(?!['’])")
_NORMAL = Normal(case=True, punctuation=True)


class Options(NamedTuple):
    """What there is to choose from: letters, and the texts behind them where they are known."""

    letters: str
    texts: tuple[str, ...] = ()

    def letter_of(self, told: str) -> str | None:
        """The letter of a target: itself "B" or "(B)", or the one of its text."""
        bare = told.strip().strip("()[].:").upper()
        if len(bare) == 1 and bare in self.letters:
            return bare
        alike = [_NORMAL.of(text) for text in self.texts]
        wanted = _NORMAL.of(told)
        return self.letters[alike.index(wanted)] if wanted in alike else None

    def shown(self, letter: str) -> str:
        place = self.letters.index(letter)
        return f"{letter} ({shown(self.texts[place], 40)})" if place < len(self.texts) else letter


class Choice(Scorer):
    needs_target = True

    def __init__(self, choices: Sequence[str] | None, column: str, name: str) -> None:
        self.choices, self.column, self.name = choices, column, name

    def options(self, item: Item) -> Options:
        given = item.extra.get(self.column) if self.choices is None else self.choices
        if isinstance(given, Mapping):  # as Hugging Face has it: {"text": [...], "label": [...]}
            given = given.get("text")
        if given is None or isinstance(given, str) or not hasattr(given, "__iter__"):
            return Options(LETTERS)
        found = tuple(plain(one) for one in given)
        return Options("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(found)], found)

    def target(self, item: Item) -> str | None:
        options = self.options(item)
        if options.texts and isinstance(item.target, int) and 0 <= item.target < len(options.texts):
            return options.letters[item.target]
        return options.letter_of(plain(item.target))

    def check(self, items: Sequence[Item]) -> None:
        super().check(items)
        for item in items:
            if self.target(item) is None:
                known = self.options(item)
                told = f"one of {', '.join(known.texts)}" if known.texts else f"a letter of {known.letters}"
                raise OptionValueError(f"the scorer {self.name}: the target of {item.id!r} must be {told}")

    def rate(self, sample: Sample) -> Score:
        options, wanted = self.options(sample.item), self.target(sample.item)
        if wanted is None:
            return Score(None, f"the target is none of the options: {shown(plain(sample.target))!r}")
        said = chosen(sample.output, options)
        right = f"the target is {options.shown(wanted)}"
        if len(said) == 1:
            return Score(float(said[0] == wanted), f"it takes {options.shown(said[0])}, {right}", said[0])
        if said:
            return Score(0.0, f"ambiguous: it names {' and '.join(said)} and settles on none; {right}")
        return Score(0.0, f"it takes none of the options; {right}")


def choice(choices: Sequence[str] | None = None, *, column: str = "choices", name: str = "choice") -> Scorer:
    """1 when an answer takes the right one of several options, else 0. An answer that settles on none is 0 and says so.

    "The answer is (B)", a last line "B", "B) Paris", \\boxed{B}, or the text of one option alone is a choice of B; what
    is said last counts. The target is a letter, the text of an option, or with known texts its number from 0.

    Args:
        choices: the options' texts, the same for all samples; default: those in the data's `column`, else letters only.
    """
    if choices is not None and (isinstance(choices, str) or not 2 <= len(choices) <= 26):
        raise OptionValueError("choice: choices must be a list of 2 to 26 texts")
    return Choice(choices, column, name)


def chosen(text: str, options: Options) -> list[str]:
    """The letters that an answer settles on: one, or several where it is ambiguous. The surest way to say it counts."""
    for way in (_boxed, _says, _lines, _lead, _by_text, _marked):
        found = [letter for letter in way(text, options) if letter in options.letters]
        if found:
            return list(dict.fromkeys(found))
    return []


def _boxed(text: str, options: Options) -> Iterator[str]:
    found = last_boxed(text)
    if found is not None:
        bare = re.sub(r"\\(?:text|mathrm|textbf)\{(.*)\}", r"\1", found)
        yield options.letter_of(bare) or ""


def _says(text: str, options: Options) -> list[str]:
    """ "The answer is B": the last that says so; a small letter only where nothing follows it. "A and C" are two."""
    said = [m for m in _SAYS.finditer(text) if m["letter"].isupper() or m["after"] is not None]
    if not said:
        return []
    also = _ALSO.match(text, said[-1].end("letter"))
    return [said[-1]["letter"].upper(), *([also["letter"]] if also else [])]


def _lines(text: str, options: Options) -> list[str]:
    """A line that is only a letter; the last one."""
    return [match["letter"] for match in _LINE.finditer(text)][-1:]


def _lead(text: str, options: Options) -> Iterator[str]:
    """It begins with "B)" - and does not go on to list the others, in this line or in the same way."""
    match = _LEAD.match(text)
    lines = text.strip().splitlines()
    listed = sum(bool(_LEAD.match(line)) for line in lines)
    if match and listed == 1 and len(set(_marked(lines[0], options))) <= 1:
        yield match["a"] or match["b"]


def _by_text(text: str, options: Options) -> list[str]:
    """The texts of options that it has; one inside another ("York" in "New York") counts where it stands alone."""
    said = _NORMAL.of(text)
    pairs = sorted(zip(options.letters, map(_NORMAL.of, options.texts), strict=False), key=lambda pair: -len(pair[1]))
    found = []
    for letter, option in pairs:
        if contains(said, option, words=True):
            found.append(letter)
            said = said.replace(option, " \x00 ")
    return sorted(found)


def _marked(text: str, options: Options) -> list[str]:
    return [m["a"] or m["b"] or m["c"] for m in _MARKED.finditer(text)]
