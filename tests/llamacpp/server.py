"""llama.cpp's own server as a child process, and what it says of itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds; what is waited for takes milliseconds, except on a machine that is busy elsewhere
SLOTS = 4
SLOT_CONTEXT = 512  # tokens
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
# an idle connection holds a thread for five seconds, and the server's pool may queue a new one behind it
HTTP_THREADS = 32


def find() -> Path | None:
    """HYBRID_NB_LLAMA_SERVER, or what build_server.sh left in the cache; None when there is none."""
    named = os.environ.get("HYBRID_NB_LLAMA_SERVER")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else cache / "hybrid_nb" / "llama" / "llama-server"
    return path if os.access(path, os.X_OK) and path.is_file() else None


def wait_until(true: Callable[[], Any], what: str) -> None:
    """Poll until it holds; AssertionError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.01)


class Server:
    """llama-server on 127.0.0.1, at a port that it picks at its first start and keeps when started again.

    Context shift lets an answer without max_tokens go on for ever, so no answer ends before a test stops it.
    """

    def __init__(self, binary: Path, model: Path, log: Path, key: str | None = None) -> None:
        self.log = log
        self.key = key
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            str(binary), "--model", str(model), "--alias", "tiny", "--host", "127.0.0.1", "--threads", "1",
            "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * SLOT_CONTEXT), "--context-shift",
            "--threads-http", str(HTTP_THREADS),
            *(("--api-key", key) if key else ()),
        ]  # fmt: skip

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def spawn(self) -> None:
        """Start the process, and do not wait for it."""
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [*self._command, "--port", str(self.port)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def start(self) -> Server:
        """Start, and wait until it answers."""
        self.spawn()
        wait_until(self._listens, "llama-server listens")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        found = LISTENING.search(self.said)
        assert self._process.poll() is None, f"llama-server ended with {self._process.returncode}:\n{self.said}"
        self.port = int(found[1]) if found else self.port
        return found is not None

    @property
    def said(self) -> str:
        """Its log since the last start."""
        return self.log.read_text("utf-8", "replace")

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def busy(self) -> int:
        """Slots that are at work, by its log.

        Not by asking: until a second has passed without a result for anybody, /slots included, the server does not
        look whether the connection of an unstreamed request is still there.
        """
        said = self.said
        return said.count("| processing task") - said.count("| stop processing")

    def wait_busy(self, slots: int = 1) -> None:
        """Until so many slots are at work."""
        wait_until(lambda: self.busy() == slots, f"{slots} slots busy")

    def wait_idle(self) -> None:
        """Until no slot is at work. An endless answer stops only when the server sees its connection close."""
        self.wait_busy(0)
        assert not any(slot["is_processing"] for slot in self._slots())

    def _slots(self) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/slots")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)
