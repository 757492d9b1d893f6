"""Widgets that work while a cell is busy.

JupyterLab 4.4 and later sends a widget's messages over a subshell, a thread of the kernel beside the one that runs
cells. ipykernel 7.4 sends such a message on to the shell in which the widget last published something, which for one
that a cell made is the main one: busy. Without the method that says so, a message stays where it came. Other releases
have no such method, and older ones no subshells; there a click waits for the cell.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipywidgets import Box, Widget


def stay(widget: Widget) -> None:
    """Handle what comes for this widget, and all that it holds, in the thread to which it was sent."""
    for each in _all(widget):
        if hasattr(each.comm, "_reply_subshell_for"):
            each.comm._reply_subshell_for = None


def _all(widget: Widget) -> Iterator[Widget]:
    yield widget
    if isinstance(widget, Box):
        for child in widget.children:
            yield from _all(child)
