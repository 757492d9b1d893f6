"""Pairs of models on the same samples: who is better, who is tied, and what could have been seen."""

from __future__ import annotations

import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from hybrid_nb.bench.results import Run
from hybrid_nb.bench.statistics.power import (
    detectable_mean,
    detectable_share,
    power_of_mean,
    power_of_share,
    samples_for_mean,
    samples_for_share,
)
from hybrid_nb.core.inputs import OptionValueError
from tests.benchmark.made import Truth, made_run


@pytest.fixture(scope="module")
def run() -> Run:
    models = {"a/m": Truth(0.9, ttft=0.2), "b/m": Truth(0.6, ttft=0.5, cost=0.0003), "c/m": Truth(0.88, cost=None)}
    return made_run(models, samples=120, seed=3)


def test_right_answers_are_compared_by_mcnemar_and_holm(run: Run) -> None:
    table = run.paired()
    first = table.iloc[0]
    wide = run.measured.pivot_table(index="id", columns="model", values="score_exact")
    up, down = int((wide["a/m"] > wide["b/m"]).sum()), int((wide["a/m"] < wide["b/m"]).sum())
    assert (first["n"], first["n_discordant"]) == (120, up + down)
    assert first["p"] == pytest.approx(scipy.stats.binomtest(up, up + down).pvalue)
    assert first["difference"] == pytest.approx((up - down) / 120)
    assert first["low"] < first["difference"] < first["high"]
    assert table["p_holm"].max() <= 1
    assert (table["p_holm"] >= table["p"]).all()


def test_an_interval_of_a_pair_alone_is_told_as_such() -> None:
    models = {f"{name}/m": Truth(quality) for name, quality in zip("abcd", (0.8, 0.7, 0.75, 0.72), strict=True)}
    for seed in range(40):
        table = made_run(models, samples=60, seed=seed).paired()
        odd = table[(table["verdict"] == "tied") & ((table["low"] > 0) | (table["high"] < 0))]
        if len(odd):
            break
    else:
        pytest.fail("no seed has an interval without 0 beside a tie")
    assert "95 % interval of this pair alone " in odd["explanation"].iloc[0]
    assert "after Holm for 6 pairs" in odd["explanation"].iloc[0]
    two = made_run({"a/m": Truth(0.8), "b/m": Truth(0.7)}, samples=60).paired()
    assert "alone" not in two["explanation"].iloc[0]


def test_a_verdict_is_a_word(run: Run) -> None:
    table = run.paired().set_index(["model_a", "model_b"])
    assert table["verdict"].to_dict() == {
        ("a/m", "b/m"): "a/m better",
        ("a/m", "c/m"): "tied",
        ("b/m", "c/m"): "c/m better",
    }
    text = table.loc[("a/m", "c/m"), "explanation"]
    assert "are tied by exact: " in text
    assert "can be chance" in text
    told = table.loc[("b/m", "c/m"), "explanation"]
    assert told.startswith("c/m is better than b/m by exact: ")
    assert "points (95 % interval " in told
    assert " after Holm for 3 pairs; 120 samples, " in told


def test_of_times_and_dollars_less_is_better(run: Run) -> None:
    times = run.paired("ttft_any_s").set_index(["model_a", "model_b"])
    assert times.loc[("a/m", "b/m"), "verdict"] == "a/m better"
    assert times.loc[("a/m", "b/m"), "explanation"].startswith("a/m is faster than b/m by ttft_any_s: ")
    costs = run.paired("cost_usd").set_index(["model_a", "model_b"])
    assert costs.loc[("a/m", "b/m"), "verdict"] == "b/m better"
    assert costs.loc[("a/m", "b/m"), "low"] is pd.NA  # each call cost the same: nothing tells a spread
    assert costs.loc[("a/m", "b/m"), "explanation"].startswith(
        "b/m is cheaper than a/m by cost_usd: $0.0003 against $0.001"
    )


def test_an_unknown_cost_is_not_compared(run: Run) -> None:
    row = run.paired("cost_usd").set_index(["model_a", "model_b"]).loc[("a/m", "c/m")]
    assert (row["n"], row["unmatched"], row["verdict"]) == (0, 120, "too few samples")
    assert row["p"] is pd.NA
    assert "cannot be compared" in row["explanation"]


def test_a_sample_asked_often_is_one_sample() -> None:
    run = made_run({"a/m": Truth(0.9), "b/m": Truth(0.7)}, samples=20, epochs=6)
    row = run.paired().iloc[0]
    means = run.measured.groupby(["model", "id"])["score_exact"].mean().unstack("model").astype(float)
    assert (row["n"], row["method"]) == (20, "permutation")
    assert row["difference"] == pytest.approx((means["a/m"] - means["b/m"]).mean())


