"""What a prompt offers to fill fields with: numbers, names, places, quoted texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import facts

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(r"[\"“”]([^\"“”]{1,200})[\"“”]|(?<!\w)'([^']{1,200})'(?!\w)")
_PLACE = re.compile(r"\b(?:in|for|at|to|from|of|near|is)\s+((?:[A-Z][\w'-]+)(?: [A-Z][\w'-]+)*)")
_NAME = re.compile(r"(?<=[a-z,] )([A-Z][\w'-]+(?: [A-Z][\w'-]+)*)")
_CITIES = (*facts.CAPITALS.values(), "London", "New York", "Munich", "Milan", "Kraków", "São Paulo")

PLACE_FIELDS = {"city", "location", "place", "town", "destination", "origin", "country"}
ANSWER_FIELDS = {"answer", "result", "value", "output", "solution", "total", "sum", "product", "capital", "author"}
QUERY_FIELDS = {"query", "question", "prompt", "q", "text", "input", "message", "topic", "search"}
EXPRESSION_FIELDS = {"expression", "formula", "equation", "calculation", "expr"}


@dataclass
class Hints:
    """The findings of one prompt; lists shrink as fields take from them."""

    prompt: str = ""
    answer: str | None = None
    seed: tuple[object, ...] = ()
    numbers: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, prompt: str, answer: str | None = None, seed: tuple[object, ...] = ()) -> Hints:
        """Read a prompt."""
        cities = [city for city in _CITIES if re.search(rf"\b{re.escape(city)}\b", prompt)]
        cities.sort(key=prompt.index)
        return cls(
            prompt=prompt,
            answer=answer,
            seed=seed,
            numbers=_NUMBER.findall(prompt),
            places=cities or _PLACE.findall(prompt),
            quoted=[one or two for one, two in _QUOTED.findall(prompt)],
            names=_NAME.findall(prompt),
        )

    def text(self, name: str) -> str | None:
        """Text for a string field of this name; None when the prompt offers nothing fitting."""
        word = name.lower().rsplit("_", 1)[-1]
        if word in PLACE_FIELDS:
            return _take(self.places)
        if word in EXPRESSION_FIELDS:
            return facts.expression(self.prompt)
        if self.quoted:
            return _take(self.quoted)
        if word in QUERY_FIELDS:
            return self.prompt
        return _take(self.names) if word == "name" else None

    def number(self) -> str | None:
        """The next number of the prompt."""
        return _take(self.numbers)


def _take(items: list[str]) -> str | None:
    return items.pop(0) if items else None
