"""All targets of a configuration in order of preference, and which of them a name means. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from hybrid_nb.core.errors import ModelNotFoundError
from hybrid_nb.core.models import canonical, parameters
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import ModelInfo, Target, Tier
from hybrid_nb.engine.rollout import EVERYTHING, Rollout

LOCAL_TAKES = 13.0  # billions of parameters that the local and edge tiers are expected to run
EXPLORE = 0.1

_ORDERS: dict[str, dict[Tier, int]] = {
    "local-first": {"local": 0, "edge": 1, "cloud": 2},
    "local-only": {"local": 0, "edge": 1},
    "cloud-first": {"cloud": 0, "local": 1, "edge": 2},
    "cloud-only": {"cloud": 0},
}

Rates = Callable[[Provider, str], tuple[float | None, float | None]]
"""Dollars per million tokens of input and of output; None: unknown. Only for comparing, never for a limit."""


class Option(NamedTuple):
    """A target with what a decision needs of it, prepared once for each configuration."""

    target: Target
    provider: Provider
    info: ModelInfo
    rank: tuple[int, int]  # tier, priority: lower goes first
    billions: float | None  # of parameters
    reason: str  # of its place, when it is accepted and nothing else decides
    blocked: tuple[str, str] | None  # (kind, reason) that holds for every request


class Catalogue:
    """All targets in order of preference, with an index by name. Built anew when the configuration changes.

    `rates` tells prices for comparing (asked only where they decide), `max_ttft` is the latency need of requests that
    name none (so `max_latency` and `min_quality`, of evidence), `explore` the share of calls that may try what is not
    measured, `regions` those that are allowed.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        groups: Mapping[str, Sequence[str]],
        strategy: str = "tiered",
        mode: str = "local-first",
        *,
        rates: Rates | None = None,
        max_ttft: float | None = None,
        explore: float = EXPLORE,
        regions: Sequence[str] = (),
        rollouts: Iterable[Rollout] = (),
        min_quality: float | None = None,
        max_latency: float | None = None,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.groups = groups
        self.strategy = strategy
        self.max_ttft = max_ttft
        self.explore = explore
        self.min_quality = min_quality
        self.max_latency = max_latency
        self.rollouts = {rollout.name: rollout for rollout in rollouts}
        # whether a decision counts calls in flight; what else is known may be some hundredths of a second old
        capped = any(provider.max_concurrency is not None for provider in self.providers.values())
        self.counts_calls = capped or strategy in ("least-connections", "lowest-latency")
        # whether the need and the facts alone decide: no turns, no chance, nobody's place in a rollout
        self.settled = strategy in ("tiered", "priority", "cheapest") and not self.rollouts and not self.counts_calls
        self._order = _ORDERS[mode]
        self._mode = mode
        self._regions = tuple(regions)
        self._rates = rates
        self._known_rates: dict[Target, tuple[float | None, float | None]] = {}
        options = [self.option(p, info) for p in self.providers.values() for info in p.models]
        self.options = sorted(options, key=_rank)
        self.by_model: dict[str, list[Option]] = {}
        self._by_meaning: dict[str, list[Option]] = {}
        for option in self.options:
            self.by_model.setdefault(option.target.model, []).append(option)
            self._by_meaning.setdefault(canonical(option.target.model), []).append(option)

    def option(self, provider: Provider, info: ModelInfo) -> Option:
        """What a model at a provider is to a decision."""
        tier = self._order.get(provider.tier, 9) if self.strategy == "tiered" else 0
        told = parameters(info.id) if info.parameters is None else info.parameters
        reason = f"{provider.tier} tier, priority {provider.priority}"
        if tier and provider.tier == "cloud" and told is not None and told > LOCAL_TAKES:
            reason += f"; about {told:g}B, local and edge take up to {LOCAL_TAKES:g}B"
        target = Target(provider.name, info.id)
        return Option(target, provider, info, (tier, provider.priority), told, reason, self._blocked(provider))

    def _blocked(self, provider: Provider) -> tuple[str, str] | None:
        if not provider.enabled:
            return "disabled", f"provider {provider.name} is disabled"
        if provider.tier not in self._order:
            return "tier", f"mode {self._mode} leaves out the {provider.tier} tier"
        if self._regions and provider.tier == "cloud" and not _within(provider.region, self._regions):
            where = f"is in {provider.region}" if provider.region else "is in a region that is not known"
            return "region", f"{where}, and only {', '.join(self._regions)} may be used"
        return ("key", provider.missing_key) if provider.missing_key else None

    def cost(self, option: Option, tokens: int, output: float) -> float | None:
        """About what so many tokens cost at an option, for comparing; None when its price is unknown."""
        if self._rates is None:
            return None
        rates = self._known_rates.get(option.target)
        if rates is None:
            rates = self._known_rates[option.target] = self._rates(option.provider, option.target.model)
        into, out = rates
        return None if into is None or out is None else (tokens * into + output * out) / 1e6

    # --- which targets a name means -----------------------------------------------------------------------

    def named(self, name: str | None) -> list[Option]:
        """The options that a name means: everything (None), a group, "provider/model", or a model's name.

        A model's name means the same model under its other names too; a provider that has the very name gives only
        that one. Raises ModelNotFoundError with the nearest name.
        """
        if name is None:
            return self.options
        found = self._group(name) or self.pinned(name) or self._called(name)
        if found:
            return found
        raise ModelNotFoundError(f"unknown model {name!r}{self._suggestion(name)}")

    def rollout(self, name: str | None) -> tuple[Rollout, Option] | None:
        """The rollout for those who ask for a name, with the option that it leads to."""
        found = self.rollouts.get(EVERYTHING if name is None else name) if self.rollouts else None
        options = self.pinned(found.to) if found else []
        return (found, options[0]) if found and options else None

    def _group(self, name: str) -> list[Option]:
        members = self.groups.get(name, ())
        options = [
            o for member in members if member not in self.groups for o in self.pinned(member) or self._called(member)
        ]
        return sorted({option.target: option for option in options}.values(), key=_rank)

    def pinned(self, name: str) -> list[Option]:
        """The option that "provider/model" means; empty when there is no such provider."""
        provider, slash, model = name.partition("/")
        found = self.providers.get(provider)
        if not slash or not model or found is None:
            return []
        exact = [o for o in self.by_model.get(model, ()) if o.provider is found]
        # a server may have more models than were listed, so a pinned one is asked for all the same
        return exact or [o for o in self._like(model) if o.provider is found] or [self.option(found, ModelInfo(model))]

    def _like(self, model: str) -> list[Option]:
        """By name; Ollama's "x" is "x:latest"."""
        return self.by_model.get(model) or self.by_model.get(f"{model}:latest") or []

    def _called(self, model: str) -> list[Option]:
        """By name or by meaning, in order of preference."""
        exact = self._like(model)
        alike = self._by_meaning.get(canonical(model), [])
        if len(alike) == len(exact):
            return alike
        having = {option.provider.name for option in exact}
        targets = {option.target for option in exact}
        return [o for o in alike if o.provider.name not in having or o.target in targets]

    def _suggestion(self, name: str) -> str:
        known = [*self.groups, *(str(o.target) for o in self.options), *self.by_model]
        if not known:
            return (
                ": no provider is configured (set a key such as OPENAI_API_KEY, start Ollama, or write hybrid_nb.toml)"
            )
        provider, slash, _ = name.partition("/")
        near = difflib.get_close_matches(name, known, 3, 0.5)
        if slash and not near:
            return f": no provider {provider!r}; configured are {', '.join(self.providers)}"
        shown = [*self.groups, *self.by_model]
        return f": did you mean {' or '.join(near)}?" if near else f": known are {', '.join(shown[:6])} (%llm_models)"


def _rank(option: Option) -> tuple[int, int]:
    return option.rank


def _within(region: str | None, allowed: Sequence[str]) -> bool:
    """Whether a region is one of these, or in it: "eu-west-1" is in "eu"."""
    return region is not None and any(region == name or region.startswith(f"{name}-") for name in allowed)
