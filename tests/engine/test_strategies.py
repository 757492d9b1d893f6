"""Every strategy: properties that all share, then what each promises."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.config import Strategy
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.provider import Price, Provider
from hybrid_nb.core.types import ModelInfo, RoutePlan, Target
from hybrid_nb.engine.facts import NOTHING, Fact, Facts
from hybrid_nb.engine.plan import Catalogue, plan
from hybrid_nb.engine.rollout import Rollout
from hybrid_nb.engine.strategies import STRATEGIES
from hybrid_nb.ledger.prices import per_million, upper_estimate
from hybrid_nb.providers import vendor
from tests.engine.test_plan import order, provider

NAMES = sorted(STRATEGIES)


def rates(p: Provider, model: str) -> tuple[float | None, float | None]:
    return per_million(p, model, "input")[0], per_million(p, model, "output")[0]


def priced(name: str, dollars: float | None = None, model: str = "m", **more: Any) -> Provider:
    """A cloud provider at so many dollars per million tokens."""
    prices = {} if dollars is None else {model: Price(Decimal(str(dollars)), Decimal(str(dollars)))}
    return provider(name, model, prices=prices, **more)


def planned(
    providers: list[Provider],
    strategy: str = "tiered",
    facts: Facts = NOTHING,
    *,
    model: str | None = None,
    mode: str = "local-first",
    settings: Any = None,
    **options: Any,
) -> RoutePlan:
    catalogue = Catalogue(providers, {}, strategy, mode, rates=rates, **(settings or {}))
    return plan(make_request("hi", model=model, **options), catalogue, upper_estimate, facts)


def known(rng: random.Random | None = None, turn: int = 0, **facts: Fact) -> Facts:
    """Facts by provider, whose only model is "m"."""
    return Facts({Target(name, "m"): fact for name, fact in facts.items()}, rng=rng, turn=turn)


def said(found: RoutePlan) -> dict[str, str]:
    return {candidate.target.provider: candidate.reason for candidate in found.candidates}


def firsts(providers: list[Provider], strategy: str, facts: Facts, times: int, **more: Any) -> Counter[str]:
    catalogue = Catalogue(providers, {}, strategy, **more)
    request = make_request("hi")
    return Counter(plan(request, catalogue, None, facts).candidates[0].target.provider for _ in range(times))


# --- what all share -------------------------------------------------------------------------------------------

FACTS = st.builds(
    Fact,
    st.sampled_from(["healthy", "unknown", "degraded", "down"]),
    st.one_of(st.none(), st.none(), st.just("its breaker is open for 9 s more")),
    st.integers(0, 5),
    st.one_of(st.none(), st.floats(0.001, 5)),
    st.none(),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.integers(0, 10**11)),
)
MODELS = st.builds(
    ModelInfo,
    st.sampled_from(["m", "tiny-1b", "small-8b", "big-70b", "huge-405b"]),
    context=st.sampled_from([None, 1, 100_000]),
    tools=st.sampled_from([None, True, False]),
    size=st.sampled_from([None, 5 * 10**9]),
    loaded=st.sampled_from([None, True]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Provider], dict[Target, Fact], dict[str, Any], dict[str, Any]]:
    providers = [
        provider(
            f"p{n}",
            *{info.id: info for info in draw(st.lists(MODELS, min_size=1, max_size=3))}.values(),
            type=draw(st.sampled_from(["custom", "gemini", "openai", "ollama"])),
            tier=draw(st.sampled_from(["local", "edge", "cloud"])),
            priority=draw(st.integers(1, 2)),
            weight=draw(st.sampled_from([0.5, 1.0, 3.0])),
            enabled=draw(st.booleans()) or draw(st.booleans()),
            max_concurrency=draw(st.sampled_from([None, 2])),
            region=draw(st.sampled_from([None, "eu-west-1", "us-east-1"])),
            prices=draw(st.sampled_from([{}, {"m": Price(Decimal(1), Decimal(2))}, {"m": Price(Decimal(3), None)}])),
        )
        for n in range(draw(st.integers(0, 5)))
    ]
    facts = {
        Target(p.name, info.id): draw(FACTS) for p in providers for info in p.models if draw(st.booleans())
    }  # fmt: skip
    options: dict[str, Any] = {
        "max_ttft": draw(st.sampled_from([None, 0.5])),
        "max_cost": draw(st.sampled_from([None, "0.001"])),
        "tools": draw(st.sampled_from([None, [{"name": "f"}]])),
        "tier": draw(st.sampled_from([None, None, "cloud"])),
    }
    policy: dict[str, Any] = {
        "explore": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "regions": draw(st.sampled_from([(), ("eu",)])),
        "rollouts": draw(st.sampled_from([[], [Rollout("*", "p0/m", 50)], [Rollout("*", "p1/new", 100)]])),
    }
    return providers, facts, {k: v for k, v in options.items() if v is not None}, policy


@pytest.mark.parametrize("strategy", NAMES)
@settings(derandomize=True, max_examples=150, deadline=None)
@given(situations(), st.integers(0, 9), st.one_of(st.none(), st.integers(0, 99)), st.booleans())
def test_a_plan_is_a_permutation_with_reasons_and_depends_on_its_inputs_only(
    strategy: str, situation: Any, turn: int, seed: int | None, spent: bool
) -> None:
    providers, targets, options, policy = situation
    catalogue = Catalogue(providers, {}, strategy, rates=rates, **policy)
    request = make_request("hi", **options)

    def once() -> RoutePlan:
        rng = None if seed is None else random.Random(seed)
        told = "the day's budget is spent" if spent else None
        return plan(request, catalogue, upper_estimate, Facts(targets, {}, rng, turn, {"user": "ann"}, told))

    found = once()
    assert found == once()
    got = [candidate.target for candidate in found.candidates]
    expected = {option.target for option in catalogue.options}
    assert len(got) == len(set(got))
    assert expected <= set(got)
    assert {str(target) for target in set(got) - expected} <= {rollout.to for rollout in policy["rollouts"]}
    assert all(candidate.reason.strip() for candidate in found.candidates)
    flags = [candidate.accepted for candidate in found.candidates]
    assert flags == sorted(flags, reverse=True)  # accepted ones, then those left out
    assert all(bool(candidate.kind) is not candidate.accepted for candidate in found.candidates)
    by_name = {p.name: p for p in providers}
    for candidate in found.accepted:
        fact, p = targets.get(candidate.target, Fact()), by_name[candidate.target.provider]
        assert fact.open is None
        assert p.enabled
        assert not (options.get("tools") and p.model_info(candidate.target.model).tools is False)
        assert not (policy["regions"] and p.tier == "cloud" and p.region != "eu-west-1")
    usable = [c.target for c in found.accepted if targets.get(c.target, Fact()).status != "down"]
    assert usable == [c.target for c in found.accepted][: len(usable)]  # those that are down come last


def test_every_configurable_strategy_is_there() -> None:
    assert set(get_args(Strategy)) == set(STRATEGIES)


@pytest.mark.parametrize("strategy", NAMES)
def test_without_facts_the_order_of_the_configuration_stays(strategy: str) -> None:
    providers = [provider("a"), provider("b"), provider("c")]
    assert order(planned(providers, strategy)) == ["a/m", "b/m", "c/m"]


@pytest.mark.parametrize("strategy", NAMES)
def test_a_latency_need_comes_before_the_strategy(strategy: str) -> None:
    facts = known(a=Fact(ttft=0.9), b=Fact(ttft=0.8), c=Fact(ttft=0.2))
    found = planned([provider("a"), provider("b"), provider("c"), provider("d")], strategy, facts, max_ttft=0.5)
    assert {str(c.target) for c in found.accepted[:2]} == {"c/m", "d/m"}
    assert order(found)[2:] == ["b/m", "a/m"]  # the nearest first
    assert "0.80 s to first token, over max_ttft 0.5 s" in said(found)["b"]
    assert order(planned([provider("a"), provider("c")], strategy, facts, settings={"max_ttft": 0.5})) == ["c/m", "a/m"]


# --- tiered ---------------------------------------------------------------------------------------------------

L, E, C = provider("l", tier="local"), provider("e", tier="edge"), provider("c", tier="cloud")
GB = 10**9


@pytest.mark.parametrize(
    ("facts", "need", "expected"),
    [
        ({}, None, "lec"),
        ({"l": Fact(ttft=3.0)}, None, "lec"),  # fast enough: nobody asked for more
        ({"l": Fact(ttft=3.0)}, 0.5, "ecl"),
        ({"l": Fact(ttft=0.3)}, 0.5, "lec"),
        ({"l": Fact(ttft=3.0), "e": Fact(ttft=2.0)}, 0.5, "cel"),
        ({"l": Fact("down")}, None, "ecl"),
        ({"l": Fact("degraded", success=0.9)}, None, "lec"),  # but here
        ({"l": Fact("down"), "e": Fact("down")}, None, "cle"),
    ],
)
def test_the_tree(facts: dict[str, Fact], need: float | None, expected: str) -> None:
    found = planned([C, E, L], facts=known(**facts), max_ttft=need)
    assert "".join(c.target.provider for c in found.accepted) == expected


def test_local_resources_that_are_exhausted() -> None:
    full = provider("l", tier="local", max_concurrency=2)
    found = planned([C, full], facts=known(l=Fact(busy=2)))
    assert order(found) == ["c/m", "l/m"]
    assert said(found)["l"] == "asked after the others: 2 of 2 calls in flight"
    assert order(planned([C, full], facts=known(l=Fact(busy=1)))) == ["l/m", "c/m"]


def test_the_edge_needs_free_vram() -> None:
    edge = provider("e", ModelInfo("m", size=5 * GB), tier="edge")
    found = planned([C, edge], facts=known(e=Fact(free_vram=2 * GB)))
    assert order(found) == ["c/m", "e/m"]
    assert "needs about 5.0 GB of VRAM, 2.0 GB are free" in said(found)["e"]
    assert order(planned([C, edge], facts=known(e=Fact(free_vram=6 * GB)))) == ["e/m", "c/m"]
    loaded = provider("e", ModelInfo("m", size=5 * GB, loaded=True), tier="edge")
    assert order(planned([C, loaded], facts=known(e=Fact(free_vram=2 * GB)))) == ["e/m", "c/m"]


@pytest.mark.parametrize(
    ("info", "fact", "stays"),
    [
        (ModelInfo("x:1b"), Fact(), True),
        (ModelInfo("x:8b"), Fact(), True),
        (ModelInfo("x:13b"), Fact(), True),
        (ModelInfo("x:14b"), Fact(), False),
        (ModelInfo("x", parameters=70.6), Fact(), False),
        (ModelInfo("x"), Fact(), True),  # of a size that nobody knows
        (ModelInfo("x:70b", loaded=True), Fact(), True),
        (ModelInfo("x:70b"), Fact(ttft=2.0), True),  # it has answered
        (ModelInfo("x:70b", size=40 * GB), Fact(free_vram=48 * GB), True),
        (ModelInfo("x:70b", size=40 * GB), Fact(free_vram=8 * GB), False),
    ],
)
@pytest.mark.parametrize("tier", ["local", "edge"])
def test_the_size_that_a_tier_takes(tier: str, info: ModelInfo, fact: Fact, stays: bool) -> None:
    here, cloud = provider("here", info, tier=tier), provider("cloud", "x-70b")
    found = planned([cloud, here], facts=Facts({Target("here", info.id): fact}))
    assert order(found) == ([f"here/{info.id}", "cloud/x-70b"] if stays else ["cloud/x-70b", f"here/{info.id}"])
    assert "about 70B, local and edge take up to 13B" in said(found)["cloud"]


def test_a_large_model_is_asked_of_azure_and_google_first() -> None:
    google = replace(provider("google", "x-70b"), vendor=replace(vendor("gemini"), key_required=False))
    found = planned([provider("other", "x-70b"), google])
    assert order(found) == ["google/x-70b", "other/x-70b"]
    assert said(found)["other"].endswith("Azure and Google first")
    small = replace(google, models=(ModelInfo("x-8b"),))
    assert order(planned([provider("other", "x-8b"), small])) == ["other/x-8b", "google/x-8b"]
    assert order(planned([provider("a", "x-70b"), provider("b", "x-8b")])) == ["a/x-70b", "b/x-8b"]


def test_cloud_providers_of_one_priority_go_by_price() -> None:
    dear, cheap, unknown = priced("dear", 9), priced("cheap", 2), priced("unknown")
    found = planned([dear, unknown, cheap])
    assert order(found) == ["cheap/m", "dear/m", "unknown/m"]
    assert said(found)["cheap"].startswith("cloud tier, priority 1; cheapest: about $0.002")
    assert "about $0.0092" in said(found)["dear"]
    assert "its price is unknown" in said(found)["unknown"]


def test_a_priority_comes_before_a_price_and_health_too() -> None:
    dear, cheap = priced("dear", 9), priced("cheap", 2, priority=2)
    assert order(planned([cheap, dear])) == ["dear/m", "cheap/m"]
    assert said(planned([cheap, dear]))["dear"] == "cloud tier, priority 1"  # no price decided
    assert order(planned([cheap, dear], facts=known(dear=Fact("degraded", success=0.5)))) == ["dear/m", "cheap/m"]
    sick = known(cheap=Fact("degraded", success=0.5))
    found = planned([dear, priced("cheap", 2)], facts=sick)
    assert order(found) == ["dear/m", "cheap/m"]
    assert "degraded: 50% of its calls went well" in said(found)["cheap"]


def test_the_models_of_one_provider_stay_in_order() -> None:
    prices = {"good": Price(Decimal(9), Decimal(9)), "poor": Price(Decimal(1), Decimal(1))}
    two = provider("two", "good", "poor", prices=prices)
    assert order(planned([two])) == ["two/good", "two/poor"]
    found = planned([two, priced("one", 5)])
    assert order(found) == ["one/m", "two/good", "two/poor"]
    assert [c.reason.partition("; ")[2] for c in found.accepted] == [
        "cheapest: about $0.00515", "about $0.00926", "follows its provider's first model",
    ]  # fmt: skip
    assert order(planned([two, priced("one", 10)])) == ["two/good", "two/poor", "one/m"]


def test_the_cost_multiplier_counts() -> None:
    double = priced("double", 2, cost_multiplier=Decimal(3))
    for strategy in ("tiered", "cheapest"):
        assert order(planned([double, priced("plain", 5)], strategy)) == ["plain/m", "double/m"]


def test_what_may_cost_is_out_when_the_budget_is_spent() -> None:
    free = priced("free", 0)
    found = planned(
        [priced("paid", 1), priced("unknown"), free, L], facts=Facts(spent="$5.00 of $5.00 are spent today")
    )
    assert order(found) == ["l/m", "free/m"]
    assert [c.kind for c in found.candidates[2:]] == ["budget", "budget"]
    assert said(found)["paid"] == "$5.00 of $5.00 are spent today"


def test_an_open_target_is_out_even_when_it_is_pinned() -> None:
    facts = known(a=Fact(open="its breaker is open for 40 s more"), b=Fact(open="its key was refused"))
    found = planned([provider("a"), provider("b"), provider("c")], facts=facts)
    assert order(found) == ["c/m"]
    assert [(c.kind, c.reason) for c in found.candidates[1:]] == [
        ("open", "its breaker is open for 40 s more"), ("open", "its key was refused"),
    ]  # fmt: skip
    assert planned([provider("a"), provider("b")], facts=facts).chosen is None
    assert planned([provider("a"), provider("b")], facts=facts, model="a/m").chosen is None


def test_facts_are_asked_for_only_when_there_is_a_choice() -> None:
    asked = []

    def facts() -> Facts:
        asked.append(1)
        return NOTHING

    catalogue = Catalogue([provider("a"), provider("b")], {})
    plan(make_request("hi", model="a/m"), catalogue, None, facts)
    assert asked == []
    plan(make_request("hi", model="m"), catalogue, None, facts)
    assert asked == [1]


@pytest.mark.parametrize(
    ("region", "fits"), [("eu", True), ("eu-west-1", True), ("europe", False), ("us", False), (None, False)]
)
def test_only_the_allowed_regions(region: str | None, fits: bool) -> None:
    found = planned([provider("a", region=region), L], settings={"regions": ("eu",)})
    assert order(found) == (["l/m", "a/m"] if fits else ["l/m"])
    if not fits:
        assert found.candidates[-1].kind == "region"
        assert "only eu may be used" in said(found)["a"]


# --- the others -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_round_robin_is_fair(count: int) -> None:
    providers = [provider(f"p{n}") for n in range(count)]
    got = [planned(providers, "round-robin", Facts(turn=turn)) for turn in range(3 * count)]
    assert [found.chosen.provider for found in got if found.chosen] == [f"p{n % count}" for n in range(3 * count)]
    assert len({tuple(order(found)) for found in got}) == count
    without = known(p0=Fact(open="open"))
    for turn in range(count):
        found = planned(providers, "round-robin", Facts(without.targets, turn=turn))
        assert count == 1 or (found.chosen is not None and found.chosen.provider != "p0")


def test_weights_are_kept() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    providers = [provider(name, weight=weight) for name, weight in weights.items()]
    times = 8000
    got = firsts(providers, "weighted", Facts(rng=random.Random(5)), times)
    for name, weight in weights.items():
        share = weight / 8
        assert abs(got[name] - times * share) < 4 * math.sqrt(times * share * (1 - share))
    likeliest = planned(providers, "weighted")  # without chance
    assert order(likeliest) == ["c/m", "b/m", "a/m"]
    assert said(likeliest)["b"] == "drawn by weight: 25% of calls come here first"


def test_a_weight_is_shared_by_the_models_of_a_provider() -> None:
    providers = [provider("one", "m"), provider("many", *(f"m{n}" for n in range(9)))]
    got = firsts(providers, "weighted", Facts(rng=random.Random(5)), 4000)
    assert abs(got["one"] - 2000) < 4 * math.sqrt(1000)


def test_fewest_calls_in_flight_and_no_favourite_among_equals() -> None:
    providers = [provider("a"), provider("b"), provider("c")]
    facts = known(random.Random(1), a=Fact(busy=3), b=Fact(busy=1), c=Fact(busy=1))
    got = firsts(providers, "least-connections", facts, 2000)
    assert got["a"] == 0
    assert abs(got["b"] - 1000) < 4 * math.sqrt(500)
    assert said(planned(providers, "least-connections", facts)) == {
        "a": "3 calls in flight", "b": "1 call in flight", "c": "1 call in flight",
    }  # fmt: skip


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.floats(0.001, 10), min_size=2, max_size=8, unique=True), st.integers(0, 999))
def test_of_two_measured_the_worse_is_never_picked(times: list[float], seed: int) -> None:
    facts = {f"p{n}": Fact(ttft=ttft) for n, ttft in enumerate(times)}
    found = planned([provider(name) for name in facts], "lowest-latency", known(random.Random(seed), **facts))
    got = [times[int(c.target.provider[1:])] for c in found.accepted]
    assert got[0] != max(times)
    assert got[1:] == sorted(got[1:])  # those that follow are by their times
    if len(times) == 2:
        assert got == sorted(times)


def test_power_of_two_choices_spreads_the_calls() -> None:
    facts = {f"p{n}": Fact(ttft=0.1 * (n + 1)) for n in range(4)}
    got = firsts([provider(name) for name in facts], "lowest-latency", known(random.Random(3), **facts), 6000)
    for name, share in (("p0", 3 / 6), ("p1", 2 / 6), ("p2", 1 / 6)):  # of six pairs, those whose best it is
        assert abs(got[name] - 6000 * share) < 4 * math.sqrt(6000 * share * (1 - share))
    assert got["p3"] == 0
    reason = planned([provider(name) for name in facts], "lowest-latency", known(random.Random(3), **facts)).reason
    assert "the better of two drawn" in reason


@pytest.mark.parametrize("explore", [0.0, 0.1, 0.5])
def test_what_is_not_measured_is_explored_by_a_bounded_share(explore: float) -> None:
    providers = [provider("slow"), provider("new"), provider("newer")]
    facts = known(random.Random(9), slow=Fact(ttft=3.0))
    times = 4000
    got = firsts(providers, "lowest-latency", facts, times, explore=explore)
    explored = got["new"] + got["newer"]
    assert abs(explored - times * explore) <= 4 * math.sqrt(times * explore * (1 - explore))
    assert abs(got["new"] - got["newer"]) <= 4 * math.sqrt(max(1, explored))


def test_at_first_everything_is_explored() -> None:
    found = planned([provider("a"), provider("b")], "lowest-latency", Facts(rng=random.Random(1)))
    assert found.reason == "explored: not measured yet"
    assert [c.reason for c in found.accepted[1:]] == ["not measured yet"]


def test_health_orders_by_what_went_well() -> None:
    facts = known(
        bad=Fact("degraded", success=0.5), worse=Fact("degraded", success=0.4), good=Fact("healthy", success=0.99),
        best=Fact("healthy", success=1.0), down=Fact("down"),
    )  # fmt: skip
    providers = [provider(name) for name in ("down", "worse", "bad", "new", "good", "best")]
    found = planned(providers, "health", facts)
    assert [c.target.provider for c in found.accepted] == ["best", "good", "new", "bad", "worse", "down"]
    assert said(found)["good"] == "healthy: 99% of its calls went well"
    assert said(found)["new"] == "health is not known yet"
    alike = known(a=Fact("healthy", success=0.9912), b=Fact("healthy", success=0.9987))
    assert order(planned([provider("a"), provider("b")], "health", alike)) == ["a/m", "b/m"]


def test_cheapest_is_by_the_estimate_of_this_request() -> None:
    talker = provider("talker", prices={"m": Price(Decimal(1), Decimal(10))})
    reader = provider("reader", prices={"m": Price(Decimal(10), Decimal(1))})
    unknown = priced("unknown")
    providers = [unknown, talker, reader]
    assert order(planned(providers, "cheapest", max_tokens=1000)) == ["reader/m", "talker/m", "unknown/m"]
    request = make_request("x" * 40_000, max_tokens=10)
    found = plan(request, Catalogue(providers, {}, "cheapest"), upper_estimate)
    assert order(found) == ["talker/m", "reader/m", "unknown/m"]
    assert said(found)["talker"].startswith("cheapest: about $0.010")
    assert said(found)["unknown"] == "its price is unknown"
    assert found.candidates[0].estimate is not None
    local = planned([*providers, L], "cheapest")
    assert (str(local.chosen), local.reason) == ("l/m", "cheapest: free")


def test_cheapest_chooses_among_regions() -> None:
    providers = [
        priced("us", 5, region="us-east-1"),
        priced("eu", 4, region="eu-west-1"),
        priced("ap", 3, region="ap-1"),
    ]
    assert planned(providers, "cheapest").reason.endswith("in ap-1")
    found = planned(providers, "cheapest", settings={"regions": ("eu", "us")})
    assert order(found) == ["eu/m", "us/m"]
    assert found.reason.endswith("in eu-west-1")
