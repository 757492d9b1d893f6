"""What evidence says as it comes, ages and contradicts itself."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Target
from hybrid_nb.engine.batch import Batch, one_call, one_score
from hybrid_nb.engine.bounds import bucket
from hybrid_nb.engine.evidence import Evidence
from hybrid_nb.engine.standing import DAY, Measured

A, B = Target("a", "m"), Target("b", "m")
NOW = 1_800_000_000.0


def run(
    n: int, right: float, ttft: float = 0.3, target: Target = A, cluster: str | None = "maths", at: float = NOW
) -> Batch:
    buckets = {bucket(ttft): float(n)}
    sums = {"exact": (float(n), n * right, n * right)}
    return Batch(target, cluster, at, n, 0, buckets, {bucket(ttft * 3): float(n)}, (n, 50.0 * n), (n, 0.001 * n), sums)


def evidence(*batches: Batch, half_life: float = 14 * DAY) -> Evidence:
    found = Evidence(half_life, NOW)
    for batch in batches:
        found.add(batch)
    return found


def of(found: Evidence, at: float = NOW, cluster: str | None = "maths", target: Target = A) -> Measured:
    return found.measured(target, cluster, "exact", at)


def test_a_run_in_numbers_and_words() -> None:
    m = of(evidence(run(120, 0.9)), NOW + 3 * DAY)
    assert m.quality is not None
    assert m.quality.mean == pytest.approx(0.9)
    assert m.quality.low == pytest.approx(0.84, abs=0.01)
    assert m.output == pytest.approx(50)
    assert m.cost == pytest.approx(0.001)
    assert (
        m.words
        == "0.90 (lower bound 0.84, n=103, 3 days old), p95 first token <= 0.31 s (95 %), p95 answer <= 0.93 s (95 %)"
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.floats(0, 100), st.floats(0, 100))
def test_age_only_widens_the_bounds_until_nothing_is_measured(n: int, right: float, early: float, later: float) -> None:
    found = evidence(run(n, right))
    young, old = of(found, NOW + early * DAY), of(found, NOW + (early + later) * DAY)
    if old.quality is not None:
        assert young.quality is not None
        assert young.quality.low >= old.quality.low - 1e-12
        assert young.quality.high <= old.quality.high + 1e-12
    if old.ttft is not None and old.ttft.most is not None:
        assert young.ttft is not None
        assert young.ttft.most is not None
        assert young.ttft.most <= old.ttft.most
    faded = of(found, NOW + 10 * 14 * DAY)
    assert (faded.quality, faded.ttft, faded.latency, faded.output, faded.words) == (
        None,
        None,
        None,
        None,
        "not measured",
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1), st.floats(0, 60)), min_size=1, max_size=6), st.randoms())
def test_the_order_in_which_runs_are_learned_makes_no_difference(
    parts: list[tuple[int, float, float]], rng: random.Random
) -> None:
    batches = [run(n, right, at=NOW - days * DAY) for n, right, days in parts]
    one = of(evidence(*batches))
    rng.shuffle(batches)
    other = of(evidence(*batches))
    assert (one.quality is None) == (other.quality is None)
    if one.quality is not None and other.quality is not None:
        assert one.quality.low == pytest.approx(other.quality.low)
        assert one.quality.n == pytest.approx(other.quality.n)


def test_nothing_known_is_none_and_never_zero() -> None:
    m = of(evidence(one_call(A, None, NOW, True)))
    assert (m.quality, m.output, m.cost, m.ttft, m.latency) == (None, None, None, None, None)
    assert m.failed == 0.0  # that is known
    assert of(evidence()).failed is None


def test_what_is_not_known_of_a_cluster_is_taken_from_all_together_and_said() -> None:
    found = evidence(run(100, 0.9), run(100, 0.5, cluster="prose"))
    assert of(found).quality.mean == pytest.approx(0.9)  # type: ignore[union-attr]
    whole = of(found, cluster=None)
    assert whole.quality.mean == pytest.approx(0.7)  # type: ignore[union-attr]
    assert not whole.together
    other = of(found, cluster="code")
    assert other.quality == whole.quality
    assert "of all clusters" in other.words


def test_few_times_of_a_cluster_are_certified_by_those_of_all() -> None:
    found = evidence(run(40, 0.9), run(40, 0.9, cluster="prose"))
    speed = of(found).ttft
    assert speed is not None
    assert speed.n == pytest.approx(80)
    assert speed.most is not None


def test_a_provider_that_became_slow_is_noticed_within_some_calls_and_so_is_that_it_recovered() -> None:
    found, noticed = evidence(run(500, 0.9)), None
    for number in range(1, 21):
        found.add(one_call(A, None, NOW + number, True, 3.0, 9.0))
        speed = of(found, NOW + number).ttft
        assert speed is not None
        if speed.changed and noticed is None:
            noticed = number
    assert noticed is not None
    assert noticed <= 6
    assert speed.least is not None
    assert speed.least > 2.8
    assert "p95 first token > 2.9" in of(found, NOW + 21).words
    for number in range(30, 50):
        found.add(one_call(A, None, NOW + number, True, 0.3, 0.9))
    assert of(found, NOW + 60).ttft.changed is False  # type: ignore[union-attr]


def test_old_slowness_that_nobody_confirms_is_given_another_chance() -> None:
    found = evidence(run(500, 0.9))
    for number in range(20):
        found.add(one_call(A, None, NOW + number, True, 3.0))
    assert of(found, NOW + 60).ttft.changed  # type: ignore[union-attr]
    assert not of(found, NOW + 2 * DAY).ttft.changed  # type: ignore[union-attr]


def test_failures_count_against_the_time_and_are_told() -> None:
    m = of(evidence(run(200, 0.9)._replace(calls=215, failed=15)))
    assert m.failed == pytest.approx(15 / 215)
    assert m.ttft is not None
    assert m.ttft.most == math.inf
    assert "p95 first token none: it fails too often" in m.words
    assert m.words.endswith("7 % failed")


def test_failures_of_now_are_noticed() -> None:
    found = evidence(run(200, 0.9))
    for number in range(20):
        found.add(one_call(A, "maths", NOW + 1 + number, number % 2 == 0, 0.3, 0.9))
    assert "p95 first token it fails now in its latest 20 calls" in of(found, NOW + 60).words


def test_calls_that_were_not_streamed_leave_the_first_token_unknown() -> None:
    found = evidence()
    for number in range(100):
        found.add(one_call(A, None, NOW, number % 10 > 0, None, 1.0))
    m = of(found)
    assert m.latency is not None
    assert m.latency.most == math.inf  # a tenth of them fails
    found = evidence(run(100, 0.9))
    for _ in range(100):
        found.add(one_call(A, None, NOW, True, None, 0.9))
    assert of(found, cluster=None).ttft.n == pytest.approx(100)  # type: ignore[union-attr]


@pytest.mark.parametrize(("before", "after"), [(0.95, 0.4), (0.3, 0.95)])
def test_feedback_that_contradicts_a_run_counts_alone(before: float, after: float) -> None:
    found, rng = evidence(run(300, before)), random.Random(5)
    for number in range(20):
        found.add(one_score(A, "maths", NOW + 1 + number, "exact", float(rng.random() < after)))
    quality = of(found, NOW + 60).quality
    assert quality is not None
    assert quality.changed
    assert quality.n == 20
    assert abs(quality.mean - after) < 0.2
    found.add(run(300, before, at=NOW + 100))  # a new run is the latest word
    assert not of(found, NOW + 200).quality.changed  # type: ignore[union-attr]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 0.99), st.integers(0, 10_000))
def test_feedback_that_agrees_rarely_looks_like_a_change(quality: float, seed: int) -> None:
    found, rng = evidence(run(300, quality)), random.Random(seed)
    changed = 0
    for number in range(60):
        found.add(one_score(A, "maths", NOW + number, "exact", float(rng.random() < quality)))
        changed += bool(of(found, NOW + number).quality.changed)  # type: ignore[union-attr]
    assert changed <= 20


def test_a_view_is_kept_and_follows_what_comes() -> None:
    found = evidence(run(100, 0.9))
    view = found.view("maths", "exact", NOW)
    assert view[A].calls == pytest.approx(100)
    found.add(one_score(A, "maths", NOW, "exact", 0.0))
    assert found.view("maths", "exact", NOW)[A].quality.n == pytest.approx(101)  # type: ignore[union-attr]
    found.add(one_call(A, "maths", NOW, True, 0.3))
    assert found.view("maths", "exact", NOW)[A].calls == pytest.approx(101)
    found.add(one_call(A, "maths", NOW, True, 0.3))  # a moment later: not each call pays for the bounds
    assert found.view("maths", "exact", NOW + 1)[A].calls == pytest.approx(102)
    aged = found.view("maths", "exact", NOW + 14 * DAY)[A]
    assert aged.calls == pytest.approx(51, rel=0.01)
    assert found.typical("maths", "exact") == pytest.approx(50)


def test_a_live_call_makes_no_cluster() -> None:
    found = evidence(one_call(A, "of-this-very-call", NOW, True, 0.3))
    assert found.clusters == set()
    found.add(one_score(A, "prose", NOW, "feedback", 1.0))
    assert found.clusters == {"prose"}


def test_weights_do_not_overflow() -> None:
    found = evidence(run(100, 0.9), half_life=900.0)
    for day in range(1, 400, 7):
        found.add(run(100, 0.9, at=NOW + day * DAY))
        m = of(found, NOW + day * DAY)
        assert m.quality is not None
        assert m.quality.n == pytest.approx(100)


def test_live_scores_are_known_to_come_for_a_half_life() -> None:
    found = evidence(run(100, 0.9))
    assert not found.learns("exact", NOW)
    found.add(one_score(A, None, NOW, "exact", 1.0))
    assert found.learns("exact", NOW + 13 * DAY)
    assert not found.learns("exact", NOW + 15 * DAY)
    assert not found.learns("other", NOW)


def test_looking_gives_every_target_cluster_and_scorer() -> None:
    found = evidence(run(100, 0.9), run(50, 0.5, target=B, cluster=None), one_score(A, "maths", NOW, "judge", 1.0))
    rows = [(str(k.target), k.cluster, k.scorer, k.calls, k.scores) for k in found.rows(NOW)]
    assert rows == [
        ("a/m", None, "exact", 100, 100), ("a/m", None, "judge", 100, 1), ("a/m", "maths", "exact", 100, 100),
        ("a/m", "maths", "judge", 100, 1), ("b/m", None, "exact", 50, 50),
    ]  # fmt: skip
