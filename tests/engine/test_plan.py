# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""Request + facts -> plan, with a reason for every candidate."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from IPython.lib.pretty import pretty

from hybrid_nb.core.errors import (
    AuthenticationError,
    BudgetExceededError,
    ContextLengthError,
    InferenceError,
    ModelNotFoundError,
    NoProviderAvailableError,
    UnsupportedFeatureError,
)
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.provider import Endpoint, Price, Provider
from hybrid_nb.core.types import ModelInfo, RoutePlan
from hybrid_nb.engine.plan import Catalogue, no_candidate, plan
from hybrid_nb.ledger.prices import upper_estimate
from hybrid_nb.providers import vendor
from hybrid_nb.router import Router
from tests.conftest import MakeRouter
from tests.engine.test_running import Raw, answer, at, said


def provider(name: str, *models: str | ModelInfo, **more: Any) -> Provider:
    infos = tuple(ModelInfo(m) if isinstance(m, str) else m for m in models or ("m",))
    return Provider(name, vendor(more.pop("type", "custom")), (Endpoint("http://x"),), infos, **more)


def planned(
    providers: list[Provider],
    model: str | None = None,
    *,
    groups: Any = None,
    mode: str = "local-first",
    strategy: str = "tiered",
    **options: Any,
) -> RoutePlan:
    return plan(
        make_request("hi", model=model, **options), Catalogue(providers, groups or {}, strategy, mode), upper_estimate
    )


def order(found: RoutePlan) -> list[str]:
    return [str(candidate.target) for candidate in found.accepted]


def reasons(found: RoutePlan) -> dict[str, str]:
    return {str(candidate.target): candidate.reason for candidate in found.candidates if not candidate.accepted}


MIXED = [
    provider("c2", tier="cloud", priority=2),
    provider("c1", tier="cloud", priority=1),
    provider("e", tier="edge", priority=9),
    provider("l2", tier="local", priority=5),
    provider("l1", tier="local", priority=5),
]


@pytest.mark.parametrize(
    ("mode", "strategy", "expected"),
    [
        ("local-first", "tiered", ["l2/m", "l1/m", "e/m", "c1/m", "c2/m"]),
        ("cloud-first", "tiered", ["c1/m", "c2/m", "l2/m", "l1/m", "e/m"]),
        ("local-only", "tiered", ["l2/m", "l1/m", "e/m"]),
        ("cloud-only", "tiered", ["c1/m", "c2/m"]),
        ("local-first", "priority", ["c1/m", "c2/m", "l2/m", "l1/m", "e/m"]),
    ],
)
def test_tier_then_priority_then_the_order_of_the_configuration(mode: str, strategy: str, expected: list[str]) -> None:
    found = planned(MIXED, mode=mode, strategy=strategy)
    assert order(found) == expected
    assert found.chosen is not None
    assert str(found.chosen) == expected[0]
    assert len(found.candidates) == 5
    assert all("leaves out" in reason for reason in reasons(found).values())


def test_a_group_is_its_members_in_the_order_of_preference() -> None:
    groups = {"fast": ["c2/m", "l1/m", "l1/m", "other"], "all": ["m"], "nested": ["fast"]}
    providers = [*MIXED, provider("x", "other", tier="edge")]
    assert order(planned(providers, "fast", groups=groups)) == ["l1/m", "x/other", "c2/m"]
    assert order(planned(providers, "all", groups=groups)) == order(planned(MIXED))


def test_a_bare_name_is_every_provider_that_has_it() -> None:
    providers = [provider("a", "x", "y", tier="cloud"), provider("b", "y", "llama:latest", tier="local")]
    assert order(planned(providers, "y")) == ["b/y", "a/y"]
    assert order(planned(providers, "llama")) == ["b/llama:latest"]
    assert order(planned(providers, "b/llama")) == ["b/llama:latest"]


