"""A loopback server that sends exactly the bytes of a script: what no well-behaved server would do.

It runs in a thread of its own (`with RawServer(...)`), or on a loop that is there (`await server.start()`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

HANG = "hang"  # say nothing more, keep the connection
RESET = "reset"  # drop the connection with a TCP reset
KEEP = "keep"  # the answer is whole: go on with the next request on this connection

Script = Sequence[bytes | float | str]  # bytes are written, a float is a pause in seconds
Play = Script | Callable[["Seen"], Script]  # what is sent may depend on what was asked


def head(status: int = 200, kind: str = "application/json", *extra: str) -> bytes:
    """The head of a response whose end is the end of the connection."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {kind}", "Connection: close", *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(body: Any, status: int = 200, kind: str = "application/json", *extra: str) -> list[bytes]:
    """A whole response; a body that is not bytes becomes JSON."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return [head(status, kind, f"Content-Length: {len(data)}", *extra), data]


def chunked(*pieces: bytes, kind: str = "text/event-stream", end: bool = True) -> list[bytes]:
    """A chunked response; without `end` it is cut off."""
    frames = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces if piece]
    return [head(200, kind, "Transfer-Encoding: chunked"), *frames, *([b"0\r\n\r\n"] if end else [])]


def events(*payloads: Any) -> list[bytes]:
    """Server-sent events."""
    return [b"data: " + (p if isinstance(p, bytes) else orjson.dumps(p)) + b"\n\n" for p in payloads]


def delta(text: str, **choice: Any) -> dict[str, Any]:
    """An OpenAI chunk with this text."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}]}


def finish(reason: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def said(text: str, usage: tuple[int, int] | None = (3, 2)) -> dict[str, Any]:
    """A whole OpenAI answer."""
    body: dict[str, Any] = {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


def spoken(text: str) -> list[bytes]:
    """A whole streamed OpenAI answer."""
    return chunked(
        *events(
            delta(text), finish(), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, b"[DONE]"
        )
    )


@dataclass
class Seen:
    """One request as it came, and when its connection ended."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    closed: float | None = None  # loop time, as `at`
    at: float = 0.0

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class RawServer:
    """Plays its scripts in turn, and the last one for ever."""

    scripts: Sequence[Play]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._played = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._tasks)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raw-server", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def play(self, *scripts: Play) -> None:
        """From now on play these."""
        self.scripts, self._played = scripts, 0

    async def start(self) -> None:
        """Listen, on the same port as before when there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.transport.abort() if writer.transport.is_closing() else writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = start.split(" ")
        seen = Seen(method, path, headers, body, at=asyncio.get_running_loop().time())
        self.seen.append(seen)
        try:
            return await self._play(self._script(seen), reader, writer)
        finally:
            seen.closed = asyncio.get_running_loop().time()

    def _script(self, seen: Seen) -> Script:
        play = self.scripts[min(self._played, len(self.scripts) - 1)]
        self._played += 1
        return play(seen) if callable(play) else play

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step == HANG:
                await reader.read(1)  # returns when the client goes away
            elif step == RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            elif step == KEEP:
                return True
            elif await self._pause(float(step), reader):
                return False
        return False

    @staticmethod
    async def _pause(seconds: float, reader: asyncio.StreamReader) -> bool:
        """Wait; True when the client went away meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await reader.read(1) == b""
        return False


def until(true: Any, seconds: float = 2.0) -> bool:
    """Wait until a condition holds; False when it did not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.005)
    return bool(true())
