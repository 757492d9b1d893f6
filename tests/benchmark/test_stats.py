"""Intervals and tests against scipy and statsmodels, and what holds of them for any data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from hybrid_nb.bench.statistics import intervals as stats
from hybrid_nb.bench.statistics import significance
from hybrid_nb.bench.statistics.intervals import mean_interval
from hybrid_nb.bench.statistics.percentiles import percentile

RIGHTS = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=40)
SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=40)
SMALL_P = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.mark.parametrize(("right", "n"), [(0, 2), (0, 30), (1, 3), (25, 30), (30, 30), (499, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_share_has_wilsons_interval(right: int, n: int, confidence: float) -> None:
    found = mean_interval([1.0] * right + [0.0] * (n - right), confidence=confidence)
    theirs = scipy.stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(proportion_confint(right, n, 1 - confidence, "wilson"), abs=1e-9)
    assert found.method == "wilson"


def test_the_clustered_error_is_that_of_a_regression_on_a_constant() -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(25), rng.integers(1, 6, 25))
    values = rng.normal(0, 1, 25)[ids] + rng.normal(0, 0.5, len(ids))
    theirs = statsmodels.api.OLS(values, np.ones(len(ids))).fit(
        cov_type="cluster", cov_kwds={"groups": ids, "use_correction": False}
    )
    sums, counts = stats.grouped(values, ids)
    ours = float(stats.clustered_error(sums, counts))
    assert ours == pytest.approx(float(theirs.bse[0]) * math.sqrt(25 / 24))  # without its n - 1 over n - k


def test_many_graded_scores_have_the_clustered_t_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(5, 1, stats.MANY)
    found = mean_interval(values)
    theirs = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
    assert found.method == "clustered t"
    assert (found.low, found.high) == pytest.approx(theirs)


def test_the_bootstrap_is_near_t_where_t_is_right_and_the_same_each_time() -> None:
    values = np.random.default_rng(2).normal(5, 1, 60)
    found = mean_interval(values)
    theirs = scipy.stats.t.interval(0.95, 59, values.mean(), scipy.stats.sem(values))
    assert found.method == "bootstrap-t"
    assert (found.low, found.high) == pytest.approx(theirs, abs=0.05)
    assert found == mean_interval(values)


def test_epochs_of_one_sample_are_not_samples() -> None:
    asked_once = mean_interval([1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    often = mean_interval(np.repeat([1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0], 10), np.repeat(np.arange(8), 10))
    assert (often.n, often.samples, often.method) == (80, 8, "clustered wilson")
    assert often.high - often.low >= asked_once.high - asked_once.low  # type: ignore[operator]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.7])
@pytest.mark.parametrize("epochs", [1, 4])
def test_scores_that_are_all_alike_do_not_make_us_sure(value: float, epochs: int) -> None:
    found = mean_interval([value] * 10 * epochs, np.repeat(np.arange(10), epochs))
    assert found.high - found.low > 0.2  # type: ignore[operator]


def test_dollars_that_are_all_alike_have_no_interval() -> None:
    found = mean_interval([0.001] * 10, unit=False)
    assert (found.value, found.low, found.high) == (pytest.approx(0.001), None, None)


def test_too_few_values_have_no_interval() -> None:
    assert mean_interval([]) == (None, None, None, "no values", 0, 0)
    assert mean_interval([1.0])[:3] == (1.0, None, None)
    assert mean_interval([1.0, 0.0, 1.0], ["a", "a", "a"])[1:4] == (None, None, "too few")


@settings(deadline=None, max_examples=60)
@given(RIGHTS | SHARES, st.integers(1, 4))
def test_an_interval_of_scores_encloses_the_mean_within_0_and_1(values: list[float], epochs: int) -> None:
    found = mean_interval(np.repeat(values, epochs), np.repeat(np.arange(len(values)), epochs))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value + 1e-12  # type: ignore[operator]
    assert found.value - 1e-12 <= found.high <= 1  # type: ignore[operator]
    assert found.low < found.high


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_percentile_lies_within_its_interval(values: list[float], share: float) -> None:
    found = percentile(values, share)
    if len(values) > 20:
        assert found.value == pytest.approx(np.quantile(values, share))
    assert found.low is None or found.low <= found.value + 1e-9
    assert found.high is None or found.high >= found.value - 1e-9


def test_the_median_has_the_interval_of_the_tables() -> None:
    found = percentile(range(1, 21), 0.5)
    assert (found.low, found.high) == (6, 15)  # n = 20: the 6th and 15th value, as in any table of the sign test


def test_too_few_values_do_not_bound_a_percentile() -> None:
    assert percentile([], 0.5) == (None, None, None, 0)
    assert percentile([1, 2, 3, 4, 5], 0.5)[1:3] == (None, None)
    assert percentile(range(50), 0.95).high is None
    assert percentile(range(50), 0.95).low is not None


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (3, 0), (10, 2), (7, 7), (40, 25)])
def test_the_sign_test_is_mcnemars_exact_test(better: int, worse: int) -> None:
    theirs = mcnemar([[5, better], [worse, 5]], exact=True).pvalue
    assert significance.sign_test(better, worse) == pytest.approx(min(1.0, theirs))


@settings(deadline=None, max_examples=15)  # theirs takes a tenth of a second
@given(SMALL_P)
def test_holm_is_statsmodels_holm(chances: list[float]) -> None:
    assert significance.holm(chances) == pytest.approx(multipletests(chances, method="holm")[1].tolist())


def test_holm_leaves_out_what_is_unknown() -> None:
    assert significance.holm([0.01, None, 0.04]) == pytest.approx([0.02, None, 0.04])


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_few_differences_have_the_exact_p_of_scipy(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    theirs = scipy.stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert significance.permutation_test(differences) == pytest.approx(theirs.pvalue)


def test_many_differences_have_a_p_near_the_t_test_and_never_0() -> None:
    rng = np.random.default_rng(3)
    near = rng.normal(0.2, 1, 100)
    assert significance.permutation_test(near) == pytest.approx(scipy.stats.ttest_1samp(near, 0).pvalue, abs=0.01)
    assert significance.permutation_test(rng.normal(5, 1, 100)) == 1 / (significance.DRAWS + 1)


def test_samples_without_a_difference_change_no_p() -> None:
    differences = np.array([0.5, 0.25, -0.125, 0.75, 1.0])
    padded = np.concatenate([differences, np.zeros(500)])
    assert significance.permutation_test(padded) == significance.permutation_test(differences)
    assert significance.permutation_test(np.zeros(9)) == 1.0


def test_signs_of_many_differences_are_drawn_in_parts() -> None:
    differences = np.random.default_rng(4).normal(0.04, 1, 2000)
    assert len(differences) * significance.DRAWS > 5 * significance.AT_ONCE
    theirs = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert significance.permutation_test(differences) == pytest.approx(theirs, abs=0.02)


def test_a_difference_of_shares_has_a_width_even_when_none_differs() -> None:
    low, high = significance.paired_share_interval(20, 0, 0, 0.95)
    assert low < 0 < high


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))
def test_the_interval_of_a_difference_turns_with_the_models(better: int, worse: int, same: int) -> None:
    n = better + worse + same
    low, high = significance.paired_share_interval(n, better, worse, 0.95)
    assert significance.paired_share_interval(n, worse, better, 0.95) == pytest.approx((-high, -low))
    assert -1 <= low <= high <= 1


def test_differences_that_are_all_alike_have_no_interval() -> None:
    assert significance.difference_interval(np.full(9, 0.001), 0.95) == (None, None)
    assert list(itertools.chain(significance.difference_interval(np.array([1.0]), 0.95))) == [None, None]
