"""That intervals hold the truth as often as they say, and tests err as seldom; by simulation, within its own error.

The larger table is `python -m tests.benchmark.coverage`. Bounds here are nominal less three standard errors of the
simulation, and what the method is known to lack (each case says so).
"""

from __future__ import annotations

import math

import pytest

from tests.benchmark import coverage


def least(nominal: float, reps: int) -> float:
    """Three standard errors below."""
    return nominal - 3 * math.sqrt(nominal * (1 - nominal) / reps)


@pytest.mark.parametrize(("n", "share"), [(10, 0.8), (30, 0.5), (100, 0.95)])
def test_right_answers_asked_once(n: int, share: float) -> None:
    ours, _ = coverage.rights(400, n, 1, share, 0)
    assert least(0.95, 400) - 0.01 <= ours <= 0.995  # Wilson swings about the nominal


@pytest.mark.parametrize(("samples", "epochs"), [(5, 4), (20, 5)])
@pytest.mark.parametrize("alike", [0, 0.5, 1])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_right_answers_asked_often(samples: int, epochs: int, share: float, alike: float) -> None:
    ours, _ = coverage.rights(300, samples, epochs, share, alike)
    dips = 0.92 if alike == 1 else 0.95  # Wilson's own interval of 20 answers holds a truth of 95 % 92.5 % of the time
    assert ours >= least(dips, 300)


def test_the_plain_clustered_interval_would_not_do() -> None:
    _, plain = coverage.rights(300, 10, 3, 0.95, 0.5)
    assert plain < 0.8


@pytest.mark.parametrize(
    ("kind", "n"), [("beta(5, 2)", 10), ("beta(0.8, 0.2)", 20), ("10 % zero, else beta(8, 2)", 50)]
)
def test_graded_scores(kind: str, n: int) -> None:
    assert coverage.graded(250, kind, n) >= least(0.95, 250) - 0.02  # skewed: 1 to 3 points are lacking


def test_costs() -> None:
    assert coverage.costs(250, 50) >= least(0.95, 250) - 0.02


@pytest.mark.parametrize(("share", "n"), [(0.5, 10), (0.95, 100), (0.99, 600)])
def test_percentiles(share: float, n: int) -> None:
    found = coverage.percentiles(300, share, n)
    assert found is not None
    assert found >= least(0.95, 300)


def test_a_percentile_of_too_few_has_no_interval() -> None:
    assert coverage.percentiles(1, 0.99, 300) is None


@pytest.mark.parametrize("shares", [(0.8, 0.8), (0.9, 0.7)])
def test_differences_of_shares(shares: tuple[float, float]) -> None:
    assert coverage.share_differences(400, 30, shares) >= least(0.95, 400)


def test_differences_of_times() -> None:
    assert coverage.mean_differences(250, 30) >= least(0.95, 250) - 0.02


@pytest.mark.parametrize("kind", ["right or wrong", "times"])
def test_equal_models_are_seldom_called_different(kind: str) -> None:
    """Of six equal models, in 15 pairs: at most 5 % of runs with Holm, and far more without."""
    reps = 300 if kind == "right or wrong" else 100
    with_holm, without = coverage.false_alarms(reps, 6, 40, kind)
    assert with_holm <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / reps)
    assert without > 0.12


def test_power_is_what_it_says() -> None:
    for seen, _ in (
        coverage.seen_shares(600, 100, 0.25),
        coverage.seen_means(200, 40, skewed=False),
        coverage.seen_means(200, 40, skewed=True),
    ):
        assert abs(seen - 0.8) <= 3 * math.sqrt(0.8 * 0.2 / 200)


@pytest.mark.parametrize(("share", "n"), [(0.9, 64), (0.95, 200)])
def test_certificates_are_seldom_wrong(share: float, n: int) -> None:
    wrong, given = coverage.certificates(600, share, n)
    assert given == 1.0
    assert wrong <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 600)


def test_too_few_calls_are_not_certified() -> None:
    assert coverage.certificates(20, 0.9, 63) == (0, 0)


def test_pass_at_k_is_unbiased_and_its_interval_holds() -> None:
    error, held = coverage.passes(300, 40, 5, 2)
    assert abs(error) < 0.01
    assert held >= least(0.95, 300) - 0.01
