"""A configuration in force: what settings and providers come to, replaced whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hybrid_nb.core.config import Settings
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import RoutePlan
from hybrid_nb.engine.breaker import Policy
from hybrid_nb.engine.plan import Catalogue
from hybrid_nb.engine.rollout import Rollout
from hybrid_nb.engine.run import Conduct, Timing
from hybrid_nb.engine.schedule import Slot
from hybrid_nb.ledger import prices
from hybrid_nb.ledger.budget import limits_of
from hybrid_nb.ledger.money import Limits


@dataclass(frozen=True, slots=True)
class State:
    """A configuration in force. Replaced whole, so that calls under way finish on what they started with."""

    settings: Settings
    catalogue: Catalogue
    conduct: Conduct

    @property
    def providers(self) -> dict[str, Provider]:
        return self.catalogue.providers


def make_state(settings: Settings, providers: Iterable[Provider]) -> State:
    router = settings.router
    timing = Timing(router.timeout, router.connect_timeout, router.ttft_timeout, router.stall_timeout)
    return State(
        settings,
        Catalogue(
            providers,
            settings.group,
            router.strategy,
            router.mode,
            rates=rates,
            max_ttft=router.max_ttft,
            min_quality=router.min_quality,
            max_latency=router.max_latency,
            explore=router.explore,
            regions=router.regions,
            rollouts=[Rollout(name, r.to, r.percent, r.by) for name, r in settings.rollout.items()],
        ),
        Conduct(
            router.retries,
            router.retry_delay,
            router.failover,
            timing,
            router.resume,
            router.content_filter_failover,
            router.hedge,
            router.when_limited == "reject",
        ),
    )


def policy_of(settings: Settings) -> Policy:
    return Policy(threshold=settings.router.breaker_threshold, seconds=settings.router.breaker_seconds)


def budget_of(settings: Settings) -> tuple[Limits, bool]:
    budget = settings.budget
    return limits_of(budget.daily_usd, budget.monthly_usd), budget.when_exceeded == "queue"


def slots(found: RoutePlan, catalogue: Catalogue) -> Iterator[Slot]:
    """Every accepted target at each of its addresses, in order; made as they are needed."""
    for candidate in found.candidates:
        if not (candidate.accepted or candidate.kind == "open"):  # the gate has the last word on what is open
            continue
        provider = catalogue.providers[candidate.target.provider]
        for endpoint in provider.endpoints_for(candidate.target.model):
            yield Slot(candidate.target, provider, endpoint, candidate.tier, candidate.reason)


def rates(provider: Provider, model: str) -> tuple[float | None, float | None]:
    """Dollars per million tokens of input and output, for comparing providers."""
    return prices.per_million(provider, model, "input")[0], prices.per_million(provider, model, "output")[0]
