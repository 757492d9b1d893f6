"""The strategies: accepted options + facts -> the same options in the order they are asked, each with its reason. Pure.

A strategy orders what is left when everything that cannot take the request is out, so it may leave nobody out itself.
What is not known is not 0: unknown prices come after known ones, unmeasured times are explored. Strategies of chance
draw from the `rng` of the facts; without one they give the likeliest order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from hybrid_nb.core.types import money
from hybrid_nb.engine.asks import Ask, Pair, Ranked, Strategy
from hybrid_nb.engine.catalogue import LOCAL_TAKES, Option
from hybrid_nb.engine.facts import UNKNOWN, Fact, Status
from hybrid_nb.engine.measured import measured

LARGE = 70.0  # billions of parameters from which few hosts are expected to serve a model
LARGE_HOSTS = frozenset({"azure", "gemini", "vertex"})

_HEALTH: dict[Status, int] = {"healthy": 0, "unknown": 1, "degraded": 2, "down": 3}
_LATER = 10  # after every tier
_UNPRICED = (math.inf, "")
_FOLLOWS = "; follows its provider's first model"

# --- tiered -----------------------------------------------------------------------------------------------


def tiered(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """Local, then edge, then the cheapest healthy cloud; the rules in the order in which they decide.

    1. no room     at its limit of calls in flight, or too little free VRAM: after all tiers
    2. too large   local or edge, over 13B, and neither loaded, measured nor known to fit: after all tiers
    3. tier        the order of the mode: local, edge, cloud; or cloud, local, edge
    4. priority    as a person set it
    5. health      a degraded provider after the others of its priority
    6. large host  70B and more: Azure and Google before others, where they have it
    7. price       cloud providers of equal priority: by the cost of this request at each one's first model that fits,
                   so that a provider's models stay in the order of the configuration; unknown prices after known ones
    8. order       of the configuration

    A latency need comes before all of them (`plan`). A 3-13B model that is here stays here, as in the tree: the size
    matrix' "cheapest cloud" is where it goes otherwise.
    """
    prices = _prices(pairs, ask)
    hosts = any(_is_large(option) and option.provider.vendor.type in LARGE_HOSTS for option, _ in pairs)
    if not prices and not hosts and all(_plain(option, fact) for option, fact in pairs):
        return [(option, _timed(option.reason, fact, ask)) for option, fact in pairs]
    cheapest = min((price for price in prices.values() if price is not None), default=None)
    told = {
        name: (math.inf if price is None else float(price), f"; {_priced(price, cheapest)}")
        for name, price in prices.items()
    }
    keyed = []
    for place, (option, fact) in enumerate(pairs):
        tier, priority = option.rank
        reason = option.reason
        aside = _aside(option, fact)
        if aside is not None:
            tier, reason = tier + _LATER, f"asked after the others: {aside}"
        degraded = fact.status == "degraded"
        if degraded:
            reason += f"; {_health(fact)}"
        elsewhere = hosts and _is_large(option) and option.provider.vendor.type not in LARGE_HOSTS
        if elsewhere:
            reason += "; Azure and Google first"
        price, words = told.get(option.provider.name, _UNPRICED)
        reason += words
        if words:  # the price is that of the first model
            told[option.provider.name] = price, _FOLLOWS
        keyed.append(((tier, priority, degraded, elsewhere, price, place), option, _timed(reason, fact, ask)))
    keyed.sort(key=_first)
    return [(option, reason) for _, option, reason in keyed]


def _plain(option: Option, fact: Fact) -> bool:
    """Whether nothing but its place can decide about an option."""
    if option.billions is not None or fact.status == "degraded":
        return False
    return fact is UNKNOWN or (option.provider.max_concurrency is None and fact.free_vram is None)


def _prices(pairs: Sequence[Pair], ask: Ask) -> dict[str, Decimal | float | None]:
    """What the request costs at each cloud provider that shares its priority with another; others are not priced."""
    firsts: dict[str, Option] = {}
    for option, _ in pairs:
        if option.provider.tier == "cloud" and option.provider.name not in firsts:
            firsts[option.provider.name] = option
    if len(firsts) < 2:
        return {}
    sharing = Counter(option.provider.priority for option in firsts.values())
    prices = {name: ask.cost(option) for name, option in firsts.items() if sharing[option.provider.priority] > 1}
    return prices if any(price is not None for price in prices.values()) else {}


def _aside(option: Option, fact: Fact) -> str | None:
    return _no_room(option, fact) or _too_large(option, fact)


def _no_room(option: Option, fact: Fact) -> str | None:
    most = option.provider.max_concurrency
    if most is not None and fact.busy >= most:
        return f"{fact.busy} of {most} calls in flight"
    size = option.info.size
    if fact.free_vram is not None and size is not None and not option.info.loaded and size > fact.free_vram:
        return f"it needs about {size / 1e9:.1f} GB of VRAM, {fact.free_vram / 1e9:.1f} GB are free"
    return None


def _too_large(option: Option, fact: Fact) -> str | None:
    if option.billions is None or option.billions <= LOCAL_TAKES or option.provider.tier == "cloud":
        return None
    fits = fact.free_vram is not None and option.info.size is not None
    if option.info.loaded or fact.ttft is not None or fits:
        return None
    return (
        f"about {option.billions:g}B, and the {option.provider.tier} tier takes up to {LOCAL_TAKES:g}B "
        "until it is loaded or measured"
    )


def _is_large(option: Option) -> bool:
    return option.billions is not None and option.billions >= LARGE


# --- the others -------------------------------------------------------------------------------------------


def priority(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """As the priorities and then the configuration order them."""
    return [(option, _timed(option.reason, fact, ask)) for option, fact in pairs]


def round_robin(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """In turn: each call begins one further."""
    start = ask.facts.turn % len(pairs)
    turned = [*pairs[start:], *pairs[:start]]
    return [
        (option, f"its turn: {start + 1} of {len(pairs)}" if n == 0 else f"its turn comes {n} later")
        for n, (option, _) in enumerate(turned)
    ]


def weighted(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """By chance in proportion to the weights; a provider's weight is shared by its models.

    Each is drawn as -log(u) / weight and the least goes first, which draws all of them without replacement
    (Efraimidis and Spirakis 2006).
    """
    models = Counter(option.provider.name for option, _ in pairs)
    shares = [option.provider.weight / models[option.provider.name] for option, _ in pairs]
    total = sum(shares)
    rng = ask.facts.rng
    draws = [1 / share if rng is None else -math.log(1 - rng.random()) / share for share in shares]
    order = sorted(range(len(pairs)), key=lambda n: draws[n])
    return [(pairs[n][0], f"drawn by weight: {shares[n] / total:.0%} of calls come here first") for n in order]


def least_connections(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """Fewest calls in flight first; among equals by chance, so that the first listed does not get them all."""
    draws = _draws(pairs, ask)
    ranked = sorted(pairs, key=lambda pair: (pair[1].busy, draws.get(pair[0].provider.name, 0.0)))
    return [(option, f"{fact.busy} {'call' if fact.busy == 1 else 'calls'} in flight") for option, fact in ranked]


def lowest_latency(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """Of two drawn the one with the lower time to first token (power of two choices), then the others by that time.

    What is not measured is explored: at first always, later by the share `explore` of the calls.
    """
    rng = ask.facts.rng
    measured = sorted((pair for pair in pairs if pair[1].ttft is not None), key=_ttft)
    new = [pair for pair in pairs if pair[1].ttft is None]
    rest = [(option, f"{_ttft((option, fact)):.2f} s to first token") for option, fact in measured]
    unknown = [(option, "not measured yet") for option, _ in new]
    if new and (not measured or (rng is not None and rng.random() < ask.explore)):
        option, reason = unknown.pop(rng.randrange(len(new)) if rng else 0)
        return [(option, f"explored: {reason}"), *rest, *unknown]
    if rng is not None and len(measured) > 1:
        better, worse = sorted(rng.sample(range(len(measured)), 2))
        option, reason = rest[better]
        beaten, its = measured[worse]
        del rest[better]
        rest.insert(0, (option, f"{reason}, the better of two drawn ({beaten.target}: {its.ttft:.2f} s)"))
    return [*rest, *unknown]


def health(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """Healthy, then unknown, then degraded; among equals by success in whole percent, then by priority."""
    ranked = sorted(pairs, key=lambda pair: (_HEALTH[pair[1].status], -_percent(pair[1])))
    return [(option, _timed(_health(fact), fact, ask)) for option, fact in ranked]


def cheapest(pairs: Sequence[Pair], ask: Ask) -> list[Ranked]:
    """By what this request is estimated to cost, the provider's multiplier included; unknown prices last."""
    priced = [(ask.cost(option), place, option) for place, (option, _) in enumerate(pairs)]
    priced.sort(key=lambda item: (item[0] is None, item[0] or 0, item[1]))
    least = priced[0][0]
    return [(option, _priced(cost, least) + _where(option)) for cost, _, option in priced]


