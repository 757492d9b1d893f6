"""Recorded answers: one JSON line each, in a file that lies beside the notebook and is committed with it.

A line holds the request (pictures as hashes), the answer and, when it was streamed, its pieces with their times.
Nothing of the transport is in it: no header, no key, no address. A request that is asked again in one recording has
further lines with `take` 1, 2 ...; one without it begins its key anew, so the last recording of a key counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.types import Attempt, Candidate, Reply, Route, Target, ToolCall, Usage
from hybrid_nb.ledger.identity import Canonical

if sys.platform != "win32":  # there one write with O_APPEND is all there is
    import fcntl

MOST_CANDIDATES = 50  # of a route; a line stays readable
SHORTEST_SECRET = 12  # characters; shorter keys are the placeholders of local servers ("ollama", "lm-studio")
_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
_USAGE = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "source")

Pieces = tuple[tuple[float, str], ...]  # (seconds since the request, text)


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer as it was given. `pieces` is None when it did not come as a stream."""

    key: str
    prompt: str
    request: Canonical
    reply: Reply
    pieces: Pieces | None = None
    take: int = 0  # how often the request had been asked before in the same recording

    def without(self, secrets: Sequence[str]) -> Recording:
        """The recording with these secrets struck out, wherever somebody wrote one into a text."""
        told = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        if not any(secret in text for text in _texts(encoded(self)) for secret in told):
            return self
        struck = decoded(_struck({**encoded(self), "pieces": None}, told))
        return replace(struck, pieces=None if self.pieces is None else ((self.pieces[-1][0], struck.reply.text),))


# --- as plain data ----------------------------------------------------------------------------------------


def encoded(recording: Recording) -> dict[str, Any]:
    """The recording as it stands in its line."""
    return {
        "key": recording.key,
        **({"take": recording.take} if recording.take else {}),
        "prompt": recording.prompt,
        "request": recording.request,
        "answer": _answer(recording.reply),
        "pieces": None if recording.pieces is None else [[round(at, 4), text] for at, text in recording.pieces],
    }


def decoded(data: Mapping[str, Any]) -> Recording:
    """A recording from its plain data. Raises LookupError, TypeError or ValueError for anything else."""
    pieces = data.get("pieces")
    return Recording(
        str(data["key"]),
        str(data["prompt"]),
        dict(data["request"]),
        _reply(data["answer"]),
        None if pieces is None else tuple((float(at), str(text)) for at, text in pieces),
        int(data.get("take") or 0),
    )


def _answer(reply: Reply) -> dict[str, Any]:
    usage = {name: getattr(reply.usage, name) for name in _USAGE}
    return {
        "text": reply.text,
        "tool_calls": [
            {"id": c.id, "name": c.name, "arguments": c.arguments, "signature": c.signature} for c in reply.tool_calls
        ],
        "reasoning": reply.reasoning,
        "finish": reply.finish,
        "usage": {name: value for name, value in usage.items() if value is not None},
        "cost": _dollars(reply.cost),
        "cost_source": reply.cost_source,
        "provider": reply.provider,
        "model": reply.model,
        "tier": reply.tier,
        "ttft": reply.ttft,
        "latency": reply.latency,
        "route": {
            "reason": reply.route.reason,
            **({} if reply.route.cut_at is None else {"cut_at": reply.route.cut_at}),
            "attempts": [_attempt(attempt) for attempt in reply.route.attempts],
            "candidates": [
                [str(c.target), c.tier, c.accepted, c.reason] for c in reply.route.candidates[:MOST_CANDIDATES]
            ],
        },
    }


def _attempt(a: Attempt) -> dict[str, Any]:
    fields = {
        "target": f"{a.provider}/{a.model}",
        "tier": a.tier,
        "outcome": a.outcome,
        "error": a.error,
        "seconds": a.seconds,
        "cost": _dollars(a.cost),
        "status_code": a.status_code,
        "part": a.part or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _dollars(cost: Decimal | None) -> str | None:
    return None if cost is None else f"{cost:f}"


def _reply(data: Mapping[str, Any]) -> Reply:
    route = data.get("route") or {}
    return Reply(
        text=str(data["text"]),
        tool_calls=tuple(ToolCall(**call) for call in data.get("tool_calls") or ()),
        reasoning=data.get("reasoning") or "",
        finish=data["finish"],
        usage=Usage(**(data.get("usage") or {})),
        cost=_money(data.get("cost")),
        cost_source=data.get("cost_source"),
        provider=str(data["provider"]),
        model=str(data["model"]),
        tier=data.get("tier") or "cloud",
        ttft=data.get("ttft"),
        latency=data.get("latency"),
        route=Route(
            Target(data["provider"], data["model"]),
            tuple(Candidate(_target(t), tier, ok, reason) for t, tier, ok, reason in route.get("candidates") or ()),
            tuple(_attempted(attempt) for attempt in route.get("attempts") or ()),
            route.get("reason") or "",
            route.get("cut_at"),
        ),
    )


def _attempted(data: Mapping[str, Any]) -> Attempt:
    provider, model = _target(data["target"])
    return Attempt(
        provider, model, data["outcome"], data.get("error"), float(data["seconds"]), _money(data.get("cost")),
        data.get("status_code"), tier=data.get("tier") or "cloud", part=data.get("part") or "",
    )  # fmt: skip


def _target(text: str) -> Target:
    provider, _, model = text.partition("/")
    return Target(provider, model)


def _money(text: Any) -> Decimal | None:
    try:
        return None if text is None else Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"cost {text!r} is no number") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _struck(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, Mapping):
        return {_struck(key, secrets): _struck(item, secrets) for key, item in value.items()}
    return [_struck(item, secrets) for item in value] if isinstance(value, list | tuple) else value


