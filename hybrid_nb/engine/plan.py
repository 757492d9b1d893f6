"""Request + facts -> RoutePlan, with a reason for every candidate. Pure.

A decision is read from top to bottom; each rule has its place here and its words in the reason:

1. name      which targets the request means: all, a group, one, or a model under any of its names   catalogue.py
2. fit       what cannot take it is out: disabled, tier, region, key, open breaker, abilities, context, cost, budget
3. down      known to be down: asked last
4. latency   known to miss `max_ttft`: asked after those that may meet it, the nearest first (`measured` weighs it)
5. rollout   its target first for those in the share, last for the others                            rollout.py
6. strategy  orders the rest; `tiered` unless configured                               strategies.py, measured.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from hybrid_nb.core.errors import (
    AuthenticationError,
    BudgetExceededError,
    ContextLengthError,
    HybridNbError,
    NoProviderAvailableError,
    UnsupportedFeatureError,
)
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Candidate, Request, RoutePlan, Target, Tier, Trial
from hybrid_nb.engine.asks import Ask, Pair, Ranked
from hybrid_nb.engine.assemble import estimate_input
from hybrid_nb.engine.catalogue import Catalogue, Option
from hybrid_nb.engine.facts import NOTHING, UNKNOWN, Fact, Facts
from hybrid_nb.engine.measured import choose
from hybrid_nb.engine.rollout import Rollout, key_of
from hybrid_nb.engine.strategies import STRATEGIES

__all__ = ["Catalogue", "Estimator", "Need", "Option", "no_candidate", "plan", "refusal"]

DEFAULT_OUTPUT = 1024  # tokens that an answer is estimated at, at most, when the request sets no limit

Estimator = Callable[[Provider, str, int, int], Decimal | None]


# --- which of them can take the request -------------------------------------------------------------------


class Need(NamedTuple):
    """What a request needs of a target."""

    tier: Tier | None
    tools: bool
    vision: bool
    schema: bool
    tokens: int
    max_cost: Decimal | None
    max_output: int
    max_ttft: float | None = None

    @classmethod
    def of(cls, request: Request, max_ttft: float | None = None) -> Need:
        """`max_ttft` counts where the request names none."""
        return cls(
            request.tier,
            bool(request.tools),
            request.has_images,
            request.schema is not None,
            estimate_input(request.messages),
            request.max_cost,
            DEFAULT_OUTPUT if request.max_tokens is None else request.max_tokens,
            max_ttft if request.max_ttft is None else request.max_ttft,
        )

    @property
    def simple(self) -> bool:
        """Whether only the context can be too small."""
        return not (self.tier or self.tools or self.vision or self.schema or self.max_cost is not None)


def refusal(option: Option, need: Need) -> tuple[str, str] | None:
    """(kind, reason) why an option cannot take it; None when it can. Unknown abilities never exclude."""
    if option.blocked:
        return option.blocked
    info = option.info
    if need.tier and option.provider.tier != need.tier:
        return "tier", f"tier {need.tier} was asked for, this is {option.provider.tier}"
    for wanted, able, what in (
        (need.tools, info.tools, "tools"),
        (need.vision, info.vision, "images"),
        (need.schema, info.json_schema, "JSON schemas"),
    ):
        if wanted and able is False:
            return "feature", f"{info.id} takes no {what}"
    if info.context is not None and need.tokens > info.context:
        return "context", f"about {need.tokens:,} tokens do not fit its context of {info.context:,}"
    return None


def _too_dear(cost: Decimal | None, limit: Decimal) -> tuple[str, str] | None:
    if cost is None:
        return "cost", f"its price is unknown, so max_cost ${limit} cannot be kept"
    return ("cost", f"may cost ${cost:.6f}, over max_cost ${limit}") if cost > limit else None


def _may_cost(option: Option) -> bool:
    price = option.provider.prices.get(option.target.model)
    if price is not None:
        return bool(price.input is None or price.output is None or price.input or price.output)
    return option.provider.tier == "cloud" and not option.provider.vendor.free


# --- the decision -----------------------------------------------------------------------------------------


def plan(
    request: Request,
    catalogue: Catalogue,
    estimate: Estimator | None = None,
    facts: Facts | Callable[[], Facts] = NOTHING,
) -> RoutePlan:
    """Where the request would go: every candidate in the order it is asked, then those left out, each with its reason.

    `estimate` gives dollars (upper bound); it is asked only where `max_cost` is set or the strategy is `cheapest`.
    `facts` may be a function, which is asked only when there is a choice. Raises ModelNotFoundError.
    """
    options = catalogue.named(request.model)
    if len(options) == 1 and not isinstance(facts, Facts) and catalogue.rollout(request.model) is None:
        return RoutePlan((_only(options[0], Need.of(request), estimate),))
    return _Decision(request, catalogue, estimate, facts if isinstance(facts, Facts) else facts()).plan()


def _only(option: Option, need: Need, estimate: Estimator | None) -> Candidate:
    """A target without rivals: there is nothing to order, and what is known of it decides nothing."""
    no, cost = refusal(option, need), None
    if no is None and need.max_cost is not None and estimate is not None:
        cost = estimate(option.provider, option.target.model, need.tokens, need.max_output)
        no = _too_dear(cost, need.max_cost)
    if no is not None:
        return Candidate(option.target, option.provider.tier, False, no[1], cost, no[0])
    return Candidate(option.target, option.provider.tier, True, option.reason, cost)


class _Decision:
    """One decision under way. Whatever it reads came in, and it changes nothing but itself."""

    def __init__(self, request: Request, catalogue: Catalogue, estimate: Estimator | None, facts: Facts) -> None:
        self.request = request
        self.catalogue = catalogue
        self.facts = facts
        self.need = Need.of(request, catalogue.max_ttft)
        self.estimate = estimate
        self.priced = estimate is not None and (self.need.max_cost is not None or catalogue.strategy == "cheapest")
        self.measured = catalogue.strategy == "measured"
        self.estimates: dict[Target, Decimal | None] = {}
        self.rejected: list[Candidate] = []

    def plan(self) -> RoutePlan:
        options = self.catalogue.named(self.request.model)
        rollout = self.catalogue.rollout(self.request.model)
        key = key_of(rollout[0], self.request.tags, self.facts.who) if rollout else None
        if rollout and rollout[0].includes(key) and all(o.target != rollout[1].target for o in options):
            options = [*options, rollout[1]]
        usable, late, down = self._parted(self._fitting(options))
        ranked, trial = self._ranked(usable) if usable else ([], None)
        if rollout:
            ranked, trial = _rolled(ranked, rollout[1].target, rollout[0], key), None
        return RoutePlan((*self._candidates([*ranked, *late, *down]), *self.rejected), trial)

    def _ranked(self, usable: Sequence[Pair]) -> tuple[list[Ranked], Trial | None]:
        """In the order of the strategy, and what exploring costs, where it does."""
        need, catalogue, request = self.need, self.catalogue, self.request
        if not self.measured:
            ask = Ask(self.facts, self._cost, need.max_ttft, catalogue.explore)
            return STRATEGIES[catalogue.strategy](usable, ask), None
        quality = catalogue.min_quality if request.min_quality is None else request.min_quality
        latency = catalogue.max_latency if request.max_latency is None else request.max_latency
        explore = 0.0 if request.explore is False else catalogue.explore
        return choose(usable, Ask(self.facts, self._cost, need.max_ttft, explore, quality, latency, self._expected))

    def _candidates(self, ranked: Sequence[Ranked]) -> list[Candidate]:
        if not self.estimates:
            return [Candidate(option.target, option.provider.tier, True, reason) for option, reason in ranked]
        given = self.estimates
        return [Candidate(o.target, o.provider.tier, True, reason, given.get(o.target)) for o, reason in ranked]

    def _fitting(self, options: Sequence[Option]) -> list[Pair]:
        """The options that can take the request, with what is known of each; the others go to `rejected`."""
        facts, tokens = self.facts, self.need.tokens
        simple = self.need.simple and facts.spent is None and not self.priced
        targets, providers = facts.targets, facts.providers
        known = bool(targets or providers)
        fitting: list[Pair] = []
        for option in options:
            fact = UNKNOWN
            if known:
                fact = targets.get(option.target) or providers.get(option.provider.name, UNKNOWN)
            context = option.info.context
            easy = simple and option.blocked is None and fact.open is None and (context is None or tokens <= context)
            no = None if easy else self._refusal(option, fact)
            if no is None:
                fitting.append((option, fact))
            else:
                cost = self.estimates.get(option.target)
                self.rejected.append(Candidate(option.target, option.provider.tier, False, no[1], cost, no[0]))
        return fitting

    def _refusal(self, option: Option, fact: Fact) -> tuple[str, str] | None:
        no = refusal(option, self.need)
        if no is not None:
            return no
        if fact.open is not None:
            return "open", fact.open
        if self.facts.spent is not None and _may_cost(option):
            return "budget", self.facts.spent
        if not self.priced or self.estimate is None:
            return None
        cost = self.estimate(option.provider, option.target.model, self.need.tokens, self.need.max_output)
        self.estimates[option.target] = cost
        return None if self.need.max_cost is None else _too_dear(cost, self.need.max_cost)

    def _parted(self, pairs: list[Pair]) -> tuple[list[Pair], list[Ranked], list[Ranked]]:
        """Those that the strategy orders, those known to be late, and those known to be down."""
        limit = self.need.max_ttft
        if self.measured:
            limit = None  # it weighs times against quality, which is not given up for them
        if limit is None and all(fact.status != "down" for _, fact in pairs):
            return pairs, [], []
        usable: list[Pair] = []
        late: list[tuple[float, Option]] = []
        down: list[Ranked] = []
        for option, fact in pairs:
            if fact.status == "down":
                down.append((option, "asked last: it was down at its last check"))
            elif limit is not None and fact.ttft is not None and fact.ttft > limit:
                late.append((fact.ttft, option))
            else:
                usable.append((option, fact))
        late.sort(key=lambda item: item[0])
        words = [(o, f"asked late: {ttft:.2f} s to first token, over max_ttft {limit:g} s") for ttft, o in late]
        return usable, words, down

    def _cost(self, option: Option) -> Decimal | float | None:
        """What the request costs at an option, for comparing."""
        found = self.estimates.get(option.target)
        return self.catalogue.cost(option, self.need.tokens, self.need.max_output) if found is None else found

    def _expected(self, option: Option, output: float | None) -> float | None:
        """What the request is likely to cost at an option whose answers have so many tokens."""
        most = self.need.max_output
        return self.catalogue.cost(option, self.need.tokens, most if output is None else min(output, most))


def _rolled(ranked: list[Ranked], target: Target, rollout: Rollout, key: str | None) -> list[Ranked]:
    """The rollout's target first for those in the share, last for the others."""
    found = next((option for option, _ in ranked if option.target == target), None)
    if found is None:
        return ranked
    included = rollout.includes(key)
    moved = (found, rollout.reason(included, key))
    others = [item for item in ranked if item[0].target != target]
    return [moved, *others] if included else [*others, moved]


