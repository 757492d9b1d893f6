"""What can be read of a router: its calls, costs, budget, limits, health, models and providers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_nb import checks, frames, remaining, rows
from hybrid_nb.analysis.views import CostViews
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.news import News
from hybrid_nb.core.provider import Provider
from hybrid_nb.engine import vitals
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.engine.recorded import Recorded
from hybrid_nb.ledger import costs
from hybrid_nb.ledger.budget import Budget
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal
from hybrid_nb.state import State
from hybrid_nb.transports.http import HttpTransport

if TYPE_CHECKING:
    import pandas as pd


class Views(CostViews):
    """The part of Router that looks and changes nothing. Router sets what is named here."""

    _budget: Budget
    _gate: Gate
    _health: Health
    _ledger: Ledger
    _news: News
    _recorded: Recorded
    _state: State
    _transport: HttpTransport

    @property
    def path(self) -> Path | None:
        raise NotImplementedError

    def _check_open(self) -> None:
        raise NotImplementedError

    def calls(self, since: Any = None) -> pd.DataFrame:
        """Every call, one row each, oldest first. `since`: a datetime, a timedelta back from now, or unix time."""
        self._check_open()
        return frames.calls(self._ledger.calls(rows.unix(since)))

    def attempts(self, since: Any = None) -> pd.DataFrame:
        """Every attempt, failed ones too, with what each cost."""
        self._check_open()
        return frames.attempts(self._ledger.attempts(rows.unix(since)))

    def costs(self, by: str | Sequence[str] | None = ("provider", "model", "day"), since: Any = None) -> pd.DataFrame:
        """Calls, tokens and dollars summed by any of provider, model, tier, status, error (its class), finish,
        attempts, cache_hit, cost_source, usage_source, route_reason, tag:NAME, and in UTC hour, day, week (its Monday),
        weekday, month; with None all in one row.

        `cost_usd` sums what is known, `unknown_cost` counts the calls whose cost is not.
        """
        names = [by] if isinstance(by, str) else list(by or ())
        return frames.costs(self.cost_rows(names, since), names)

    def cost_rows(self, by: Sequence[str], since: Any = None) -> list[tuple[Any, ...]]:
        """The rows of costs() as plain tuples: the groups, then calls, errors, input_tokens, output_tokens, cost_usd,
        unknown_cost and saved_usd. None is unknown."""
        self._check_open()
        return costs.costs(self._ledger, by, rows.unix(since))

    def tag_names(self) -> list[str]:
        """The names of the tags that the latest calls had, for costs(by="tag:NAME")."""
        self._check_open()
        return costs.tags(self._ledger)

    def budget(self) -> pd.DataFrame:
        """One row a limit ("day", "month"; days and months in UTC), over all processes that share the ledger.

        Dollars: limit_usd (missing: none), spent_usd (settled), reserved_usd (at most, by calls under way) and
        remaining_usd. `share` is spent / limit, `alert` whether it has reached [budget] alert_at, `resets_at` a time
        in UTC. What no price is known for is in none of these: `unpriced_calls` counts it, `unpriced_models` names it.
        """
        self._check_open()
        now = time.time()
        return remaining.budget(self._budget.periods(now), self._state.settings.budget.alert_at, now)

    def budget_rows(self) -> list[dict[str, Any]]:
        """The rows of budget() as dicts; None is unknown, or no limit."""
        self._check_open()
        now = time.time()
        return remaining.budget_rows(self._budget.periods(now), self._state.settings.budget.alert_at, now)

    def limits(self) -> pd.DataFrame:
        """One row a provider's key and address: what is left of its rate limits, now.

        requests_left and tokens_left are of rpm and tpm (a sliding minute), at_once_left of max_concurrency, as this
        router counts; vendor_requests_left and vendor_tokens_left are what the vendor's headers told last, until
        their reset. `blocked_until`: nothing is sent before, as the vendor asked. Missing: no limit, or not known.
        """
        self._check_open()
        rows = portal().run(remaining.limits(self._state.providers.values(), self._gate))
        return frames.records(rows, remaining.LIMIT_COLUMNS)

    def health(self, check: bool = True, by: str = "provider") -> pd.DataFrame:
        """One row a provider, or one a model with by="model". With `check` each provider is asked now, all at once;
        this costs nothing.

        Providers are also looked at every `health_interval` seconds while they are idle: those near by always, those
        in the cloud for some time after a call. A check that finds a provider well lets a call probe it at once.
        """
        self._check_open()
        if by not in vitals.COLUMNS:
            raise OptionValueError(f"by must be 'provider' or 'model', not {by!r}")
        if check:
            live = [p for p in self._state.providers.values() if p.enabled]
            for result in portal().run(self._check(live)):
                self._health.checked(result)
                self._gate.well(result.up, result.missing, asked=True)
            self._news.tell("health")
        return frames.records(self.health_rows(by), vitals.COLUMNS[by])

    def health_rows(self, by: str = "provider") -> list[dict[str, Any]]:
        """The rows of health(check=False) as dicts, with `timed_s`, the seconds of the latest calls that went well, and
        `opens_in_s`, seconds until what is shut is tried again (inf: when its key changes; None: nothing is shut)."""
        return vitals.rows(self._state.providers.values(), self._health, self._gate, by)

    async def _check(self, providers: Sequence[Provider]) -> list[Check]:
        return list(await asyncio.gather(*(checks.check(p, self._transport) for p in providers)))

    def models(self) -> pd.DataFrame:
        """One row a model that can be asked for, in the order of preference, with prices per million tokens."""
        return frames.records([rows.model(option) for option in self._state.catalogue.options], rows.MODEL_COLUMNS)

    def model_names(self) -> list[str]:
        """Every name that `model` may be: groups, "provider/model" and bare names."""
        catalogue = self._state.catalogue
        cache = self._state.settings.cache
        recorded = self._recorded.models(cache) if cache.mode == "replay" else []
        known = [*catalogue.groups, *(str(option.target) for option in catalogue.options), *catalogue.by_model]
        return list(dict.fromkeys((*known, *recorded))) if recorded else known

    def provider_names(self) -> list[str]:
        """The names of the providers, in the order of the configuration."""
        return list(self._state.providers)

    def describe(self) -> str:
        """The settings in force and where they come from, as text without any secret."""
        router = self._state.settings.router
        lines = [f"configuration: {self.path or 'not from a file'}", f"ledger: {self._ledger.path}"]
        lines += [f"{name} = {value}" for name, value in router.model_dump().items()]
        lines += self._cache_line()
        return "\n".join([*lines, f"providers: {', '.join(self.provider_names()) or 'none'}"])

    def _cache_line(self) -> list[str]:
        cache = self._state.settings.cache
        if cache.mode in ("record", "replay"):
            return [f"cache: {cache.mode} {self._recorded.cassette(cache).path}"]
        return [] if cache.mode == "off" else [f"cache: on, for {cache.ttl:g} s, up to {cache.max_mb:g} MB"]

    def providers(self) -> pd.DataFrame:
        """One row a provider: its type, tier, address, and where its key comes from (never the key)."""
        return frames.records([rows.provider(p) for p in self._state.providers.values()], rows.PROVIDER_COLUMNS)