def test_a_bare_name_means_the_same_model_under_its_other_names() -> None:
    providers = [
        provider("hub", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct", tier="cloud"),
        provider("ollama", "llama3.1:8b", "llama3.1:8b-instruct-q8_0", "llama3.2:3b", tier="local"),
        provider("lan", "llama-3.1-8b", "alice/Llama-3.1-8B-Instruct", tier="edge"),
    ]
    everywhere = ["ollama/llama3.1:8b", "lan/llama-3.1-8b", "hub/meta-llama/Llama-3.1-8B-Instruct"]
    assert order(planned(providers, "llama3.1:8b")) == everywhere  # the very name, and not its other packing there
    packed = order(planned(providers, "llama3.1:8b-instruct-q8_0"))
    assert packed == ["ollama/llama3.1:8b-instruct-q8_0", *everywhere[1:]]
    assert order(planned(providers, "Llama-3.1-8B")) == [everywhere[0], packed[0], *everywhere[1:]]
    assert order(planned(providers, "g", groups={"g": ["llama-3.1-8b", "hub/x"]}))[-1] == "hub/x"
    assert order(planned(providers, "alice/Llama-3.1-8B-Instruct")) == ["lan/alice/Llama-3.1-8B-Instruct"]
    assert order(planned(providers, "lan/llama3.1:8b")) == ["lan/llama3.1:8b"]  # pinned: asked for as it is written
    with pytest.raises(ModelNotFoundError):
        planned(providers, "llama3.1:405b")


def test_a_pinned_model_is_asked_for_even_when_it_is_not_listed() -> None:
    assert order(planned(MIXED, "c2/brand-new")) == ["c2/brand-new"]
    assert order(planned([provider("a", "org/model")], "a/org/model")) == ["a/org/model"]
    assert order(planned([provider("a", "org/model")], "org/model")) == ["a/org/model"]


@pytest.mark.parametrize(
    ("name", "sign"),
    [("l1/", "l1/m"), ("c3/m", "c"), ("fest", "did you mean fast?"), ("zzz", "known are"), ("zzz/qqq", "no provider 'zzz'"), ("", "known are")],
)  # fmt: skip
def test_an_unknown_name_tells_the_nearest(name: str, sign: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        planned(MIXED, name, groups={"fast": ["l1/m"]})
    assert sign in str(caught.value)


def test_an_unknown_name_without_any_provider_says_how_to_begin() -> None:
    with pytest.raises(ModelNotFoundError, match="OPENAI_API_KEY"):
        planned([], "x")


TOOL = {"name": "f"}
PNG = b"\x89PNG\r\n"
UNABLE = ModelInfo("m", context=50, tools=False, vision=False, json_schema=False)


@pytest.mark.parametrize(
    ("options", "sign", "kind"),
    [
        ({"tools": [TOOL]}, "takes no tools", UnsupportedFeatureError),
        ({"images": [PNG]}, "takes no images", UnsupportedFeatureError),
        ({"schema": {"type": "object"}}, "takes no JSON schemas", UnsupportedFeatureError),
        ({"system": "x" * 400}, "do not fit its context of 50", ContextLengthError),
        ({"tier": "edge"}, "tier edge was asked for", NoProviderAvailableError),
        ({"max_cost": 0.001}, "price is unknown", BudgetExceededError),
    ],
)
def test_what_a_target_cannot_do_leaves_it_out_with_a_reason(
    options: dict[str, Any], sign: str, kind: type[Exception]
) -> None:
    found = planned([provider("a", UNABLE)], **options)
    assert sign in reasons(found)["a/m"]
    error = no_candidate(found, make_request("hi", **options))
    assert type(error) is kind
    assert sign in str(error)
    unknown = ModelInfo("m")  # what is not known never leaves out
    if kind in (UnsupportedFeatureError, ContextLengthError):
        assert order(planned([provider("a", UNABLE), provider("b", unknown)], **options)) == ["b/m"]


def test_disabled_and_keyless_targets() -> None:
    found = planned([provider("a", enabled=False), provider("b", type="openai"), provider("c")])
    assert order(found) == ["c/m"]
    assert "disabled" in reasons(found)["a/m"]
    assert "OPENAI_API_KEY" in reasons(found)["b/m"]
    nobody = planned([provider("b", type="openai")])
    assert type(no_candidate(nobody, make_request("hi"))) is AuthenticationError


def test_max_cost_keeps_what_is_sure_to_be_cheaper() -> None:
    cheap = provider("cheap", prices={"m": Price(Decimal(1), Decimal(1))})
    dear = provider("dear", prices={"m": Price(Decimal(1000), Decimal(1000))})
    local = provider("local", tier="local")
    found = planned([dear, cheap, local], max_cost="0.01", max_tokens=100)
    assert order(found) == ["local/m", "cheap/m"]
    assert found.accepted[0].estimate == 0
    assert "over max_cost $0.01" in reasons(found)["dear/m"]
    limited = {"max_cost": "0.01", "max_tokens": 100}
    error = no_candidate(planned([dear], **limited), make_request("hi", **limited))
    assert isinstance(error, BudgetExceededError)
    assert (error.limit, error.estimate) == (Decimal("0.01"), pytest.approx(Decimal("0.105")))
    assert "max_tokens" not in str(error)
    error = no_candidate(planned([dear], max_cost="0.01"), make_request("hi", max_cost="0.01"))
    assert "an answer counts as 1,024 tokens: set max_tokens to less" in str(error)


def test_other_tiers_are_no_news_to_who_asked_for_one() -> None:
    providers = [provider("l", tier="local"), provider("c", prices={"m": Price(Decimal(1000), Decimal(1000))})]
    options = {"tier": "cloud", "max_cost": "0.01"}
    error = no_candidate(planned(providers, **options), make_request("hi", **options))
    assert isinstance(error, BudgetExceededError)
    assert "l/m" not in str(error)
    nowhere = no_candidate(planned(providers, tier="edge"), make_request("hi", tier="edge"))
    assert "tier edge was asked for, this is local" in str(nowhere)


def test_a_plan_reads_well() -> None:
    found = planned([provider("a", tier="local"), provider("b", enabled=False)])
    assert str(found).splitlines() == [
        "chosen: a/m", "+ a/m (local): local tier, priority 1", "- b/m (cloud): provider b is disabled",
    ]  # fmt: skip
    assert list(found.to_frame().columns) == ["provider", "model", "tier", "accepted", "reason", "estimate_usd"]
    assert planned([]).chosen is None


def test_a_plan_is_a_table_in_a_cell_with_every_reason_whole() -> None:
    long = provider("<b>", region="a-region-" + "x" * 90)
    found = plan(make_request("hi"), Catalogue([provider("a", tier="local"), provider("c"), long], {}, regions=("eu",)))
    html = found._repr_html_()
    places = re.findall(r"<tr><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>", html)
    assert places == [("1", "a/m"), ("–", "c/m"), ("–", "&lt;b&gt;/m")]
    assert "x" * 90 in html
    assert "costs at most" not in html
    assert "costs at most" in planned([provider("a", tier="local")], max_cost="1")._repr_html_()
    assert pretty(found) == str(found)


def test_the_work_of_a_plan_grows_with_the_targets_that_a_name_means_and_no_more() -> None:
    providers = [provider(f"p{n}", *(f"m{k}" for k in range(10))) for n in range(100)]
    asked = 0

    def estimate(*_: Any) -> Decimal:
        nonlocal asked
        asked += 1
        return Decimal(0)

    catalogue = Catalogue(providers, {})
    plan(make_request("hi", model="p7/m3", max_cost=1), catalogue, estimate)
    assert asked == 1
    plan(make_request("hi", model="m3", max_cost=1), catalogue, estimate)
    assert asked == 101
    plan(make_request("hi", model="m3"), catalogue, estimate)
    assert asked == 101  # without max_cost nothing is priced


# --- through the door -----------------------------------------------------------------------------------------


def test_a_plan_sends_nothing_and_prices_what_is_limited(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([at(server), at(server, "b")], default_model="b/m")
    assert str(router.plan("hi").chosen) == "b/m"
    assert str(router.plan("hi", model="a/m").chosen) == "a/m"
    assert router.plan("hi", model=None) == router.plan("hi")
    assert router.chat("hi").provider == "b"
    assert router.chat("hi", model=None).provider == "b"
    assert len(server.seen) == 2


def test_each_call_takes_a_turn_and_a_dry_run_takes_none(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([at(server), at(server, "b"), at(server, "c")], strategy="round-robin")
    seen = []
    for _ in range(2):
        for _ in range(3):
            assert router.plan("hi") == router.plan("hi")
            assert router.plan("hi", model="m").chosen == ("a", "m")  # each name has its own turns
            seen.append(router.chat("hi").provider)
    assert "".join(seen) == "abcabc"


def test_a_streamed_call_is_measured(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([at(server), at(server, "b")], strategy="lowest-latency", explore=0)
    first = router.stream("hi").reply
    assert first.ttft is not None
    assert router.plan("hi").chosen == (first.provider, "m")
    assert "s to first token" in router.plan("hi").reason
    assert router.chat("hi").provider == first.provider
    assert "over max_ttft 1e-09 s" in router.plan("hi", max_ttft=1e-9).candidates[-1].reason


def test_the_settings_reach_the_decision(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    cheap = {"m": {"input": 0.1, "output": 0.1}}
    providers = [at(server, region="us-east-1"), at(server, "b", region="eu-west-1", prices=cheap), at(server, "c")]
    router = make_router(providers)
    assert order(router.plan("hi")) == ["b/m", "a/m", "c/m"]
    assert "cheapest: about $0.0001" in router.plan("hi").reason
    router.configure(regions=["us", "eu"])
    assert order(router.plan("hi")) == ["b/m", "a/m"]
    assert "region that is not known" in reasons(router.plan("hi"))["c/m"]
    assert router.stream("hi").reply.provider == "b"
    router.configure(max_ttft=1e-9)
    assert order(router.plan("hi")) == ["a/m", "b/m"]
    assert order(router.plan("hi", max_ttft=60)) == ["b/m", "a/m"]
    router.configure(max_ttft=None, strategy="lowest-latency", explore=1)
    assert router.chat("hi").provider == "a"  # not measured, so it is tried
    router.configure(explore=0)
    assert {router.chat("hi").provider for _ in range(5)} == {"b"}


def test_a_missing_key_is_found_before_anything_is_sent(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("hi")))
    router = make_router([{"name": "a", "type": "openai", "base_url": server.url, "models": ["m"]}])
    for ask in (router.chat, lambda p: router.stream(p).reply):
        with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
            ask("hi")
    assert server.seen == []


@pytest.mark.parametrize("options", [{"model": "a/m"}, {"model": "g"}, {}])
def test_where_a_failure_goes(options: dict[str, Any], raw: Raw, make_router: MakeRouter) -> None:
    bad, good = raw(answer({"error": "busy"}, 503)), raw(answer(said("hi")))
    router = make_router([at(bad), at(good, "b"), at(good, "c")], group={"g": ["a/m", "c/m"]}, retries=1)
    if options.get("model") == "a/m":
        with pytest.raises(InferenceError):
            router.chat("hi", **options)
        assert len(bad.seen) == 2  # the one retry stays there
    else:
        assert router.chat("hi", **options).provider == ("c" if options else "b")
        assert len(bad.seen) == 1


def test_without_failover_only_the_first_target_is_asked(raw: Raw, make_router: MakeRouter) -> None:
    bad, good = raw(answer({"error": "busy"}, 503)), raw(answer(said("hi")))
    router = make_router([at(bad), at(good, "b")], failover=False, retries=2)
    with pytest.raises(InferenceError) as caught:
        router.chat("hi")
    assert len(bad.seen) == len(caught.value.attempts) == 3
    assert good.seen == []


def test_when_all_fail_the_error_tells_of_all(raw: Raw, make_router: MakeRouter) -> None:
    one, two = raw(answer({"error": "busy"}, 503)), raw(answer({"error": "no"}, 401))
    router: Router = make_router([at(one), at(two, "b")], retries=0)
    with pytest.raises(NoProviderAvailableError) as caught:
        router.chat("hi")
    assert [(a.provider, a.status_code) for a in caught.value.attempts] == [("a", 503), ("b", 401)]
    assert "a/m" in str(caught.value)
    assert "AuthenticationError" in str(caught.value)
    assert isinstance(caught.value.__cause__, AuthenticationError)


def test_several_addresses_of_one_provider_are_tried_in_turn(raw: Raw, make_router: MakeRouter) -> None:
    bad, good = raw(answer({"error": "busy"}, 503)), raw(answer(said("hi")))
    config = {
        "name": "a",
        "type": "custom",
        "models": ["m"],
        "endpoints": [{"base_url": bad.url, "api_key": "k1"}, {"base_url": good.url, "api_key": "k2"}],
    }
    assert make_router([config], failover=False, retries=0).chat("hi").text == "hi"
    assert [s.seen[0].headers["authorization"] for s in (bad, good)] == ["Bearer k1", "Bearer k2"]
