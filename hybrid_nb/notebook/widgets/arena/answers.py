"""The answers of an arena: each model answers a prompt once, and one that fails too often is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hybrid_nb.bench.records import Item
from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.notebook.widgets.arena.asking import Answer
from hybrid_nb.notebook.widgets.arena.matches import Key, Match, Pair, text_of

STRIKES = 3  # failures of a model in a row after which it is left out
FAILURE_COLUMNS = ("time", "id", "prompt", "model", "error")


class Answers:
    """What came. `failures` are rows of FAILURE_COLUMNS (unix time), `left_out` models that failed too often.

    A call that the budget refused is no answer: it is asked again.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[Any, ...]] = []
        self.left_out: set[str] = set()
        self._strikes: Counter[str] = Counter()
        self._answers: dict[tuple[str, str], Answer] = {}  # by the prompt's id and the model

    def known(self, match: Match) -> dict[str, Answer]:
        """The good answers to a match that are there already, by model."""
        found = (self._answers.get((match.item.id, model)) for model in match.pair)
        return {answer.model: answer for answer in found if answer is not None and answer.error is None}

    def broken(self, pairs: Iterable[Pair]) -> set[Key]:
        """What cannot be shown, as an answer to it failed."""
        failed = {key for key, answer in self._answers.items() if answer.error is not None}
        return {(ident, pair) for pair in pairs for ident, model in failed if model in pair}

    def learn(self, item: Item, answer: Answer, now: float) -> None:
        """An answer is there, or did not come."""
        key = (item.id, answer.model)
        before = self._answers.get(key)
        if isinstance(answer.error, BudgetExceededError) or (before is not None and before.error is None):
            return
        self._answers[key] = answer
        if answer.error is None:
            self._strikes[answer.model] = 0
            return
        text = f"{type(answer.error).__name__}: {answer.error}"
        self.failures.append((now, item.id, text_of(item), answer.model, text))
        self._strikes[answer.model] += 1
        if self._strikes[answer.model] >= STRIKES:
            self.left_out.add(answer.model)

    def forgive(self) -> None:
        """Let what failed be asked again."""
        self._answers = {key: answer for key, answer in self._answers.items() if answer.error is None}
        self.left_out.clear()
        self._strikes.clear()
