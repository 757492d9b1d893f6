"""The engine without a network: what a plain call costs beyond its HTTP client. Run as a script.

`python alone.py [ROUNDS]` prints one JSON object: the least CPU (all threads, in us) of a call in so many rounds, and
how many Python functions and C functions a call enters. `python alone.py profile` prints where the time goes.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import pstats
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE))

from clients import LIMIT, PROMPT, HybridNb  # noqa: E402
from server import plain  # noqa: E402

AT_ONCE = 16
CALLS = 800  # of a round
BODY = plain().partition(b"\r\n\r\n")[2]


class Answer:
    """A response that is here already."""

    status = 200
    headers = {"content-type": "application/json"}  # noqa: RUF012 - never changed

    def at_once(self) -> bytes:
        return BODY

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield BODY

    async def aclose(self) -> None:
        return


class Instant:
    """A transport whose every answer is the same, and costs nothing."""

    async def send(self, call: Any, connect_timeout: float) -> Answer:
        return Answer()

    async def aclose(self) -> None:
        return


async def load(ask: Callable[[], Any], calls: int) -> float:
    """CPU seconds of so many calls, AT_ONCE under way at any time."""
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await ask()

    start = time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return time.process_time() - start


async def entered(ask: Callable[[], Any]) -> dict[str, float]:
    """Python and C functions that a call enters, counted on the portal's thread: a figure without noise."""
    counts = {"call": 0, "c_call": 0}

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in counts:
            counts[event] += 1

    sys.setprofile(count)
    try:
        await load(ask, CALLS)
    finally:
        sys.setprofile(None)
    return {"python": counts["call"] / CALLS, "c": counts["c_call"] / CALLS}


async def profiled(ask: Callable[[], Any]) -> cProfile.Profile:
    """A profile of a round: on the portal's thread, as cProfile sees the thread that starts it."""
    profile = cProfile.Profile()
    profile.enable()
    await load(ask, CALLS)
    profile.disable()
    return profile


def main(rounds: int | None) -> None:
    """`rounds` None: a profile."""
    from hybrid_nb.portal import portal

    client = HybridNb("http://127.0.0.1:9/v1")
    client.router._engine.transport = Instant()

    def ask() -> Any:
        return client.router.achat(PROMPT, model="m", max_tokens=LIMIT)

    portal().run(load(ask, CALLS))
    if rounds is None:
        pstats.Stats(portal().run(profiled(ask)), stream=sys.stdout).sort_stats("tottime").print_stats(70)
    else:
        least = min(portal().run(load(ask, CALLS)) for _ in range(rounds))
        print(json.dumps({"us": least / CALLS * 1e6, "entered": portal().run(entered(ask))}))
    client.router.close()
    client.folder.cleanup()


if __name__ == "__main__":
    main(None if sys.argv[1:] == ["profile"] else int(sys.argv[1]) if sys.argv[1:] else 40)
