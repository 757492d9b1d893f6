"""What tokens cost: the configuration first, then a local model's zero, then the list prices of genai-prices.

Unknown stays unknown: no price, or no usage, gives None.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from hybrid_nb.core.provider import Price, Provider
from hybrid_nb.core.types import Usage

MILLION = Decimal(1_000_000)


def cost(
    provider: Provider, model: str, usage: Usage | None, told: Decimal | None = None
) -> tuple[Decimal | None, str | None]:
    """US dollars for a usage, and the source of that figure: provider, config, free, genai-prices or None.

    `told` is the provider's own figure, which wins.
    """
    if told is not None:
        return told * provider.cost_multiplier, "provider"
    price = provider.prices.get(model)
    if price is not None:
        amount, source = from_price(price, usage), "config"
    elif provider.vendor.free or provider.tier != "cloud":
        return Decimal(0), "free"
    else:
        amount, source = from_list(provider, model, usage), "genai-prices"
    return (None, None) if amount is None else (amount * provider.cost_multiplier, source)


def from_price(price: Price, usage: Usage | None) -> Decimal | None:
    """Dollars by a configured price; cached and written tokens are priced as input unless told apart."""
    if usage is None:
        return None
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    if usage.input_tokens is None or usage.output_tokens is None:
        free = price.input == 0 and price.output == 0
        return Decimal(0) if free else None
    if not (cached or written) and price.input is not None and price.output is not None:
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / MILLION
    parts = (
        (usage.input_tokens - cached - written, price.input),
        (cached, price.input if price.cached is None else price.cached),
        (written, price.input if price.cache_write is None else price.cache_write),
        (usage.output_tokens, price.output),
    )
    if any(count and rate is None for count, rate in parts):
        return None
    return sum((count * rate for count, rate in parts if rate is not None), Decimal(0)) / MILLION


def from_list(provider: Provider, model: str, usage: Usage | None) -> Decimal | None:
    """Dollars by genai-prices' bundled list; None when it does not know the model."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None or not provider.vendor.price_id:
        return None
    if not listed(provider.vendor.price_id, model):
        return None
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    found: Any = genai_prices.calc_price(counted, model, provider_id=provider.vendor.price_id)
    return Decimal(found.total_price)


def preload() -> None:
    """Import genai-prices' data (a quarter of a second) ahead of the first call that is priced by it."""
    import genai_prices  # noqa: F401


def known(provider: Provider, model: str) -> bool:
    """Whether the model has a price of its own, in the settings or in the bundled list."""
    named = provider.vendor.price_id
    return model in provider.prices or (named is not None and listed(named, model))


@lru_cache(maxsize=1024)
def listed(price_id: str, model: str) -> bool:
    """Whether genai-prices knows the model. Its data take a quarter of a second to import, so only when asked."""
    import genai_prices

    try:
        genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), model, provider_id=price_id)
    except LookupError:
        return False
    return True


def upper_estimate(provider: Provider, model: str, input_tokens: int, max_output: int) -> Decimal | None:
    """The most that a request should cost: its input and all of its output allowance."""
    amount, _ = cost(provider, model, Usage(input_tokens, None, None, max_output, None, "estimate"))
    return amount


def per_million(provider: Provider, model: str, side: str) -> tuple[float | None, str | None]:
    """Dollars per million tokens of "input" or "output" (list prices: at a thousand tokens), and their source."""
    usage = (
        Usage(1000, None, None, 0, None, "estimate")
        if side == "input"
        else Usage(0, None, None, 1000, None, "estimate")
    )
    amount, source = cost(provider, model, usage)
    return (None if amount is None else float(amount * 1000)), source
