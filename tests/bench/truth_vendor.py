"""The simulated vendors of the truth check, in a process of their own. Run as a script.

It prints its configuration as one JSON line, answers each line of its input with another, and ends when its input does:
{"do": "begin"} forgets what was asked, {"do": "logs"} tells every chat since, with the CPU and seconds that it took.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

from hybrid_nb.sim import Fleet, Model, Vendor
from hybrid_nb.sim.types import RequestLog

WIRES = ("openai", "anthropic", "gemini", "ollama")


def vendors(ttft: float, rate: float, chunk_tokens: int, reasoning: int) -> list[Vendor]:
    """One a wire, with one model of this speed."""

    def model(wire: str) -> Model:
        return Model(
            f"simulated-{wire}", ttft, rate, context=100_000, chunk_tokens=chunk_tokens, reasoning=reasoning,
            input_price=1.0, output_price=2.0,
        )  # fmt: skip

    return [Vendor(wire, wire, (model(wire),), key="sim-key" if wire != "ollama" else None) for wire in WIRES]  # type: ignore[arg-type]


def told(name: str, log: RequestLog) -> dict[str, Any]:
    """What the check needs of one request; its prompt names it."""
    sent = {"received": log.received, "spoken": log.spoken, "tokens": log.tokens_out}
    return {"target": f"{name}/{log.model}", "body": log.body, **sent}


def main(settings: dict[str, Any]) -> None:
    with Fleet(vendors(**settings)) as fleet:
        gc.collect()
        gc.freeze()
        gc.disable()  # a pause here would be a late write, which is recorded as such, but it helps nobody
        say(fleet.config())
        cpu, wall = time.process_time(), time.monotonic()
        for line in sys.stdin:
            if json.loads(line)["do"] == "begin":
                for handle in fleet:
                    handle.clear()
                cpu, wall = time.process_time(), time.monotonic()
                say({})
            else:
                spent = {"cpu": time.process_time() - cpu, "seconds": time.monotonic() - wall}
                say({**spent, "chats": [told(handle.vendor.name, log) for handle in fleet for log in handle.chats]})


def say(data: Any) -> None:
    print(json.dumps(data), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
