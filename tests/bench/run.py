"""The speed of hybrid_nb beside its peers, measured in one run: `python -m tests.bench`.

A loopback server and every client have a process of their own. Clients take turns (A B C D, A B C D, ...), so that
whatever else the machine does hits all of them alike; a ratio is formed within a round, and the median of the rounds
counts. CPU is that of the client's whole process, all threads.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from . import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = ("floor", "openai", "litellm", "hybrid_nb")
MODES = ("plain", "stream")
PATIENCE = 90.0  # seconds that a client may take for one job
MODULES = {"openai": "openai", "litellm": "litellm", "hybrid_nb": "hybrid_nb"}


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds of a cell, CPU seconds of a client in a round and in a whole cell, imports,
    calls to warm up, seconds for each of the parts, and the CPU seconds above which a client sits a cell out."""

    rounds: int
    slice: float
    cell: float
    imports: int
    warm: int
    parts: float
    longest: float


FULL = Effort(rounds=7, slice=0.25, cell=5.0, imports=7, warm=300, parts=0.2, longest=60)
QUICK = Effort(rounds=2, slice=0.08, cell=0.25, imports=1, warm=50, parts=0.02, longest=1.5)
LEAST = Effort(rounds=1, slice=0.02, cell=0.02, imports=1, warm=16, parts=0.01, longest=60)


class Process:
    """A script of this folder that answers lines with JSON lines."""

    def __init__(self, python: str, path: str | None, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [python, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(path),
            cwd=HERE,
        )

    def read(self) -> Any:
        alarm = threading.Timer(PATIENCE, self.process.kill)  # a client that hangs ends the run, not the day
        alarm.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]  # piped
        alarm.cancel()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended with {self.process.wait()}")  # type: ignore[union-attr]
        return json.loads(line)

    def ask(self, **job: Any) -> Any:
        self.process.stdin.write(json.dumps(job) + "\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        return self.read()

    def finish(self) -> Any:
        """Close its input and take its last word."""
        self.process.stdin.close()  # type: ignore[union-attr]
        return self.read()

    def stop(self) -> None:
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]


def environment(path: str | None) -> dict[str, str]:
    """The environment of a client: `path` (this checkout by default) comes first among its modules."""
    others = os.environ.get("PYTHONPATH")
    paths = [path] if path else [*([others] if others else []), str(ROOT)]
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    kept = {k: v for k, v in os.environ.items() if k.lower() not in proxies}
    # LiteLLM would fetch its price list on import
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@dataclass
class Entrant:
    """A client in the race."""

    label: str
    name: str
    python: str
    path: str | None = None
    worker: Process | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=lambda: {"plain": 0, "stream": 0})

    def start(self, url: str) -> None:
        self.worker = Process(self.python, self.path, str(HERE / "clients.py"), self.name, url)
        self.facts = self.worker.read()

    def load(self, mode: str, at_once: int, calls: int) -> dict[str, Any]:
        assert self.worker is not None
        self.asked[mode] += calls
        return self.worker.ask(mode=mode, at_once=at_once, calls=calls)

    def finish(self) -> None:
        assert self.worker is not None
        self.facts |= self.worker.finish()

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()


# --- the race ---------------------------------------------------------------------------------------------


def race(entrants: list[Entrant], modes: Iterable[str], at_once: Iterable[int], effort: Effort) -> list[dict[str, Any]]:
    """Every cell (mode and number at once) with every client's rounds."""
    cells = []
    for number in at_once:
        for entrant in entrants:
            entrant.load("plain", number, number)  # opens the connections
        for mode in modes:
            print(f"{mode}, {number} at once ...", file=sys.stderr, flush=True)
            rounds = cell(entrants, mode, number, effort)
            cells.append({"mode": mode, "at_once": number, "clients": summary(rounds)})
    return cells


def cell(entrants: list[Entrant], mode: str, at_once: int, effort: Effort) -> list[dict[str, dict[str, Any]]]:
    calls = {entrant.label: sized(entrant, mode, at_once, effort) for entrant in entrants}
    spent = dict.fromkeys(calls, 0.0)
    rounds: list[dict[str, dict[str, Any]]] = []
    for _ in range(effort.rounds):
        found = {}
        for entrant in entrants:
            if calls[entrant.label] and spent[entrant.label] < effort.cell:  # slow peers take part in fewer rounds
                found[entrant.label] = entrant.load(mode, at_once, calls[entrant.label])
                spent[entrant.label] += found[entrant.label]["cpu_s"]
        rounds.append(found)
    return rounds


