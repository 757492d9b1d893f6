# ruff: noqa: E501 - a table of cases
"""The conduct suite as one table: what the servers do, and what must happen. See `Case`."""

from __future__ import annotations

from hybrid_nb.core.errors import (
    ConnectionFailedError,
    NoProviderAvailableError,
    RateLimitError,
    ServiceUnavailableError,
)
from tests.faults.conduct import Case, good
from tests.faults.raw_server import RESET, Script, answer


def refuse(status: int, *headers: str, message: str = "not now") -> Script:
    return answer({"error": {"message": message}}, status, "application/json", *headers)


CASES = [
    Case("all well"),
    Case("429 once, no Retry-After", a=[refuse(429), good], asked="aa"),
    Case("429 lasting", a=[refuse(429)], ends=RateLimitError, asked="aaa"),
    Case("429 once, Retry-After 30", a=[refuse(429, "Retry-After: 30"), good], asked="aa", gaps=[(30, 30)], within=(30, 30)),
    Case("500 once", a=[refuse(500), good], asked="aa"),
    Case("500 once, another is free", a=[refuse(500), good], b=[good], asked="ab"),
    Case("503 lasting, both", a=[refuse(503)], b=[refuse(503)], ends=NoProviderAvailableError, asked="abab"),
    Case("reset before headers", a=[[RESET], good], b=[good], asked="ab"),
]  # fmt: skip
