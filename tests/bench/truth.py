"""Are the times true? Streams measured by hybrid_nb, held against what the vendors sent: `python -m tests.bench truth`.

Simulated vendors run in a process of their own and note when each write of content began; the processes share the
monotonic clock. `--starts` says whether the streams begin all at once or one after another.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .matching import Came, Held, Sent, held, spread
from .run import HERE, ROOT, Process

WARM = 4  # tokens of the calls that open the connections
SAMPLE = 0.01  # seconds between two looks at the loop's lateness


@dataclass(frozen=True)
class Setting:
    """What is measured: streams at once, tokens a second of each, its seconds, and how the streams begin."""

    streams: int = 128
    rate: float = 50.0
    seconds: float = 6.0
    starts: str = "spread"
    over: float = 2.0  # seconds over which they begin, when spread
    wires: tuple[str, ...] = ("openai",)
    ttft: float = 0.2
    chunk_tokens: int = 1
    reasoning: int = 0

    @property
    def tokens(self) -> int:
        return round(self.rate * self.seconds)

    def begins(self, number: int) -> float:
        """Seconds from the start of the run to that of this stream."""
        return self.over * number / self.streams if self.starts == "spread" else 0.0


def prompt(setting: Setting, number: int) -> str:
    """A prompt whose answer has enough tokens, and that names its stream in both logs."""
    return f"Write {setting.tokens} words. [stream {number}]"


def number_of(body: Any) -> int | None:
    """The stream that a prompt names."""
    hit = re.search(r"\[stream (\d+)\]", json.dumps(body))
    return int(hit.group(1)) if hit else None


@dataclass
class Taken:
    """What the client measured: by stream, and how it fared."""

    came: dict[int, Came] = field(default_factory=dict)
    lag: list[float] = field(default_factory=list)
    cpu: float = 0.0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)


class Engine:
    """The client: hybrid_nb's own engine, as a benchmark runs it."""

    def __init__(self, config: dict[str, Any], folder: str) -> None:
        from hybrid_nb.router import Router

        self.router = Router({**config, "ledger": {"url": f"sqlite:///{folder}/ledger.db"}})

    def measure(self, setting: Setting) -> Taken:
        from hybrid_nb.portal import portal

        portal().run(self._warmed(setting))
        gc.collect()
        return portal().run(self._taken(setting))

    async def _warmed(self, setting: Setting) -> None:
        await asyncio.gather(*(self._call(setting, n, Taken(), WARM) for n in range(setting.streams)))

    async def _taken(self, setting: Setting) -> Taken:
        taken = Taken()
        sampler = asyncio.ensure_future(lateness(taken.lag))
        cpu, wall = time.process_time(), time.monotonic()
        calls = (self._begun(setting, number, taken, wall) for number in range(setting.streams))
        await asyncio.gather(*calls)
        taken.cpu, taken.seconds = time.process_time() - cpu, time.monotonic() - wall
        sampler.cancel()
        return taken

    async def _begun(self, setting: Setting, number: int, taken: Taken, start: float) -> None:
        await asyncio.sleep(start + setting.begins(number) - time.monotonic())
        await self._call(setting, number, taken, setting.tokens)

    async def _call(self, setting: Setting, number: int, taken: Taken, tokens: int) -> None:
        from hybrid_nb.core.tracing import Trace, traced

        wire = setting.wires[number % len(setting.wires)]
        options = {"model": f"{wire}/simulated-{wire}", "max_tokens": tokens, "timeout": 600}
        trace = Trace()
        ready = self.router._prepared(prompt(setting, number), options)
        work = traced(trace, self.router._run, ready, lambda text: None)
        try:
            reply = await asyncio.ensure_future(work)
        except Exception as error:
            taken.failed.append(f"{type(error).__name__}: {error}")
            return
        (attempt,) = trace.attempts
        taken.came[number] = Came(attempt.sent, attempt.arrivals, reply.usage.output_tokens)

    def close(self) -> None:
        self.router.close()


async def lateness(seen: list[float]) -> None:
    """How late the loop comes to what is due."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE
        await asyncio.sleep(SAMPLE)
        seen.append(loop.time() - due)


def chats(logs: dict[str, Any]) -> dict[int, Sent]:
    """The server's side, by stream."""
    found = {}
    for chat in logs["chats"]:
        number = number_of(chat["body"])
        if number is not None:
            found[number] = Sent(chat["received"], chat["spoken"], chat["tokens"])
    return found


def measure(setting: Setting) -> dict[str, Any]:
    """One run: vendors in their process, the client in this one."""
    settings = {name: getattr(setting, name) for name in ("ttft", "rate", "chunk_tokens", "reasoning")}
    vendor = Process(sys.executable, None, str(HERE / "truth_vendor.py"), json.dumps(settings))
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        try:
            client = Engine(vendor.read(), folder)
            try:
                vendor.ask(do="begin")
                taken = client.measure(setting)
                logs = vendor.ask(do="logs")
            finally:
                client.close()
        finally:
            vendor.stop()
    return row(setting, taken, logs)


def row(setting: Setting, taken: Taken, logs: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run."""
    sent = chats(logs)
    both = [held(sent[number], came) for number, came in taken.came.items() if number in sent]
    return {
        "by": "hybrid_nb",
        "starts": setting.starts,
        "wires": list(setting.wires),
        "streams": setting.streams,
        "rate": setting.rate,
        "failed": taken.failed,
        **figures(both),
        "exact": sum(one.counted for one in both) / setting.streams,
        "lag": spread(taken.lag)._asdict(),
        "client_cpu": taken.cpu / taken.seconds if taken.seconds else None,
        "server_cpu": logs["cpu"] / logs["seconds"],
    }


def figures(both: list[Held]) -> dict[str, Any]:
    """The errors of all answers together; milliseconds."""
    return {
        "chunks": sum(one.writes for one in both),
        "joined": sum(one.joined for one in both),
        "ttft": spread(one.ttft for one in both)._asdict(),
        "before": spread(one.before for one in both)._asdict(),
        "after": spread(one.after for one in both)._asdict(),
        "delay": spread(value for one in both for value in one.delays)._asdict(),
        "gap": spread(value for one in both for value in one.gaps)._asdict(),
        "too_early": sum(value < 0 for one in both for value in one.delays),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench truth", description=__doc__.split("\n\n")[0])
    parser.add_argument("--streams", type=int, default=128)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of each stream")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each stream")
    parser.add_argument("--starts", default="spread,once", help="default: %(default)s")
    parser.add_argument("--wires", default="openai", help="names with commas between, in turns (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "truth.json", help="default: build/truth.json")
    options = parser.parse_args(arguments)
    rows = []
    for _ in range(options.repeat):
        for starts in options.starts.split(","):
            wires = tuple(options.wires.split(","))
            rows.append(measure(Setting(options.streams, options.rate, options.seconds, starts, wires=wires)))
            print(json.dumps(rows[-1]), flush=True)
    return 0
