"""Certified percentiles: the numbers of MLPerf, what failures do, and what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.bench.results import Run
from hybrid_nb.bench.statistics.certify import more_calls
from hybrid_nb.bench.statistics.percentiles import allowed_over, certified_bound, needed
from hybrid_nb.core.inputs import OptionValueError
from tests.benchmark.made import Truth, made_run


@pytest.mark.parametrize(("share", "over", "n"), [(0.9, 1, 64), (0.99, 1, 662), (0.9, 0, 44), (0.99, 0, 459)])
def test_the_numbers_of_mlperf_are_those_of_99_percent(share: float, over: int, n: int) -> None:
    assert needed(share, 0.99, over) == n
    assert allowed_over(n, share, 0.99) == over
    assert allowed_over(n - 1, share, 0.99) == over - 1


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.sampled_from([0.9, 0.95, 0.99]))
def test_allowed_over_is_the_last_whose_chance_is_within_the_risk(n: int, share: float, confidence: float) -> None:
    k, chance = allowed_over(n, share, confidence), scipy.stats.binom(n, 1 - share).cdf
    assert k == -1 or chance(k) <= 1 - confidence + 1e-12
    assert chance(k + 1) > 1 - confidence - 1e-12


def test_a_bound_is_an_ordered_value_and_failures_lie_over_it() -> None:
    values = list(range(1, 65))
    assert certified_bound(values, 0.9, 0.99) == 63
    assert certified_bound(values[:63], 0.9, 0.99) is None
    assert certified_bound([*values[:63], np.inf], 0.9, 0.99) == 63
    assert certified_bound([*values[:62], np.inf, np.inf], 0.9, 0.99) is None


@pytest.fixture(scope="module")
def run() -> Run:
    models = {"a/m": Truth(ttft=0.2), "b/m": Truth(ttft=0.2, failing=0.01), "c/m": Truth(failing=0.3)}
    return made_run(models, samples=300, seed=1)


def test_the_least_bound_is_certified(run: Run) -> None:
    row = run.certify("ttft_any_s", 0.95).set_index("model").loc["a/m"]
    values = np.sort(run.measured[run.measured["model"] == "a/m"]["ttft_any_s"].to_numpy(dtype=float))
    assert row["verdict"] == "certified"
    assert row["bound"] == values[299 - allowed_over(300, 0.95, 0.99)]
    assert row["over"] == row["allowed_over"]
    assert row["explanation"].startswith("a/m: p95 of ttft_any_s <= ")
    assert row["explanation"].endswith(" at 99 % confidence (300 calls)")


def test_a_failed_call_keeps_no_bound(run: Run) -> None:
    table = run.certify("latency_s", 95).set_index("model")
    assert table.loc["b/m", "bound"] > table.loc["a/m", "bound"]
    assert (table.loc["c/m", "verdict"], table.loc["c/m", "bound"]) == ("not met", pd.NA)
    assert "of them failed" in table.loc["c/m", "explanation"]


def test_a_limit_is_certified_or_not_or_undecided(run: Run) -> None:
    verdicts = {
        at_most: run.certify("ttft_any_s", 0.9, at_most).set_index("model").loc["a/m", "verdict"]
        for at_most in (0.15, 0.29, 0.5)
    }
    assert verdicts == {0.15: "not met", 0.29: "insufficient data", 0.5: "certified"}


def test_too_little_data_says_how_much_is_missing() -> None:
    run = made_run({"a/m": Truth()}, samples=40)
    row = run.certify("latency_s", 0.9).iloc[0]
    assert (row["verdict"], row["more"]) == ("insufficient data", 24)
    assert row["explanation"].endswith("(40 calls): about 24 more calls are needed")
    assert run.certify("latency_s", 0.9, at_most=60).iloc[0]["more"] == 4
    assert run.certify("latency_s", 0.99).iloc[0]["more"] == 622


def test_a_rate_that_is_too_high_is_not_mended_by_more_calls() -> None:
    assert more_calls(40, 5, 0.9, 0.99) is None
    assert more_calls(0, 0, 0.9, 0.99, least=1) == 64
    row = made_run({"a/m": Truth(failing=0.12)}, samples=30, seed=2).certify("latency_s", 0.9).iloc[0]
    assert row["verdict"] == "insufficient data"
    assert row["more"] is pd.NA or row["more"] > 30


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 400), st.integers(0, 10))
def test_the_calls_that_are_asked_for_are_enough(n: int, over: int) -> None:
    more = more_calls(n, min(over, n), 0.9, 0.99)
    if more is not None:
        assert allowed_over(n + more, 0.9, 0.99) >= min(over, n) / n * (n + more) - 1e-9


def test_what_cannot_be_certified_is_told(run: Run) -> None:
    with pytest.raises(OptionValueError, match="neither"):
        run.certify("exact")
    with pytest.raises(OptionValueError, match="neither"):
        run.certify("tokens_per_s")
    with pytest.raises(OptionValueError, match="a number between 0 and 100"):
        run.certify(percentile=100)
