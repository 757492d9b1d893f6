"""Many calls through one Router, and what they leave behind: `python -m tests.bench soak [--calls 100000]`.

A mix of plain calls, streams, failures that go to another target, and cache hits, in legs of equal length. What grows
with the calls and not with the configuration is a leak: after the first leg, which warms everything up, memory, live
objects, tasks, threads and open files are looked at once a leg.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gc
import json
import os
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

from .run import HERE, ROOT, Process

AT_ONCE = 16
KINDS = ("plain", "stream", "failover", "hit")


def config(url: str, folder: str) -> dict[str, Any]:
    """Two providers that answer, and one before them where nobody listens."""
    price = {"m": {"input": 0.15, "output": 0.60}}
    good = {"type": "openai", "base_url": f"{url}/v1", "api_key": "k", "models": ["m"], "prices": price}
    return {
        "router": {"breaker_seconds": 0.01, "retry_delay": 0.001},
        "budget": {"daily_usd": 1e6},
        "ledger": {"url": f"sqlite:///{Path(folder) / 'ledger.db'}"},
        "provider": [
            {"name": "gone", "priority": 1, **good, "models": ["n"], "base_url": "http://127.0.0.1:9/v1"},
            {"name": "a", "priority": 2, **good},
            {"name": "b", "priority": 3, **good},
        ],
        "group": {"broken": ["gone/n", "b/m"]},
    }


class Mix:
    """The calls, by turns; `answered` counts them by kind."""

    def __init__(self, router: Any) -> None:
        self.router = router
        self.number = 0
        self.answered: collections.Counter[str] = collections.Counter()

    async def one(self) -> None:
        self.number += 1
        kind = KINDS[self.number % len(KINDS)]
        prompt, router = f"question {self.number}", self.router
        if kind == "plain":
            reply = await router.achat(prompt, model="m", max_tokens=self.number % 500 + 1)
        elif kind == "stream":
            reply = await router.stream(prompt, model="m").areply()
        elif kind == "failover":
            reply = await router.achat(prompt, model="broken", timeout=5)
        else:
            reply = await router.achat(f"again {self.number % 50}", model="m", cache="on")
        self.answered[kind] += bool(reply.text)

    async def leg(self, calls: int) -> None:
        turns = repeat(None, calls)

        async def worker() -> None:
            for _ in turns:
                try:
                    await self.one()
                except Exception as error:
                    self.answered[type(error).__name__] += 1

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def resident() -> int | None:
    """Bytes of memory that the process holds; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def objects() -> collections.Counter[str]:
    """Live objects by type."""
    gc.collect()
    return collections.Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def look() -> dict[str, Any]:
    """What is alive now."""
    from hybrid_nb.portal import portal

    counted = objects()
    return {
        "rss": resident(),
        "objects": sum(counted.values()),
        "ours": sum(n for name, n in counted.items() if name.startswith("hybrid_nb.")),
        "tasks": len(asyncio.all_tasks(portal().loop)),
        "threads": threading.active_count(),
        "files": open_files(),
        "by_type": counted,
    }


def soak(
    url: str, calls: int, legs: int, trace: bool = False, tell: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """`calls` in so many legs; a look after each, and which types and lines grew from the first to the last."""
    import hybrid_nb

    with tempfile.TemporaryDirectory(prefix="soak-") as folder, hybrid_nb.Router(config(url, folder)) as router:
        mix, looks = Mix(router), []
        first = None
        for number in range(legs):
            asyncio.run(mix.leg(calls // legs))
            looks.append({"calls": mix.number, **look()})
            tell(looks[-1])
            if trace and number == 0:
                tracemalloc.start()
                first = tracemalloc.take_snapshot()
        lines = []
        if first is not None:
            grown = tracemalloc.take_snapshot().compare_to(first, "lineno")
            lines = [str(one) for one in grown[:10]]
            tracemalloc.stop()
        rows = router._ledger.rows("SELECT count(*) FROM calls")[0][0]
    grew = looks[-1]["by_type"] - looks[0]["by_type"]
    for one in looks:
        del one["by_type"]
    return {
        "calls": mix.number, "rows": rows, "answered": dict(mix.answered), "looks": looks,
        "grew": dict(grew.most_common(15)), "lines": lines,
    }  # fmt: skip


def row(one: dict[str, Any]) -> str:
    rss = "?" if one["rss"] is None else f"{one['rss'] / 2**20:.1f}"
    counts = "".join(
        f"{'?' if one[n] is None else one[n]:>9,}" for n in ("objects", "ours", "tasks", "threads", "files")
    )
    return f"{one['calls']:>9,} {rss:>9}{counts}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--legs", type=int, default=10, help="looks at memory (default: %(default)s)")
    parser.add_argument("--trace", action="store_true", help="trace allocations from the second leg on: slower")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "soak.json", help="default: build/soak.json")
    options = parser.parse_args(arguments)
    server = Process(sys.executable, None, str(HERE / "server.py"), "--events-per-write", "10")
    try:
        url = f"http://127.0.0.1:{server.read()}"
        print(f"{'calls':>9} {'RSS MB':>9}{'objects':>9}{'ours':>9}{'tasks':>9}{'threads':>9}{'files':>9}")
        found = soak(url, options.calls, options.legs, options.trace, lambda one: print(row(one), flush=True))
    finally:
        server.stop()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"answered: {found['answered']}; rows in the ledger: {found['rows']:,}")
    print("objects that grew since the first leg:", found["grew"])
    print(*found["lines"], sep="\n")
    return 0
