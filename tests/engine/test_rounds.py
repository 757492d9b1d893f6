"""Active checks against real servers: whom they ask, what follows, and how they end."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb import setup
from hybrid_nb.core.config import ProviderSettings
from hybrid_nb.core.errors import AuthenticationError, ConfigError, ServiceUnavailableError
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Request, Target
from hybrid_nb.engine.breaker import Policy, Verdict
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Health
from hybrid_nb.engine.schedule import Slot
from hybrid_nb.portal import portal
from hybrid_nb.rounds import Rounds, Ward
from hybrid_nb.router import Router
from hybrid_nb.transports.http import HttpTransport
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import HANG, RESET, RawServer, answer, said, until

Raw = Callable[..., RawServer]
LIST = answer({"data": [{"id": "m"}]})
UNIX = 1e9


class Day:
    """Rounds whose clocks are moved by hand; their timers are not waited for."""

    def __init__(self, *providers: Provider, patience: float = 5.0) -> None:
        self.now = 1000.0
        self.providers = list(providers)
        self.health = Health()
        self.gate = Gate(lambda *_: (None, None), None, clock=lambda: self.now, wall=lambda: UNIX + self.now)
        self.gate.policy = Policy(threshold=1, seconds=600)
        self.transport = HttpTransport()
        self.stood = 0.0  # seconds that the loop's clock stood still
        self.rounds = Rounds(
            lambda: Ward(self.providers, 30.0), self.transport, self.health, self.gate, rng=random.Random(1),
            clock=lambda: self.now, wall=lambda: UNIX + self.now + self.stood, patience=patience,
        )  # fmt: skip

    async def passes(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, a ring of the timer each step; rounds under way end."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.rounds._ring()
            if self.rounds._task is not None:
                await asyncio.wait([self.rounds._task])

    async def fails(self, provider: Provider, verdict: Verdict = Verdict.BAD, **more: Any) -> None:
        slot = Slot(Target(provider.name, "m"), provider, provider.endpoints[0], provider.tier, "")
        ticket = await self.gate.enter("x", slot, Request(()), 1, self.now + 60, True)
        self.gate.leave(ticket, verdict, **more)
        self.called(provider, verdict is Verdict.GOOD)

    def called(self, provider: Provider, ok: bool = True) -> None:
        self.health.attempt(provider.name, ok, None if ok else "it failed", UNIX + self.now, "m")


def provider(server: RawServer, tier: str = "local", **more: Any) -> Provider:
    return setup.build(ProviderSettings.model_validate({**at(server), "tier": tier, **more}), {})


@pytest.fixture
async def day() -> AsyncIterator[Callable[..., Day]]:
    days: list[Day] = []

    def start(*providers: Provider, **more: Any) -> Day:
        days.append(Day(*providers, **more))
        return days[-1]

    yield start
    for one in days:
        await one.rounds.stop()
        await one.transport.aclose()


async def test_an_idle_local_server_is_looked_at_and_its_models_too(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    today = day(provider(server, models=["m", "gone"], prices={}))
    await today.passes(14)
    assert server.seen == []
    await today.passes(300)
    assert 7 <= len(server.seen) <= 14
    assert {(seen.method, seen.path) for seen in server.seen} == {("GET", "/v1/models")}
    assert today.health.status("a") == "healthy"
    assert [today.health.model("a", name).uptime for name in ("m", "gone")] == [1.0, 0.0]


async def test_a_server_that_is_started_later_is_found(day: Callable[..., Day], raw: Raw) -> None:
    server = raw([RESET])
    today = day(provider(server))
    await today.passes(50)
    assert today.health.status("a") == "down"
    server.scripts = [LIST]
    await today.passes(40)
    assert today.health.status("a") == "healthy"


async def test_the_cloud_is_asked_only_while_it_is_in_use(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    cloud = provider(server, "cloud")
    today = day(cloud)
    await today.passes(1000)
    assert server.seen == []
    today.called(cloud)
    await today.passes(29)
    assert server.seen == []
    await today.passes(1000)
    assert 12 <= len(server.seen) <= 26  # for ten minutes
    assert today.health.record("a").checks >= len(server.seen)


async def test_who_is_disabled_has_no_key_or_a_refused_one_is_not_asked(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(answer({"error": {"message": "bad key"}}, 401))
    off, refused = provider(server, enabled=False), provider(server, name="b", api_key="bad")
    vendor = replace(off.vendor, key_required=True)
    keyless = replace(off, name="c", vendor=vendor, endpoints=(replace(off.endpoints[0], key=None),), enabled=True)
    assert keyless.missing_key
    today = day(off, keyless)
    await today.passes(200)
    assert server.seen == []
    today.providers = [refused]
    await today.passes(600)
    assert len(server.seen) == 1  # once, and then left alone
    today.health.moved("b")  # another key
    await today.passes(200)
    assert len(server.seen) == 2


async def test_a_key_that_a_call_found_refused_is_left_alone(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    local = provider(server)
    today = day(local)
    await today.fails(local, Verdict.LOCKED)
    await today.passes(600)
    assert server.seen == []
    assert today.gate.state(local) == "open"


async def test_a_wish_to_be_left_alone_is_obeyed(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    local = provider(server)
    today = day(local)
    await today.fails(local, Verdict.BAD, wait=200.0)
    await today.passes(199)
    assert server.seen == []
    await today.passes(60)
    assert len(server.seen) >= 1


@pytest.mark.parametrize(("asked", "waits"), [("Retry-After: 60", 60), ("Retry-After: 5000", 3600)])
async def test_a_check_that_is_asked_to_wait_waits(asked: str, waits: float, day: Callable[..., Day], raw: Raw) -> None:
    server = raw(answer({"error": {"message": "slow down"}}, 429, "application/json", asked), LIST)
    local = provider(server)
    today = day(local)
    today.called(local)
    await today.passes(waits)
    assert len(server.seen) == 1
    assert today.health.status("a") == "healthy"  # it is there
    await today.passes(70)
    assert len(server.seen) >= 2


async def test_busy_ones_are_known_from_their_calls(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    local = provider(server)
    today = day(local)
    for _ in range(30):
        today.called(local)
        await today.passes(10)
    assert server.seen == []
    assert today.health.record("a").uptime == 1.0


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.BAD, "half-open"), (Verdict.GONE, "closed")])
async def test_a_server_that_is_back_is_tried_at_once(
    verdict: Verdict, state: str, day: Callable[..., Day], raw: Raw
) -> None:
    server = raw([RESET], LIST)
    cloud = provider(server, "cloud")
    today = day(cloud)
    await today.fails(cloud, verdict)
    await today.passes(1, 0.5)
    assert today.gate.state(cloud) == "open"
    await today.passes(120)  # of the ten minutes for which it is open
    assert len(server.seen) >= 2
    assert today.gate.state(cloud) == state


async def test_a_hung_server_does_not_stop_the_rounds(day: Callable[..., Day], raw: Raw) -> None:
    hung, well = raw([HANG]), raw(LIST)
    today = day(provider(hung), provider(well, name="b"), patience=0.2)
    await today.passes(200)
    assert len(hung.seen) >= 4
    assert len(well.seen) >= 4
    assert "no answer in 0.2 s" in (today.health.record("a").last_error or "")


async def test_a_bug_does_not_stop_the_rounds(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    today = day(provider(server))
    today.providers = [None]  # type: ignore[list-item]
    await today.passes(100)
    today.providers = [provider(server)]
    await today.passes(100)
    assert len(server.seen) >= 2


async def test_after_a_sleep_everybody_is_asked_afresh_soon(day: Callable[..., Day], raw: Raw) -> None:
    server = raw(LIST)
    today = day(*(provider(server, name=f"p{number}") for number in range(8)))
    await today.passes(5)
    today.stood = 3600  # the lid was closed
    await today.passes(0.5, 0.5)
    assert server.seen == []
    await today.passes(10.5, 0.5)
    assert len(server.seen) == 8


async def test_a_check_that_slept_says_nothing(day: Callable[..., Day], raw: Raw) -> None:
    server = raw([RESET])
    today = day(provider(server))
    while not server.seen:
        today.now += 1
        today.rounds._ring()
        if today.rounds._task is not None:
            today.stood += 3600
            await asyncio.wait([today.rounds._task])
    assert today.health.status("a") == "unknown"
    await today.passes(12)
    assert today.health.status("a") == "down"


# --- in a router --------------------------------------------------------------------------------------------


def test_a_router_looks_by_itself_and_ends_with_it(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(LIST)
    router = make_router([at(server, tier="local")], health_interval=1)
    assert until(lambda: len(server.seen) >= 2, 20)
    assert router.health(check=False)["status"].iloc[0] == "healthy"
    router.configure(health_interval=0)
    portal().run(asyncio.sleep(0.2))
    before = len(server.seen)
    portal().run(asyncio.sleep(2.5))
    assert len(server.seen) == before
    router.configure(health_interval=1)
    assert until(lambda: len(server.seen) > before, 20)
    router.close()
    before = len(server.seen)
    portal().run(asyncio.sleep(2))
    assert len(server.seen) == before
    assert router._rounds._task is None


@pytest.mark.parametrize("interval", [0.5, -1, float("inf"), float("nan")])
def test_an_interval_that_is_none(interval: float, raw: Raw, make_router: MakeRouter) -> None:
    with pytest.raises(ConfigError, match=r"router\.health_interval"):
        make_router([at(raw(LIST))], health_interval=interval)


def test_a_check_under_way_ends_when_the_router_is_closed(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([HANG])
    router = make_router([at(server, tier="local")], health_interval=1)
    assert until(lambda: server.seen, 20)
    assert router._rounds._task is not None
    router.close()
    assert until(lambda: server.seen[0].closed is not None, 3)


def test_a_router_that_nobody_holds_is_not_kept_by_its_rounds(raw: Raw, tmp_path: Path) -> None:
    server = raw(LIST)
    ledger = {"url": f"sqlite:///{tmp_path}/ledger.db"}
    config = {"provider": [at(server, tier="local")], "router": {"health_interval": 1}, "ledger": ledger}
    router = Router(config)
    assert until(lambda: server.seen, 20)
    gone, rounds = weakref.ref(router), weakref.ref(router._rounds)
    del router

    def collected() -> bool:
        gc.collect()
        return gone() is None and rounds() is None

    assert until(collected, 10)


def test_a_replay_looks_at_nobody(raw: Raw, make_router: MakeRouter, tmp_path: Path) -> None:
    server = raw(LIST)
    cassette = {"mode": "replay", "path": str(tmp_path / "c.jsonl")}
    make_router({"provider": [at(server, tier="local")], "cache": cassette, "router": {"health_interval": 1}})
    portal().run(asyncio.sleep(2.5))
    assert server.connections == 0


def test_health_by_provider_and_by_model(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")), answer({"error": {"message": "busy"}}, 503), LIST)
    router = make_router([at(server, models=["m", "n"], prices={})], retries=0)
    router.chat("hi", model="a/m")
    with pytest.raises(ServiceUnavailableError):
        router.chat("hi", model="a/n")
    [row] = router.health().to_dict("records")
    assert (row["calls"], row["succeeded"], row["errors"], row["status"]) == (2, 1, 1, "degraded")
    assert 0 < row["mean_latency_s"] < 5
    assert row["last_call"] <= row["last_check"]
    assert row["last_error_at"] <= row["last_check"]
    table = router.health(check=False, by="model").set_index("model")
    assert dict(table["status"]) == {"m": "healthy", "n": "down"}
    assert dict(table["succeeded"]) == {"m": 1, "n": 0}
    assert dict(table["uptime"]) == {"m": 1.0, "n": 0.0}
    assert "busy" in table.loc["n", "last_error"]
    assert table["last_error"].isna()["m"]
    with pytest.raises(ValueError, match="by must be 'provider' or 'model', not 'x'"):
        router.health(by="x")


def test_a_call_after_a_failed_check_shows_that_it_is_there(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "busy"}}, 503), answer(said("hi")))
    router = make_router([at(server)], retries=0)
    assert list(router.health()["status"]) == ["down"]
    router.chat("hi")
    assert list(router.health(check=False)["status"]) == ["healthy"]


def test_a_new_key_is_not_judged_by_the_old_ones_check(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "bad key"}}, 401))
    router = make_router([at(server)], retries=0, health_interval=1)
    with pytest.raises(AuthenticationError):
        router.chat("hi")
    assert list(router.health()["status"]) == ["down"]
    server.scripts = [LIST]
    router.update_provider("a", api_key="another")
    assert list(router.health(check=False)["status"]) != ["down"]
    assert until(lambda: list(router.health(check=False)["status"]) == ["degraded"], 20)


QUIET_END = """
import sys
import hybrid_nb as hnb
provider = {"name": "a", "type": "custom", "base_url": sys.argv[1], "models": ["m"], "api_key": "k", "tier": "local"}
router = hnb.Router({"router": {"health_interval": 1}, "provider": [provider],
                     "ledger": {"url": "sqlite:///" + sys.argv[2]}})
sys.stdin.readline()
"""


def test_a_program_that_ends_during_a_check_ends_quietly(raw: Raw, tmp_path: Path) -> None:
    server = raw([HANG])
    command = [sys.executable, "-c", QUIET_END, server.url, str(tmp_path / "ledger.db")]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        assert until(lambda: server.seen, 20)
        assert child.communicate("\n", timeout=20) == ("", "")
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
