"""Local model servers found on their default ports, in parallel, within a third of a second.

Raw asyncio sockets: no HTTP client is needed for one GET on loopback, and importing one would take longer than
the search.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from hybrid_nb.core.errors import scrub
from hybrid_nb.core.provider import Endpoint, Provider, Vendor
from hybrid_nb.core.types import ModelInfo

PATIENCE = 0.25  # seconds for all of them together
MOST = 2**20  # bytes of an answer


class Found(NamedTuple):
    """A server that answered."""

    vendor: Vendor
    base_url: str
    models: list[ModelInfo]


async def discover(vendors: Sequence[Vendor], host: str = "127.0.0.1", patience: float = PATIENCE) -> list[Provider]:
    """A provider for each local server that answers in time, named after its type."""
    searches = [asyncio.create_task(_look(vendor, host, port)) for vendor in vendors for port in vendor.ports]
    if not searches:
        return []
    done, late = await asyncio.wait(searches, timeout=patience)
    for task in late:
        task.cancel()
    answers = [task.result() for task in searches if task in done]
    found: dict[str, Provider] = {}
    for answer in answers:
        if answer is not None and answer.vendor.type not in found:
            found[answer.vendor.type] = _provider(answer)
    return list(found.values())


def _provider(found: Found) -> Provider:
    return Provider(
        name=found.vendor.type,
        vendor=found.vendor,
        endpoints=(Endpoint(found.base_url),),
        models=tuple(found.models),
        tier=found.vendor.tier,
    )


async def _look(vendor: Vendor, host: str, port: int) -> Found | None:
    path = urlsplit(vendor.base_url or "").path.strip("/")
    base = f"http://{host}:{port}" + (f"/{path}" if path else "")
    try:
        body = await get(host, port, f"/{path}/{vendor.probe}" if path else f"/{vendor.probe}")
        if vendor.probe_sign.encode() not in body:
            return None
        return Found(vendor, base, vendor.wire.decode_models(orjson.loads(body)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, asyncio.IncompleteReadError):
        return None  # nobody there, or somebody else


def _whole(answer: bytes) -> bool:
    """Whether all of a told length is here: some servers keep the connection open all the same."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = re.search(rb"(?i)\r\ncontent-length:\s*(\d{1,9})\s*(?:\r\n|$)", head)
    return told is not None and len(body) >= int(told[1])


async def get(host: str, port: int, path: str) -> bytes:
    """The body of one GET, without keep-alive."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: application/json\r\n\r\n".encode())
        answer = b""
        while len(answer) < MOST and not _whole(answer):
            more = await reader.read(MOST)
            if not more:
                break
            answer += more
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.split(b" ", 2)[1:2] == [b"200"]:
        raise ValueError(scrub(head[:80].decode("latin-1")))
    return body