STRATEGIES: dict[str, Strategy] = {
    "tiered": tiered,
    "priority": priority,
    "round-robin": round_robin,
    "weighted": weighted,
    "least-connections": least_connections,
    "lowest-latency": lowest_latency,
    "health": health,
    "cheapest": cheapest,
    "measured": measured,
}


# --- in words ---------------------------------------------------------------------------------------------


def _first(
    item: tuple[tuple[int, int, bool, bool, float, int], Option, str],
) -> tuple[int, int, bool, bool, float, int]:
    return item[0]


def _ttft(pair: Pair) -> float:
    return math.inf if pair[1].ttft is None else pair[1].ttft


def _percent(fact: Fact) -> int:
    return 100 if fact.success is None else int(fact.success * 100)


def _draws(pairs: Sequence[Pair], ask: Ask) -> dict[str, float]:
    """A random number for each provider; its models stay in order."""
    rng = ask.facts.rng
    return {} if rng is None else {name: rng.random() for name in dict.fromkeys(o.provider.name for o, _ in pairs)}


def _timed(reason: str, fact: Fact, ask: Ask) -> str:
    """With the time to first token where it was asked for."""
    if ask.max_ttft is None:
        return reason
    return reason + ("; not measured yet" if fact.ttft is None else f"; {fact.ttft:.2f} s to first token")


def _health(fact: Fact) -> str:
    share = "" if fact.success is None else f": {fact.success:.0%} of its calls went well"
    return ("health is not known yet" if fact.status == "unknown" else fact.status) + share


def _priced(cost: Decimal | float | None, least: Decimal | float | None) -> str:
    if cost is None:
        return "its price is unknown"
    about = "free" if cost == 0 else f"about {money(cost)}"
    return f"cheapest: {about}" if cost == least else about


def _where(option: Option) -> str:
    return f" in {option.provider.region}" if option.provider.region else ""
