"""Sleep: a late beat, a clock that stood still; and attempts that failed meanwhile say nothing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.core.types import Request, Target
from hybrid_nb.engine.breaker import Policy, Verdict
from hybrid_nb.engine.gate import Gate, Ticket
from hybrid_nb.engine.naps import BEAT, LATE, LONG, WAKING, Nap, Naps
from hybrid_nb.engine.schedule import Slot
from hybrid_nb.providers import vendors
from tests.faults.raw_server import HANG, RawServer, until

Raw = Callable[..., RawServer]
UNIX = 1_000_000.0


def awake(clock: float = 100.0) -> Naps:
    naps = Naps()
    naps.start(clock, UNIX, clock + BEAT)
    return naps


@pytest.mark.parametrize(
    ("clock", "unix", "slept"),
    [
        (2, 2, False),
        (BEAT + LATE, BEAT + LATE, False),  # a busy machine
        (BEAT + LATE + 1, BEAT + LATE + 1, True),  # a stopped process, Windows
        (1, 1 + LATE + 1, True),  # Linux, macOS: the loop's clock stood still
        (1, 3600, True),
        (1, -3600, False),  # somebody set the clock back
    ],
)
def test_what_a_sleep_looks_like(clock: float, unix: float, slept: bool) -> None:
    naps = awake()
    found = naps.look(100 + clock, UNIX + unix)
    assert (found is not None) == slept
    assert naps.spanned(UNIX - 1, UNIX + 1) == slept
    assert naps.look(100 + clock, UNIX + unix) is None  # it is noticed once


def test_what_went_on_meanwhile_and_what_did_not() -> None:
    naps = awake()
    assert naps.look(101, UNIX + 20) == Nap(UNIX, UNIX + 20)
    assert not naps.spanned(UNIX - 10, UNIX - 1)  # over before
    assert naps.spanned(UNIX - 10, UNIX + 30)
    assert naps.spanned(UNIX - 10, UNIX)  # its own clock stood still too
    assert naps.spanned(UNIX + 5, UNIX + 6)
    assert not naps.spanned(UNIX + 21, UNIX + 30)  # begun after


def test_after_a_long_sleep_the_network_needs_a_while() -> None:
    naps = awake()
    naps.look(101, UNIX + LONG + 1)
    assert naps.spanned(UNIX + LONG + WAKING, UNIX + LONG + WAKING + 1)
    assert not naps.spanned(UNIX + LONG + WAKING + 2, UNIX + LONG + WAKING + 3)


def test_beats_that_come_in_time_are_no_sleep_however_many() -> None:
    naps = awake(0)
    for beat in range(1, 1000):
        now = beat * (BEAT + 1)
        assert naps.beat(now, UNIX + now, now + BEAT) is None
    assert not naps.spanned(0, 1e12)


class Machine:
    """A gate with its two clocks."""

    def __init__(self) -> None:
        self.now, self.unix = 50.0, UNIX
        vendor = next(vendor for vendor in vendors() if vendor.type == "custom")
        endpoint = Endpoint("http://127.0.0.1:1/v1")
        provider = Provider("a", vendor, (endpoint,))
        self.slot = Slot(Target("a", "m"), provider, endpoint, "cloud", "")
        self.gate = Gate(lambda *_: (None, None), None, clock=lambda: self.now, wall=lambda: self.unix)
        self.gate.policy = Policy(threshold=1, seconds=10)

    def passes(self, clock: float, unix: float) -> None:
        self.now += clock
        self.unix += unix

    async def enter(self) -> Ticket:
        return await self.gate.enter("x", self.slot, Request(()), 1, self.now + 60, True)

    @property
    def state(self) -> str:
        return self.gate.state(self.slot.provider)


@pytest.mark.parametrize("verdict", [Verdict.BAD, Verdict.GONE])
@pytest.mark.parametrize(("clock", "unix"), [(3600, 3600), (1, 3600)])
async def test_attempts_under_way_while_we_slept_open_nothing(clock: float, unix: float, verdict: Verdict) -> None:
    """Their own timers may ring before any beat does."""
    machine = Machine()
    tickets = [await machine.enter() for _ in range(3)]
    machine.passes(clock, unix)
    for ticket in tickets:
        machine.gate.leave(ticket, verdict)
    assert machine.state == "closed"
    machine.passes(WAKING + 1, WAKING + 1)
    machine.gate.leave(await machine.enter(), verdict)
    assert machine.state == "open"


async def test_a_failed_probe_that_slept_may_be_repeated() -> None:
    machine = Machine()
    machine.gate.leave(await machine.enter(), Verdict.BAD)
    machine.passes(11, 11)
    probe = await machine.enter()
    machine.passes(0, 3600)
    machine.gate.leave(probe, Verdict.BAD)
    assert machine.state == "half-open"
    machine.gate.leave(await machine.enter(), Verdict.GOOD)
    assert machine.state == "closed"


async def test_an_answer_that_asks_to_wait_is_an_answer() -> None:
    machine = Machine()
    ticket = await machine.enter()
    machine.passes(0, 3600)
    machine.gate.leave(ticket, Verdict.BAD, wait=30.0)
    assert machine.state == "open"


async def test_time_without_calls_is_no_sleep() -> None:
    machine = Machine()
    machine.gate.leave(await machine.enter(), Verdict.GOOD)
    machine.passes(3600, 3600)
    machine.gate.leave(await machine.enter(), Verdict.BAD)
    assert machine.state == "open"


async def test_beats_go_on_as_long_as_a_call_and_no_longer() -> None:
    machine = Machine()
    ticket = await machine.enter()
    for _ in range(20):  # a minute of one long call; the timer is rung by hand
        machine.passes(3, 3)
        machine.gate._beat()
    machine.gate.leave(ticket, Verdict.BAD)
    assert machine.state == "open"
    machine.gate._beat()
    assert machine.gate._beating is None


STOPPED = """
import sys
import hybrid_nb as hnb
from hybrid_nb.core.errors import HybridNbError
provider = {"name": "a", "type": "custom", "base_url": sys.argv[1], "models": ["m"], "api_key": "k"}
router = hnb.Router({
    "router": {"retries": 0, "breaker_threshold": 1, "health_interval": 0}, "provider": [provider],
    "ledger": {"url": "sqlite:///" + sys.argv[2]}})
for _ in range(2):
    try:
        router.chat("hi", timeout=2)
    except HybridNbError as error:
        row = router.health(check=False).iloc[0]
        print(type(error).__name__, row["breaker"], row["calls"], flush=True)
"""


def test_a_process_that_was_stopped_opens_no_breaker(raw: Raw, tmp_path: Path) -> None:
    server = raw([HANG])
    command = [sys.executable, "-c", STOPPED, server.url, str(tmp_path / "ledger.db")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert until(lambda: server.seen, 20)
        child.send_signal(signal.SIGSTOP)
        time.sleep(BEAT + LATE + 2)
        child.send_signal(signal.SIGCONT)
        told, _ = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert told.splitlines() == ["ProviderTimeoutError closed 0", "ProviderTimeoutError open 1"]


async def test_a_beat_is_real(raw: Raw) -> None:
    """A loop that nobody gives time, as when a cell holds the interpreter, has slept too."""
    machine = Machine()
    ticket = await machine.enter()
    assert machine.gate._beating is not None
    assert machine.gate._beating.when() - asyncio.get_running_loop().time() <= BEAT
    machine.gate.leave(ticket, Verdict.GOOD)
    machine.gate._beating.cancel()
