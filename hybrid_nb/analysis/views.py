"""The analysis of costs, as methods of Router."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from hybrid_nb import frames, rows
from hybrid_nb.analysis import forecast, pictures, pricing, trend
from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.types import Usage
from hybrid_nb.ledger import costs, prices
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.state import State

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.charts.picture import Picture

NEAR = ("local", "edge")  # tiers whose calls are not in the cloud
KINDS = ("bars", "cumulative", "forecast")


class CostViews:
    """What costs did, will do and would have been. Router sets what is named here."""

    _ledger: Ledger
    _state: State

    def _check_open(self) -> None:
        raise NotImplementedError

    def cost_rows(self, by: Sequence[str], since: Any = None) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def cost_plot(
        self, by: str | None = "provider", over: str | None = "day", kind: str = "bars", since: Any = None
    ) -> Picture:
        """A picture of dollars: `over` "hour", "day", "week", "month" (UTC), or None for one bar a group; `by` any
        group of costs(), or None for all together. What is of unknown cost is told beside it.

        kind: "bars" (stacked), "cumulative" (dollars so far), "forecast" (this month to its end, with the budget).
        """
        from hybrid_nb.charts.picture import Picture

        if kind not in KINDS:
            raise OptionValueError(f"cost_plot(kind={kind!r}): there is no such picture{nearest(kind, KINDS)}")
        if over is not None and over not in trend.PERIODS:
            raise OptionValueError(f"cost_plot(over={over!r}): no such period{nearest(over, trend.PERIODS)}")
        if kind == "forecast":
            now = time.time()
            found = self._days(now, None)
            row = forecast.forecast(found, now, self._monthly())
            return Picture(pictures.forecast(found, row, trend.today(now)))
        if over is None:
            return Picture(pictures.totals(self.cost_rows([by or "status"], since), by or "status"))
        found_rows = self.cost_rows([over, by] if by else [over], since)
        return Picture((pictures.bars if kind == "bars" else pictures.cumulative)(found_rows, by, over))

    def cost_trend(self, since: Any = None, now: float | None = None) -> pd.DataFrame:
        """One row a day (UTC) from the first call to today: calls, cost_usd, unknown_cost (calls), mean_7d_usd (dollars
        a day over the seven that end with it), change_7d (of that against the seven before: 0.25 is a quarter more) and
        `complete` (today is not). Missing until there are enough days. `now`: unix time."""
        now = time.time() if now is None else now
        return frames.records(trend.trend(self._days(now, since), now), trend.TREND_COLUMNS)

    def cost_forecast(self, now: float | None = None, confidence: float = 0.9) -> pd.DataFrame:
        """What this month (UTC) will have cost at its end: one row.

        spent_usd, days_left, expected_usd with low_usd and high_usd (of this confidence), limit_usd (the monthly
        budget), chance_over (0 to 1: that it is reached), reached_on (the day by which it is, or is expected to be;
        missing: not this month), unknown_cost (calls that are in none of it), method and explanation. With fewer than 7
        complete days the method is "insufficient data". hybrid_nb.analysis.forecast tells the method. `now`: unix time.
        """
        if not 0 < confidence < 1:
            raise OptionValueError(f"confidence must be between 0 and 1, not {confidence!r}")
        now = time.time() if now is None else now
        row = forecast.forecast(self._days(now, None), now, self._monthly(), confidence)
        return frames.records([row], forecast.COLUMNS)

    def savings(self, against: str | None = None, since: Any = None) -> pd.DataFrame:
        """What was not paid: answers from the cache, and calls that models near by answered ("local", "edge").

        One row a source: calls, unknown (those whose saving is not known, left out of the dollars), actual_usd,
        would_be_usd, saved_usd and `against`. An answer from the cache saved what it had cost. A call near by saved
        what the model `against` ("provider/model") asks for the tokens that were recorded, less its own cost; without
        `against` it is the cloud model of this configuration at which those calls together cost least, whose price is
        known and whose context holds the largest of them. Failed calls count where their tokens are known.
        """
        self._check_open()
        start = rows.unix(since)
        found = [self._cached(start), *(self._near(tier, against, start) for tier in NEAR)]
        return frames.frame([row for row in found if row[1]], pricing.SAVINGS_COLUMNS)

    def what_if(
        self, model: str, by: str | Sequence[str] | None = ("provider", "model"), since: Any = None
    ) -> pd.DataFrame:
        """The same calls at the price of another model ("provider/model"), by any groups of costs(); None: one row.

        calls (those that sent something: not refused ones, not answers from a cache), `compared` (of those, whose
        tokens and cost are known), unpriced (the others), and over the compared ones actual_usd, would_be_usd and
        difference_usd (positive: it would cost more). Tokens are as recorded: another model counts and answers in its
        own way. Raises OptionValueError for a model of unknown price.
        """
        self._check_open()
        names = [by] if isinstance(by, str) else list(by or ())
        found = self._what_if(self._price(model), names, rows.unix(since))
        return frames.frame(found, (*names, *pricing.WHAT_IF_COLUMNS))

    def _days(self, now: float, since: Any) -> list[trend.Day]:
        return trend.days(self.cost_rows(["day"], since), now)

    def _monthly(self) -> float | None:
        limit = self._state.settings.budget.monthly_usd
        return None if limit is None else float(limit)

    def _what_if(
        self, price: pricing.Price, by: Sequence[str], since: float | None, tiers: Sequence[str] = ()
    ) -> list[tuple[Any, ...]]:
        sizes = not pricing.linear(price)
        return pricing.would_be(costs.tokens(self._ledger, by, since, tiers, sizes), price, sizes)

    def _cached(self, since: float | None) -> tuple[Any, ...]:
        calls, known, saved = costs.cached(self._ledger, since)
        amount = saved if known else None
        return "cache", calls, calls - known, 0.0, amount, amount, "what the answers had cost"

    def _near(self, tier: str, against: str | None, since: float | None) -> tuple[Any, ...]:
        whole = next(iter(costs.tokens(self._ledger, [], since, [tier])), None)
        if whole is None:
            return tier, 0, 0, None, None, None, None
        chosen = self._against(against) if against else pricing.cheapest(self._candidates(), whole)
        if chosen is None:
            return tier, whole.calls, whole.calls, None, None, None, None
        calls, _, unknown, actual, asked, difference = self._what_if(chosen.price, [], since, [tier])[0]
        return tier, calls, unknown, actual, asked, difference, chosen.name

    def _against(self, model: str) -> pricing.Candidate:
        return pricing.Candidate(model, self._price(model), None)

    def _candidates(self) -> list[pricing.Candidate]:
        """Every cloud model of the configuration; cheapest() leaves out those whose price is unknown."""
        cloud = [p for p in self._state.providers.values() if p.tier == "cloud" and p.enabled]
        return [pricing.Candidate(f"{p.name}/{info.id}", partial(_cost, p, info.id), info.context)
                for p in cloud for info in p.models]  # fmt: skip

    def _price(self, model: str) -> pricing.Price:
        """The price of "provider/model". Raises OptionValueError when it has none that is known."""
        name, _, own = model.partition("/")
        provider = self._state.providers.get(name)
        known = [str(option.target) for option in self._state.catalogue.options]
        if provider is None or not own:
            raise OptionValueError(f"no model {model!r}{nearest(model, known)}; it is written provider/model")
        price = partial(_cost, provider, own)
        if price(pricing.used(1000, 0, 1000)) is None:
            near = "" if model in known else nearest(model, known)
            told = f"no price is known for {model!r}{near}"
            raise OptionValueError(f"{told}: set prices for it in the provider's settings")
        return price


def _cost(provider: Any, model: str, usage: Usage) -> Decimal | None:
    return prices.cost(provider, model, usage)[0]
