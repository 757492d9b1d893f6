"""One server with a key for most tests, one without, and one that a test may kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb import Router

from . import tiny_gguf
from .server import Server, find

KEY = "sk-a-key-for-tests-only"
BINARY = find()  # looked for now: tests get a cache folder of their own


@pytest.fixture(scope="session")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Server]:
    binary = BINARY
    if binary is None:
        pytest.skip(
            "no llama-server in the cache or at HYBRID_NB_LLAMA_SERVER; build it with: tests/llamacpp/build_server.sh"
        )
    folder: Path = tmp_path_factory.mktemp("llamacpp")
    tiny_gguf.write(folder / "tiny.gguf")

    def make(name: str, key: str | None = None) -> Server:
        return Server(binary, folder / "tiny.gguf", folder / f"{name}.log", key)

    return make


@pytest.fixture(scope="session")
def keyed(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server("keyed", KEY)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def open_server(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server("open")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def mortal(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server("mortal")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def server(keyed: Server) -> Server:
    """The shared server, at rest: what an earlier test left at work would take a slot from this one."""
    keyed.wait_idle()
    return keyed


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Callable[..., Router]]:
    """A router to a server; `provider` and `router` settings may be added."""
    made: list[Router] = []

    def make(server: Server, router: dict[str, Any] | None = None, **provider: Any) -> Router:
        settings = {"name": "llama", "type": "llamacpp", "base_url": server.base_url, **provider}
        if server.key:
            settings.setdefault("api_key", server.key)
        ledger = {"url": f"sqlite:///{tmp_path / 'ledger.db'}"}
        made.append(Router({"router": router or {}, "ledger": ledger, "provider": [settings]}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_router_of(tmp_path: Path) -> Iterator[Callable[..., Router]]:
    """A router to two servers, in order."""
    made: list[Router] = []

    def make(*servers: Server) -> Router:
        providers = [
            {"name": name, "type": "llamacpp", "base_url": server.base_url, "priority": number}
            for number, (name, server) in enumerate(zip(("first", "second"), servers, strict=True))
        ]
        made.append(Router({"provider": providers, "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"}}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def router(server: Server, route: Callable[..., Router]) -> Router:
    return route(server)
