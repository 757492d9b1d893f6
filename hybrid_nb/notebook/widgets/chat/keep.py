"""A conversation that is kept by name: read once, saved after each change, beside when somebody else saved it too."""

from __future__ import annotations

import threading
import time

import orjson

from hybrid_nb.ledger.conversations import Conversations
from hybrid_nb.notebook.conversation import Conversation, Turn
from hybrid_nb.notebook.conversation_json import from_json, head, turn_to_json
from hybrid_nb.portal import portal


class Keeper:
    """The one conversation of a name in a ledger. Thread-safe."""

    def __init__(self, store: Conversations, name: str) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._revision = 0
        self._saved: tuple[Turn, ...] = ()
        self.name = name

    def load(self) -> Conversation:
        """What is kept; an empty one when nothing is."""
        found = self._store.load(self.name)
        if found is None:
            return Conversation()
        self._revision = found.revision
        conversation = from_json(orjson.loads(found.head), map(orjson.loads, found.turns))
        self._saved = conversation.turns
        return conversation

    def save(self, conversation: Conversation) -> str:
        """Write what is new. What is to be told: "", or that it is now kept under another name.

        Raises ConfigError or TimeoutError when it cannot be written; the next save writes it then.
        """
        with self._lock:
            fresh = [t for t in conversation.turns if t.id >= len(self._saved) or self._saved[t.id] is not t]
            note = self._write(orjson.dumps(head(conversation)), _rows(fresh), conversation)
            self._saved = conversation.turns
            return note

    def _write(self, top: bytes, rows: dict[int, bytes], conversation: Conversation) -> str:
        now = time.time()
        revision = portal().run(self._store.save(self.name, self._revision, top, rows, now))
        if revision is not None:
            self._revision = revision
            return ""
        every, old = _rows(conversation.turns), self.name
        self.name, self._revision = portal().run(self._store.save_beside(old, top, every, now))
        return f'"{old}" was changed by another notebook or kernel; this conversation is now kept as "{self.name}"'


def _rows(turns: tuple[Turn, ...] | list[Turn]) -> dict[int, bytes]:
    return {turn.id: orjson.dumps(turn_to_json(turn)) for turn in turns}
