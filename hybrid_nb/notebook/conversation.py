"""A conversation as a tree of turns: an edited turn or a second answer is a branch beside the first. Pure.

A Conversation is a value: every operation gives a new one. Turns are only ever added (an answer that was on its way
is filled in), so no branch is lost; what is shown is the path from one of the turns, the tip, back to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple

from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.types import Image, Message, Reply, money

Status = Literal["done", "running", "stopped", "broken", "failed", "edited"]
UNDOS = 200  # operations that can be taken back
FREE = Decimal(0)


class ConversationError(OptionValueError):
    """What was asked for makes no sense here; the message says why."""


def whole(text: str) -> str:
    """The text with U+FFFD for halves of characters (lone surrogates): no page, file or wire takes them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A table or text that goes with a turn, as Markdown."""

    name: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", whole(self.name))
        object.__setattr__(self, "text", whole(self.text))


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn and what it took. Seconds, US dollars, tokens; None: unknown, or not a matter of this turn.

    `status` of an answer: "running", "done", "stopped" (by the user), "broken" (its stream broke, or the kernel went),
    "failed" (no text came), "edited" (written by the user). `asked` is the name that was asked for, None: automatic.
    """

    id: int
    before: int | None
    role: Literal["user", "assistant"]
    text: str = ""
    status: Status = "done"
    time: float | None = None  # unix time
    images: tuple[Image, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    asked: str | None = None
    provider: str | None = None
    model: str | None = None
    cost: Decimal | None = None
    latency: float | None = None
    ttft: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    route: str = ""
    footer: str = ""
    error: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", whole(self.text))

    @property
    def who(self) -> str:
        """ "You", "provider/model", or who was asked."""
        if self.role == "user":
            return "You"
        if self.status == "edited":
            return "Edited answer"
        return f"{self.provider}/{self.model}" if self.provider and self.model else self.asked or "auto"

    @property
    def content(self) -> str:
        """The text with its attachments, as it is sent."""
        return "\n\n".join([self.text, *(f"{a.name}:\n\n{a.text}" for a in self.attachments)]).strip()


def record(reply: Reply) -> dict[str, Any]:
    """The fields of a turn that an answer fills in."""
    return {
        "text": reply.text,
        "status": "done",
        "provider": reply.provider or None,
        "model": reply.model or None,
        "cost": reply.cost,
        "latency": reply.latency,
        "ttft": reply.ttft,
        "input_tokens": reply.usage.input_tokens,
        "output_tokens": reply.usage.output_tokens,
        "route": str(reply.route),
        "footer": reply.footer(),
    }


class View(NamedTuple):
    """What is shown: the path to `tip`, of the turns from `start` on (those before were cleared)."""

    tip: int | None = None
    start: int = 0
    system: str = ""


class Undo(NamedTuple):
    """A view to come back to, and how many turns there were then."""

    view: View
    size: int


class Total(NamedTuple):
    """The sum of all answers of a conversation, also of those on other branches and taken back: they were paid for.

    `cost` sums what is known (dollars), `unknown` counts the answers whose cost is not.
    """

    answers: int
    cost: Decimal
    unknown: int
    input_tokens: int
    output_tokens: int

    def __str__(self) -> str:
        if not self.answers:
            return "no answer yet"
        counted = f"{self.answers:,} answer{'s' * (self.answers != 1)}"
        if self.unknown == self.answers:
            return f"{counted} · unknown cost"
        known = f"{counted} · {money(self.cost)}"
        return f"{known} + {self.unknown:,} of unknown cost" if self.unknown else known


@dataclass(frozen=True)
class Conversation:
    """The turns, what is shown of them, and the views that undo comes back to."""

    turns: tuple[Turn, ...] = ()
    view: View = field(default_factory=View)
    past: tuple[Undo, ...] = ()
    hidden: frozenset[int] = frozenset()  # turns whose making was undone

    # --- looking ---

    @cached_property
    def _children(self) -> dict[int | None, list[int]]:
        found: dict[int | None, list[int]] = {}
        for turn in self.turns:
            if turn.id not in self.hidden and (turn.before is not None or turn.id >= self.view.start):
                found.setdefault(turn.before, []).append(turn.id)
        return found

    @cached_property
    def path(self) -> tuple[Turn, ...]:
        """The turns that are shown, oldest first."""
        found, at = [], self.view.tip
        while at is not None:
            found.append(self.turns[at])
            at = self.turns[at].before
        return tuple(reversed(found))

    @property
    def running(self) -> Turn | None:
        """The answer that is on its way, shown or not."""
        return next((turn for turn in reversed(self.turns) if turn.status == "running"), None)

    def turn(self, number: int) -> Turn:
        """The turn of this id. Raises ConversationError."""
        if not 0 <= number < len(self.turns):
            raise ConversationError(f"there is no turn {number}")
        return self.turns[number]

    def siblings(self, number: int) -> tuple[int, ...]:
        """The turns that stand at the same place on their branches, oldest first; this one is among them."""
        return tuple(self._children.get(self.turn(number).before, ()))

    def messages(self, answer: int) -> list[Message]:
        """What is sent for an answer: the system prompt and the turns before it. Turns of one role that follow each
        other, as after a failed answer, are one message: many vendors demand that the roles take turns.
        """
        found = [Message("system", self.view.system)] if self.view.system.strip() else []
        before = self.turn(answer).before
        for turn in () if before is None else replace(self, view=self.view._replace(tip=before)).path:
            if not (turn.content or turn.images):
                continue
            if found and found[-1].role == turn.role:
                last = found.pop()
                text = "\n\n".join(part for part in (last.text, turn.content) if part)
                found.append(Message(turn.role, text, last.images + turn.images))
            else:
                found.append(Message(turn.role, turn.content, turn.images))
        return found

    @property
    def total(self) -> Total:
        """What all answers took together."""
        asked = [t for t in self.turns if t.role == "assistant" and t.status not in ("running", "edited")]
        return Total(
            len(asked),
            sum((t.cost for t in asked if t.cost is not None), Decimal(0)),
            sum(t.cost is None for t in asked),
            sum(t.input_tokens or 0 for t in asked),
            sum(t.output_tokens or 0 for t in asked),
        )

    # --- changing ---

    def _viewed(self, view: View, *added: Turn) -> Conversation:
        past = (*self.past, Undo(self.view, len(self.turns)))[-UNDOS:]
        return replace(self, turns=self.turns + added, view=view, past=past)

    def _asked(self, user: Turn, asked: str | None, time: float | None) -> Conversation:
        answer = Turn(user.id + 1, user.id, "assistant", status="running", time=time, asked=asked)
        return self._viewed(self.view._replace(tip=answer.id), user, answer)

    def ask(
        self,
        text: str,
        images: Sequence[Image] = (),
        attachments: Sequence[Attachment] = (),
        asked: str | None = None,
        time: float | None = None,
    ) -> Conversation:
        """A turn of the user at the tip, and after it an answer that is running; it is the new tip."""
        if not (text.strip() or images or attachments):
            raise ConversationError("there is nothing to send yet: write a message")
        user = Turn(len(self.turns), self.view.tip, "user", text, "done", time, tuple(images), tuple(attachments))
        return self._asked(user, asked, time)

    def retry(self, answer: int | None = None, asked: str | None = None, time: float | None = None) -> Conversation:
        """Another answer beside this one (None: the last that is shown)."""
        old = next((t for t in reversed(self.path) if t.role == "assistant" and answer in (None, t.id)), None)
        if old is None:
            raise ConversationError("there is no answer to ask for again")
        new = Turn(len(self.turns), old.before, "assistant", status="running", time=time, asked=asked)
        return self._viewed(self.view._replace(tip=new.id), new)

    def edit(self, number: int, text: str, asked: str | None = None, time: float | None = None) -> Conversation:
        """A branch: beside a turn of the user another text with a new answer; beside an answer another text."""
        old = self.turn(number)
        if not (text.strip() or old.images or old.attachments):
            raise ConversationError("a turn cannot be empty")
        if old.role == "user":
            user = replace(old, id=len(self.turns), text=text, time=time)
            return self._asked(user, asked, time)
        new = Turn(len(self.turns), old.before, "assistant", text, "edited", time)
        return self._viewed(self.view._replace(tip=new.id), new)

    def pick(self, number: int) -> Conversation:
        """Show the branch on which this turn is, to its latest end."""
        if number not in self.siblings(number):
            raise ConversationError(f"turn {number} was taken back")
        while self._children.get(number):
            number = self._children[number][-1]
        return self._viewed(self.view._replace(tip=number))

    def clear(self) -> Conversation:
        """Show nothing; the turns are kept, and undo brings them back."""
        return self._viewed(self.view._replace(tip=None, start=len(self.turns)))

    def with_system(self, text: str) -> Conversation:
        """Another system prompt, from the next answer on."""
        text = whole(text)
        return self if text == self.view.system else self._viewed(self.view._replace(system=text))

    def undo(self) -> Conversation:
        """What was shown before the last operation; the turns that it made are hidden."""
        if not self.past:
            raise ConversationError("there is nothing to undo")
        last = self.past[-1]
        gone = self.hidden | set(range(last.size, len(self.turns)))
        return replace(self, view=last.view, past=self.past[:-1], hidden=gone)

    def finished(self, number: int, **fields: Any) -> Conversation:
        """A running answer, filled in."""
        turn = replace(self.turn(number), **fields)
        return replace(self, turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))
