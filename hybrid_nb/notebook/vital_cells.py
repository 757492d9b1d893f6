"""The rows of router.health_rows() as cells of a table, and a check's result in a line. Pure; times are unix time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from hybrid_nb.notebook.widgets.style import Raw, dot, sparkline
from hybrid_nb.notebook.words import ago, count, duration, latency, moment, percent, short, shortened

Row = Mapping[str, Any]
HEADS = (
    "status", "tier", "breaker", "latency", "mean", "success", "calls", "errors", "last error", "next try", "checked",
)  # fmt: skip
NUMBERS = {"mean", "success", "calls", "errors"}
ERROR = 60  # characters of an error in a table
EMPTY = (
    "No providers yet: add one with hybrid_nb.ProviderManager(router) or router.add_provider({...}), or set a key such "
    "as OPENAI_API_KEY and make a new router with hybrid_nb.Router()."
)


def heads(by: str) -> tuple[str, ...]:
    """The headings: one row a provider, or one a model."""
    return ("model" if by == "model" else "provider", *HEADS)


def numbers(by: str) -> list[int]:
    """The columns of figures."""
    return [i for i, name in enumerate(heads(by)) if name in NUMBERS]


def name(row: Row) -> str:
    """Whom a row is about: "provider" or "provider/model"."""
    return f"{row['provider']}/{row['model']}" if "model" in row else str(row["provider"])


def cells(row: Row, now: float) -> list[Any]:
    """A row as it is shown now."""
    line = sparkline(row["timed_s"], spark_words(row["timed_s"])) or None
    return [
        name(row), dot(row["status"]), row["tier"], dot(row["breaker"]), line, *_figures(row),
        _error(row, now), next_try(row), ago(row["last_check"], now) or "never",
    ]  # fmt: skip


def plain(row: Row) -> list[Any]:
    """The same for a saved table, which is read later: times, and not how long ago they were. Without marks."""
    text, at = row["last_error"], moment(row["last_error_at"])
    error = None if text is None else f"{short(text, ERROR)} ({at})"
    spark = spark_words(row["timed_s"]) if len(row["timed_s"]) > 1 else None
    return [
        name(row), row["status"], row["tier"], row["breaker"], spark, *_figures(row),
        _nothing(row) if error is None else error, next_try(row), moment(row["last_check"]) or "never",
    ]  # fmt: skip


def marked(row: Row) -> list[Any]:
    """A saved row with its marks and line."""
    found = plain(row)
    found[1], found[3] = dot(row["status"]), dot(row["breaker"])
    found[4] = sparkline(row["timed_s"], spark_words(row["timed_s"])) or None
    return found


def _figures(row: Row) -> list[Any]:
    return [latency(row["mean_latency_s"]), percent(row["success_rate"]), count(row["calls"]), count(row["errors"])]


def _nothing(row: Row) -> str | None:
    return "none" if row["calls"] or row["last_check"] is not None else None


def _error(row: Row, now: float) -> Any:
    text = row["last_error"]
    if text is None:
        return _nothing(row)
    shown = shortened(text, ERROR)
    said = shown if isinstance(shown, Raw) else escape(str(shown))
    when = ago(row["last_error_at"], now)
    return Raw(f'<span class="long">{said} ({when})</span>' if when else said)


def spark_words(seconds: Sequence[float]) -> str:
    """What the line shows, for those who do not see it."""
    if not seconds:
        return ""
    low, high, last = (latency(value) for value in (min(seconds), max(seconds), seconds[-1]))
    return f"last {len(seconds)}: {low} to {high}, latest {last}"


def next_try(row: Row) -> str:
    """When a call may go there again."""
    if row["status"] == "disabled":
        return "not while disabled"
    if row["status"] == "no key":
        return "when its key is set"
    wait = row["opens_in_s"]
    if wait is not None:
        return "when its key changes" if wait == math.inf else f"in {_left(math.ceil(wait))}"
    return "with the next call" if row["breaker"] == "half-open" else "any time"


def _left(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else duration(seconds)


def counts_down(rows: Sequence[Row]) -> bool:
    """Whether any row tells seconds that grow less."""
    return any(row["opens_in_s"] is not None and row["opens_in_s"] != math.inf for row in rows)


_WORST = ("down", "degraded", "unknown")


def result(rows: Sequence[Row]) -> str:
    """What a check of all providers found: "4 asked: 3 healthy, 1 down (b: ConnectionFailedError ...)"."""
    asked = [row for row in rows if row["status"] not in ("disabled", "no key")]
    found = [f"{_many(asked, 'healthy')} healthy"] if _many(asked, "healthy") else []
    for status in _WORST:
        ill = [row for row in asked if row["status"] == status]
        if ill:
            found.append(f"{len(ill)} {status} ({'; '.join(map(_why, ill))})")
    idle = [f"{row['provider']}: {row['status']}" for row in rows if row not in asked]
    left = f"; not asked: {', '.join(idle)}" if idle else ""
    return f"{len(asked)} asked: {', '.join(found)}{left}" if asked else f"nobody to ask{left}"


def _many(rows: Sequence[Row], status: str) -> int:
    return sum(row["status"] == status for row in rows)


def _why(row: Row) -> str:
    text = row["last_error"] if row["status"] != "healthy" else None
    return f"{row['provider']}: {short(text, 80)}" if text else str(row["provider"])
