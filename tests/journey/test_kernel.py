"""The magics in a real kernel: what streams, what an interrupt leaves, and that the next cell works."""

from __future__ import annotations

import time

import pytest

from tests.journey.kernels import Kernel

SETUP = """
import hybrid_nb as hnb
%load_ext hybrid_nb
slow = hnb.sim.Model("simulated-slow", ttft=0.05, tokens_per_second=50.0, accuracy=1.0)
fleet = hnb.sim.Fleet([hnb.sim.Vendor("slow", "openai", (slow,))]).start()
hnb.set_default_router(hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}}))
"""
LONG = "%%llm\nWrite an essay of 400 words about bees"
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with one slow vendor."""
    bare_kernel.do(SETUP)
    return bare_kernel


def test_an_answer_streams_in_at_most_15_draws_a_second(kernel):
    messages = kernel.run("%%llm\nWrite an essay of 60 words about bees")
    draws = [m for m in messages if m["type"] in ("display_data", "update_display_data")]
    assert [m["type"] for m in draws[:2]] == ["display_data", "update_display_data"]
    seconds = draws[-1]["at"] - draws[0]["at"]
    assert 5 <= len(draws) <= 15 * seconds + 3
    shown = [m["data"]["text/markdown"] for m in draws[:-1]]
    lengths = [len(text) for text in shown if "asking" not in text]
    assert lengths == sorted(lengths)
    assert "slow/simulated-slow" in draws[-1]["data"]["text/markdown"]


def test_an_interrupt_stops_at_once_keeps_the_text_and_the_next_cell_works(kernel):
    messages = kernel.run(LONG, interrupt_when="simulated model")
    assert time.monotonic() - kernel.interrupted < 0.5 + 0.5  # half a second, and as much for a busy machine
    assert messages[-1]["type"] == "error"
    assert messages[-1]["ename"] == "Stopped"
    assert len(messages[-1]["traceback"]) == 1
    last = [m for m in messages if m["type"] == "update_display_data"][-1]["data"]["text/markdown"]
    assert "stopped after" in last
    assert "simulated model" in last
    assert kernel.value("'simulated model' in _llm_partial") == "True"
    give_up = time.monotonic() + 5
    while kernel.value("fleet['slow'].requests[-1].client_closed") != "True":
        assert time.monotonic() < give_up
    assert "= 42" in str(kernel.run("%%llm\nWhat is 6 * 7?")[-1]["data"])
    assert kernel.value("list(hnb.default_router().calls()['status'])[-2:]") == "['cancelled', 'ok']"


def test_an_interrupt_of_a_blocking_call(kernel):
    kernel.run("print('go')")
    code = "hnb.default_router().chat('Write an essay of 400 words about bees')"
    request = kernel.start(code)
    time.sleep(0.3)  # the call is under way; its answer takes eight seconds
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    assert kernel.reply(request, patience=10)["ename"] == "KeyboardInterrupt"
    assert time.monotonic() - began < 1.5  # 0.5 s, and the traceback on a busy machine
    assert kernel.value("1 + 1") == "2"


def test_asking_from_an_async_cell(kernel):
    code = "reply = await hnb.default_router().achat('What is 6 * 7?')\nreply.text"
    assert "42" in kernel.value(code)
    code = "pieces = [p async for p in hnb.default_router().stream('What is 6 * 7?')]\n''.join(pieces)"
    assert "42" in kernel.value(code)


def test_a_wrong_model_is_one_line(kernel):
    error = next(m for m in kernel.run("%%llm simulated-slwo\nhi") if m["type"] == "error")
    assert error["traceback"] == [
        "ModelNotFoundError: unknown model 'simulated-slwo': did you mean simulated-slow or slow/simulated-slow?"
    ]


def test_a_blocking_call_right_after_starting_an_async_one(kernel):
    code = (
        "import asyncio\n"
        "router = hnb.default_router()\n"
        "task = asyncio.ensure_future(router.achat('What is 6 * 7?'))\n"
        "await asyncio.sleep(0)\n"
        "both = router.chat('What is 2 + 3?').text, (await task).text\n"
        "both"
    )
    assert kernel.value(code) == "('2 + 3 = 5.', '6 * 7 = 42.')"
