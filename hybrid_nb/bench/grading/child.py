"""Runs an answer's code and its tests, in a process of its own; sandbox.py starts this script and reads its events.

It imports nothing of hybrid_nb. Standard input has {"token", "code", "tests", "entry", "seconds", "memory", "file"};
every line on standard output that begins with the token is a JSON event, so that what the code prints is no result.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import traceback
import unittest
from collections.abc import Callable, Iterator
from typing import Any

TESTS = "tests.py"
Say = Callable[..., None]
Test = tuple[str, Callable[[], Any]]


def main() -> None:
    asked = json.load(sys.stdin)
    say = _events(asked["token"])
    limit(asked["seconds"], asked["memory"], asked["file"])
    space: dict[str, Any] = {"__name__": "answer", "__builtins__": __builtins__}
    problem = _tried(lambda: _executed(asked["code"], "answer.py", space))
    if problem is None:
        _tested(asked, space, say)
    else:
        say(broken=problem)
    say(end=True)
    with contextlib.suppress(Exception):  # the code may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)  # with what the code may have left running
    os._exit(0)


def _tested(asked: dict[str, Any], space: dict[str, Any], say: Say) -> None:
    before = dict(space)
    say(at="the tests")
    problem = _tried(lambda: _executed(asked["tests"], TESTS, space), asked["tests"])
    found = [] if problem else list(_collected(space, before, asked["entry"]))
    if problem or not found:
        say(name="the tests", problem=problem)
    for name, test in found:
        say(at=name)
        say(name=name, problem=_tried(test, asked["tests"]))


def _events(token: str) -> Say:
    """A way to speak to the parent that the code's own prints cannot take: they go to standard error from now on."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def say(**event: Any) -> None:
        out.write(f"{token} {json.dumps(event)}\n")
        out.flush()

    return say


def limit(seconds: float, memory: int, file: int) -> None:
    """Limits that the code cannot raise again; Windows has none of them, and macOS not that of memory."""
    try:
        import resource
    except ImportError:
        return
    cpu = int(seconds) + 1
    bounds = {"RLIMIT_CPU": cpu, "RLIMIT_AS": memory, "RLIMIT_FSIZE": file, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 128}
    for name, bound in bounds.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        lowest = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (lowest, lowest))


def _executed(text: str, name: str, space: dict[str, Any]) -> None:
    exec(compile(text, name, "exec"), space)  # noqa: S102 - what this process is for


def _collected(space: dict[str, Any], before: dict[str, Any], entry: str | None) -> Iterator[Test]:
    """What the tests' own text defined: test functions, cases of unittest, and check(candidate)."""
    for name, value in list(space.items()):
        if before.get(name) is value or getattr(value, "__module__", None) != "answer":
            continue
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            yield from _cases(value)
        elif name.startswith("test") and inspect.isfunction(value):
            yield name, _called(value)
        elif name == "check" and entry and inspect.isfunction(value):
            yield "check", _called(value, space[entry] if entry in space else _absent(entry))


def _absent(entry: str) -> Callable[..., Any]:
    def absent(*_: Any, **__: Any) -> Any:
        raise NameError(f"the answer has no {entry!r}")

    return absent


def _called(test: Callable[..., Any], *given: Any) -> Callable[[], Any]:
    return lambda: asyncio.run(test(*given)) if inspect.iscoroutinefunction(test) else test(*given)


def _cases(kind: type[unittest.TestCase]) -> Iterator[Test]:
    for name in unittest.TestLoader().getTestCaseNames(kind):
        yield f"{kind.__name__}.{name}", kind(name).debug


def _tried(work: Callable[[], Any], source: str = "") -> str | None:
    """What went wrong, in one line; None when nothing did."""
    try:
        work()
    except unittest.SkipTest:
        return None
    except BaseException as error:  # an exit is a failure too
        return _told(error, source.splitlines())
    return None


def _told(error: BaseException, lines: list[str]) -> str:
    text = " ".join(str(error).split())[:300]
    told = type(error).__name__ + (f": {text}" if text else "")
    if isinstance(error, SyntaxError):
        return told
    places = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == TESTS]
    where = places[-1] if places and places[-1] else 0
    return f"{told} at `{lines[where - 1].strip()[:200]}`" if 0 < where <= len(lines) else told


if __name__ == "__main__":
    main()