# --- as lines ---------------------------------------------------------------------------------------------


def line_of(recording: Recording) -> bytes:
    """One line, its newline included. No other character in it ends a line anywhere, as U+2028 does in editors."""
    return _line(encoded(recording))


def _line(data: Mapping[str, Any]) -> bytes:
    line = orjson.dumps(data)
    for raw, escape in _ENDS:
        line = line.replace(raw, escape)
    return line + b"\n"


Names = tuple[str, ...]


Takes = tuple[Recording, ...]


def read_lines(data: bytes, name: str) -> tuple[dict[str, Takes], dict[str, Names]]:
    """The takes of the last recording by key, in order, and the models of comparisons that named none.

    Raises ConfigError with the line's number.
    """
    found: dict[str, Takes] = {}
    compared: dict[str, Names] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            content = orjson.loads(line)
            if "models" in content:
                compared[str(content["key"])] = tuple(str(model) for model in content["models"])
                continue
            recording = decoded(content)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"{name}, line {number}: not a recording ({error}); take the line out, or record the answer again"
            ) from None
        before = found.pop(recording.key, ())  # a newer one goes to the end
        found[recording.key] = (*before, recording) if recording.take else (recording,)
    return found, compared


class Cassette:
    """A file of recordings. It is read when first asked, and again when it has changed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        self._seen: tuple[int, int, int] | None = None
        self._takes: dict[str, Takes] = {}
        self._compared: dict[str, Names] = {}

    @property
    def takes(self) -> Mapping[str, Takes]:
        """The answers to each key in the order in which they were given. Raises ConfigError."""
        self._read()
        return self._takes

    @property
    def recordings(self) -> Mapping[str, Recording]:
        """The last recording of each key, oldest first; none when there is no file. Raises ConfigError."""
        return {key: takes[-1] for key, takes in self.takes.items()}

    @property
    def compared(self) -> Mapping[str, Names]:
        """The models of comparisons that named none, by key. Raises ConfigError."""
        self._read()
        return self._compared

    def _read(self) -> None:
        try:
            stat = self.path.stat()
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if seen != self._seen:
                self._takes, self._compared = read_lines(self.path.read_bytes(), str(self.path))
                self._seen = seen
        except FileNotFoundError:
            self._seen, self._takes, self._compared = None, {}, {}
        except OSError as error:
            raise ConfigError(f"cassette {self.path}: cannot be read: {error.strerror}") from None

    def add(self, recording: Recording) -> None:
        """Append a recording. Raises ConfigError."""
        self._append(line_of(recording))

    def add_comparison(self, key: str, prompt: str, models: Sequence[str]) -> None:
        """Append the models of a comparison that named none. Raises ConfigError."""
        self._append(_line({"key": key, "prompt": prompt, "models": list(models)}))

    def make(self) -> None:
        """Make the file: to learn, before a call is paid for, that its answer can be kept. Raises ConfigError."""
        self._append(b"")

    def _append(self, data: bytes) -> None:
        """In one write, so that several processes may share the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                with _locked(handle):
                    _append(handle, data)
            finally:
                os.close(handle)
        except OSError as error:
            raise ConfigError(
                f"cassette {self.path}: cannot be written: {error.strerror}; set [cache] path to a writable file"
            ) from None


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _append(handle: int, data: bytes) -> None:
    """Whole lines or nothing. A last line without its newline, as some editors leave it, gets one."""
    if not data:
        return
    end = os.lseek(handle, 0, os.SEEK_END)
    if end:
        os.lseek(handle, end - 1, os.SEEK_SET)
        data = data if os.read(handle, 1) == b"\n" else b"\n" + data
    written = os.write(handle, data)
    if written < len(data):
        os.ftruncate(handle, end)
        raise OSError(28, "no space left on the device")