_ERRORS: dict[str, type[HybridNbError]] = {
    "key": AuthenticationError,
    "context": ContextLengthError,
    "feature": UnsupportedFeatureError,
    "cost": BudgetExceededError,
    "budget": BudgetExceededError,
}


def no_candidate(found: RoutePlan, request: Request) -> HybridNbError:
    """The error for a plan that accepts nobody: one short message with what to do."""
    # that others are of another tier than the one that was asked for is no news
    weighed = [c for c in found.candidates if request.tier in (None, c.tier)] or found.candidates
    kinds = {candidate.kind for candidate in weighed}
    if not found.candidates:
        return NoProviderAvailableError(
            "no provider is configured: set a key such as OPENAI_API_KEY, start a local server such as Ollama, "
            "or write hybrid_nb.toml; `hybrid-nb demo` runs without any"
        )
    reasons = list(dict.fromkeys(f"{c.target}: {c.reason}" for c in weighed))
    more = f" (and {len(reasons) - 4} more)" if len(reasons) > 4 else ""
    text = "; ".join(reasons[:4]) + more
    kind = _ERRORS.get(kinds.pop()) if len(kinds) == 1 else None
    if kind is BudgetExceededError:
        if request.max_tokens is None and request.max_cost is not None:
            text += f" (an answer counts as {DEFAULT_OUTPUT:,} tokens: set max_tokens to less, or raise max_cost)"
        estimates = [c.estimate for c in found.candidates if c.estimate is not None]
        return BudgetExceededError(text, request.max_cost, None, min(estimates, default=None))
    return (
        kind(text)
        if kind
        else NoProviderAvailableError(f"nobody can take this call: {text}", (), None, found.candidates)
    )
