"""Chunks of an attempt -> one answer. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from hybrid_nb.core.types import Chunk, Finish, Message, ToolCall, ToolDelta, Usage

CHARACTERS_PER_TOKEN = 4  # of English prose in common tokenisers; good for an estimate, and marked as one
IMAGE_TOKENS = 1000


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def estimate_input(messages: tuple[Message, ...]) -> int:
    """About how many tokens the messages have, images and the frame of each turn included."""
    total = 0
    for m in messages:
        total += estimate_tokens(m.text) + 4 + IMAGE_TOKENS * len(m.images)
    return total


class Call(NamedTuple):
    """A tool call being put together."""

    id: str | None
    name: str
    arguments: list[str]
    signature: str | None


class Assembler:
    """Joins text, reasoning and tool pieces; the last usage, finish and model win."""

    __slots__ = ("_calls", "_reasoning", "_text", "cost", "finish", "model", "started", "usage")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, Call] = {}
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.model: str | None = None
        self.cost: Decimal | None = None
        self.started = False  # something of the answer has come

    def add(self, chunk: Chunk) -> None:
        """Take one chunk in."""
        if chunk.text:
            self._text.append(chunk.text)
            self.started = True
        if chunk[1:] == _NOTHING_ELSE:
            return
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
            self.started = True
        for piece in chunk.tools:
            self._tool(piece)
        self.usage = merged(self.usage, chunk.usage)
        self.finish = chunk.finish or self.finish
        self.model = chunk.model or self.model
        self.cost = self.cost if chunk.cost is None else chunk.cost

    def _tool(self, piece: ToolDelta) -> None:
        self.started = True
        known = self._calls.get(piece.place)
        if known is None:
            self._calls[piece.place] = Call(piece.id, piece.name or "", [piece.arguments], piece.signature)
            return
        known.arguments.append(piece.arguments)
        # names that are repeated with each piece are not joined
        self._calls[piece.place] = known._replace(
            id=known.id or piece.id, name=known.name or piece.name or "", signature=known.signature or piece.signature
        )

    @property
    def spoken(self) -> bool:
        """Text has come, and not only reasoning or a tool call."""
        return bool(self._text)

    @property
    def calls_begun(self) -> bool:
        return bool(self._calls)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def tool_calls(self, prefix: str) -> tuple[ToolCall, ...]:
        """The calls in order; those without an id get one that begins with `prefix`."""
        return tuple(
            ToolCall(call.id or f"call_{prefix}_{index}", call.name, "".join(call.arguments) or "{}", call.signature)
            for index, call in sorted(self._calls.items())
        )

    def final_finish(self) -> Finish:
        """A presence of calls means tool_calls: several vendors say "stop" then."""
        if self._calls and self.finish in (None, "stop"):
            return "tool_calls"
        return self.finish or "stop"

    def final_usage(self, input_estimate: int) -> Usage:
        """The provider's usage, or an estimate marked as such for what it did not tell."""
        found = self.usage
        if found is not None and found.input_tokens is not None and found.output_tokens is not None:
            return found
        out = estimate_tokens(self.text) + estimate_tokens(self.reasoning)
        out += sum(estimate_tokens("".join(c.arguments)) for c in self._calls.values())
        found = found or Usage()
        return Usage(
            input_estimate if found.input_tokens is None else found.input_tokens,
            found.cached_tokens,
            found.cache_write_tokens,
            out if found.output_tokens is None else found.output_tokens,
            found.reasoning_tokens,
            "estimate",
        )


_NOTHING_ELSE = Chunk()[1:]


def merged(old: Usage | None, new: Usage | None) -> Usage | None:
    """The newer usage; a figure that it leaves out keeps its older value."""
    if old is None or new is None:
        return new or old
    told = [b if b is not None else a for a, b in zip(_counts(old), _counts(new), strict=True)]
    return Usage(told[0], told[1], told[2], told[3], told[4], "provider")


def _counts(usage: Usage) -> tuple[int | None, ...]:
    return (
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )
