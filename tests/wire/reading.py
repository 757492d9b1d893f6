"""Reading a stream in one go or in pieces, as the engine does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from hybrid_nb.core.types import Reply, ToolCall, Usage
from hybrid_nb.engine.assemble import Assembler


def events(*payloads: Any) -> bytes:
    """Server-sent events of these payloads."""
    return b"".join(b"data: " + (p if isinstance(p, bytes) else orjson.dumps(p)) + b"\n\n" for p in payloads)


def lines(*payloads: Any) -> bytes:
    return b"".join(orjson.dumps(p) + b"\n" for p in payloads)


class Read(Assembler):
    """An answer put together from a decoder, with whether the wire said that it is whole."""

    def __init__(self, wire: Any, pieces: bytes | Iterable[bytes]) -> None:
        super().__init__()
        decoder = wire.decoder()
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            for chunk in decoder.feed(piece):
                self.add(chunk)
        for chunk in decoder.close():
            self.add(chunk)
        self.complete = decoder.complete

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return self.tool_calls("t")

    @property
    def told(self) -> tuple[Any, ...]:
        """Everything that a reader can tell."""
        return (
            self.text,
            self.reasoning,
            self.calls,
            self.final_finish(),
            self.usage,
            self.model,
            self.cost,
            self.complete,
        )


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces that end at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


__all__ = ["Read", "Reply", "Usage", "cut", "events", "lines"]
