"""Routing by evidence against its rivals, on vendors whose truth is known: small, seeded versions of the study."""

from __future__ import annotations

import random
import statistics

import pytest

from hybrid_nb.core.types import Target
from tests.benchmark import regret, regret_wire
from tests.benchmark.regret import Outcome, Truth

SEEDS, REQUESTS = 4, 1200


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[Outcome, Outcome]]]:
    rivals = ("always-cheapest", "always-best", "random", "measured")
    return regret.study(SEEDS, REQUESTS, {name: regret.POLICIES[name] for name in rivals})


def mean(found: dict[str, list[tuple[Outcome, Outcome]]], policy: str, measure: str) -> float:
    return statistics.fmean(getattr(half, measure) for pair in found[policy] for half in pair)


@pytest.mark.timeout(240)
def test_measured_meets_the_needs_that_the_cheapest_does_not_for_less_than_the_best(found) -> None:
    assert mean(found, "measured", "unmet") < mean(found, "always-cheapest", "unmet") / 4
    assert mean(found, "measured", "over") < mean(found, "always-best", "over")
    assert mean(found, "measured", "unmet") < mean(found, "random", "unmet") / 4
    assert mean(found, "measured", "per_met") < mean(found, "random", "per_met")
    assert mean(found, "measured", "per_met") < mean(found, "always-best", "per_met")
    for policy in ("always-cheapest", "always-best", "random"):
        assert mean(found, "measured", "regret") < mean(found, policy, "regret")


@pytest.mark.timeout(240)
def test_before_the_drift_nearly_every_need_is_met(found) -> None:
    assert statistics.fmean(before.unmet for before, _ in found["measured"]) < 0.03


def test_the_same_seed_gives_the_same_figures() -> None:
    make = regret.POLICIES["measured"]
    assert regret.stream(make, 3, 200) == regret.stream(make, 3, 200)


def test_the_oracle_asks_the_cheapest_that_meets_the_need() -> None:
    def truth(name: str, quality: float, dollars: float, ttft: float = 0.1) -> Truth:
        return Truth(Target(name, "m"), dict.fromkeys(regret.TASKS, quality), dollars, 100, ttft)

    truths = [truth("low", 0.6, 1), truth("late", 0.9, 2, 3.0), truth("fit", 0.9, 3), truth("dear", 0.99, 9)]
    assert [regret.oracle(truths, task).target.provider for task in ("maths", "prose")] == ["late", "fit"]
    assert regret.oracle(truths[:1], "maths").target.provider == "low"


def test_in_every_world_somebody_meets_each_need_before_the_drift_and_after_it() -> None:
    for seed in range(50):
        before = regret.world(random.Random(seed))
        for truths in (before, regret.drifted(before)):
            assert all(any(t.meets(task) for t in truths) for task in regret.TASKS)
        worse = [a.quality["maths"] < b.quality["maths"] for a, b in zip(regret.drifted(before), before, strict=True)]
        assert sum(worse) <= 1


@pytest.mark.timeout(240)
def test_it_holds_over_the_wire() -> None:
    """Through Router, ledger and simulated vendors: the needs are met for less than the best one costs."""
    before, _ = regret_wire.stream("measured", 1, 60, samples=40)
    cheapest, _ = regret_wire.stream("always-cheapest", 1, 60)
    best, _ = regret_wire.stream("always-best", 1, 60)
    assert cheapest.unmet == 1.0
    assert before.unmet < 0.2
    assert before.over < best.over
