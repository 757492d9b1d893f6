"""The chat's own front end, on anywidget: static/chat.js in the page, messages between. Imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from hybrid_nb.notebook.widgets.chat.news import News

_STATIC = Path(__file__).parents[1] / "static"


class ChatView(anywidget.AnyWidget):
    """A FrontEnd. `snapshot` is what the page shows before the kernel has answered, as it was in the beginning."""

    _esm = _STATIC / "chat.js"
    _css = _STATIC / "chat.css"
    snapshot = traitlets.Dict().tag(sync=True)
    ident = traitlets.Unicode().tag(sync=True)

    def connect(self, hello: Sequence[News], hear: Callable[[Any, Sequence[Any]], None]) -> None:
        """Begin: with what is shown first, and who hears what the user wants."""
        self.ident = self.model_id or ""
        self.snapshot = {"news": list(hello)}
        self.on_msg(lambda _, content, buffers: hear(content, buffers))

    def tell(self, news: News) -> None:
        """A message to the page. On any thread."""
        self.send(news)
