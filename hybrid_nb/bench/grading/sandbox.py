"""Runs code that a model wrote against tests, in a process of its own with limits.

It bounds mistakes, not malice: time, memory, size of files and output are limited, no environment (and so no key) is
inherited, the working folder is its own and is removed, and what it started is killed with it. But it runs as the
same user: it can read files and use the network. For code that nobody should trust, run the kernel in a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CHILD = Path(__file__).with_name("child.py")
OUTPUT = 1_000_000  # bytes of output that are read before it is stopped
FILE = 16_000_000  # bytes of one file that it may write


class Limits(NamedTuple):
    """What a run of the tests may take: `seconds` of time (of processor time too), `memory` in bytes."""

    seconds: float = 10.0
    memory: int = 1 << 30


class Outcome(NamedTuple):
    """What came of the tests.

    Attributes:
        passed, failed: names of tests; `failed` with why, in one line each.
        broken: why there is no whole result: the code does not run, time ran out ... None when there is one.
        printed: the end of what it printed.
    """

    passed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    broken: str | None = None
    printed: str = ""

    @property
    def share(self) -> float:
        """The share of the tests that passed; 0 without a whole result."""
        total = len(self.passed) + len(self.failed)
        return 0.0 if self.broken or not total else len(self.passed) / total

    @property
    def told(self) -> str:
        total = len(self.passed) + len(self.failed)
        if self.broken:
            return self.broken
        if not self.failed:
            return "the test passed" if total == 1 else f"all {total} tests passed"
        name, why = self.failed[0]
        more = f", and {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
        return f"{len(self.passed)} of {total} tests passed; {name}: {why}{more}"


async def run_tests(code: str, tests: str, limits: Limits | None = None, entry: str | None = None) -> Outcome:
    """What the tests say of the code. `entry`: the function that a `check(candidate)` of the tests is given.

    When this is cancelled, the process is killed. Raises OSError when none can be started.
    """
    limits = limits or Limits()
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="answer-", ignore_cleanup_errors=True)
    try:
        token = secrets.token_hex(16)
        asked = {"token": token, "code": code, "tests": tests, "entry": entry, "file": FILE, **limits._asdict()}
        said, printed, ended = await _ran(json.dumps(asked).encode(), folder.name, limits.seconds)
        return _outcome(list(_events(said, token)), _tail(printed), ended)
    finally:
        await asyncio.to_thread(folder.cleanup)


async def _ran(asked: bytes, folder: str, seconds: float) -> tuple[bytes, bytes, str]:
    """What the process said and printed, and how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(CHILD), cwd=folder, env=_environment(folder), stdin=-1, stdout=-1, stderr=-1,
        start_new_session=True,  # a group of its own, which can be killed; Windows passes over it
    )  # fmt: skip
    said, printed = bytearray(), bytearray()
    ended = f"time ran out after {seconds:g} s"
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(_read(process, 1, said), _read(process, 2, printed), _write(process.stdin, asked))
            ended = _ending(await process.wait())
    except TimeoutError:
        pass
    finally:
        _kill(process)
        process._transport.close()  # type: ignore[attr-defined]  # else wait() waits for who still holds its pipes
        await asyncio.shield(process.wait())
    whole = max(len(said), len(printed)) <= OUTPUT
    return bytes(said), bytes(printed), ended if whole else f"it printed more than {OUTPUT:,} bytes"


async def _read(process: asyncio.subprocess.Process, number: int, into: bytearray) -> None:
    """All that comes, up to the limit; who prints more is ended."""
    stream: Any = process.stdout if number == 1 else process.stderr
    while chunk := await stream.read(65536):
        if len(into) <= OUTPUT:
            into += chunk
        else:
            _kill(process)


async def _write(stream: Any, text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(text)
        await stream.drain()
    stream.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _environment(folder: str) -> dict[str, str]:
    """Nothing of ours, so no key; one thread in libraries of numbers, which would count as memory."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    system = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return {"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", **one, **system}


def _ending(code: int) -> str:
    if code >= 0:
        return f"the process ended (exit code {code}) before its tests were through"
    try:
        return f"the process was killed ({signal.Signals(-code).name}) before its tests were through"
    except ValueError:
        return f"the process was killed (signal {-code}) before its tests were through"


def _events(said: bytes, token: str) -> Iterator[dict[str, Any]]:
    for line in said.decode(errors="replace").splitlines():
        mark, _, text = line.partition(" ")
        if mark == token:
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(text)


def _outcome(events: list[dict[str, Any]], printed: str, ended: str) -> Outcome:
    results = [(event["name"], event["problem"]) for event in events if "name" in event]
    passed = tuple(name for name, problem in results if problem is None)
    failed = tuple((name, problem) for name, problem in results if problem is not None)
    broken = next((f"the code does not run: {event['broken']}" for event in events if "broken" in event), None)
    if broken is None and not any("end" in event for event in events):
        at = [event["at"] for event in events if "at" in event]
        broken = f"{ended}, in {at[-1]}" if at else ended
    return Outcome(passed, failed, broken, printed)


def _tail(printed: bytes) -> str:
    return printed[-2000:].decode(errors="replace")
