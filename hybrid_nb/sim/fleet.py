"""A fleet of simulated vendors on one daemon thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from . import config
from .faults import FAULT_KINDS
from .types import Fault, Json, Match, Model, RequestLog, Vendor

if TYPE_CHECKING:
    from .server import Server

T = TypeVar("T")

_PATHS = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta", "ollama": ""}
_CALL_TIMEOUT = 10.0


def default_vendors() -> tuple[Vendor, ...]:
    """Four vendors that differ visibly in speed, price and accuracy."""
    return (
        Vendor(
            "sim-openai",
            "openai",
            (
                Model("simulated-gpt", 0.30, 90, 0.95, 1.25, 10.0, context=128_000),
                Model("simulated-gpt-mini", 0.12, 180, 0.85, 0.25, 2.0, context=128_000),
            ),
            priority=2,
        ),
        Vendor(
            "sim-anthropic",
            "anthropic",
            (Model("simulated-claude", 0.45, 70, 0.97, 3.0, 15.0, context=200_000, chunk_tokens=3),),
            priority=3,
        ),
        Vendor(
            "sim-gemini",
            "gemini",
            (Model("simulated-gemini", 0.20, 220, 0.90, 0.30, 2.5, context=1_000_000, chunk_tokens=12),),
            priority=2,
        ),
        Vendor(
            "sim-ollama",
            "ollama",
            (Model("simulated-llama", 0.08, 40, 0.70, context=8192),),
            key=None,
            tier="local",
            priority=1,
        ),
    )


class Handle:
    """A running vendor: where it is, what it was asked, and what shall go wrong."""

    def __init__(self, fleet: Fleet, server: Server) -> None:
        self._fleet = fleet
        self._server = server

    @property
    def vendor(self) -> Vendor:
        """The vendor as it is set now."""
        return self._server.vendor

    @property
    def port(self) -> int:
        """Its port, the same after `revive`."""
        return self._server.port

    @property
    def base_url(self) -> str:
        """What a client's configuration takes as base URL."""
        return f"http://127.0.0.1:{self.port}{_PATHS[self.vendor.wire]}"

    @property
    def requests(self) -> list[RequestLog]:
        """The latest requests of every kind, oldest first."""
        return list(self._server.logs)

    @property
    def chats(self) -> list[RequestLog]:
        """The latest chat requests: no lists, no probes."""
        return [log for log in self.requests if log.method == "POST" and not log.path.startswith("/api/show")]

    @property
    def faults(self) -> list[Fault]:
        """The faults that wait for requests."""
        return [planned.fault for planned in list(self._server.queue)]

    def fail(
        self, fault: Fault, times: int | None = 1, match: Match | None = None, *, everywhere: bool = False
    ) -> None:
        """Let the next requests fail.

        Args:
            fault: what happens.
            times: how many requests; None lasts until `heal`.
            match: only requests for which this is true of their log, as known before the answer.
            everywhere: lists and probes too, not only chats.

        Raises:
            ValueError: the kind is unknown.
        """
        from .server import Planned

        if fault.kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {fault.kind!r}; known are {', '.join(sorted(FAULT_KINDS))}")
        if times is None or times > 0:
            self._server.plan_fault(Planned(fault, times, match, everywhere))

    def heal(self) -> None:
        """Forget all faults that wait."""
        self._server.heal()

    def clear(self) -> None:
        """Forget the logged requests."""
        self._server.logs.clear()

    def set(self, model: str | None = None, **changes: Any) -> None:
        """Change ``ttft``, ``accuracy``, … of one model, or of all, from the next request on.

        Raises:
            KeyError: there is no such model.
        """
        self._server.change(model, changes)

    def kill(self) -> None:
        """Stop listening and drop all connections."""
        self._fleet._call(self._server.kill())

    def revive(self) -> None:
        """Listen again, on the same port."""
        if self._server.down:
            self._fleet._call(self._server.start())


class Fleet:
    """Simulated vendors, each on a loopback port; also a context manager.

    Args:
        vendors: what to run; None is `default_vendors`.
        seed: of everything that is chance: wrong answers, wording, jitter.

    Example:
        >>> with Fleet(seed=1) as fleet:
        ...     fleet["sim-openai"].base_url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, vendors: Sequence[Vendor] | None = None, seed: int = 0) -> None:
        self.vendors = tuple(default_vendors() if vendors is None else vendors)
        self.seed = seed
        self._handles: dict[str, Handle] = {}
        self._servers: list[Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        names = [vendor.name for vendor in self.vendors]
        if len(set(names)) != len(names):
            raise ValueError("two vendors have the same name")

    def start(self) -> Self:
        """Run all servers; nothing happens when they run already.

        Raises:
            OSError: a port is taken.
        """
        if self._loop is not None:
            return self
        from .server import Server

        self._servers = [Server(vendor, self.seed) for vendor in self.vendors]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="hybrid-nb-sim", daemon=True)
        self._thread.start()
        try:
            for server in self._servers:
                self._call(server.start())
        except BaseException:
            self.stop()
            raise
        self._handles = {server.vendor.name: Handle(self, server) for server in self._servers}
        return self

    def stop(self) -> None:
        """Stop all servers and their thread; nothing happens when they do not run."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        for server in self._servers:
            self._call(server.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CALL_TIMEOUT)
        self._loop = self._thread = None
        self._handles = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Handle:
        self._check_started()
        return self._handles[name]

    def __iter__(self) -> Iterator[Handle]:
        self._check_started()
        return iter(list(self._handles.values()))

    def config(self) -> Json:
        """The fleet as configuration: ``{"provider": [...], "router": {}}``.

        Raises:
            RuntimeError: the fleet does not run, so it has no ports yet.
        """
        return {"provider": [config.provider(handle.vendor, handle.base_url) for handle in self], "router": {}}

    def toml(self) -> str:
        """The same as TOML text."""
        return "\n".join(config.toml(provider) for provider in self.config()["provider"])

    def _check_started(self) -> None:
        if self._loop is None:
            raise RuntimeError("the fleet is not running: call start()")

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the fleet is not running: call start()")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
