"""What a wire is: the translation between one vendor's HTTP and the neutral forms. No state, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from .plan import Send
from .types import Answer, Call, Json, Model, Problem, RefusedError, Shape, Stamp, Trouble

Headers = Mapping[str, str]


@dataclass(frozen=True)
class ChatRoute:
    """A chat endpoint, with what its path says already."""

    model: str | None = None
    stream: bool | None = None
    sse: bool = True


@dataclass(frozen=True)
class Page:
    """A small answer to anything that is not a chat."""

    body: Any
    content_type: str = "application/json"


class Wire(Protocol):
    """One vendor's HTTP format."""

    name: str
    stream_type: str
    json_type: str
    done: bytes
    refusal: str | None

    def chat_route(self, method: str, path: str, query: Headers) -> ChatRoute | None:
        """Whether this is the chat endpoint."""

    def page(self, method: str, path: str, body: Any, models: tuple[Model, ...]) -> Page | None:
        """Lists and probes; None when there is no such page; raises `RefusedError` for an unknown model."""

    def keys(self, headers: Headers, query: Headers) -> list[str]:
        """The keys that the client sent."""

    def open_page(self, path: str) -> bool:
        """Whether this page needs no key."""

    def parse(self, route: ChatRoute, body: Json, headers: Headers) -> Call:
        """Read a chat request; raises `RefusedError` for a malformed one."""

    def headers(self, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        """Headers of every response."""

    def whole(self, call: Call, said: Answer, shape: Shape, stamp: Stamp) -> Json:
        """The response body when not streaming."""

    def frames(self, call: Call, said: Answer, shape: Shape, stamp: Stamp, size: int) -> Iterator[Send]:
        """The writes of a streamed response, ``size`` tokens in each."""

    def problem(self, trouble: Trouble, stamp: Stamp) -> Problem:
        """An error response."""

    def error_frame(self, problem: Problem) -> bytes:
        """An error in the middle of a stream."""

    def line(self, raw: bytes) -> bytes:
        """One event around a payload that may be broken."""


def dump(value: Any) -> bytes:
    """JSON bytes with every character raw, U+2028 included."""
    return orjson.dumps(value)


def sse(value: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    raw = value if isinstance(value, bytes) else dump(value)
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + raw + b"\n\n"


def refuse(wire: Wire, detail: str, kind: str = "bad") -> RefusedError:
    """The exception for a malformed request."""
    return RefusedError(wire.problem(Trouble(kind, detail=detail), Stamp()))


def bearer(headers: Headers) -> list[str]:
    """The key in ``Authorization: Bearer``, if any."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return [key.strip()] if scheme.lower() == "bearer" and key.strip() else []


def by_name(models: tuple[Model, ...], name: str) -> Model | None:
    """The model of this name; a name without tag means ``:latest``, as Ollama reads it."""
    return next((model for model in models if model.name in (name, name.removesuffix(":latest"))), None)
