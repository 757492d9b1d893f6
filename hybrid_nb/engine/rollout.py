"""A share of users or notebooks is sent to another target, always the same ones. Pure.

A key's place between 0 and 1 is a hash of the key and the rollout's salt, so it needs no memory, is the same in
every kernel, and raising the percentage only adds keys: nobody moves back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

EVERYTHING = "*"  # the name of a rollout for calls that name no model


class Rollout(NamedTuple):
    """Of those who ask for `name`, `percent` of the users or notebooks are sent to the target `to` first."""

    name: str
    to: str
    percent: float
    by: Literal["user", "notebook"] = "user"

    def includes(self, key: str | None) -> bool:
        """Whether this user or notebook is in the share; an unknown one is not."""
        return key is not None and place(key, f"{self.name}\0{self.to}") < self.percent / 100

    def reason(self, included: bool, key: str | None) -> str:
        """Why the target is first, or last."""
        share = f"rollout: {self.percent:g} % of {self.by}s go to {self.to}"
        if included:
            return f"{share}, this one too"
        return f"{share}, not this one" if key is not None else f"{share}, and it is not known which {self.by} asks"


def key_of(rollout: Rollout, tags: Mapping[str, str], who: Mapping[str, str]) -> str | None:
    """Who asks: the request's own tag ("user" or "notebook") before the process' one."""
    return tags.get(rollout.by) or who.get(rollout.by)


def place(key: str, salt: str) -> float:
    """Where a key stands between 0 and 1, the same at every call.

    >>> place("ann", "a") == place("ann", "a")
    True
    """
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
