r"""Numbers as people and models write them. Pure.

1,591 · 1 591 (a space that does not break) · 1'591 · 1_591 · 12,34,567 · 1.234.567,89 · 3,14 · 1.5e3 · 1.5 × 10^3 ·
10³ · 2^10 · 50% · 1.5 million · −3 · -$3 · 3/4 · \frac{3}{4}. What belongs to a word ("GPT-4", "x2") or is an exponent
("m^2") is none. 1,591 is one thousand five hundred and ninety-one; 1.591 is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_THIN = "\u00a0\u2009\u202f"  # spaces that do not break stand between thousands
_UP = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹−–", "+-0123456789--")
_EXPONENT = r"(?:\^\s?\{?\s?([+\-−]?\d{1,4})\}?|([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4}))"
_LETTER = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u04ff"  # of scripts that put a space before a number
_NUMBER = re.compile(
    rf"""
    (?<![{_LETTER}]) (?<![{_LETTER}][-_]) (?<!\d\.) (?<![\^\d]) (?<!\^[{{+\-])  # not in a word, not an exponent
    (?P<sign>(?<![{_LETTER}\d_)\]}}])[-−–+])? (?:\\?[$€£¥]\s?(?P<inner>[-−–])?)?  # -$3, $-3
    (?P<body>\.?\d(?:[\d.,'’_{_THIN}]*\d)?)
    (?: [eE](?P<e>[+\-−]?\d{{1,4}})(?!\w) | \s?(?:[×x*·⋅]|\\times|\\cdot)\s?10{_EXPONENT} | {_EXPONENT} )?
    (?P<percent>\s?\\?%)? (?P<scale>\s?(?:thousand|million|billion|trillion)\b)?
    """,
    re.VERBOSE,
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_FRAC = re.compile(r"\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
_PLAIN = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_GROUPED = re.compile(
    rf"\d{{1,3}}([,'’_{_THIN}])\d{{3}}(?:\1\d{{3}})*(?:\.\d+)?|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?"
)
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}")
_COMMA = re.compile(r"\d+,\d+")


class Number(NamedTuple):
    """A number in a text: its value, what else it may mean (50% is 50 or 0.5; 2 million is 2000000 or 2), its words."""

    value: float
    other: float | None
    text: str

    def distance(self, wanted: Number) -> float:
        """How far it is from another one, where both are read as what brings them nearest."""
        if self.other is not None and wanted.other is not None:
            return abs(self.value - wanted.value)
        mine, theirs = (self.value, self.other), (wanted.value, wanted.other)
        return min(abs(a - b) for a in mine for b in theirs if a is not None and b is not None)


def numbers(text: str) -> list[Number]:
    """Every number of a text, in its order."""
    text = _FRAC.sub(r"\1/\2", text).replace("{,}", ",").replace("\\,", "\u202f").replace("\\!", "")
    found = [(match.start(), match.end(), number) for match in _NUMBER.finditer(text) for number in _read(match)]
    return list(_fractions(text, found))


def answer(text: str) -> Number | None:
    r"""The number that a text ends in: of its last \boxed{}, else after its last ####, else its last."""
    boxed = last_boxed(text)
    found = numbers(boxed) if boxed is not None else []
    if not found and "####" in text:
        found = numbers(text.rpartition("####")[2])[:1]
    found = found or numbers(text)
    return found[-1] if found else None


def last_boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{...} of a text."""
    _, sign, rest = text.rpartition("\\boxed{")
    depth = 1
    for place, char in enumerate(rest):
        depth += (char == "{") - (char == "}")
        if sign and not depth:
            return rest[:place]
    return None


def _read(match: re.Match[str]) -> Iterator[Number]:
    parts = _parts(match["body"])
    power, base_ten = _power(match)
    for place, digits in enumerate(parts):
        ends = place == len(parts) - 1
        value = _value(float(digits), power if ends else 0, base_ten)
        if (match["sign"] or match["inner"] or "+") != "+" and place == 0:
            value = -value
        if abs(value) != float("inf"):
            text = match[0].strip() if len(parts) == 1 else digits
            yield _meant(value, match, text) if ends else Number(value, None, text)


def _meant(value: float, match: re.Match[str], text: str) -> Number:
    if match["scale"]:
        return Number(value * _SCALES[match["scale"].strip()], value, text)
    return Number(value, value / 100 if match["percent"] else None, text)


def _parts(body: str) -> list[str]:
    """The digits of a number, with a point for its decimals; several where it was a list such as 1,2,3."""
    if _PLAIN.fullmatch(body):
        return [body]
    if _GROUPED.fullmatch(body):
        return [re.sub(r"[^\d.]", "", body)]
    if _DOTTED.fullmatch(body):
        return [body.replace(".", "").replace(",", ".")]
    if _COMMA.fullmatch(body):
        return [body.replace(",", ".")]
    return [part for part in re.split(r"[^\d.]+|\.(?=\d*\.)|(?<=\.\d)\.", body) for part in _PLAIN.findall(part)]


def _power(match: re.Match[str]) -> tuple[int | None, bool]:
    """The exponent, and whether it is one of ten times the number."""
    _, _, _, e, times, times_up, own, own_up, *_ = match.groups()
    ten, base = e or times or times_up, own or own_up
    told = ten or base
    return (int(told.translate(_UP)) if told else None), bool(ten) or not told


def _value(digits: float, power: int | None, base_ten: bool) -> float:
    if not power and base_ten:
        return digits
    try:
        return digits * 10.0**power if base_ten else digits**power  # type: ignore[operator]
    except (OverflowError, ZeroDivisionError):
        return float("inf")


def _fractions(text: str, found: list[tuple[int, int, Number]]) -> Iterator[Number]:
    """Joins 3 and 4 of "3/4"; not 11/21/2026, which is a date."""
    place = 0
    while place < len(found):
        begin, end, number = found[place]
        after = found[place + 1] if place + 1 < len(found) else None
        joined = after is not None and text[end : after[0]] == "/" and text[begin - 1 : begin] != "/"
        if after is not None and joined and text[after[1] : after[1] + 1] != "/" and after[2].value:
            yield Number(number.value / after[2].value, None, f"{number.text}/{after[2].text}")
            place += 2
        else:
            yield number
            place += 1
