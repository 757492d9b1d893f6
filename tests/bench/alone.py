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
import tempfile
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


def entered(run: Callable[[], Any]) -> dict[str, float]:
    """Python and C functions entered by one call, counted over a round on the portal's thread."""
    counts = {"call": 0, "c_call": 0}

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in counts:
            counts[event] += 1

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {"python": counts["call"] / CALLS, "c": counts["c_call"] / CALLS}


def main(rounds: int, profile: bool) -> None:
    from hybrid_nb.portal import portal

    client = HybridNb("http://127.0.0.1:9/v1")
    client.router._engine.transport = Instant()

    def ask() -> Any:
        return client.router.achat(PROMPT, model="m", max_tokens=LIMIT)

    async def on_portal(work: Callable[[], Any]) -> Any:
        """cProfile and setprofile see the thread that starts them, so that must be the portal's."""
        return await work()

    def once() -> float:
        return portal().run(load(ask, CALLS))

    once()
    found: dict[str, Any] = {}
    if profile:
        profiler = cProfile.Profile()

        async def profiled() -> None:
            profiler.enable()
            await load(ask, CALLS)
            profiler.disable()

        portal().run(profiled())
        pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(70)
    else:
        found["us"] = min(once() for _ in range(rounds)) / CALLS * 1e6
        found["entered"] = portal().run(counted(ask))
        print(json.dumps(found))
    client.folder.cleanup() if client.router.close() is None else None


async def counted(ask: Callable[[], Any]) -> dict[str, float]:
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


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] and sys.argv[1] != "profile" else 40, sys.argv[1:] == ["profile"])
