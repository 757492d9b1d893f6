"""The strategy "measured": the cheapest that is certified to meet the need, in words with the numbers."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, make_request
from hybrid_nb.core.types import RoutePlan, Target
from hybrid_nb.engine.evidence import Evidence
from hybrid_nb.engine.facts import Fact, Facts
from hybrid_nb.engine.plan import Catalogue, plan
from hybrid_nb.engine.rollout import Rollout
from hybrid_nb.engine.standing import DAY, View
from tests.engine.test_evidence import NOW, run
from tests.engine.test_plan import order
from tests.engine.test_strategies import priced, rates, said

PRICES: dict[str, float | None] = {"cheap": 1, "middle": 5, "dear": 20}


def view(learns: bool = True, left: float = 1.0, at: float = NOW, **known: tuple[int, float, float]) -> View:
    """What is known: (samples, quality, seconds to the first token) by provider."""
    found = Evidence(14 * DAY, NOW)
    for name, (n, right, ttft) in known.items():
        found.add(run(n, right, ttft, Target(name, "m")))
    targets = found.view("maths", "exact", at)
    return View(targets, "task 'maths'", "", learns, left, found.typical("maths", "exact"))


def chosen(
    known: View,
    prices: dict[str, float | None] | None = None,
    facts: dict[str, Fact] | None = None,
    rng: random.Random | None = None,
    policy: Any = None,
    **needs: Any,
) -> RoutePlan:
    providers = [priced(name, dollars) for name, dollars in (PRICES if prices is None else prices).items()]
    catalogue = Catalogue(providers, {}, "measured", rates=rates, **(policy or {}))
    told = Facts({Target(n, "m"): fact for n, fact in (facts or {}).items()}, rng=rng, evidence=known)
    return plan(make_request("hi", **needs), catalogue, None, told)


KNOWN = {"cheap": (200, 0.6, 0.2), "middle": (200, 0.9, 0.4), "dear": (200, 0.97, 0.6)}


def test_the_cheapest_that_meets_the_need() -> None:
    assert order(chosen(view(**KNOWN)))[0] == "cheap/m"
    assert order(chosen(view(**KNOWN), min_quality=0.8))[0] == "middle/m"
    assert order(chosen(view(**KNOWN), min_quality=0.9))[0] == "dear/m"
    assert order(chosen(view(**KNOWN), min_quality=0.8, max_latency=1.5)) == ["middle/m", "dear/m", "cheap/m"]
    assert order(chosen(view(**KNOWN), max_ttft=0.5))[0] == "cheap/m"


def test_the_reasons_have_the_numbers() -> None:
    found = said(chosen(view(**KNOWN), min_quality=0.8, max_ttft=1))
    assert found["middle"] == (
        "cheapest of 2 that meet quality >= 0.80 and first token <= 1 s: 0.90 (lower bound 0.85, n=200, new), "
        "p95 first token <= 0.41 s (95 %), p95 answer <= 1.21 s (95 %), $0.000275 a call; cluster task 'maths'"
    )
    assert found["dear"].startswith("meets quality >= 0.80 and first token <= 1 s: 0.97 (lower bound 0.9")
    assert found["cheap"].startswith("its quality is not certified: 0.60 (lower bound 0.54, n=200, new)")


def test_a_request_goes_before_the_settings() -> None:
    policy = {"min_quality": 0.9, "max_latency": 100.0}
    assert order(chosen(view(**KNOWN), policy=policy))[0] == "dear/m"
    assert order(chosen(view(**KNOWN), policy=policy, min_quality=0.5))[0] == "cheap/m"
    assert "answer <= 100 s" in chosen(view(**KNOWN), policy=policy).reason


def test_nobody_meets_the_need_so_the_best_bound_and_the_reason_says_so() -> None:
    known = view(cheap=(1000, 0.85, 0.2), middle=(4, 1.0, 0.2))
    found = chosen(known, min_quality=0.9)
    assert order(found) == ["cheap/m", "middle/m", "dear/m"]  # 4 of 4 promise less than 850 of 1000
    assert found.reason.startswith("nobody meets quality >= 0.90, this one has the best quality bound: 0.85")
    assert said(found)["dear"].startswith("its quality is not known: not measured")


def test_quality_is_not_given_up_for_a_time() -> None:
    found = chosen(
        view(cheap=(200, 0.5, 0.1), middle=(200, 0.9, 2.0), dear=(200, 0.97, 1.5)), min_quality=0.8, max_ttft=1
    )
    assert order(found) == ["dear/m", "middle/m", "cheap/m"]
    assert found.reason.startswith("nobody meets quality >= 0.80 and first token <= 1 s, this one is nearest and meets")


def test_a_provider_that_is_slow_just_now_comes_later() -> None:
    found = chosen(view(**KNOWN), facts={"middle": Fact(ttft=3.0)}, min_quality=0.8, max_ttft=1)
    assert order(found) == ["dear/m", "middle/m", "cheap/m"]
    assert "asked late: 3.00 s to first token, over max_ttft 1 s" in said(found)["middle"]


def test_a_time_that_is_not_certified_may_be_met() -> None:
    found = chosen(view(cheap=(20, 1.0, 0.2)), {"cheap": 1}, max_ttft=1, min_quality=0.5)
    assert found.reason.startswith("nobody is certified to meet quality >= 0.50 and first token <= 1 s, this one may: ")
    assert "p95 first token not certified (n=20)" in found.reason


def test_answers_that_are_long_cost_more_than_the_price_says() -> None:
    """`wordy` asks less a token and writes ten times as many."""
    found = Evidence(14 * DAY, NOW)
    found.add(run(100, 0.9, target=Target("wordy", "m"))._replace(output=(100, 100 * 500.0)))
    found.add(run(100, 0.9, target=Target("short", "m"))._replace(output=(100, 100 * 50.0)))
    known = View(found.view("maths", "exact", NOW))
    assert order(chosen(known, {"wordy": 1.0, "short": 3.0}))[0] == "short/m"
    assert order(chosen(known, {"wordy": 1.0, "short": 3.0}, max_tokens=20))[0] == "wordy/m"  # cut short


def test_what_is_not_measured_is_taken_for_as_long_as_the_others_and_unknown_prices_come_last() -> None:
    known = view(middle=(100, 0.9, 0.3))
    found = chosen(known, {"middle": 5, "nobody-knows": 2, "unpriced": None})
    assert order(found) == ["nobody-knows/m", "middle/m", "unpriced/m"]
    assert said(found)["unpriced"] == "not measured, unknown cost"


# --- exploring ------------------------------------------------------------------------------------------------


def explored(known: View, times: int = 2000, **more: Any) -> Counter[str]:
    rng = random.Random(4)
    return Counter(
        str(found.chosen) for _ in range(times) if (found := chosen(known, rng=rng, **more)).trial is not None
    )


THIN = {"cheap": (12, 0.9, 0.2), "middle": (300, 0.9, 0.4), "dear": (300, 0.97, 0.6)}


def test_a_share_of_the_calls_tries_what_may_be_cheaper() -> None:
    found = explored(view(**THIN), min_quality=0.8, policy={"explore": 0.1})
    assert set(found) == {"cheap/m"}
    assert 150 < found["cheap/m"] < 250
    first = next(
        f for _ in range(200) if (f := chosen(view(**THIN), rng=random.Random(_), min_quality=0.8)).trial is not None
    )
    assert first.reason.startswith("explored: it may be cheaper and meet quality >= 0.80: 0.90 (lower bound 0.67, n=12")
    assert "instead of middle/m at $0.000275 a call" in first.reason
    assert first.trial is not None
    assert first.trial.extra == 0
    assert first.trial.usual == pytest.approx(0.000275, rel=0.01)
    assert [str(c.target) for c in first.candidates] == ["cheap/m", "middle/m", "dear/m"]


@pytest.mark.parametrize(
    ("known", "more"),
    [
        (view(**THIN), {"min_quality": 0.8, "explore": False}),  # the target must be certain
        (view(**THIN), {"min_quality": 0.8, "policy": {"explore": 0}}),
        (view(learns=False, **THIN), {"min_quality": 0.8}),  # nobody scores live answers, so a call tells nothing
        (view(**KNOWN), {"min_quality": 0.8}),  # known to be below
        (view(**THIN), {}),  # no need: the cheapest is asked anyway
        (view(cheap=(300, 0.9, 3.0), middle=(300, 0.9, 0.4)), {"min_quality": 0.8, "max_ttft": 1}),  # known to be late
        (view(**THIN), {"min_quality": 0.8, "facts": {"cheap": Fact(ttft=5.0)}, "max_ttft": 1}),
        (view(**THIN), {"min_quality": 0.8, "prices": {"cheap": None, "middle": 5}}),  # it may cost anything
        (view(cheap=(12, 0.3, 0.2), middle=(300, 0.9, 0.4)), {"min_quality": 0.7}),  # no hope
    ],
)
def test_when_nothing_is_explored(known: View, more: dict[str, Any]) -> None:
    assert explored(known, 400, **{"policy": {"explore": 0.5}, **more}) == {}


def test_where_nobody_meets_the_need_something_dearer_is_tried_within_the_limit() -> None:
    known = {"cheap": (300, 0.7, 0.2), "dear": (12, 0.95, 0.2)}
    prices: dict[str, float | None] = {"cheap": 1, "dear": 20}
    more = {"prices": prices, "min_quality": 0.9, "policy": {"explore": 0.5}}
    found = chosen(view(left=0.01, **known), prices, min_quality=0.9)
    assert order(found)[0] == "dear/m"  # 12 of 12 promise more than 210 of 300
    known["dear"] = (4, 1.0, 0.2)
    assert set(explored(view(left=0.01, **known), 400, **more)) == {"dear/m"}
    assert explored(view(left=0.0001, **known), 400, **more) == {}


def test_a_rollout_goes_over_exploring() -> None:
    policy = {"explore": 1.0, "rollouts": [Rollout("*", "dear/m", 100)]}
    found = chosen(view(**THIN), rng=random.Random(1), min_quality=0.8, policy=policy, tags={"user": "ann"})
    assert order(found)[0] == "dear/m"
    assert found.trial is None


# --- what always holds ----------------------------------------------------------------------------------------

STATES = st.tuples(
    st.integers(1, 400), st.sampled_from([0.3, 0.6, 0.8, 0.9, 0.97, 1.0]), st.sampled_from([0.1, 0.5, 2.0])
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from([f"p{n}" for n in range(6)]), STATES, max_size=6),
    st.lists(st.sampled_from([None, 0.0, 1.0, 5.0, 20.0]), min_size=6, max_size=6),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.sampled_from([0.2, 1.0, 3.0])),
    st.one_of(st.none(), st.sampled_from([0.5, 2.0])),
    st.floats(0, 60),
)
def test_the_chosen_target_meets_the_need_if_any_does_and_none_that_does_is_cheaper(
    known: Any,
    dollars: list[float | None],
    quality: float | None,
    ttft: float | None,
    latency: float | None,
    days: float,
) -> None:
    prices = {f"p{n}": price for n, price in enumerate(dollars)}
    found = view(at=NOW + days * DAY, **known)
    needs = {"min_quality": quality, "max_ttft": ttft, "max_latency": latency}
    got = chosen(found, prices, **{name: need for name, need in needs.items() if need is not None})

    def meets(target: Target) -> bool:
        m = found.targets.get(target)
        if quality is not None and (m is None or m.quality is None or m.quality.low < quality):
            return False
        speeds = [(ttft, m and m.ttft), (latency, m and m.latency)]
        return all(
            limit is None or (speed and speed.most is not None and speed.most <= limit) for limit, speed in speeds
        )

    def cost(target: Target) -> float:
        price, m = prices[target.provider], found.targets.get(target)
        output = (m and m.output) or found.typical or 1024
        if price is None:  # what its calls did cost
            return m.cost if m and m.cost is not None else math.inf
        return price * (output + 1) / 1e6

    able = [Target(name, "m") for name in prices if meets(Target(name, "m"))]
    assert got.chosen is not None
    if able:
        assert got.chosen in able
        assert cost(got.chosen) <= min(cost(t) for t in able) * (1 + 1e-9)
        assert got.reason.startswith("cheapest")
    else:
        assert got.reason.startswith("nobody")
    assert len(got.accepted) == len(prices)


def test_the_needs_of_a_call_are_read() -> None:
    assert make_request("hi", min_quality=0.8).min_quality == 0.8
    named = make_request("hi", min_quality={"judge": 1}, max_latency=3, explore=False)
    assert (named.min_quality, named.scorer, named.max_latency, named.explore) == (1.0, "judge", 3.0, False)
    for wrong in (1.2, -0.1, {"a": 2}, {"a": 0.1, "b": 0.2}):
        with pytest.raises(OptionValueError, match="min_quality"):
            make_request("hi", min_quality=wrong)
    for name, value in (("min_quality", "high"), ("explore", 1), ("max_latency", "soon")):
        with pytest.raises(OptionTypeError, match=name):
            make_request("hi", **{name: value})
