"""Every vendor, found by itself: small, named after its file, and able to chat, stream and list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hybrid_nb.providers
from hybrid_nb.core.errors import AuthenticationError, ConfigError
from hybrid_nb.providers import types, vendor
from hybrid_nb.sim import Fleet
from tests.conftest import MakeRouter
from tests.faults.raw_server import RawServer, answer, said

SIM = {"Anthropic": "anthropic", "Gemini": "gemini", "Ollama": "ollama", "OpenAIChat": "openai"}  # by wire


@pytest.fixture(scope="module")
def keyed() -> Iterator[Fleet]:
    """The four wires, each behind a key."""
    from dataclasses import replace

    from hybrid_nb.sim import Model, Vendor

    one = Vendor("x", models=(Model("simulated-x", 0.0, float("inf"), 1.0),), key="good-key")
    with Fleet([replace(one, name=wire, wire=wire) for wire in SIM.values()]) as fleet:  # type: ignore[arg-type]
        yield fleet


@pytest.mark.parametrize("kind", types())
def test_a_vendor(kind: str, keyed: Fleet, make_router: MakeRouter, raw: Callable[..., RawServer]) -> None:
    found = vendor(kind)
    file = Path(hybrid_nb.providers.__file__).parent / f"{kind}.py"
    assert len(file.read_text().splitlines()) < 100
    assert found.type == file.stem == kind
    assert found.title
    assert found.key_required <= bool(found.key_env)

    handle = keyed[SIM[type(found.wire).__name__]]
    handle.clear()
    config = {"name": "v", "type": kind, "base_url": handle.base_url, "models": ["simulated-x"], "api_key": "good-key"}
    router = make_router([config], retries=0)
    reply = router.chat("What is 2 + 2?", system="Be brief.", max_tokens=50, temperature=0.5, seed=3)
    assert "4" in reply.text
    assert reply.usage.source == "provider"
    stream = router.stream("What is 2 + 2?", max_tokens=50)
    assert "".join(stream) == stream.reply.text == router.chat("What is 2 + 2?", max_tokens=50).text
    assert router.health()["status"].iloc[0] == "healthy"
    assert list(router.test_provider("v")["ok"]) == [True] * 3

    listed = make_router([{k: v for k, v in config.items() if k != "models"}])
    if not found.models:
        assert [info.id.removesuffix(":latest") for info in listed._state.providers["v"].models] == ["simulated-x"]
    router.update_provider("v", api_key="bad-key")
    for ask in (lambda: router.chat("hi"), lambda: router.stream("hi").reply):
        with pytest.raises(AuthenticationError) as caught:
            ask()
        assert caught.value.status_code in (400, 401)
    assert list(router.test_provider("v")["ok"]) == [True, False, False]

    server = raw(answer(said("hi")))
    keyless = make_router([{**config, "base_url": server.url, "api_key": None}], retries=0)
    if found.key_required:
        with pytest.raises(AuthenticationError, match=found.key_env[0]):
            keyless.chat("hi")
        assert server.seen == []
    else:
        assert keyless.plan("hi").chosen is not None


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'anthropic'"):
        vendor("antropic")
