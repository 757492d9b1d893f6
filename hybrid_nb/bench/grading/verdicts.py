"""What a judge is shown and what it says: judged texts that cannot speak for it, and its verdict. Pure.

A judged text may hold anything: the end of its own block, an instruction, a verdict. So every line of it is quoted with
"| ", its tags and its words "VERDICT:" are broken, and only a line of the judge's own that begins with VERDICT: is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_nb.core.inputs import to_messages

_TAG = re.compile(r"<(?=\s*/?\s*(?:answer|question|reference|rubric))", re.IGNORECASE)
_WORD = re.compile(r"verdict(?=[\s*_`\"']*[:：=])", re.IGNORECASE)
_VERDICT = re.compile(r"^[ \t*_#`>-]*VERDICT[*_`]*[ \t]*:[*_`]*[ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")
_FIELD = re.compile(r"\{(\w+)\}")


def quoted(text: str, tag: str) -> str:
    """A judged text as a block of its own, each line after "| "."""
    safe = _WORD.sub("[verdict]", _TAG.sub("‹", text))
    lines = "\n".join(f"| {line}" for line in safe.splitlines() or [""])
    return f"<{tag}>\n{lines}\n</{tag}>"


def filled(template: str, fields: Mapping[str, str]) -> str:
    """A template with its {fields} filled in at once, so that a filled-in text is not searched for fields again."""
    return _FIELD.sub(lambda match: fields.get(match[1], match[0]), template)


def asked(prompt: Any) -> str:
    """A prompt, or messages, as one text."""
    messages = to_messages(prompt)
    if len(messages) == 1:
        return messages[0].text
    return "\n\n".join(f"{message.role}: {message.text}" for message in messages)


def last_verdict(text: str) -> str | None:
    """What stands after the last VERDICT: that begins a line; None where none does."""
    found = _VERDICT.findall(text)
    return found[-1].strip(" *_`.\"'[]()") if found else None


def number(said: str, low: float, high: float) -> float | None:
    """A verdict that is a number within the scale: "4", "4/5", "4 out of 5"."""
    match = _NUMBER.match(said)
    if match is None or not re.fullmatch(r"\s*(?:(?:/|of|out of)\s*[\d.]+)?", said[match.end() :].rstrip(". ")):
        return None
    value = float(match[0].replace("−", "-"))
    return value if low <= value <= high else None


def option(said: str, options: Sequence[str]) -> str | None:
    """A verdict that is one of the options, whatever its case."""
    return next((one for one in options if one.casefold() == said.casefold()), None)


def reason(text: str) -> str:
    """What a judge says before its last verdict, in one line."""
    places = [match.start() for match in _VERDICT.finditer(text)]
    line = " ".join(text[: places[-1]].split() if places else text.split())
    return line if len(line) <= 1000 else f"{line[:999]}…"


# --- how a comparison is told, and read again --------------------------------------------------------------

_ORDERS = re.compile(r"^a first: (a|b|tie|none), b first: (a|b|tie|none); (\d+) and (\d+) characters\b")
_RATED = re.compile(r"^judge (\S+) says ")


class Orders(NamedTuple):
    """Who won where a's answer stood first, and where b's did; and how long the answers are, in characters."""

    a_first: str | None
    b_first: str | None
    a_length: int
    b_length: int

    @property
    def winner(self) -> str | None:
        """Whom both orders prefer; a tie where they disagree, None where one of them is not known."""
        if self.a_first is None or self.b_first is None:
            return None
        return self.a_first if self.a_first == self.b_first else "tie"

    @property
    def told(self) -> str:
        first, second = self.a_first or "none", self.b_first or "none"
        return f"a first: {first}, b first: {second}; {self.a_length} and {self.b_length} characters"


def read_orders(explanation: str) -> Orders | None:
    """The orders that an explanation begins with; None for a vote that tells none, such as a person's."""
    match = _ORDERS.match(explanation)
    if match is None:
        return None
    first, second = (None if one == "none" else one for one in match.groups()[:2])
    return Orders(first, second, int(match[3]), int(match[4]))


def rated(rater: str, said: str, why: str) -> str:
    """The explanation of a judge's score."""
    return f"judge {rater} says {said}" + (f": {why}" if why else "")


def read_rater(explanation: str) -> str | None:
    """Which judge gave a score; None where it was no judge."""
    match = _RATED.match(explanation)
    return match[1] if match else None
