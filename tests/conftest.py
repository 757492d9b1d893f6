"""What every test may use: a fast fleet, raw servers, routers on a ledger of their own; and no way out to a vendor."""

from __future__ import annotations

import os

# before numpy is loaded: its threads spin for small matrices, ten times slower where others use the cores too
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb.providers import vendors
from hybrid_nb.router import Router, set_default_router
from hybrid_nb.setup import ROUTER_VARIABLES
from hybrid_nb.sim import Fleet, Model, Vendor
from tests.faults.raw_server import RawServer, Script

WIRES = ("openai", "anthropic", "gemini", "ollama")
FAST = float("inf")
PRICES = {"input": 1.0, "output": 2.0}  # dollars per million tokens, in the fleet's cloud vendors


def model_of(wire: str) -> str:
    """The fleet's model of a wire, as one asks for it."""
    return f"{wire}/simulated-{wire}"


@cache
def _ours() -> frozenset[str]:
    names = {name for vendor in vendors() for name in (*vendor.key_env, *vendor.url_env)}
    proxies = {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    ours = {*ROUTER_VARIABLES, "HYBRID_NB_CONFIG", "HYBRID_NB_CACHE", "HYBRID_NB_CASSETTE", "RATE_LIMIT_PER_MINUTE"}
    return frozenset(names | proxies | ours)


def is_the_developers(name: str) -> bool:
    """Whether this environment variable may hold a key, a setting or a proxy of who runs the tests."""
    return name in _ours() or name.endswith("_API_KEY") or name.startswith(("CUSTOM_", "INFERENCE_", "FALLBACK_"))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's keys, settings or ledger."""
    for name in filter(is_the_developers, list(os.environ)):
        monkeypatch.delenv(name)
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / f"xdg-{kind.lower()}"))


def own_places(folder: Path) -> dict[str, str]:
    """The environment of a child process that outlives a test: no developer's keys, and its own places to write."""
    env = {name: value for name, value in os.environ.items() if not is_the_developers(name)}
    env |= {f"XDG_{kind}_HOME": str(folder / f"xdg-{kind.lower()}") for kind in ("CONFIG", "DATA", "CACHE", "STATE")}
    jupyter = {f"JUPYTER_{kind}_DIR": str(folder / f"jupyter-{kind.lower()}") for kind in ("CONFIG", "DATA", "RUNTIME")}
    return {**env, **jupyter, "IPYTHONDIR": str(folder / "ipython")}


@pytest.fixture(scope="session")
def running_fleet() -> Iterator[Fleet]:
    models = {wire: Model(f"simulated-{wire}", 0.0, FAST, 1.0, 1.0, 2.0, context=100_000) for wire in WIRES}
    kinds = [
        Vendor(wire, wire, (models[wire],), key="sim-key" if wire != "ollama" else None, priority=number)  # type: ignore[arg-type]
        for number, wire in enumerate(WIRES, 1)
    ]
    with Fleet(kinds, seed=7) as fleet:
        yield fleet


@pytest.fixture
def fleet(running_fleet: Fleet) -> Iterator[Fleet]:
    """Four vendors, one a wire, that answer at once and are always right; healed after each test."""
    for handle in running_fleet:
        handle.clear()
    yield running_fleet
    for handle in running_fleet:
        handle.heal()
        handle.revive()
        handle.set(ttft=0.0, tokens_per_second=FAST, accuracy=1.0, context=100_000, chunk_tokens=1, reasoning=0)


MakeRouter = Callable[..., Router]


@pytest.fixture
def make_router(tmp_path: Path) -> Iterator[MakeRouter]:
    """A function that makes routers with a ledger in the test's folder; they are closed at the end."""
    made: list[Router] = []

    def make(config: Any = None, *, group: dict[str, list[str]] | None = None, **settings: Any) -> Router:
        if isinstance(config, Fleet):
            config = config.config()
        if isinstance(config, list):
            config = {"provider": config}
        if isinstance(config, dict):
            config = {
                "ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"},
                **config,
                "router": {"retry_delay": 0.001, **config.get("router", {}), **settings},
            }
            if group:
                config["group"] = group
        made.append(Router(config))
        return made[-1]

    yield make
    for router in made:
        router.close()
    set_default_router(None)


@pytest.fixture
def router(fleet: Fleet, make_router: MakeRouter) -> Router:
    """A router over the fleet."""
    return make_router(fleet)


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    """A function that starts a server which plays these scripts in turn."""
    started: list[RawServer] = []

    def start(*scripts: Script) -> RawServer:
        server = RawServer(list(scripts)).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


def at(server: RawServer, name: str = "a", **more: Any) -> dict[str, Any]:
    """A raw server as a provider of one model "m" at a known price."""
    return {
        "name": name, "type": "custom", "base_url": server.url, "models": ["m"], "prices": {"m": PRICES},
        "tier": "cloud", "api_key": "raw-key", **more,
    }  # fmt: skip
