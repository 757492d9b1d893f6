"""What went wrong in a turn: one line, what to do about it, and what it cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hybrid_nb.core.errors import HybridNbError

_MOST = 400  # characters of a message
_ADVICE = {
    "AuthenticationError": "Check the key: hnb.ProviderManager() or router.providers() shows where it comes from.",
    "PermissionDeniedError": "This key may not use that model; choose another one above.",
    "RateLimitError": "Wait as long as it says, or choose another model above.",
    "QuotaExceededError": "The account has no credit left; choose another provider above.",
    "ServiceUnavailableError": "Try again in a moment, or choose another model above.",
    "ProviderTimeoutError": "Try again, wait longer (router.configure(ttft_timeout=60)), or choose another model.",
    "ConnectionFailedError": "Is the server up? router.health() asks every provider.",
    "ContextLengthError": "Clear the conversation, shorten the message, or choose a model with a larger context.",
    "ContentFilterError": "Put the message in other words (Edit), or choose another model above.",
    "ModelNotFoundError": "Choose a model above; router.models() lists what can be asked.",
    "UnsupportedFeatureError": "Choose a model above that takes what is attached.",
    "InvalidRequestError": "Edit the message; sending the same again changes nothing.",
    "StreamInterruptedError": "What came is kept. Retry asks for the whole answer again.",
    "NoProviderAvailableError": "router.health() shows who is up; hnb.ProviderManager() adds providers.",
    "BudgetExceededError": "Raise the budget in hnb.ProviderManager() or the settings, or wait until it resets.",
    "ReplayMissError": "Record it first: HYBRID_NB_CACHE=record where the keys are.",
    "ConfigError": "The message names the remedy.",
}


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
    return _ADVICE.get(type(error).__name__, "Try again, or choose another model above.")


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
