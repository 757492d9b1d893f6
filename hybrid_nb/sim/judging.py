"""A simulated judge: it grades or compares the answers in a prompt by the facts, with biases that can be set."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import facts
from .chance import share

_BLOCK = re.compile(r"^<(question|reference|answer\w*)>\n(.*?)\n</\1>$", re.DOTALL | re.MULTILINE)
_FORM = re.compile(r"^VERDICT: (.*)$", re.MULTILINE)
_RANGE = re.compile(r"a number from (\S+) to (\S+)")


@dataclass(frozen=True)
class Judge:
    """What a simulated model says as a judge: ``Model("judge", says=(("VERDICT:", Judge()),))``.

    An answer is right when it has the reference, or else the truth of a question that is known. It reads blocks
    ``<question>``, ``<reference>``, ``<answer>`` (or ``<answer_a>`` and ``<answer_b>``), and the form of the verdict in
    the last line that begins with ``VERDICT:``.

    Args:
        first: share of comparisons in which it takes what stands first, whatever it is.
        longer: share of comparisons in which it takes the longer answer; and adds so much of the scale to an answer
            of more than 200 characters.
        silent: share of prompts to which it gives no verdict.
        seed: makes another judge of the same kind.
    """

    first: float = 0.0
    longer: float = 0.0
    silent: float = 0.0
    seed: int = 0

    def __call__(self, prompt: str) -> str:
        blocks = {tag: _unquoted(text) for tag, text in _BLOCK.findall(prompt)}
        if share(self.seed, "silent", prompt) < self.silent:
            return "I would rather not say."
        answers = {tag: text for tag, text in blocks.items() if tag.startswith("answer")}
        right = {tag: _right(text, blocks) for tag, text in answers.items()}
        if len(answers) > 1:
            return self._compared(answers, right, blocks.get("question", ""))
        form = ["", *_FORM.findall(prompt)][-1]
        return self._graded("".join(answers.values()), any(right.values()), form)

    def _compared(self, answers: dict[str, str], right: dict[str, bool], question: str) -> str:
        one, other = list(answers)[:2]
        drawn = share(self.seed, "bias", question, *sorted(answers.values()))
        if drawn < self.first:
            return "The first stands first.\nVERDICT: A"
        more = len(answers[one]) - len(answers[other])
        if drawn < self.first + self.longer and more:
            won = "A" if more > 0 else "B"
            return f"{won} says more.\nVERDICT: {won}"
        won = "TIE" if right[one] == right[other] else "A" if right[one] else "B"
        return f"Simulated: A is {_word(right[one])}, B is {_word(right[other])}.\nVERDICT: {won}"

    def _graded(self, answer: str, right: bool, form: str) -> str:
        found = _RANGE.search(form)
        if not found:
            words = re.split(r", | or ", form)
            return f"Simulated: it is {_word(right)}.\nVERDICT: {words[0] if right else words[-1]}"
        low, high = float(found[1]), float(found[2])
        bonus = self.longer if len(answer) > 200 else 0.0
        grade = low + (high - low) * min(1.0, right * (1 - self.longer) + bonus)
        return f"Simulated: it is {_word(right)}.\nVERDICT: {grade:g}"


def _unquoted(text: str) -> str:
    return "\n".join(line.removeprefix("| ") for line in text.split("\n"))


def _right(answer: str, blocks: dict[str, str]) -> bool:
    fact = facts.find(blocks.get("question", ""))
    truths = blocks["reference"].splitlines() if "reference" in blocks else [fact.truth] if fact else []
    said = answer.casefold().replace(",", "")
    return any(re.search(rf"(?<!\w){re.escape(truth.casefold())}(?!\w)", said) for truth in truths if truth.strip())


def _word(right: bool) -> str:
    return "right" if right else "wrong"
