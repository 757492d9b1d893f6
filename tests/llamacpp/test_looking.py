"""What is learned of llama.cpp's own server without asking it anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hybrid_nb import Router
from hybrid_nb.discovery import discover
from hybrid_nb.providers import vendor

from .server import PATIENCE, SLOT_CONTEXT, SLOTS, Server, wait_until

pytestmark = [pytest.mark.llamacpp, pytest.mark.timeout(60)]


def test_models_with_their_context(router: Router) -> None:
    [row] = router.models().to_dict("records")
    assert (row["provider"], row["model"], row["tier"]) == ("llama", "tiny", "local")
    assert row["context"] == SLOT_CONTEXT  # what a slot has, not what the model was trained for
    assert row["available"] == "yes"


def test_health(router: Router) -> None:
    [row] = router.health().to_dict("records")
    assert row["status"] == "healthy"
    assert row["endpoints"] == "1/1 endpoints healthy"
    assert 0 < row["latency_s"] < PATIENCE


def test_provider_test(router: Router) -> None:
    steps = router.test_provider("llama")
    assert list(steps["step"]) == ["connection", "key", "model"]
    assert list(steps["ok"]) == [True, True, True]


def test_provider_test_with_a_wrong_key(server: Server, route: Callable[..., Router]) -> None:
    steps = route(server, api_key="sk-another-key-altogether").test_provider("llama")
    assert list(steps["ok"]) == [True, False, False]


async def test_discovery_finds_it_on_its_port(open_server: Server) -> None:
    here = replace(vendor("llamacpp"), ports=(open_server.port,))
    [found] = await discover([here], patience=PATIENCE)
    assert (found.name, found.tier) == ("llamacpp", "local")
    assert found.endpoints[0].base_url == open_server.base_url
    assert [(info.id, info.context) for info in found.models] == [("tiny", SLOT_CONTEXT)]


async def test_discovery_does_not_take_it_for_ollama(open_server: Server) -> None:
    there = replace(vendor("ollama"), ports=(open_server.port,))
    assert await discover([there], patience=PATIENCE) == []


async def test_discovery_finds_a_server_that_wants_a_key_and_says_so(server: Server) -> None:
    here = replace(vendor("llamacpp"), ports=(server.port,))
    [found] = await discover([here], patience=PATIENCE)
    assert found.models == ()
    assert "LLAMA_API_KEY" in (found.missing_key or "")
    [found] = await discover([here], patience=PATIENCE, environ={"LLAMA_API_KEY": server.key or ""})
    assert [info.id for info in found.models] == ["tiny"]


def test_as_many_calls_at_once_as_the_server_has_slots(server: Server, route: Callable[..., Router]) -> None:
    router = route(server)

    def counted() -> bool:
        return list(router.limits()["max_concurrency"].dropna()) == [SLOTS]

    wait_until(counted, "its slots are counted")
    router.configure(retries=1)
    wait_until(counted, "and counted again after a change")
    assert route(server, max_concurrency=9).limits()["max_concurrency"].iloc[0] == 9
