"""What a client says that it saw, held against what the server knows that it sent. Pure.

Content is matched by its characters, counted from the start of the answer: an arrival holds every write whose last
character it reaches. Times are seconds of one monotonic clock, which the processes of a machine share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple


class Sent(NamedTuple):
    """One answer as the server knows it: `spoken` has (begin of the write, tokens, characters of answer, of
    reasoning), and `tokens` all that it made."""

    received: float
    spoken: Sequence[tuple[float, int, int, int]]
    tokens: int


class Came(NamedTuple):
    """The same answer as the client saw it: `arrivals` has (time, characters of answer, of reasoning), and `tokens`
    the count that it reports."""

    sent: float
    arrivals: Sequence[tuple[float, int, int]]
    tokens: int | None


class Held(NamedTuple):
    """The differences of one answer, in seconds; those of times are the client's less the server's.

    Attributes:
        ttft: of the time to the first output. None where nothing came.
        before: of `ttft`, what passed before the server had the request; `after`: from its first write to the client.
        delays: from each write to the arrival that holds it. None may be negative.
        gaps: of each time between two writes. What came in one read has no time between it.
        writes, joined: writes of content; those that came in one read with an earlier one.
        counted: tokens, characters of answer and of reasoning are those that were sent, and cut at the same places.
    """

    ttft: float | None
    before: float | None
    after: float | None
    delays: tuple[float, ...]
    gaps: tuple[float, ...]
    writes: int
    joined: int
    counted: bool


def held(sent: Sent, came: Came) -> Held:
    """One answer, both sides."""
    writes = list(accumulate(text + reasoning for _, _, text, reasoning in sent.spoken))
    arrived, cuts = _arrived(writes, came.arrivals)
    begun = [one[0] for one in sent.spoken[: len(arrived)]]
    delays = tuple(there - here for here, there in zip(begun, arrived, strict=True))
    gaps = tuple(later - earlier for earlier, later in pairwise(delays))
    before = sent.received - came.sent if delays else None
    after = delays[0] if delays else None
    ttft = None if before is None or after is None else before + after
    counted = cuts and len(arrived) == len(writes) and came.tokens == sent.tokens and _sums(sent) == _sums(came)
    return Held(ttft, before, after, delays, gaps, len(writes), len(arrived) - len(set(arrived)), counted)


def _arrived(writes: Sequence[int], arrivals: Iterable[tuple[float, int, int]]) -> tuple[list[float], bool]:
    """When each write had arrived, as far as they have, and whether every arrival ended where a write does."""
    times: list[float] = []
    seen, cuts = 0, True
    for at, text, reasoning in arrivals:
        seen += text + reasoning
        while len(times) < len(writes) and writes[len(times)] <= seen:
            times.append(at)
        cuts = cuts and bool(times) and writes[len(times) - 1] == seen
    return times, cuts


def _sums(one: Sent | Came) -> tuple[int, int]:
    rows = one.spoken if isinstance(one, Sent) else one.arrivals
    return sum(row[-2] for row in rows), sum(row[-1] for row in rows)
