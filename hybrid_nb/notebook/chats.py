"""Conversations by name: what was said before a question, and where its answer goes. Pure.

A cell that is run again replaces its turns and leaves later ones; its context is the turns before it. A cell that asks
several times has a turn for each. Without a cell's id (a terminal) every question is a new turn at the end. Turns stand
in the order in which they were asked, also where an earlier one is answered later.
"""

from __future__ import annotations

from typing import NamedTuple

from hybrid_nb.core.types import Message


class Draft(NamedTuple):
    """A question under way: its place in the conversation, and the cell and the how-manieth question of it."""

    order: int
    launch: int
    cell: str | None
    number: int
    new: bool = False


class Turn(NamedTuple):
    """A question and its answer."""

    draft: Draft
    asked: Message
    answered: Message


class Chat:
    """One conversation."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._launches = 0
        self._runs: dict[str, tuple[str | None, int]] = {}  # by cell: its latest run, and the questions of it

    @property
    def messages(self) -> list[Message]:
        """All that was said, in order."""
        return [message for turn in self._turns for message in (turn.asked, turn.answered)]

    def begin(self, cell: str | None = None, run: str | None = None, new: bool = False) -> Draft:
        """A question of a cell, in a run of it. `new`: the conversation begins afresh once there is an answer."""
        self._launches += 1
        number = self._count(cell, run)
        old = None if cell is None or new else self._of(cell, number)
        order = self._launches if old is None else old.draft.order
        return Draft(order, self._launches, cell, number, new)

    def _count(self, cell: str | None, run: str | None) -> int:
        if cell is None:
            return 0
        latest, count = self._runs.get(cell, (None, 0))
        number = count if latest == run else 0
        self._runs[cell] = (run, number + 1)
        return number

    def _of(self, cell: str, number: int) -> Turn | None:
        found = (t for t in self._turns if (t.draft.cell, t.draft.number) == (cell, number))
        return next(found, None)

    def before(self, draft: Draft) -> list[Message]:
        """What was said before a question."""
        if draft.new:
            return []
        turns = (turn for turn in self._turns if turn.draft.order < draft.order)
        return [message for turn in turns for message in (turn.asked, turn.answered)]

    def keep(self, draft: Draft, asked: Message, answered: Message) -> None:
        """The answer came. A later run of the same cell that has its answer already is left."""
        old = self._of(draft.cell, draft.number) if draft.cell is not None else None
        if old is not None and old.draft.launch > draft.launch:
            return
        kept = [t for t in self._turns if t is not old and not (draft.new and t.draft.launch < draft.launch)]
        self._turns = sorted([*kept, Turn(draft, asked, answered)], key=lambda turn: turn.draft.order)

    def ended(self, cell: str | None, run: str | None) -> None:
        """A run of a cell went well to its end: what earlier runs asked beyond its questions is forgotten."""
        if cell is None or self._runs.get(cell, (None, 0))[0] != run or cell not in self._runs:
            return
        count = self._runs[cell][1]
        self._turns = [t for t in self._turns if t.draft.cell != cell or t.draft.number < count]
