"""What went wrong in a turn: one line, what to do about it, and what it cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.notebook import advice as rows

_MOST = 400  # characters of a message


def told(error: BaseException) -> str:
    """The error in one line."""
    line = " ".join(str(error).split()) or "no more is known"
    line = line if len(line) <= _MOST else line[: _MOST - 1] + "…"
    return f"{type(error).__name__}: {line}"


def advice(error: BaseException) -> str:
    """What to do about it."""
    if "closed" in str(error) and type(error).__name__ == "ConfigError":
        return "Make a new router and a new chat: hnb.ChatCell(hnb.Router())."
    if not isinstance(error, HybridNbError):
        return "This is not expected; try again, and report it if it stays."
    return rows.advice(error).chat


def spent(error: BaseException) -> Decimal | None:
    """Dollars of all attempts; None when one of them is not known. An error of which no attempt is told cost nothing
    when it is ours: it came before anything was sent.
    """
    if not isinstance(error, HybridNbError):
        return None
    costs = [attempt.cost for attempt in getattr(error, "attempts", ())]
    return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


def record(error: BaseException) -> dict[str, Any]:
    """The fields of a turn that an error ends: "broken" with what came of its text, else "failed"."""
    text = str(getattr(error, "partial_text", ""))
    attempts = getattr(error, "attempts", ())
    last = attempts[-1] if attempts else None
    return {
        "text": text,
        "status": "broken" if text else "failed",
        "error": told(error),
        "advice": advice(error),
        "cost": spent(error),
        "provider": last.provider if last else None,
        "model": last.model if last else None,
        "latency": sum(attempt.seconds for attempt in attempts) if attempts else None,
        "route": str(getattr(error, "route", "") or ""),
    }
