"""What is measured without peers: imports, `plan()`, and the ledger. Run as a script in the interpreter that is asked.

`python micro.py import MODULE` and `python micro.py parts SECONDS`, each printing one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (10, 1000)  # targets that plan() weighs


def importing(module: str) -> dict[str, Any]:
    """Seconds and peak memory of an import, and what it set in motion."""
    network: list[str] = []
    sys.addaudithook(lambda event, _: network.append(event) if event.startswith("socket.") else None)
    start = time.perf_counter()
    for name in module.split("+"):  # "hybrid_nb+hybrid_nb.router" is what a first use costs
        __import__(name)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "peak_mb": peak(),
        "threads": threading.active_count() - 1,
        "network": sorted({event for event in network if event not in ("socket.gethostname", "socket.__new__")}),
        "pandas": "pandas" in sys.modules,
        "modules": len(sys.modules),
    }


def peak() -> float | None:
    """The most memory that this process had, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def best(work: Callable[[], object], seconds: float, rounds: int = 5) -> float:
    """Seconds of one call, from the best of several rounds."""
    work()
    start = time.perf_counter()
    work()
    times = max(1, int(seconds / rounds / max(1e-7, time.perf_counter() - start)))
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - start) / times)
    return min(found)


def config(targets: int, folder: str) -> dict[str, Any]:
    """Ten providers that share so many models, on hosts that nobody asks."""
    price = {"input": 0.15, "output": 0.60}
    models = [f"m{i}" for i in range(targets // 10)]
    return {
        "ledger": {"url": f"sqlite:///{Path(folder) / 'plan.db'}"},
        "provider": [
            {"name": f"p{i}", "type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k", "priority": i,
             "models": models, "prices": dict.fromkeys(models, price)}
            for i in range(10)
        ],
    }  # fmt: skip


def planning(folder: str, seconds: float) -> dict[str, float]:
    """Seconds of the pure plan(), and of the Router's with the reading of its arguments."""
    from hybrid_nb import Router
    from hybrid_nb.core.inputs import make_request
    from hybrid_nb.engine.plan import plan
    from hybrid_nb.ledger.prices import upper_estimate

    found = {}
    request = make_request("Say hi")
    capped = make_request("Say hi", max_cost=1.0, tools=[{"name": "f"}])
    for size in SIZES:
        with Router(config(size, folder)) as router:
            catalogue = router._state.catalogue
            assert len(plan(request, catalogue).candidates) == size
            found[f"plan_{size}"] = best(lambda: plan(request, catalogue), seconds)  # noqa: B023 - called at once
            found[f"plan_{size}_max_cost"] = best(lambda: plan(capped, catalogue, upper_estimate), seconds)  # noqa: B023
            found[f"plan_{size}_measured"] = best(measured(catalogue), seconds)
            found[f"router_plan_{size}"] = best(lambda: router.plan("Say hi"), seconds)
    return found


def measured(catalogue: Any) -> Callable[[], object]:
    """plan() by evidence that is known of every target, with two needs."""
    from hybrid_nb.core.inputs import make_request
    from hybrid_nb.engine.batch import Batch
    from hybrid_nb.engine.bounds import bucket
    from hybrid_nb.engine.catalogue import Catalogue
    from hybrid_nb.engine.evidence import Evidence
    from hybrid_nb.engine.facts import Facts
    from hybrid_nb.engine.plan import plan
    from hybrid_nb.engine.standing import View
    from hybrid_nb.state import rates

    known, request = Evidence(1e6, 0.0), make_request("Say hi", min_quality=0.8, max_ttft=1.0)
    by_evidence = Catalogue(catalogue.providers.values(), {}, "measured", rates=rates)
    for place, option in enumerate(by_evidence.options):
        right, times = 60.0 + place % 40, {bucket(0.2 + 0.01 * (place % 100)): 100.0}
        sums = {"exact": (100.0, right, right)}
        known.add(Batch(option.target, None, 0.0, 100, 0, times, times, (100.0, 5000.0), (100.0, 0.1), sums))
    facts = Facts(evidence=View(known.view(None, "exact", 1.0)))
    return lambda: plan(request, by_evidence, None, facts)


async def recording(folder: str, seconds: float) -> dict[str, float]:
    """CPU seconds of one Ledger.record, alone and with 16 that finish together."""
    from hybrid_nb.core.inputs import make_request
    from hybrid_nb.core.types import Attempt, Reply, Route, Target, Usage
    from hybrid_nb.ledger.entries import entry
    from hybrid_nb.ledger.store import Ledger

    ledger = Ledger(f"sqlite:///{Path(folder) / 'record.db'}")
    request, usage = make_request("Say hi"), Usage(12, None, None, 100, None, "provider")
    calls = max(64, int(seconds * 10_000))
    try:  # ids as the engine makes them: their order matters to the indices
        from hybrid_nb.engine.run import new_id
    except ImportError:
        from uuid import uuid4

        def new_id() -> str:
            return uuid4().hex

    def row() -> Any:
        attempt = Attempt("a", "m", "ok", None, 0.1, None, started=time.time(), usage=usage)
        route = Route(Target("a", "m"), (), (attempt,))
        reply = Reply("hi", usage=usage, route=route, request_id=new_id())
        return entry(time.time(), request, reply, "ok", None)

    async def cpu(at_once: int) -> float:
        start = time.process_time()
        for _ in range(calls // at_once):
            await asyncio.gather(*(ledger.record(row()) for _ in range(at_once)))
        return (time.process_time() - start) / (calls // at_once * at_once)

    await cpu(16)
    rounds = [(await cpu(1), await cpu(16)) for _ in range(5)]
    ledger.close()
    return {"record_1": min(one for one, _ in rounds), "record_16": min(many for _, many in rounds)}


def parts(seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return {"plan_s": planning(folder, seconds), "ledger_cpu_s": asyncio.run(recording(folder, seconds))}


if __name__ == "__main__":
    print(json.dumps(importing(sys.argv[2]) if sys.argv[1] == "import" else parts(float(sys.argv[2]))))