def test_failed_calls_are_wrong_or_left_out() -> None:
    run = made_run({"a/m": Truth(0.9, failing=0.5), "b/m": Truth(0.9)}, samples=80, seed=1)
    assert run.paired().iloc[0]["verdict"] == "b/m better"
    left = run.paired(failures="missing").iloc[0]
    assert left["verdict"] == "tied"
    assert left["n"] + left["unmatched"] == 80


def test_a_call_that_failed_early_was_not_fast() -> None:
    run = made_run({"a/m": Truth(failing=0.5), "b/m": Truth()}, samples=60)
    failed = run.measured[run.measured["status"] != "ok"]
    assert failed["latency_s"].max() < 0.2  # a fifth of what an answer takes
    row = run.paired("latency_s").iloc[0]
    assert (row["verdict"], row["unmatched"]) == ("tied", len(failed))


def test_one_model_has_no_pairs_and_one_sample_no_verdict() -> None:
    assert made_run({"a/m": Truth()}, samples=5).paired().empty
    row = made_run({"a/m": Truth(), "b/m": Truth()}, samples=1).paired().iloc[0]
    assert row["verdict"] == "too few samples"


def test_the_nearest_measure_is_named(run: Run) -> None:
    with pytest.raises(OptionValueError, match="latency_s"):
        run.paired("latency")
    with pytest.raises(OptionValueError, match="exact"):
        run.power("exakt")


def test_the_order_of_the_models_turns_the_figures(run: Run) -> None:
    turned = Run(run.calls, run.chunks, run.scores, run.votes, run.info)
    turned.info.settings["models"].reverse()  # type: ignore[attr-defined]
    try:
        back = turned.paired().set_index(["model_a", "model_b"]).loc[("b/m", "a/m")]
    finally:
        turned.info.settings["models"].reverse()  # type: ignore[attr-defined]
    there = run.paired().set_index(["model_a", "model_b"]).loc[("a/m", "b/m")]
    assert back["difference"] == pytest.approx(-there["difference"])
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))
    assert (back["p"], back["verdict"]) == (there["p"], there["verdict"])


def test_power_of_a_mean_is_that_of_statsmodels() -> None:
    for n, effect in ((10, 0.9), (50, 0.4), (300, 0.2)):
        theirs = TTestPower().power(effect, n, 0.05)
        assert power_of_mean(effect * 2, n, 2.0, 0.05) == pytest.approx(theirs, abs=1e-3)
    assert detectable_mean(50, 2.0, 0.05, 0.8) == pytest.approx(
        2 * TTestPower().solve_power(None, 50, 0.05, 0.8), rel=1e-3
    )
    needed = TTestPower().solve_power(0.2, None, 0.05, 0.8)
    assert samples_for_mean(0.4, 2.0, 0.05, 0.8) == pytest.approx(needed, abs=1)


def test_power_of_shares_is_counted_out() -> None:
    # three samples that all differ can never be significant at 5 %; six can: 2 / 2 ** 6 = 0.03
    assert power_of_share(1.0, 5, 1.0, 0.05) == pytest.approx(0.0)
    assert power_of_share(1.0, 6, 1.0, 0.05) == pytest.approx(1.0)
    assert detectable_share(5, 0.2, 0.05, 0.8) is None
    assert samples_for_share(1.0, 1.0, 0.05, 0.8) == 6


@settings(deadline=None, max_examples=25)
@given(st.integers(30, 400), st.floats(0.05, 0.6))
def test_what_is_detectable_needs_about_the_samples_it_was_detected_with(n: int, apart: float) -> None:
    gap = detectable_share(n, apart, 0.05, 0.8)
    if gap is not None:
        assert samples_for_share(gap, apart, 0.05, 0.8) == pytest.approx(n, rel=0.2, abs=6)


def test_many_samples_are_counted_by_the_normal_approximation() -> None:
    exact, near = (samples_for_share(gap, 0.2, 0.05, 0.8) for gap in (0.0290, 0.0275))
    assert exact is not None
    assert near is not None
    assert exact < 2000 < near < 2400


def test_power_says_what_this_run_could_have_seen(run: Run) -> None:
    row = run.power(difference=0.05).iloc[1]
    assert 0 < row["detectable"] < 0.3
    assert row["n_needed"] > 120
    assert row["explanation"].startswith("a/m and c/m: with these 120 samples a difference of ")
    assert "; 5 points needs " in row["explanation"]
    assert row["alpha"] == pytest.approx(0.05 / 3)
    times = run.power("ttft_any_s").iloc[0]
    assert times["detectable"] < abs(times["observed"])
    assert run.power("cost_usd").iloc[0]["detectable"] is pd.NA


def test_impossible_questions_of_power_are_told(run: Run) -> None:
    with pytest.raises(OptionValueError, match="more than 0"):
        run.power(difference=0)
    assert made_run({"a/m": Truth(), "b/m": Truth()}, samples=1).power().iloc[0]["detectable"] is pd.NA
