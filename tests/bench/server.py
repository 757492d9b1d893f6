"""A vendor on loopback that costs next to nothing: fixed answers in OpenAI's shape over a bare asyncio protocol.

Run as a script in a process of its own. It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import ClassVar

TEXT_CHUNKS = 100  # with the role's and the finish chunk: the stream of 102
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "seven", "wizards", "brew", "tea")
PIECES = [f"{WORDS[i % len(WORDS)]} " for i in range(TEXT_CHUNKS)]
USAGE = {"prompt_tokens": 12, "completion_tokens": TEXT_CHUNKS, "total_tokens": 12 + TEXT_CHUNKS}
HEAD = {"id": "chatcmpl-0123456789", "created": 1750000000, "model": "m"}


def plain() -> bytes:
    """A whole answer with its headers."""
    message = {"role": "assistant", "content": "".join(PIECES[:20]).strip()}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return response(json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode())


def response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return sse({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})


def sse(data: object) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def events() -> list[bytes]:
    """Role, the pieces of text, finish, usage, end."""
    return [
        event({"role": "assistant", "content": ""}),
        *(event({"content": piece}) for piece in PIECES),
        event({}, "stop"),
        sse({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}),
        b"data: [DONE]\n\n",
    ]


def writes(events_per_write: int) -> list[bytes]:
    """The stream as it is written: groups of events, each group one HTTP chunk."""
    parts = events()
    groups = [b"".join(parts[i : i + events_per_write]) for i in range(0, len(parts), events_per_write)]
    return [b"%x\r\n%s\r\n" % (len(group), group) for group in groups]


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Vendor(asyncio.Protocol):
    """One connection. Requests on it come one after the other, as no client here pipelines."""

    answer = plain()
    groups: ClassVar[list[bytes]] = []
    served: ClassVar[dict[str, int]] = {"plain": 0, "stream": 0}

    def __init__(self) -> None:
        self.buffer = b""
        self.streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP gives this kind

    def connection_lost(self, exc: Exception | None) -> None:
        if self.streaming:
            self.streaming.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length:
            self.buffer = body[length:]
            self.request(head, body[:length])

    def request(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self.transport.write(response(json.dumps(self.served).encode()))
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.served["stream"] += 1
            self.streaming = asyncio.get_running_loop().create_task(self.stream())
        else:
            self.served["plain"] += 1
            self.transport.write(self.answer)

    async def stream(self) -> None:
        self.transport.write(STREAM_HEAD)
        for group in self.groups:
            self.transport.write(group)
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")


async def serve(events_per_write: int) -> None:
    Vendor.groups = writes(events_per_write)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Vendor, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events-per-write", type=int, default=1)
    asyncio.run(serve(parser.parse_args().events_per_write))
