"""HTTP: aiohttp's session, with the trust store that httpx2 chooses (SSL_CERT_FILE, the system's, certifi).

Measured for one request at 16 at once, CPU against a hand-written aiohttp client: aiohttp itself 2.4x, httpx2's
transport on aiohttp called below its Client 3.1x, httpx2's Client more than 5x. So httpx2 stays out of the hot path.
Redirects are never followed: a client would carry x-api-key and its kin to another host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Self

import aiohttp
import httpx2
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from hybrid_nb.core import forks
from hybrid_nb.core.errors import ConfigError, ConnectionFailedError, InvalidRequestError, ProviderTimeoutError
from hybrid_nb.core.types import HttpCall

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_inherited: list[aiohttp.ClientSession | None] = []  # of a parent process: its sockets are shared, so not closed here
_CONNECTIONS_KEPT = 60.0  # seconds that an idle connection stays open
_FAULTS = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError


def _failure(error: Exception, url: str) -> ConnectionFailedError | ProviderTimeoutError | InvalidRequestError:
    """Our error for the client's, in words that help."""
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return InvalidRequestError("the base_url is not an http address")
    host = URL(url).host
    if isinstance(error, TimeoutError):
        return ProviderTimeoutError(f"no connection to {host} in time")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectionFailedError(f"no such host: {host}")
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectionFailedError(f"TLS to {host} failed: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return ConnectionFailedError(f"no connection to {host}: {os.strerror(number) if number else error.os_error}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ConnectionFailedError(f"{host} closed the connection in mid-answer")
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | aiohttp.ClientOSError):
        return ConnectionFailedError(f"{host} closed the connection before it answered")
    return ConnectionFailedError(f"the connection to {host} broke ({type(error).__name__})")


class _Noted(aiohttp.BytesPayload):
    """A body that tells when it is written: that may be a turn of the loop after the call, in a task of its own."""

    def __init__(self, body: bytes, tell: Callable[[float], None]) -> None:
        super().__init__(body)
        self._tell = tell

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._tell(asyncio.get_running_loop().time())
        await super().write_with_length(writer, content_length)


class HttpResponse:
    """A response whose headers are here."""

    __slots__ = ("_response", "_url", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # names in any case

    def at_once(self) -> bytes | None:
        content = self._response.content
        return content.read_nowait() if content.is_eof() and content.exception() is None else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._response.content.readany()
        except _FAULTS as error:
            failure = _failure(error, self._url)
        else:
            if data:
                return data
            raise StopAsyncIteration
        raise failure  # out here, as in `send`

    async def aclose(self) -> None:
        self._response.release()  # closes the connection unless the body was read to its end


class HttpTransport:
    """One pool of connections, bound to the loop of its first call."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._pid = forks.pid
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._urls: dict[str, URL] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConnectionFailedError("the router was closed meanwhile", retryable=False)
        try:
            trust = httpx2.create_ssl_context()
        except OSError as error:
            named = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
            raise ConfigError(
                f"{named}: the certificates cannot be read ({error.strerror}); correct or unset it"
            ) from None
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_CONNECTIONS_KEPT, ssl=trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=any(os.environ.get(name) for name in _PROXIES),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            read_bufsize=2**18,
        )

    def _timeout(self, connect: float) -> aiohttp.ClientTimeout:
        """The engine's watchdog bounds the rest; a deadline that is near makes a value of its own."""
        if len(self._timeouts) > 100:
            self._timeouts.clear()
        return self._timeouts.setdefault(connect, aiohttp.ClientTimeout(sock_connect=connect))

    def _url(self, text: str) -> URL:
        found = self._urls.get(text)
        if found is None:
            if len(self._urls) > 1000:
                self._urls.clear()
            found = self._urls[text] = URL(text, encoded=True)  # the wire has quoted what must be
        return found

    async def send(self, call: HttpCall, connect_timeout: float) -> HttpResponse:
        pool = self._pool()
        try:
            response = await pool.request(
                call.method,
                self._url(call.url),
                data=call.body or None if call.on_write is None else _Noted(call.body, call.on_write),
                headers=call.headers,
                allow_redirects=False,
                timeout=self._timeouts.get(connect_timeout) or self._timeout(connect_timeout),
            )
        except (*_FAULTS, ValueError) as error:
            failure = _failure(error, call.url)
        else:
            return HttpResponse(response, call.url)
        raise failure  # out here, so that the client's error, which may hold the headers, is not in its context

    def _pool(self) -> aiohttp.ClientSession:
        """The session of this process; a forked child must not use its parent's."""
        if self._pid != forks.pid:
            _inherited.append(self._session)
            self._session, self._pid = None, forks.pid
        if self._session is None:
            self._session = self._open()
        return self._session

    async def warm(self) -> None:
        """Open the pool ahead of the first call: making the TLS context takes some 50 ms."""
        if not self._closed:
            with contextlib.suppress(ConfigError):  # told by the first call
                self._pool()

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None
