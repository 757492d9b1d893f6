"""A benchmark in a real kernel: its line in the cell, what is left of it, and what an interrupt keeps."""

from __future__ import annotations

import pytest

from tests.journey.kernels import Kernel

SETUP = """
import hybrid_nb as hnb
slow = hnb.sim.Model("simulated-slow", ttft=0.1, tokens_per_second=200.0, accuracy=1.0)
fleet = hnb.sim.Fleet([hnb.sim.Vendor("slow", "openai", (slow,))]).start()
router = hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}})
data = [f"What is {n}+1?" for n in range(300)]
"""
pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with one slow vendor."""
    bare_kernel.do(SETUP)
    return bare_kernel


def test_the_line_is_drawn_in_place_and_leaves_nothing_behind(kernel: Kernel) -> None:
    messages = kernel.run("run = router.benchmark(data[:20], ['slow/simulated-slow'], max_tokens=30)")
    draws = [m for m in messages if m["type"] in ("display_data", "update_display_data")]
    assert [m["type"] for m in draws].count("display_data") == 1
    lines = [m["data"]["text/plain"] for m in draws]
    assert lines[0].startswith("20 calls, at a cost that is not known")
    assert any(line.startswith("calls ") and "of 20" in line for line in lines)
    assert draws[-1]["data"] == {"text/plain": "", "text/html": ""}
    assert not [m for m in messages if m["type"] in ("stream", "error")]


def test_an_interrupt_returns_the_run_and_the_next_cell_works(kernel: Kernel) -> None:
    code = "run = router.benchmark(data, ['slow/simulated-slow'], max_tokens=30)"
    messages = kernel.run(code, interrupt_when=" left")
    assert not [m for m in messages if m["type"] == "error"]
    assert kernel.value("run.info.stopped") == "'interrupt'"
    assert kernel.value("0 < int((run.calls['status'] == 'ok').sum()) < 200 and len(run.calls) == 300") == "True"
    assert kernel.value("len(router.benchmark(data[:2], ['slow/simulated-slow'], progress=False).calls)") == "2"