def sized(entrant: Entrant, mode: str, at_once: int, effort: Effort) -> int:
    """Warm up, and so learn how many calls fill a slice."""
    entrant.load(mode, min(at_once, 4), 4)
    first = entrant.load(mode, min(at_once, 16), 16)
    each = max(1e-5, first["cpu_s"] / first["calls"])
    if each * effort.warm < effort.slice:
        entrant.load(mode, at_once, max(effort.warm, at_once))
    if each * at_once > effort.longest:
        return 0
    turns = max(1, round(effort.slice / each / at_once))
    return turns * at_once


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Per client: median CPU a call with its spread, and the ratios to the floor, round by round."""
    found: dict[str, dict[str, Any]] = {}
    for label in rounds[0]:
        taken = [each for each in rounds if label in each]
        costs = [each[label]["cpu_s"] / each[label]["calls"] for each in taken]
        ratios = [
            cost / (each["floor"]["cpu_s"] / each["floor"]["calls"])
            for cost, each in zip(costs, taken, strict=True)
            if "floor" in each
        ]
        found[label] = {
            "cpu_ms": spread([1000 * cost for cost in costs]),
            "ratio": spread(ratios) if ratios else None,
            "p50_ms": 1000 * median(each[label]["p50_s"] for each in taken),
            "p99_ms": 1000 * median(each[label]["p99_s"] for each in taken),
            "calls_per_s": median(each[label]["calls"] / each[label]["wall_s"] for each in taken),
            "calls": sum(each[label]["calls"] for each in taken),
            "rounds": len(taken),
            "lengths": sorted({length for each in taken for length in each[label]["lengths"]}),
        }
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


# --- the rest ---------------------------------------------------------------------------------------------


def micro(python: str, path: str | None, *arguments: str) -> Any:
    made = subprocess.run(
        [python, "-P", str(HERE / "micro.py"), *arguments],
        env=environment(path), cwd=HERE, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"micro.py {' '.join(arguments)} failed:\n{made.stderr[-2000:]}")
    return json.loads(made.stdout.splitlines()[-1])


def imports(entrants: list[Entrant], times: int) -> dict[str, Any]:
    """Best of several imports in fresh processes; hybrid_nb's first use beside its import."""
    wanted = [(e.label, e, MODULES[e.name]) for e in entrants if e.name in MODULES]
    ours = [e for e in entrants if e.name == "hybrid_nb"]
    wanted += [(f"{e.label}, then Router", e, "hybrid_nb+hybrid_nb.router") for e in ours]
    wanted += [(f"{e.label}, then transport", e, "hybrid_nb+hybrid_nb.transports.http") for e in ours]
    runs: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in wanted}
    for turn in range(times + 1):  # the first fills the bytecode cache
        for label, entrant, module in wanted:
            found = micro(entrant.python, entrant.path, "import", module)
            if turn:
                runs[label].append(found)
    return {label: min(found, key=lambda one: one["seconds"]) for label, found in runs.items()}


def machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def importable(python: str, name: str) -> bool:
    if name not in ("openai", "litellm"):
        return True
    if python == sys.executable:
        return importlib.util.find_spec(name) is not None
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([python, "-c", probe]).returncode == 0


def line_up(options: argparse.Namespace) -> tuple[list[Entrant], list[str]]:
    """The clients to run, and the names of those whose package is not there."""
    pythons = dict(pair.split("=", 1) for pair in options.python)
    entrants, absent = [], []
    for name in options.clients.split(","):
        if name not in NAMES:
            raise SystemExit(f"no client {name!r}; there are {', '.join(NAMES)}")
        python = pythons.get(name, sys.executable)
        if importable(python, name):
            entrants.append(Entrant(name, name, python))
        else:
            absent.append(name)
    for pair in options.variant:
        label, path = pair.split("=", 1)
        python = pythons.get(label, pythons.get("hybrid_nb", sys.executable))
        entrants.append(Entrant(label, "hybrid_nb", python, str(Path(path).resolve())))
    return entrants, absent


def measure(options: argparse.Namespace) -> dict[str, Any]:
    began = time.perf_counter()
    effort = LEAST if options.least else QUICK if options.quick else FULL
    entrants, absent = line_up(options)
    result: dict[str, Any] = {"machine": machine(), "absent": absent, "events_per_write": options.events_per_write}
    server = Process(sys.executable, None, str(HERE / "server.py"), "--events-per-write", str(options.events_per_write))
    try:
        url = f"http://127.0.0.1:{server.read()}"
        for entrant in entrants:
            entrant.start(f"{url}/v1")
        numbers = [int(number) for number in options.at_once.split(",")]
        result["cells"] = race(entrants, options.modes.split(","), numbers, effort)
        for entrant in entrants:
            entrant.finish()
        result["served"] = served(url)
    finally:
        for entrant in entrants:
            entrant.stop()
        server.stop()
    result["clients"] = {e.label: {**e.facts, "asked": e.asked} for e in entrants}
    if not options.only_race:
        print("imports and parts ...", file=sys.stderr, flush=True)
        result["imports"] = imports(entrants, effort.imports)
        result["parts"] = {
            e.label: micro(e.python, e.path, "parts", str(effort.parts)) for e in entrants if e.name == "hybrid_nb"
        }
    result["targets"] = report.targets(result)
    result["seconds"] = time.perf_counter() - began
    return result


def served(url: str) -> Any:
    """How many calls the server counted."""
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(f"{url}/counts", timeout=10) as response:
        return json.load(response)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: half a minute, and rougher")
    parser.add_argument("--least", action="store_true", help="one small round: whether it runs at all")
    parser.add_argument("--clients", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--at-once", default="1,16,200", help="default: %(default)s")
    parser.add_argument("--modes", default=",".join(MODES), help="default: %(default)s")
    parser.add_argument("--python", action="append", default=[], metavar="CLIENT=PATH", help="its interpreter")
    parser.add_argument("--variant", action="append", default=[], metavar="LABEL=FOLDER", help="one more hybrid_nb")
    parser.add_argument("--events-per-write", type=int, default=1, help="of a stream (default: %(default)s)")
    parser.add_argument("--only-race", action="store_true", help="leave out imports, plan() and ledger")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json", help="default: build/bench.json")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    result = measure(options)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(report.text(result))
    missed = any(target["met"] is False for target in result["targets"])
    return 1 if options.strict and missed else 0
