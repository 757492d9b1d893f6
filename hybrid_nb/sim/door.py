"""aiohttp's low-level server, which tells when a request was read from its socket: many at once wait for their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

_BODY_LIMIT = 256 * 1024 * 1024


class Reader(web.RequestHandler):
    """One connection. `read_at`: when the latest bytes came (``time.monotonic()``)."""

    __slots__ = ("read_at",)

    def data_received(self, data: bytes) -> None:
        self.read_at = time.monotonic()
        super().data_received(data)


class Door(web.Server):
    """Makes a Reader for each connection."""

    def __init__(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(serve, request_factory=_request, handler_cancellation=True, access_log=None)

    def __call__(self) -> Reader:
        return Reader(self, loop=self._loop, **self._kwargs)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_LIMIT)


def read_at(request: web.BaseRequest) -> float:
    """When the request was read."""
    protocol = request.protocol
    return protocol.read_at if isinstance(protocol, Reader) else time.monotonic()
