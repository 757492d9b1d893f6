"""One vendor on a loopback port: reads requests, plays plans, logs when each piece was really written."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, count

import orjson
from aiohttp import web

from .chance import digest
from .desk import Desk, Incoming
from .door import Door, read_at
from .plan import Close, Hang, Open, Plan, Reset, Send, Step, Wait
from .types import Fault, Match, RequestLog, Spoken, Stamp, Vendor

HOST = "127.0.0.1"
_SECRET_HEADERS = {"authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization"}
_LOG_LENGTH = 10_000
_YIELD_EVERY = 16
_BACKLOG = 1024


@dataclass
class Planned:
    """A fault in the queue; ``left`` None lasts."""

    fault: Fault
    left: int | None = 1
    match: Match | None = None
    everywhere: bool = False


class Server:
    """One vendor's server; all but `start`, `kill` and `serve` may be used from any thread."""

    def __init__(self, vendor: Vendor, seed: int) -> None:
        self.vendor = vendor
        self.seed = seed
        self.port = vendor.port
        self.logs: deque[RequestLog] = deque(maxlen=_LOG_LENGTH)
        self.queue: list[Planned] = []
        self.down = True
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._ordinals = count()
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        """Listen; on the same port as before when there was one."""
        if self._runner is None:
            self._runner = web.ServerRunner(Door(self.serve), shutdown_timeout=0.05)
            await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.port, backlog=_BACKLOG, reuse_address=True)
        await site.start()
        self._site, self.down = site, False
        self.port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """Stop listening and drop every connection."""
        self.down = True
        if self._site is not None:
            await self._site.stop()
            self._site = None
        server = self._runner.server if self._runner else None
        for connection in list(server.connections) if server else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        """Stop for good."""
        await self.kill()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def plan_fault(self, planned: Planned) -> None:
        """Put a fault at the end of the queue."""
        with self._lock:
            self.queue.append(planned)

    def heal(self) -> None:
        """Empty the queue of faults."""
        with self._lock:
            self.queue.clear()

    def _next_fault(self, log: RequestLog, chat: bool) -> Fault | None:
        with self._lock:
            for planned in self.queue:
                if (chat or planned.everywhere) and (planned.match is None or planned.match(log)):
                    self._spend(planned)
                    return planned.fault
        return None

    def _spend(self, planned: Planned) -> None:
        if planned.left is None:
            return
        planned.left -= 1
        if planned.left <= 0:
            self.queue.remove(planned)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is for."""
        received = read_at(request)
        async with self._turn:
            await asyncio.sleep(0)  # of many one is let in a turn, so that others are read and written
        log = RequestLog(self._shown(request.path_qs), received, request.method)
        log.headers = {name: self._redacted(name, value) for name, value in request.headers.items()}
        self.logs.append(log)
        try:
            plan = await self._plan(request, log)
            log.status = plan.status
            return await Player(request, log, plan).play()
        except (asyncio.CancelledError, ConnectionError):
            log.client_closed = not self.down
            raise
        finally:
            log.ended = time.monotonic()

    async def _plan(self, request: web.BaseRequest, log: RequestLog) -> Plan:
        ordinal = next(self._ordinals)
        raw = await request.read()
        incoming = Incoming(request.method, request.path, request.query, request.headers, _parsed(raw), ordinal)
        desk = Desk(self.vendor, self.seed)
        route = desk.route(incoming)
        log.body = incoming.body
        body = incoming.body if isinstance(incoming.body, dict) else {}
        log.model = (route.model if route else None) or body.get("model")
        fault = self._next_fault(log, chat=route is not None)
        log.fault = fault.kind if fault else None
        ident = f"sim{digest(self.seed, self.vendor.name, ordinal):064x}"[:20]
        plan = desk.plan(incoming, fault, Stamp(ident, time.time()))
        log.stream = plan.stream
        return plan

    def _redacted(self, name: str, value: str) -> str:
        return "REDACTED" if name.lower() in _SECRET_HEADERS else self._shown(value)

    def _shown(self, text: str) -> str:
        return text.replace(self.vendor.key, "REDACTED") if self.vendor.key else text

    def change(self, model: str | None, changes: Mapping[str, object]) -> None:
        """Change one model's settings, or all models'."""
        if model is not None and model not in [one.name for one in self.vendor.models]:
            raise KeyError(model)
        models = tuple(
            replace(one, **changes) if model in (None, one.name) else one  # type: ignore[arg-type]
            for one in self.vendor.models
        )
        self.vendor = replace(self.vendor, models=models)


class Player:
    """Plays one plan on one connection, against absolute deadlines."""

    def __init__(self, request: web.BaseRequest, log: RequestLog, plan: Plan) -> None:
        self.request = request
        self.log = log
        self.plan = plan
        self.base = log.received + plan.ttft
        self.writes = 0
        headers = {"Content-Type": plan.content_type, **dict(plan.headers)}
        self.response = web.StreamResponse(status=plan.status, headers=headers)
        if not plan.stream and not any(isinstance(step, Close) for step in plan.steps):
            self.response.content_length = sum(len(step.data) for step in plan.steps if isinstance(step, Send))
        if plan.stream:
            self.response.enable_chunked_encoding()

    async def play(self) -> web.StreamResponse:
        """Every step in turn."""
        for step in chain(self.plan.steps, self.plan.frames):
            await self._step(step)
            if isinstance(step, Reset | Close):
                return self.response
        if not self.response.prepared:
            await self.response.prepare(self.request)
        await self.response.write_eof()
        return self.response

    async def _step(self, step: Step) -> None:
        match step:
            case Send():
                await self._send(step)
            case Open():
                await self._open()
            case Wait():
                await asyncio.sleep(step.seconds)
                self.base += step.seconds
            case Hang():
                await asyncio.Event().wait()
            case Reset() | Close():
                self._drop(reset=isinstance(step, Reset))

    async def _send(self, step: Send) -> None:
        await self._until(self._due(step))
        if not self.response.prepared:
            await self.response.prepare(self.request)
        now = time.monotonic()
        await self.response.write(step.data)
        self.log.sent.append((now, len(step.data)))
        if step.text or step.reasoning:
            self.log.spoken.append(Spoken(now, step.tokens, step.text, step.reasoning))
        self.log.tokens_out += step.tokens

    def _due(self, step: Send) -> float:
        if not self.plan.rate or not step.tokens:
            return self.base
        produced = self.log.tokens_out if self.plan.stream else step.tokens - 1
        return self.base + produced / self.plan.rate

    async def _until(self, due: float) -> None:
        """Wait for a deadline; without delays, let others and a disconnect through now and then."""
        left = due - time.monotonic()
        self.writes += 1
        if left > 0:
            await asyncio.sleep(left)
        elif self.writes % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    async def _open(self) -> None:
        await self._until(self.base)
        if not self.response.prepared:
            await self.response.prepare(self.request)
        writer = self.response._payload_writer
        if writer is not None:
            writer.send_headers()

    def _drop(self, *, reset: bool) -> None:
        transport = self.request.transport
        if transport is None:
            return
        if reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()


def _parsed(raw: bytes) -> object:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None
