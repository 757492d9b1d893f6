"""What the provider selector offers, and the sentences about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hybrid_nb.core.config import RouterSettings
from hybrid_nb.core.types import RoutePlan

PLACES = {"auto": "auto", "local": "local", "edge": "LAN", "cloud": "cloud"}
SHOWN = 4  # candidates that are named
MODES = {
    "local-only": "local and LAN only",
    "local-first": "local before LAN before cloud",
    "cloud-first": "cloud before the others",
    "cloud-only": "cloud only",
}
STRATEGIES = {
    "tiered": "by tier, then priority",
    "priority": "by priority",
    "round-robin": "each in its turn",
    "weighted": "by lot, by their weights",
    "least-connections": "the least busy first",
    "lowest-latency": "the quickest first token first",
    "health": "the healthiest first",
    "cheapest": "the cheapest first",
    "measured": "the cheapest that is good enough",
}


class Seen(NamedTuple):
    """A model that can be chosen."""

    provider: str
    model: str
    tier: str
    status: str

    @property
    def place(self) -> str:
        return PLACES.get(self.tier, self.tier)

    def fits(self, choice: Choice) -> bool:
        return (
            choice.where in ("auto", self.tier)
            and choice.provider in ("", self.provider)
            and choice.model in ("", self.model)
        )

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Choice(NamedTuple):
    """Where ("auto" or a tier), and within it a provider and a model; "": any."""

    where: str = "auto"
    provider: str = ""
    model: str = ""

    def within(self, seen: Sequence[Seen]) -> Choice:
        """Without what does not go together any more, as after another place was chosen."""
        if self.where == "auto":
            return Choice()
        provider = self.provider if any(s.fits(Choice(self.where, self.provider)) for s in seen) else ""
        model = self.model if any(s.fits(Choice(self.where, provider, self.model)) for s in seen) else ""
        return Choice(self.where, provider, model)

    def target(self, seen: Sequence[Seen]) -> str | None:
        """The name to ask for; None leaves it to the router. A provider alone means its first model."""
        if self.where == "auto":
            return None
        if self.model and self.provider:
            return f"{self.provider}/{self.model}"
        if not (self.model or self.provider):
            return None
        return next((str(s) for s in seen if s.fits(self)), self.model or None)

    @property
    def words(self) -> str:
        named = [PLACES.get(self.where, self.where), self.provider, self.model]
        return " / ".join(part for part in named if part)

    def sentence(self, seen: Sequence[Seen], target: str | None) -> str:
        found = [s for s in seen if s.fits(self)]
        if not found:
            return f"{self.words}: nothing like that is there now; calls will say so."
        if target is None:
            count = f"{len(found)} model{'s' if len(found) > 1 else ''}"
            return f"{self.words}: {count}; the first that can take the call is asked."
        status = next((s.status for s in found if str(s) == target), "unknown")
        more = f" (the first of {len(found)} models)" if len(found) > 1 else ""
        return f"{target}{more} is asked: {status}."


def places(seen: Iterable[Seen], chosen: str = "auto") -> list[tuple[str, str]]:
    """The places with words that say what is there."""
    counts = {tier: len({s.provider for s in seen if s.tier == tier}) for tier in PLACES}
    return [
        (words if tier == "auto" or counts[tier] or tier == chosen else f"{words} (none)", tier)
        for tier, words in PLACES.items()
    ]


def narrowed(seen: Iterable[Seen], where: str, provider: str | None = None) -> list[tuple[str, str]]:
    """Providers of a place, or with `provider` models ("": of every provider there), each with its health."""
    found: dict[str, list[str]] = {}
    for s in seen:
        if s.fits(Choice(where, provider or "")):
            found.setdefault(s.provider if provider is None else s.model, []).append(s.status)
    return [(f"{name} · {_best(states)}", name) for name, states in found.items()]


def _best(states: Sequence[str]) -> str:
    order = ("healthy", "degraded", "unknown", "down", "no key", "disabled")
    return min(states, key=lambda state: order.index(state) if state in order else len(order))


def explain(plan: RoutePlan, settings: RouterSettings, default: str | None) -> str:
    """What "auto" does now, and why."""
    asked = [str(c.target) for c in plan.accepted]
    if not asked:
        why = next((c.reason for c in plan.candidates), "there is no provider")
        return f"auto has nobody to ask now: {why}."
    named = f"auto asks {asked[0]} first"
    why = f"it is the default ({default})" if default else _why(settings)
    return f"{named}: {why}{_then(asked[1:])}."


def _why(settings: RouterSettings) -> str:
    strategy = STRATEGIES.get(settings.strategy, settings.strategy)
    return f"{MODES[settings.mode]}, {strategy} (strategy {settings.strategy})"


def _then(others: Sequence[str]) -> str:
    if not others:
        return "; there is no other"
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"; then {', '.join(others[:SHOWN])}{more}"
