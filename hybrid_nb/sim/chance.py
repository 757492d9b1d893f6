"""Reproducible chance: every choice is a function of a seed and of words, never of the process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def digest(*words: object) -> int:
    """A 256-bit number that depends on all the words and on nothing else."""
    joined = "\x1f".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest())


def share(*words: object) -> float:
    """A number from 0 up to, not including, 1."""
    return (digest(*words) >> 203) / (1 << 53)


def pick(options: Sequence[T], *words: object) -> T:
    """One of the options."""
    return options[digest(*words) % len(options)]
