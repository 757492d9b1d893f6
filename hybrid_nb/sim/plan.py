"""A whole response before its first byte is sent: faults are functions from plan to plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Open:
    """Send status and headers now, before any body byte."""


@dataclass(frozen=True)
class Send:
    """Write these bytes as one write; they carry this many tokens, and complete so many characters of the answer and
    of its reasoning."""

    data: bytes
    tokens: int = 0
    text: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Wait:
    """Send nothing for a time; everything after it moves back by as much."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """Send nothing until the client goes away."""


@dataclass(frozen=True)
class Reset:
    """Drop the connection with a TCP reset."""


@dataclass(frozen=True)
class Close:
    """Close the connection in the middle of the body."""


Step = Open | Send | Wait | Hang | Reset | Close


@dataclass(frozen=True)
class Plan:
    """A response: its head, its steps, and the speed at which the steps are due; a rate of 0 is no delay.

    `frames` follow the steps, and are made when they are due: a thousand of them would hold up the other responses.
    """

    steps: tuple[Step, ...]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    stream: bool = False
    ttft: float = 0.0
    rate: float = 0.0
    frames: Iterable[Step] = ()
