"""Bytes -> events: server-sent events and newline-delimited JSON.

Lines are split as bytes on LF, CRLF or CR only. Text line iterators also split on U+2028, U+0085 and others,
which are legal inside a JSON string, and so break good streams; and a chunk may end inside a character.
"""

from __future__ import annotations

from typing import Protocol

import orjson

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.types import Chunk

MAX_LINE = 16 * 1024 * 1024  # bytes; no vendor sends more in one event, and a hostile server must not fill memory
MAX_RAW_LINES = 1000  # of a pretty-printed error object
_BOM = b"\xef\xbb\xbf"


class Lines:
    """Splits a byte stream into lines, in time linear in its length."""

    __slots__ = ("_after_cr", "_parts", "_size", "_start")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._start: bytes | None = b""  # held back until it is, or is not, a BOM; None: past it

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete, without their ends."""
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return []
            self._start = None
            data = data.removeprefix(_BOM)
        if not data:
            return []
        if b"\r" in data or self._after_cr:
            data = self._normalised(data)
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
            self._size = 0
        lines = data.split(b"\n")
        last = lines.pop()
        if last:
            self._keep(last)
        return lines

    def close(self) -> bytes:
        """What is left after the last line end."""
        rest = (self._start or b"") + b"".join(self._parts)
        self._start = None
        self._parts.clear()
        self._size = 0
        return rest

    def _normalised(self, data: bytes) -> bytes:
        if self._after_cr and data[:1] == b"\n":  # the second half of a CRLF that was cut in two
            data = data[1:]
        self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_LINE:
            self._parts.clear()
            raise MalformedResponseError(f"one line of the stream is longer than {MAX_LINE // 2**20} MB")
        self._parts.append(part)


class ServerSentEvents:
    """The data of each event. Event names are not kept: every vendor repeats them in the data.

    A comment (keep-alive) yields nothing. A line that is bare JSON (Gemini and proxies report errors so)
    is collected until it parses.
    """

    __slots__ = ("_data", "_lines", "_raw", "_size")

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []
        self._raw: list[bytes] = []
        self._size = 0  # bytes in both

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the events that these bytes complete."""
        events: list[bytes] = []
        parts = self._data
        for line in self._lines.feed(data):
            if not parts and line[:6] == b"data: ":
                parts.append(line[6:])
            elif line or len(parts) != 1:
                self._line(line, events)
            else:
                events.append(parts.pop())
        return events

    def close(self) -> list[bytes]:
        """Payloads at the end of the stream: some servers leave out the last blank line."""
        events: list[bytes] = []
        self._line(self._lines.close(), events)
        if self._data:
            self._line(b"", events)
        if self._raw:
            events.append(b"\n".join(self._raw))
            self._raw.clear()
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            if len(self._data) > 1:
                self._grow(len(line))
        elif self._raw or line[:1] in (b"{", b"["):
            self._raw_line(line, events)
        elif not line and self._data:
            events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data.clear()
            self._size = 0

    def _grow(self, size: int) -> None:
        self._size += size + 1
        if self._size > MAX_LINE:
            raise MalformedResponseError(f"one event of the stream is longer than {MAX_LINE // 2**20} MB")

    def _raw_line(self, line: bytes, events: list[bytes]) -> None:
        self._raw.append(line)
        self._grow(len(line))
        if len(self._raw) > MAX_RAW_LINES:
            raise MalformedResponseError("the stream is neither events nor JSON")
        if line.rstrip()[-1:] not in (b"}", b"]"):
            return
        text = b"\n".join(self._raw)
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        events.append(text)
        self._raw.clear()
        self._size = 0


class JsonLines:
    """Newline-delimited JSON (Ollama). Tolerates an SSE prefix, as some proxies add one."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, data: bytes) -> list[bytes]:
        lines = [line.removeprefix(b"data:").strip() for line in self._lines.feed(data)]
        return [line for line in lines if line]

    def close(self) -> list[bytes]:
        rest = self._lines.close().removeprefix(b"data:").strip()
        return [rest] if rest else []


class Frames(Protocol):
    """Bytes in, payloads out."""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete."""

    def close(self) -> list[bytes]:
        """What the end completes."""


class StreamDecoder:
    """One stream being read, whatever its frames: a wire says what a payload is."""

    __slots__ = ("_frames", "complete")

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.complete = False

    def feed(self, data: bytes) -> list[Chunk]:
        return self._chunks(self._frames.feed(data))

    def close(self) -> list[Chunk]:
        return self._chunks(self._frames.close())

    def _chunks(self, payloads: list[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        try:
            for payload in payloads:
                chunk = self._payload(payload) if payload else None
                if chunk is not None:
                    chunks.append(chunk)
        except Exception as error:
            keep(error, chunks)
            raise
        return chunks

    def _payload(self, payload: bytes) -> Chunk | None:
        """The chunk of one payload; None for what says nothing of the answer."""
        raise NotImplementedError


def keep(error: Exception, chunks: list[Chunk]) -> None:
    """Hang the chunks that were decoded before an error on it, so that the text that came with it is not lost."""
    error.before = tuple(chunks)  # type: ignore[attr-defined]


def broken(payload: bytes, error: orjson.JSONDecodeError) -> MalformedResponseError:
    """The typed error for a payload that is no JSON."""
    start = payload[:120].decode("utf-8", "replace")
    return MalformedResponseError(f"broken JSON in the response ({error}): {start!r}")


def parse(payload: bytes) -> dict[str, object]:
    """One payload as a JSON object. Raises MalformedResponseError with where it broke."""
    try:
        data = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise broken(payload, error) from None
    if isinstance(data, list) and len(data) == 1:  # Gemini wraps some errors in a list
        data = data[0]
    if not isinstance(data, dict):
        raise MalformedResponseError(f"a JSON object was expected, not {str(data)[:80]!r}")
    return data
