"""Local model servers found on their default ports, in parallel, within a third of a second.

One that wants a key is found too: with the vendor's variable set it is asked with that key, else it is a provider that
says which key it misses.

Raw asyncio sockets: no HTTP client is needed for one GET on loopback, and importing one would take longer than
the search.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from hybrid_nb import keys
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Endpoint, Provider, Secret, Vendor
from hybrid_nb.core.responses import normalise, scrub
from hybrid_nb.core.types import ModelInfo

PATIENCE = 0.25  # seconds for all of them together
MOST = 2**20  # bytes of an answer


class Found(NamedTuple):
    """A server that answered; `models` is None when it wants a key that is not there, or another one."""

    vendor: Vendor
    base_url: str
    models: list[ModelInfo] | None
    key: Secret | None = None


class WrongStatus(ValueError):  # noqa: N818 - a signal inside this module
    """The server answered, and not with 200."""


class KeyNeeded(Exception):  # noqa: N818 - a signal inside this module
    """The server answered 401."""


async def discover(
    vendors: Sequence[Vendor],
    host: str = "127.0.0.1",
    patience: float = PATIENCE,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> list[Provider]:
    """A provider for each local server that answers in time, named after its type. Keys come from `environ`."""
    searches = [asyncio.create_task(_look(vendor, host, port, environ)) for vendor in vendors for port in vendor.ports]
    if not searches:
        return []
    done, late = await asyncio.wait(searches, timeout=patience)
    for task in late:
        task.cancel()
    answers = [task.result() for task in searches if task in done]
    found: dict[str, Provider] = {}
    for answer in sorted((a for a in answers if a is not None), key=lambda a: a.models is None):
        if answer.vendor.type not in found:
            found[answer.vendor.type] = _provider(answer)
    return list(found.values())


def _provider(found: Found) -> Provider:
    return Provider(
        name=found.vendor.type,
        vendor=found.vendor if found.models is not None else replace(found.vendor, key_required=True),
        endpoints=(Endpoint(found.base_url, found.key if found.models is not None else None),),
        models=tuple(found.models or ()),
        tier=found.vendor.tier,
    )


async def _look(vendor: Vendor, host: str, port: int, environ: Mapping[str, str]) -> Found | None:
    path = urlsplit(vendor.base_url or "").path.strip("/")
    base = f"http://{host}:{port}" + (f"/{path}" if path else "")
    listing = f"/{path}/{vendor.probe}" if path else f"/{vendor.probe}"
    try:
        try:
            models = await _models(vendor, listing, partial(get, host, port))
            return None if models is None else Found(vendor, base, models)
        except KeyNeeded:
            key = keys.resolve(None, vendor.key_env, environ)
        if key is None:
            return Found(vendor, base, None)
        try:
            headers = keys.authorised({}, vendor.auth, key)
            models = await _models(vendor, listing, partial(get, host, port, headers=headers))
            return None if models is None else Found(vendor, base, models, key)
        except KeyNeeded:
            return Found(vendor, base, None)
    except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, asyncio.IncompleteReadError):
        return None  # nobody there, or somebody else


async def _models(vendor: Vendor, listing: str, ask: Callable[[str], Awaitable[bytes]]) -> list[ModelInfo] | None:
    """The models of a server that proves to be this vendor's; None when it is another's."""
    for path in vendor.probe_at or (listing,):
        with contextlib.suppress(WrongStatus):
            body = await ask(path)
            if vendor.probe_sign.encode() in body:
                body = await ask(listing) if path != listing else body
                return vendor.wire.decode_models(orjson.loads(body))
    return None


def _whole(answer: bytes) -> bool:
    """Whether all of a told length is here: some servers keep the connection open all the same."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = re.search(rb"(?i)\r\ncontent-length:\s*(\d{1,9})\s*(?:\r\n|$)", head)
    return told is not None and len(body) >= int(told[1])


async def get(host: str, port: int, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The body of one GET, without keep-alive. Raises KeyNeeded for a 401 with an error in JSON."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        lines = [f"GET {path} HTTP/1.0", f"Host: {host}:{port}", "Accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
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
    status = head.split(b" ", 2)[1:2]
    if status == [b"401"] and normalise(orjson.loads(body)) is not None:
        raise KeyNeeded
    if status != [b"200"]:
        raise WrongStatus(scrub(head[:80].decode("latin-1")))
    return body
