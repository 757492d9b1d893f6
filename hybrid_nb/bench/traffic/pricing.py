"""What calls of a run may cost at most, and what they probably do, before they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from hybrid_nb.core.types import Request, Target
from hybrid_nb.engine.allowance import (
    LARGEST_OUTPUT,
    PICO,
    SAFE_CAP,
    TYPICAL_OUTPUT,
    Rates,
    input_bound,
    most_output,
    rates_of,
)
from hybrid_nb.engine.assemble import estimate_input
from hybrid_nb.engine.catalogue import Catalogue, Option
from hybrid_nb.ledger import prices

__all__ = ["SAFE_CAP", "Estimate", "Pricing"]

RUBRIC, VERDICT = 500, 200  # tokens of a judge's instructions and of its answer, about


class Estimate(NamedTuple):
    """Dollars, None where no price is known: at most, and with answers of about a thousand tokens."""

    most: Decimal | None
    likely: Decimal | None

    def __add__(self, other: Estimate) -> Estimate:  # type: ignore[override]
        return Estimate(_plus(self.most, other.most), _plus(self.likely, other.likely))

    def times(self, count: Decimal | int) -> Estimate:
        return Estimate(*(None if amount is None else amount * count for amount in self))


def _plus(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    return None if a is None or b is None else a + b


NOTHING = Estimate(Decimal(0), Decimal(0))


class Pricing:
    """Estimates of calls to one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._options: dict[str | None, list[Option]] = {}
        self._rates: dict[Target, Rates | None] = {}

    def one(self, request: Request, model: str | None) -> Estimate:
        """A call. `most` is over all targets that the name means, as another may have to answer."""
        found = [self._at(option, request) for option in self._named(model)]
        known = [estimate for estimate in found if estimate.most is not None]
        if not known:
            return Estimate(None, None)
        return Estimate(max(e.most for e in known if e.most is not None), known[0].likely)

    def question(self, model: str, request: Request) -> Estimate:
        """A judge's question: the sample, two answers to it and a rubric, and a verdict. Not a bound: for telling."""
        rates = next((self._rates_of(option) for option in self._named(model)), None)
        if rates is None:
            return Estimate(None, None)
        sample, answer = estimate_input(request.messages), request.max_tokens or SAFE_CAP
        most = (sample + 2 * answer + RUBRIC) * rates.input + SAFE_CAP * rates.output
        likely = (sample + 2 * min(answer, TYPICAL_OUTPUT) + RUBRIC) * rates.input + VERDICT * rates.output
        return Estimate(Decimal(most) / PICO, Decimal(likely) / PICO)

    def priced(self, model: str) -> bool:
        """Whether the price of any target of that name is known."""
        return any(self._rates_of(option) is not None for option in self._named(model))

    def _named(self, model: str | None) -> Sequence[Option]:
        found = self._options.get(model)
        if found is None:
            named = self._catalogue.named(model)
            found = self._options[model] = [option for option in named if option.blocked is None] or list(named)
        return found

    def _at(self, option: Option, request: Request) -> Estimate:
        rates = self._rates_of(option)
        if rates is None:
            return Estimate(None, None)
        model, vendor = option.target.model, option.provider.vendor.type
        whole = request.max_tokens or most_output(model, option.info.max_output, None) or LARGEST_OUTPUT
        most = input_bound(request, vendor, model) * rates.input + whole * rates.output
        likely = estimate_input(request.messages) * rates.input + min(whole, TYPICAL_OUTPUT) * rates.output
        return Estimate(Decimal(most) / PICO, Decimal(likely) / PICO)

    def _rates_of(self, option: Option) -> Rates | None:
        if option.target not in self._rates:
            provider, model = option.provider, option.target.model
            self._rates[option.target] = rates_of(lambda usage: prices.cost(provider, model, usage)[0])
        return self._rates[option.target]
