"""A conversation to JSON and back: a head that is small, and the turns, each by itself, so that a save writes what is
new. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from hybrid_nb.core.types import Image
from hybrid_nb.notebook.conversation import Attachment, Conversation, Turn, Undo, View

VERSION = 1
_DEFAULTS = {field.name: field.default for field in fields(Turn)}
CUT_OFF = "the kernel ended while this answer was on its way"


def head(conversation: Conversation) -> dict[str, Any]:
    """All but the turns."""
    return {
        "version": VERSION,
        "view": list(conversation.view),
        "past": [[list(undo.view), undo.size] for undo in conversation.past],
        "hidden": sorted(conversation.hidden),
    }


def turn_to_json(turn: Turn) -> dict[str, Any]:
    """The fields that are not at their default."""
    found = {name: getattr(turn, name) for name, default in _DEFAULTS.items() if getattr(turn, name) != default}
    if turn.cost is not None:
        found["cost"] = str(turn.cost)
    if turn.images:
        found["images"] = [_image_to_json(image) for image in turn.images]
    if turn.attachments:
        found["attachments"] = [[a.name, a.text] for a in turn.attachments]
    return found


def _image_to_json(image: Image) -> dict[str, Any]:
    data = None if image.data is None else base64.b64encode(image.data).decode()
    return {"media_type": image.media_type, "data": data, "url": image.url}


def _image(data: Mapping[str, Any]) -> Image:
    content = data.get("data")
    return Image(data.get("media_type"), None if content is None else base64.b64decode(content), data.get("url"))


def turn_from_json(data: Mapping[str, Any]) -> Turn:
    """The turn; fields that are not known here are left out. An answer that was running is broken: nobody is on it."""
    known = {name: value for name, value in data.items() if name in _DEFAULTS}
    if known.get("cost") is not None:
        known["cost"] = Decimal(known["cost"])
    known["images"] = tuple(_image(item) for item in known.get("images", ()))
    known["attachments"] = tuple(Attachment(name, text) for name, text in known.get("attachments", ()))
    turn = Turn(**{"before": None, **known})
    return replace(turn, status="broken", error=CUT_OFF) if turn.status == "running" else turn


def from_json(head: Mapping[str, Any], turns: Iterable[Mapping[str, Any]]) -> Conversation:
    """The conversation of a head and its turns. Raises ValueError for one that a newer version wrote."""
    if head.get("version", VERSION) > VERSION:
        raise ValueError("this conversation was kept by a newer hybrid_nb; upgrade to read it")
    read = sorted((turn_from_json(turn) for turn in turns), key=lambda turn: turn.id)
    past = tuple(Undo(_view(view), size) for view, size in head.get("past", ()))
    return Conversation(tuple(read), _view(head.get("view", ())), past, frozenset(head.get("hidden", ())))


def _view(values: Sequence[Any]) -> View:
    return View(*values)


def to_json(conversation: Conversation) -> dict[str, Any]:
    """The whole as one object."""
    return {**head(conversation), "turns": [turn_to_json(turn) for turn in conversation.turns]}
