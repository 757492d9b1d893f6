"""Chromium, and what a page must never do: complain in its console, or ask for anything beyond this machine."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no browser: apt-get install chromium"
# A proxy that is not there is between the browser and everything but loopback, which Chromium never sends to a proxy.
# (Intercepting requests instead would switch the HTTP cache off: a page takes 20 % longer.)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--proxy-server=http://127.0.0.1:9",
]  # fmt: skip
WINDOW = {"width": 1100, "height": 1400}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
NETWORK = {"http", "https", "ws", "wss", "ftp"}
ALLOWED = {  # errors in the console that are not ours: a pattern, and why
    r"reading 'schema'.*static/notebook/notebook_core": "Notebook 7.6 itself, in every page, while its settings load",
    r"^Could not restore the debugger state: Canceled": "JupyterLab's debugger, when a kernel soon ends",
}


@dataclass
class Troubles:
    """What went wrong in a page, as it happened."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> Callable[[], None]:
        """Listens to a page from now on; what it gives ends that."""
        heard = {
            "console": self._console,
            "pageerror": lambda error: self._error(f"{error.name}: {error.message}\n{error.stack or ''}"),
            "request": lambda request: self._request(request.url),
            "websocket": lambda socket: self._request(socket.url),
        }
        for event, hear in heard.items():
            page.on(event, hear)

        def stop() -> None:
            for event, hear in heard.items():
                page.remove_listener(event, hear)

        return stop

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self._error(f"{message.text} ({message.location.get('url', '')})")

    def _error(self, text: str) -> None:
        if not any(re.search(pattern, text, re.DOTALL) for pattern in ALLOWED):
            self.errors.append(text)

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in NETWORK and parts.hostname not in LOOPBACK:
            self.outside.append(url)

    def found(self) -> list[str]:
        """All of it in plain lines; nothing when the page behaved."""
        told = [f"asked for something beyond this machine: {url}" for url in self.outside]
        return told + [f"error in the browser's console: {text}" for text in self.errors]


@contextmanager
def chromium(scale: float = 1) -> Iterator[Any]:
    """A context of a headless Chromium with a profile of its own; its pages share the HTTP cache. `scale` is in pixels
    of a screenshot for one of the page.

    Playwright's sync interface keeps an event loop running in this thread until the end: no async test runs meanwhile,
    so browser tests come last (see conftest.py).
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_context(viewport=WINDOW, device_scale_factor=scale)
        browser.close()
    asyncio.set_event_loop(None)
