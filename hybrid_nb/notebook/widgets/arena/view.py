"""The arena's own front end, on anywidget: static/arena.js in the page. Imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from hybrid_nb.notebook.widgets.arena.page import Page

_STATIC = Path(__file__).parents[1] / "static"


class ArenaView(anywidget.AnyWidget):
    """Shows `page` and sends what the user wants: {"ask": "vote" (choice, number), "next", "skip" (number), "rest" or
    "own" (text)}."""

    _esm = _STATIC / "arena.js"
    _css = (_STATIC / "chat.css").read_text("utf-8") + (_STATIC / "arena.css").read_text("utf-8")
    page = traitlets.Dict().tag(sync=True)
    heard = traitlets.Unicode().tag(sync=True)  # the mark of the last wish that was heard
    ident = traitlets.Unicode().tag(sync=True)

    def connect(self, hear: Callable[[Any], None]) -> None:
        """Who hears what the user wants."""
        self.ident = self.model_id or ""

        def take(_: Any, content: Any, __: Any) -> None:
            try:
                hear(content)
            finally:
                self.heard = str(content.get("n", "")) if isinstance(content, dict) else ""

        self.on_msg(take)

    def tell(self, page: Page) -> None:
        """Show this. On any thread."""
        self.page = page
