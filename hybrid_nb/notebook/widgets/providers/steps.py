"""The test of a provider: connection, key and model, each shown as it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ipywidgets import HTML

from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers.lines import show
from hybrid_nb.notebook.widgets.style import Raw, dot, table

STEPS = ("connection", "key", "model")
HEADS = ("Step", "Result", "Seconds", "Detail")
WHAT_TO_DO = {
    "connection": "Look at its address, and whether the server runs.",
    "key": "Press Edit and type the key in again.",
    "model": "Choose another model: Edit, then “Find models”.",
}


class Tester:
    """`wrong_key` is called with a provider's name and what is wrong when its key is refused or missing."""

    def __init__(self, panel: Panel, wrong_key: Callable[[str, str], None]) -> None:
        self._panel = panel
        self._wrong_key = wrong_key
        self._run = 0
        self.name = ""
        self.thread: threading.Thread | None = None
        self.result = HTML()
        show(self.result, False)

    def start(self, name: str) -> None:
        """Test this one; the result of an earlier test is not awaited any more."""
        self._run, self.name = self._run + 1, name
        show(self.result)
        self._draw(name, [], True)
        self.thread = self._panel.in_background(lambda: asyncio.run(self._test(name, self._run)))

    async def _test(self, name: str, run: int) -> None:
        done: list[dict[str, Any]] = []
        async for step in self._panel.router.test_steps(name):
            done.append(step)
            if run != self._run:
                return
            self._draw(name, done, len(done) < len(STEPS))
        refused = next((s for s in done if s["step"] == "key" and _failed(s)), None)
        self._wrong_key(name, str(refused["detail"]) if refused else "")
        self._panel.redraw(frozenset({"health"}))

    def _draw(self, name: str, done: Sequence[dict[str, Any]], going: bool) -> None:
        rows = [_row(step) for step in done]
        left = STEPS[len(done) :] if going else ()
        rows += [(step, "testing …" if i == 0 else "waits", None, "") for i, step in enumerate(left)]
        self.result.value = f'<div aria-live="polite">{table(f"Test of {name}", HEADS, rows, (2,))}</div>'


def _failed(step: dict[str, Any]) -> bool:
    return not step["ok"] and step["detail"] != "not tried"


def _row(step: dict[str, Any]) -> tuple[Any, ...]:
    word = "ok" if step["ok"] else "failed" if _failed(step) else "not tried"
    detail = "" if step["detail"] == "not tried" else str(step["detail"])
    todo = WHAT_TO_DO[step["step"]] if _failed(step) else ""
    told = Raw(" ".join(escape(part) for part in (detail, todo) if part))
    return step["step"], dot(word), None if step["seconds"] is None else f"{step['seconds']:.2f}", told
