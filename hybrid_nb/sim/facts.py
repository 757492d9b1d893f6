"""Questions with a known answer: arithmetic, and look-ups in small tables."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .chance import digest, pick

CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Portugal": "Lisbon",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Hungary": "Budapest",
    "Greece": "Athens",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Denmark": "Copenhagen",
    "Ireland": "Dublin",
    "Japan": "Tokyo",
    "China": "Beijing",
    "India": "New Delhi",
    "Canada": "Ottawa",
    "Australia": "Canberra",
    "Brazil": "Brasilia",
    "Argentina": "Buenos Aires",
    "Egypt": "Cairo",
    "Kenya": "Nairobi",
    "Turkey": "Ankara",
    "Ukraine": "Kyiv",
}
AUTHORS = {
    "Hamlet": "William Shakespeare",
    "Don Quixote": "Miguel de Cervantes",
    "War and Peace": "Leo Tolstoy",
    "Pride and Prejudice": "Jane Austen",
    "Moby-Dick": "Herman Melville",
    "Faust": "Johann Wolfgang von Goethe",
    "The Odyssey": "Homer",
    "Frankenstein": "Mary Shelley",
    "Dracula": "Bram Stoker",
    "The Trial": "Franz Kafka",
}
SYMBOLS = {
    "gold": "Au",
    "silver": "Ag",
    "iron": "Fe",
    "copper": "Cu",
    "oxygen": "O",
    "hydrogen": "H",
    "helium": "He",
    "carbon": "C",
    "sodium": "Na",
    "potassium": "K",
    "lead": "Pb",
    "mercury": "Hg",
}


@dataclass(frozen=True)
class Fact:
    """A question that was recognised, its true answer and one sentence that would hold an answer."""

    truth: str
    sentence: str
    number: bool
    rivals: tuple[str, ...] = ()

    def wrong(self, *words: object) -> str:
        """A plausible answer that is not the true one."""
        if self.number:
            return _near(self.truth, *words)
        return pick([rival for rival in self.rivals if rival != self.truth], *words)


@dataclass(frozen=True)
class _Table:
    cue: re.Pattern[str]
    rows: dict[str, str]
    sentence: str

    def find(self, prompt: str) -> Fact | None:
        if not self.cue.search(prompt):
            return None
        hits = [key for key in self.rows if re.search(rf"\b{re.escape(key)}\b", prompt, re.IGNORECASE)]
        if not hits:
            return None
        key = max(hits, key=len)
        rivals = tuple(dict.fromkeys(self.rows.values()))
        return Fact(self.rows[key], self.sentence.replace("KEY", key), number=False, rivals=rivals)


_TABLES = (
    _Table(re.compile(r"\bcapital\b", re.IGNORECASE), CAPITALS, "The capital of KEY is {}."),
    _Table(re.compile(r"\b(?:wrote|author|written by)\b", re.IGNORECASE), AUTHORS, "KEY was written by {}."),
    _Table(re.compile(r"\bsymbol\b", re.IGNORECASE), SYMBOLS, "The chemical symbol for KEY is {}."),
)

_CUE = re.compile(
    r"\bwhat(?:'s| is| are|’s)\b|\bcalculate\b|\bcompute\b|\bevaluate\b|\bhow much\b|\bsolve\b|\bwork out\b"
    r"|\bresult\b|\banswer\b|\bmultiply\b|\badd\b|\bdivide\b|\bsubtract\b|\bsum\b|=|\d\s*\?",
    re.IGNORECASE,
)
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d\d?/\d\d?/\d{2,4}\b|\b\d\d?:\d\d\b")
_WORDS = (
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"\s*(?:×|\bmultiplied by\b|\btimes\b|(?<=\d)\s*x(?=\s*\d))\s*"), " * "),
    (re.compile(r"\s*(?:÷|\bdivided by\b|\bover\b)\s*"), " / "),
    (re.compile(r"\s*\bplus\b\s*"), " + "),
    (re.compile(r"\s*(?:−|\bminus\b)\s*"), " - "),
)
_PAIRS = (
    (re.compile(r"\b(?:sum of|add) (-?\d[\d.]*) (?:and|to) (-?\d[\d.]*)", re.IGNORECASE), r"\1 + \2"),
    (re.compile(r"\b(?:product of|multiply) (-?\d[\d.]*) (?:and|by) (-?\d[\d.]*)", re.IGNORECASE), r"\1 * \2"),
    (re.compile(r"\bdifference (?:of|between) (-?\d[\d.]*) and (-?\d[\d.]*)", re.IGNORECASE), r"\1 - \2"),
    (re.compile(r"\bdivide (-?\d[\d.]*) by (-?\d[\d.]*)", re.IGNORECASE), r"\1 / \2"),
    (re.compile(r"\bsubtract (-?\d[\d.]*) from (-?\d[\d.]*)", re.IGNORECASE), r"\2 - \1"),
)
_EXPRESSION = re.compile(r"[-(]*\d(?:[\d\s.+*/()-]{0,60}[\d)])?")
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def find(prompt: str) -> Fact | None:
    """The question of a prompt, if it is one that has a known answer.

    >>> find("What is 17 * 23?").truth
    '391'
    """
    for table in _TABLES:
        if fact := table.find(prompt):
            return fact
    return _arithmetic(prompt)


def expression(prompt: str) -> str | None:
    """The first arithmetic expression of a prompt, in Python's notation."""
    plain = _DATE.sub(" ", prompt)
    for pattern, replacement in (*_PAIRS, *_WORDS):
        plain = pattern.sub(replacement, plain)
    runs = (hit.group().strip() for hit in _EXPRESSION.finditer(plain))
    return next((run for run in runs if _value(run) is not None), None)


def _arithmetic(prompt: str) -> Fact | None:
    found = expression(prompt)
    if found is None or not (_CUE.search(prompt) or len(found) * 2 >= len(prompt.strip())):
        return None
    value = _value(found)
    assert value is not None
    return Fact(_show(value), f"{found} = {{}}.", number=True)


def _value(text: str) -> Fraction | None:
    """The value of an expression that has at least one operation; None for anything else."""
    try:
        tree = ast.parse(text, mode="eval").body
        return _evaluate(tree) if isinstance(tree, ast.BinOp) else None
    except (SyntaxError, ValueError, ZeroDivisionError, KeyError):
        return None


def _evaluate(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    raise ValueError("not arithmetic")


def _show(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.4f}".rstrip("0").rstrip(".")


def _near(truth: str, *words: object) -> str:
    """A number that a hasty person might have written instead."""
    value = Fraction(truth)
    step = max(1, abs(int(value)) // 10)
    slip = (1, -1, 2, 10, -10, step, -step)[digest(*words, "slip") % 7]
    return _show(value + slip)
