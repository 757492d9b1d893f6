"""The chat in real kernels, without a browser: what a front end sends and hears, an interrupt, a busy cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.journey.kernels import Kernel

SETUP = """
import threading, time
import hybrid_nb as hnb
from hybrid_nb.sim import Fleet, Model, Vendor
fleet = Fleet([Vendor("v", "openai", (Model("m", 0.05, 100.0, 1.0),))]).start()
router = hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///ledger.db"}})
chat = hnb.ChatCell(router)
"""
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with a chat over a vendor that says a hundred tokens a second."""
    bare_kernel.do(SETUP)
    return bare_kernel


@pytest.fixture
def page(kernel: Kernel) -> str:
    """The id of the chat's front end, which has just been cleared."""
    kernel.do("chat.clear()")
    return kernel.model_id("chat.chat.front")


def told(kernel: Kernel, page: str, kind: str) -> list[dict[str, Any]]:
    """What the page heard of a kind, in order."""
    mine = [m["data"] for m in kernel.heard if m["type"] == "comm_msg" and m["comm_id"] == page]
    return [data["content"] for data in mine if data.get("content", {}).get("do") == kind]


def ask(kernel: Kernel, page: str, subshell: str | None = None, **intent: Any) -> None:
    kernel.send_comm(page, {"method": "custom", "content": {"n": "x-1", **intent}}, subshell)


def hear(kernel: Kernel, page: str, enough: Callable[[], Any]) -> None:
    kernel.until(lambda m: m["type"] == "comm_msg" and m["comm_id"] == page and enough(), "message to the page")


def test_a_turn_that_a_page_sends_is_taken_up_and_answered(kernel, page):
    ended = len(told(kernel, page, "turn"))
    ask(kernel, page, ask="send", text="What is 6 * 7?")
    hear(kernel, page, lambda: len(told(kernel, page, "turn")) > ended)
    assert told(kernel, page, "ack")[-1] == {"do": "ack", "n": "x-1"}
    assert told(kernel, page, "turn")[-1]["turn"]["text"] == "6 * 7 = 42."
    assert told(kernel, page, "text")


def test_an_interrupt_of_a_waiting_cell_stops_the_answer_and_keeps_what_came(kernel, page):
    request = kernel.start("print('asking', flush=True)\nchat.send('500 words please', wait=True)")
    kernel.until(lambda m: m["type"] == "comm_msg" and m["data"].get("content", {}).get("do") == "text", "text")
    started = time.monotonic()
    kernel.manager.interrupt_kernel()
    messages = kernel.end(request)
    assert time.monotonic() - started < 3
    assert [m["ename"] for m in messages if m["type"] == "error"] == ["KeyboardInterrupt"]
    assert (
        kernel.value("chat.wait(5), chat.turns[-1].status, len(chat.turns[-1].text) > 0") == "(True, 'stopped', True)"
    )


def sent_while_busy(kernel: Kernel, page: str, subshell: str | None, busy: str) -> None:
    """Send a turn while a cell runs; it was answered in the end."""
    kernel.do("before = chat.total.answers")
    ended = len(told(kernel, page, "turn"))
    request = kernel.start(f"print('busy', flush=True)\n{busy}")
    kernel.until(lambda m: m["of"] == request and m["type"] == "stream", "start of the busy cell")
    ask(kernel, page, subshell, ask="send", text="What is 6 * 7?")
    hear(kernel, page, lambda: len(told(kernel, page, "turn")) > ended)
    kernel.end(request)
    assert told(kernel, page, "turn")[-1]["turn"]["text"] == "6 * 7 = 42."


def test_a_turn_is_answered_while_a_cell_is_busy_where_there_are_subshells_and_after_it_elsewhere(kernel, page):
    if kernel.has_subshells:
        with kernel.subshell() as subshell:
            sent_while_busy(kernel, page, subshell, "while chat.total.answers < before + 1: time.sleep(0.05)")
    else:
        sent_while_busy(kernel, page, None, "time.sleep(0.5)")
