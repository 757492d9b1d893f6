"""A long frame: prompts and tasks exist only for the calls under way."""

from __future__ import annotations

from typing import Self

import pandas as pd

from tests.conftest import model_of

ROWS = 800


def test_prompts_are_made_as_they_are_needed(router, fleet):
    alive = most = 0

    class Text(str):
        __slots__ = ()

        def __new__(cls, text: str) -> Self:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, text)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def prompt(row: pd.Series) -> str:
        return Text(f"What is {row['n']} + 1?")

    frame = pd.DataFrame({"n": range(ROWS)})
    found = router.map(frame, prompt, model=model_of("openai"), max_tokens=20, concurrency=4, progress=False)
    assert found.error.isna().all()
    assert len(fleet["openai"].chats) == ROWS
    assert most < ROWS / 4  # what waits for the garbage collector is among them
