"""A deterministic tokeniser: the tokens of a text, joined, are the text."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]{1,2}|\s+")


def split(text: str) -> tuple[str, ...]:
    """Cut a text into tokens.

    >>> split("Hello, simulated world!")
    ('Hello', ',', ' simula', 'ted', ' world', '!')
    """
    return tuple(_TOKEN.findall(text))


def count(text: str) -> int:
    """How many tokens a text has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def group(tokens: tuple[str, ...], size: int) -> list[tuple[str, int]]:
    """Join tokens into chunks of ``size``: pairs of text and number of tokens."""
    size = max(1, size)
    parts = (tokens[at : at + size] for at in range(0, len(tokens), size))
    return [("".join(part), len(part)) for part in parts]
