"""One fast fleet for all the tests of the simulator, healed after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hybrid_nb.sim import Fleet, Model, Vendor
from hybrid_nb.sim.types import WireName

WIRES: tuple[WireName, ...] = ("openai", "anthropic", "gemini", "ollama")
FAST = float("inf")


def vendor(wire: WireName, **settings: float) -> Vendor:
    """A vendor that answers at once and is always right."""
    values = {"ttft": 0.0, "tokens_per_second": FAST, "accuracy": 1.0, **settings}
    return Vendor(wire, wire, (Model(f"simulated-{wire}", **values),), key="sim-key")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def running() -> Iterator[Fleet]:
    with Fleet([vendor(wire) for wire in WIRES], seed=7) as fleet:
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    for handle in running:
        handle.clear()
    yield running
    for handle in running:
        handle.heal()
        handle.revive()
        handle.set(ttft=0.0, tokens_per_second=FAST, accuracy=1.0, context=8192, chunk_tokens=1, reasoning=0)
