"""`%llm capital of France?` asks the model: without this IPython takes the question mark for its help syntax."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign, TokenTransformBase

_QUESTION = re.compile(r"^\s*(?:[\w.\[\]'\", ]+=\s*)?%llm\s+[^\s?]")


class Question(TokenTransformBase):
    """A line `%llm prompt?` or `x = %llm prompt?`, taken before the help syntax at the same place."""

    priority = 1

    def __init__(self, start: Any, inner: TokenTransformBase) -> None:
        super().__init__(start)
        self.inner = inner

    @classmethod
    def find(cls, tokens_by_line: Any) -> Question | None:
        """The first such line of the cell."""
        for line in tokens_by_line:
            text = line[0].line if line else ""
            if not (text.rstrip().endswith("?") and _QUESTION.match(text)):
                continue
            inner = MagicAssign.find([line]) or EscapedCommand.find([line])
            if inner is not None:
                return cls((inner.start_line + 1, 0), inner)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The line as a call of the magic."""
        changed: list[str] = self.inner.transform(lines)
        return changed


def install(shell: Any) -> None:
    """Teach the shell's input transformer, once."""
    manager = getattr(shell, "input_transformer_manager", None)
    if manager is not None and Question not in manager.token_transformers:
        manager.token_transformers.insert(0, Question)


def remove(shell: Any) -> None:
    """Take it out again."""
    manager = getattr(shell, "input_transformer_manager", None)
    if manager is not None and Question in manager.token_transformers:
        manager.token_transformers.remove(Question)
