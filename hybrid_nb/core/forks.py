"""After a fork: what a child inherits of its parent's work under way, it must neither use nor end.

`pid` is the number of this process, for the price of a name.
`afresh` names objects whose `forked()` is called in every forked child, before anything else runs there; only weak
references to them are kept. `keep` holds what they part with for the rest of the process: a parent's coroutine that is
collected in its child would run its `finally` there, and hand back what its parent still holds.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Inherits(Protocol):
    """Something with a state that belongs to one process."""

    def forked(self) -> None:
        """This is a child now: begin without what the parent had under way. Must not block or start anything."""


pid = os.getpid()
_owners: weakref.WeakSet[Inherits] = weakref.WeakSet()
_kept: list[object] = []


def afresh(owner: Inherits) -> None:
    """Have an object told of forks, as long as it lives."""
    _owners.add(owner)


def keep(*parts: object) -> None:
    """Never collect these."""
    _kept.extend(parts)


def _forked() -> None:
    global pid
    pid = os.getpid()
    for owner in list(_owners):
        owner.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_forked)
