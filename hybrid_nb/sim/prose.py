"""Answers to everything that has no known answer: short Markdown, or as many words as were asked for."""

from __future__ import annotations

import re

from . import tokens
from .chance import digest, pick

_WORDS_WANTED = re.compile(r"\b(\d{1,5})[- ]words?\b", re.IGNORECASE)
_SENTENCES_WANTED = re.compile(r"\b(\d{1,3}) sentences?\b", re.IGNORECASE)
_COUNT_TO = re.compile(r"\bcount\b.{0,30}?\bto (\d{1,5})\b", re.IGNORECASE | re.DOTALL)
_LONG = re.compile(r"\b(?:long|detailed|essay|story|at length|in depth|thorough)\b", re.IGNORECASE)
_CODE = re.compile(r"\b(?:code|python|function|script|program|regex|sql)\b", re.IGNORECASE)
_LONG_WORDS = 300

_OPENINGS = (
    "This answer comes from a simulated model ({model}).",
    "A simulated model ({model}) wrote this; nothing in it is knowledge.",
    "Please note: {model} is simulated, so treat this as sample text.",
)
_HEADINGS = ("## About {topic}", "**About {topic}**", "### {topic}: a short view", "**In short: {topic}**")
_POINTS = (
    "Start from what is measured, not from what is assumed.",
    "Keep the first version small and easy to check.",
    "Write down what would change the conclusion.",
    "Compare at least two options under the same conditions.",
    "Look at the slowest case as well as at the average.",
    "Prefer a plain step that works to a clever one that might.",
    "Name the cost before choosing the method.",
    "Ask what happens when one part fails.",
)
_SENTENCES = (
    "A simulated model fills this space with even and harmless words.",
    "Each sentence has the same calm tone and says little on purpose.",
    "The length is what was asked for and the content is only a sample.",
    "Numbers in such a text would mean nothing so there are none.",
    "Readers may scroll through it to see how streaming looks.",
    "The words arrive one after another at a speed that was set before.",
    "Nothing here was learned from data or looked up anywhere.",
)
_SNIPPET = '```python\ndef simulated(question: str) -> str:\n    return f"no real model read: {question}"\n```'


def write(prompt: str, model: str, *seed: object) -> str:
    """A text that looks like an answer, says that it is simulated and varies with the prompt."""
    if hit := _COUNT_TO.search(prompt):
        return ", ".join(str(number) for number in range(1, int(hit.group(1)) + 1))
    if hit := _SENTENCES_WANTED.search(prompt):
        return " ".join(_sentence(index, model, *seed) for index in range(int(hit.group(1))))
    if wanted := _words_wanted(prompt):
        return _filler(wanted, model, *seed)
    return _markdown(prompt, model, *seed)


def think(size: int, prompt: str) -> tuple[str, ...]:
    """So many tokens of reasoning about a prompt."""
    return tokens.split(_filler(size, "a simulated mind", prompt))[:size] if size else ()


def topic(prompt: str) -> str:
    """The first words of a prompt, as a heading may hold them."""
    words = re.findall(r"[\w'’-]+", prompt)[:8]
    return " ".join(words) or "an empty question"


def _words_wanted(prompt: str) -> int:
    if hit := _WORDS_WANTED.search(prompt):
        return int(hit.group(1))
    return _LONG_WORDS if _LONG.search(prompt) else 0


def _sentence(index: int, model: str, *seed: object) -> str:
    if index == 0:
        return _OPENINGS[0].format(model=model)
    return _SENTENCES[(digest(*seed, "sentence") + index) % len(_SENTENCES)]


def _filler(words: int, model: str, *seed: object) -> str:
    """Exactly this many words."""
    text: list[str] = []
    index = 0
    while len(text) < words:
        text += _sentence(index, model, *seed).split()
        index += 1
    return " ".join(text[:words])


def _markdown(prompt: str, model: str, *seed: object) -> str:
    start = digest(*seed, "points")
    points = [f"- {_POINTS[(start + 3 * index) % len(_POINTS)]}" for index in range(2 + start % 3)]
    blocks = [
        pick(_HEADINGS, *seed, "heading").format(topic=topic(prompt)),
        pick(_OPENINGS, *seed, "opening").format(model=model),
        "\n".join(points),
    ]
    if _CODE.search(prompt) or start % 5 == 0:
        blocks.append(_SNIPPET)
    return "\n\n".join(blocks)
