"""Are the times true? A benchmark's, held against what the vendors sent: `python -m tests.bench truth`.

Simulated vendors run in a process of their own and note when each write of content began; processes of one machine
share the monotonic clock. The streams begin one after another ("spread") or all at once ("once"). Other work on the
machine's cores shows up as errors: run it at a quiet time, or as root under `chrt -f 5`, which goes before other work.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import truth_report, truth_tools
from .matching import Came, Sent, held
from .run import HERE, ROOT, Process, machine

WARM = 4  # tokens of the calls that open the connections
OVER = 2.0  # seconds over which streams begin that do not begin at once


@dataclass(frozen=True)
class Setting:
    """What is measured: streams at once, tokens a second of each, its seconds, and how the streams begin."""

    streams: int = 128
    rate: float = 50.0
    seconds: float = 6.0
    starts: str = "spread"
    wires: tuple[str, ...] = ("openai",)
    ttft: float = 0.2
    chunk_tokens: int = 1
    reasoning: int = 0

    @property
    def tokens(self) -> int:
        return round(self.rate * self.seconds)

    @property
    def models(self) -> list[str]:
        return [f"{wire}/simulated-{wire}" for wire in self.wires]

    @property
    def prompts(self) -> list[dict[str, str]]:
        """One a stream of each model; the answer is cut at enough tokens. The number names it in both logs."""
        numbers = range(self.streams // len(self.wires))
        return [{"id": str(n), "input": f"Write {self.tokens} words. [stream {n}]"} for n in numbers]

    @property
    def load(self) -> dict[str, Any]:
        """How the benchmark begins them."""
        if self.starts == "spread":
            return {"rate": self.streams / OVER, "arrivals": "constant"}
        return {"concurrency": self.streams}

    @property
    def vendors(self) -> dict[str, Any]:
        """What the vendors are told."""
        return {name: getattr(self, name) for name in ("ttft", "rate", "chunk_tokens", "reasoning")}


class Vendors(Process):
    """The simulated vendors, in their process."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(sys.executable, None, str(HERE / "truth_vendor.py"), json.dumps(setting.vendors))
        self.config = self.read()

    def begin(self) -> None:
        """Forget what was asked so far."""
        self.ask(do="begin")

    def sent(self) -> tuple[dict[str, Sent], float]:
        """What was sent since, by "provider/model stream"; and the share of a core that it took."""
        logs = self.ask(do="logs")
        chats = ((f"{chat['target']} {number_of(chat['body'])}", chat) for chat in logs["chats"])
        return {name: Sent(chat["received"], chat["spoken"], chat["tokens"]) for name, chat in chats}, logs[
            "cpu"
        ] / logs["seconds"]


def number_of(body: Any) -> str | None:
    """The stream that a prompt names."""
    hit = re.search(r"\[stream (\d+)\]", json.dumps(body))
    return hit.group(1) if hit else None


def came(run: Any) -> dict[str, Came]:
    """What a run saw, by "provider/model stream"; its times on the machine's clock."""
    start, chunks = run.info.clock, defaultdict(list)
    for key, at, text, reasoning in run.chunks.itertuples(index=False):
        chunks[key].append((float(start + at), int(text), int(reasoning)))
    return {
        f"{call.model} {call.id}": Came(float(start + call.sent_at), chunks[call.key], int(call.output_tokens))
        for call in run.calls.itertuples()
        if call.status == "ok"
    }


def ours(setting: Setting) -> dict[str, Any]:
    """The streams measured by Router.benchmark()."""
    from hybrid_nb import Router

    vendors = Vendors(setting)
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        try:
            with Router({**vendors.config, "ledger": {"url": f"sqlite:///{folder}/ledger.db"}}) as router:
                all_at_once = {"concurrency": setting.streams, "progress": False}
                router.benchmark(setting.prompts, setting.models, max_tokens=WARM, **all_at_once)
                vendors.begin()
                cpu, wall = time.process_time(), time.monotonic()
                options = {**setting.load, "max_tokens": setting.tokens, "timeout": 600, "progress": False}
                run = router.benchmark(setting.prompts, setting.models, **options)
                cpu, wall = time.process_time() - cpu, time.monotonic() - wall
                sent, busy = vendors.sent()
        finally:
            vendors.stop()
    pairs = matched(sent, came(run))
    facts = {"lag": run.info.loop_lag_s, "invalid": list(run.info.invalid), "cpu": cpu / wall, "vendor_cpu": busy}
    return {"by": "hybrid_nb", **truth_report.figures(pairs, setting.streams), **facts}


def matched(sent: dict[str, Sent], seen: dict[str, Came]) -> list[Any]:
    """Both sides of every stream that both know."""
    return [held(sent[name], one) for name, one in seen.items() if name in sent]


def rows(options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """One a measurement, as they are made."""
    for number in range(options.repeat):
        for starts in options.starts.split(","):
            setting = Setting(options.streams, options.rate, options.seconds, starts, tuple(options.wires.split(",")))
            yield {"starts": starts, "turn": number, "setting": asdict(setting), **ours(setting)}
            for name in filter(None, options.tools.split(",")):
                python = dict(pair.split("=", 1) for pair in options.python).get(name, sys.executable)
                found = truth_tools.measured(name, python, setting, Vendors(setting), matched)
                yield {"starts": starts, "turn": number, "setting": asdict(setting), **found}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench truth", description=__doc__.split("\n\n")[0])
    parser.add_argument("--streams", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each (default: %(default)s)")
    parser.add_argument("--starts", default="spread,once", help="default: %(default)s")
    parser.add_argument("--wires", default="openai", help="of the vendors, with commas between (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--tools", default="", help=f"public tools beside it: {', '.join(truth_tools.TOOLS)}")
    parser.add_argument("--python", action="append", default=[], metavar="TOOL=PATH", help="its interpreter")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "truth.json", help="default: build/truth.json")
    options = parser.parse_args(arguments)
    found = []
    for row in rows(options):
        found.append(row)
        print(truth_report.line(row), file=sys.stderr, flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": machine(), "rows": found}, indent=1) + "\n")
    print(truth_report.table(machine(), found))
    return 0
