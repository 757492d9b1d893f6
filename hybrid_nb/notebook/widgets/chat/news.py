"""The messages between the chat and its front ends: small dicts that are JSON. Pure.

Up, {"ask": intent, "n": number, ...}; each is answered by {"do": "ack", "n": number} at once:
  hello · older(before) · send(text) · stop · retry(turn) · edit(turn, text) · pick(turn) · undo · clear · model(name) ·
  system(text) · attach(name) · picture(name; bytes beside) · detach(place) · export(kind) · tables
Down, {"do": kind, ...}:
  turns(from, turns, first)    what is shown from a place of the path on; first: the place of the first turn that the
                               front end has, where it is to forget what it has
  older(from, turns)           what stands before what the front end has
  turn(turn)                   one turn anew, in its place
  text(turn, from, keep, blocks)  the blocks of a running answer from one on; `keep` UTF-16 units of the first stay
  state(...)  models(...)  tables(names)  say(text, problem)  file(name, type, text)  ack(n)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from hybrid_nb.core.types import Image
from hybrid_nb.notebook.conversation import Conversation, Turn
from hybrid_nb.notebook.markup import blocks
from hybrid_nb.notebook.widgets.chat.attach import label

CHUNK = 40  # turns that are sent at once
MOST_PICTURE = 300_000  # bytes of a picture that is sent back to be shown
News = dict[str, Any]


@lru_cache(maxsize=256)
def rendered(text: str) -> tuple[str, ...]:
    """The blocks of a whole answer."""
    return tuple(html for _, html in blocks(text))


def _picture(image: Image) -> dict[str, Any]:
    small = image.data is not None and len(image.data) <= MOST_PICTURE and image.media_type
    source = f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}" if small else None
    return {"label": label(image), "src": source}


def shown(conversation: Conversation, turn: Turn) -> News:
    """A turn as the front ends need it."""
    siblings = conversation.siblings(turn.id)
    running = turn.status == "running"
    return {
        "id": turn.id,
        "role": turn.role,
        "who": turn.who,
        "text": turn.text,
        "blocks": list(rendered(turn.text)) if turn.role == "assistant" and not running else [],
        "status": turn.status,
        "error": turn.error,
        "advice": turn.advice,
        "footer": turn.footer.removeprefix(f"{turn.who} · "),  # the heading has it
        "route": turn.route,
        "pictures": [_picture(image) for image in turn.images],
        "tables": [attachment.name for attachment in turn.attachments],
        "siblings": list(siblings) if len(siblings) > 1 else [],
    }


def turns(conversation: Conversation, start: int, afresh: bool = False) -> News:
    """What is shown from a place on; no more than the last CHUNK turns, which the front end then begins with."""
    path = conversation.path
    first = max(start, len(path) - CHUNK)
    news: News = {"do": "turns", "from": first, "turns": [shown(conversation, turn) for turn in path[first:]]}
    return {**news, "first": first} if afresh or first > start else news


def older(conversation: Conversation, before: int) -> News:
    """The CHUNK turns before a place."""
    first = max(0, before - CHUNK)
    part = conversation.path[first : max(0, before)]
    return {"do": "older", "from": first, "turns": [shown(conversation, turn) for turn in part]}


def differs(old: Conversation, new: Conversation) -> int:
    """The place from which on another conversation shows something else."""
    same = 0
    for one, other in zip(old.path, new.path, strict=False):
        if one is not other or old.siblings(one.id) != new.siblings(other.id):
            break
        same += 1
    return same


# --- a text that grows ------------------------------------------------------------------------------------


def common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def units(text: str) -> int:
    """The length as JavaScript counts it."""
    return len(text) + sum(character > "\uffff" for character in text) if not text.isascii() else len(text)


class Text:
    """What a front end has of a running answer, so that only what differs is sent."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.blocks: list[str] = []

    def news(self, start: int, parts: Sequence[str]) -> News | None:
        """The message that brings it to these blocks from `start` on; None: it has them."""
        old = self.blocks[start:]
        same = 0
        while same < min(len(old), len(parts)) and old[same] == parts[same]:
            same += 1
        self.blocks[start:] = parts
        if same == len(old) == len(parts):
            return None
        fresh = list(parts[same:])
        kept = common(old[same], fresh[0]) if same < len(old) and fresh else 0
        keep = units(fresh[0][:kept]) if kept else 0
        if kept:
            fresh[0] = fresh[0][kept:]
        return {"do": "text", "turn": self.turn, "from": start + same, "keep": keep, "blocks": fresh}

    def whole(self) -> News:
        """All of it, for a front end that has nothing."""
        return {"do": "text", "turn": self.turn, "from": 0, "keep": 0, "blocks": list(self.blocks)}


# --- whom to ask ------------------------------------------------------------------------------------------


def models(names: Sequence[str]) -> News:
    """The choices of the select: automatic, groups and bare names, "provider/model"."""
    return {
        "do": "models",
        "groups": [
            {"label": "Groups and models", "names": [name for name in names if "/" not in name]},
            {"label": "One provider", "names": [name for name in names if "/" in name]},
        ],
    }


def state(conversation: Conversation, more: Mapping[str, Any]) -> News:
    """What stands around the turns."""
    return {
        "do": "state",
        "total": str(conversation.total),
        "system": conversation.view.system,
        "undo": bool(conversation.past),
        "count": len(conversation.path),
        **more,
    }
