"""A front end as far as a test needs one: what it sends arrives as from a browser, and what it is sent is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import Any

from comm.base_comm import BaseComm
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances


class Wire(BaseComm):
    """Keeps what a widget sends."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        super().__init__()

    def publish_msg(self, msg_type: str, data: Any = None, *more: Any, **keys: Any) -> None:
        if msg_type == "comm_msg":
            self.sent.append((data, more, keys))


def fill(widget: Widget, **state: Any) -> list[Any]:
    """Somebody put this into a widget of the page; returns what the widget sent back."""
    if not isinstance(widget.comm, Wire):
        del _instances[widget.model_id]
        widget.comm = Wire()
    widget.comm.sent.clear()
    data = {"method": "update", "state": state, "buffer_paths": []}
    widget._handle_msg({"content": {"data": data}, "buffers": []})
    return list(widget.comm.sent)


def there() -> frozenset[str]:
    """The names of all widgets that there are now."""
    return frozenset(_instances)


def everything(without: Container[str] = ()) -> str:
    """The state of every widget there is, but for those of these names."""
    shown = [widget for name, widget in list(_instances.items()) if name not in without]
    return "\n".join(f"{widget!r} {widget.get_state()!r}" for widget in shown)


def until(true: Callable[[], Any], seconds: float = 15.0) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)


def said(panel: Any) -> str:
    """The line under a panel, as HTML."""
    return panel._status.value
