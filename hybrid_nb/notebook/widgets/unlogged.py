"""Widgets whose messages stay out of the log: at level DEBUG, comm writes down every message that arrives, keys too."""

from __future__ import annotations

import logging
import weakref

from ipywidgets import Widget

_COMMS = logging.getLogger("Comm")
_quiet: weakref.WeakValueDictionary[str, Widget] = weakref.WeakValueDictionary()


class _Silence(logging.Filter):
    """Drops the records that hold a message to one of these widgets."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(record.args, tuple) and record.args and record.args[0] in _quiet)


_SILENCE = _Silence()


def unlogged(widget: Widget) -> None:
    """What a page sends to this widget is not logged."""
    _COMMS.addFilter(_SILENCE)  # once, however often it is added
    if widget.model_id is not None:
        _quiet[widget.model_id] = widget
