"""One row a model, by the columns that others read; what is unknown is missing."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from hybrid_nb.bench.results import Info, Run
from hybrid_nb.core.inputs import OptionValueError
from tests.benchmark.made import Truth, made_run


@pytest.fixture(scope="module")
def run() -> Run:
    models = {"a/m": Truth(0.85), "b/m": Truth(0.7, failing=0.2, cost=0.0003), "c/m": Truth(cost=None)}
    return made_run(models, samples=60)


def test_the_columns_are_those_of_the_contract(run: Run) -> None:
    names = set(run.summary().columns)
    assert {"model", "calls", "ok", "error_rate", "failover_rate", "unknown_cost", "cost_usd"} <= names
    assert {"cost_per_call_usd", "cost_per_call_usd_low", "cost_per_call_usd_high", "cost_per_1000_usd"} <= names
    assert {f"score_exact{end}" for end in ("", "_low", "_high", "_n", "_method")} <= names
    times = {f"{name}_{end}" for name in ("ttft_any_s", "ttft_answer_s", "latency_s")
             for end in ("p50", "p50_low", "p50_high", "p90", "p95", "p95_low", "p95_high", "p99")}  # fmt: skip
    assert times <= names
    assert {"tpot_s_p50", "chunk_gap_s_p50", "tokens_per_s_p50", "queue_s_p50", "goodput_rps"} <= names
    assert {"cost_per_right_usd", "token_discrepancy_p50"} <= names


def test_an_unknown_cost_is_missing_and_counted(run: Run) -> None:
    row = run.summary().set_index("model").loc["c/m"]
    assert row["unknown_cost"] == 60
    for name in ("cost_usd", "cost_per_call_usd", "cost_per_1000_usd", "cost_per_right_usd"):
        assert row[name] is pd.NA


def test_a_failed_call_is_wrong_unless_it_is_to_be_left_out(run: Run) -> None:
    wrong, missing = (run.summary(failures=how).set_index("model").loc["b/m"] for how in ("wrong", "missing"))
    calls = run.measured[run.measured["model"] == "b/m"]
    assert wrong["failed"] == missing["failed"] == (calls["status"] != "ok").sum() > 0
    assert (wrong["score_exact_n"], missing["score_exact_n"]) == (60, wrong["ok"])
    assert wrong["score_exact"] == pytest.approx(calls["score_exact"].sum() / 60)
    assert missing["score_exact"] == pytest.approx(calls["score_exact"].mean())
    assert calls["score_exact"].isna().any()  # the run itself says what came


def test_a_failure_that_cost_nothing_does_not_make_a_call_cheaper(run: Run) -> None:
    row = run.summary().set_index("model").loc["b/m"]
    assert (row["cost_per_call_usd"], row["cost_per_1000_usd"]) == pytest.approx((0.0003, 0.3))
    assert row["cost_usd"] == pytest.approx(0.0003 * row["ok"])
    pair = run.paired("cost_usd").set_index(["model_a", "model_b"]).loc[("a/m", "b/m")]
    assert (pair["mean_a"], pair["mean_b"]) == pytest.approx((0.001, 0.0003))


def test_a_failure_that_cost_something_counts() -> None:
    run = made_run({"a/m": Truth(failing=0.5, cost=0.001)}, samples=40)
    run.calls["cost_usd"] = run.calls["cost_usd"].where(run.calls["status"] == "ok", 0.003)
    row = run.summary().iloc[0]
    assert row["cost_per_call_usd"] == pytest.approx((0.001 * row["ok"] + 0.003 * row["failed"]) / 40)


def test_a_model_that_only_failed_is_not_free() -> None:
    run = made_run({"a/m": Truth(0.9), "dead/m": Truth(failing=1.0)}, samples=12)
    row = run.summary().set_index("model").loc["dead/m"]
    assert row["cost_usd"] == 0  # nothing was spent
    for name in ("cost_per_call_usd", "cost_per_call_usd_low", "cost_per_1000_usd", "cost_per_right_usd"):
        assert row[name] is pd.NA
    front = run.pareto().set_index("model")
    assert front.loc["dead/m", "front"] is pd.NA
    assert front.loc["dead/m", "explanation"] == "left out: its cost is unknown"
    assert "free" not in repr(run.report())
    assert "dead/m" in repr(run.report())
    assert "dead/m is left out: its cost is unknown." in run.plot("pareto").chart.notes


def test_dollars_for_each_right_answer(run: Run) -> None:
    row = run.summary().set_index("model").loc["b/m"]
    calls = run.measured[run.measured["model"] == "b/m"]
    assert row["cost_per_right_usd"] == pytest.approx(calls["cost_usd"].sum() / calls["score_exact"].sum())


def test_times_are_those_of_answered_calls(run: Run) -> None:
    row = run.summary().set_index("model").loc["b/m"]
    calls = run.measured[(run.measured["model"] == "b/m") & (run.measured["status"] == "ok")]
    assert row["latency_s_p50"] == pytest.approx(calls["latency_s"].median())
    assert row["latency_s_p50_low"] <= row["latency_s_p50"] <= row["latency_s_p50_high"]
    assert row["latency_s_p95_high"] is pd.NA  # 48 calls do not bound a p95 from above


def test_groups_add_up(run: Run) -> None:
    by = run.summary(by="cluster")
    assert by[["model", "cluster"]].to_numpy().tolist()[:2] == [["a/m", "maths"], ["a/m", "prose"]]
    assert by.groupby("model")["calls"].sum().tolist() == [60, 60, 60]


def test_a_model_that_always_fails_is_told_and_has_no_times() -> None:
    row = made_run({"a/m": Truth(failing=1.0)}, samples=10).summary().iloc[0]
    assert (row["failed"], row["error_rate"], row["score_exact"]) == (10, 1.0, 0.0)
    assert row["score_exact_high"] > 0.2
    assert row["latency_s_p50"] is pd.NA
    assert row["cost_per_right_usd"] is pd.NA


def test_a_scorer_that_never_could_tell_says_nothing() -> None:
    run = made_run({"a/m": Truth(failing=0.3)}, samples=20)
    run.calls["score_exact"] = pd.array([None] * len(run.calls), dtype="Float64")
    row = run.summary().iloc[0]
    assert row["score_exact"] is pd.NA
    assert (row["score_exact_n"], row["score_exact_unscored"]) == (0, row["ok"])


def test_the_empty_run_has_a_summary_of_no_rows_and_a_named_model_one_of_none() -> None:
    assert Run.of([], Info(scorers=("exact",))).summary().empty
    row = Run.of([], Info({"models": ["a/m"]}, scorers=("exact",))).summary().iloc[0]
    assert (row["calls"], row["error_rate"]) == (0, pd.NA)


def test_goodput_counts_calls_within_all_limits(run: Run) -> None:
    limits = {"ttft_any_s": 0.25, "latency_s": 0.8}
    calls = run.measured[run.measured["model"] == "b/m"]
    kept = (calls["status"] == "ok") & (calls["ttft_any_s"] <= 0.25) & (calls["latency_s"] <= 0.8)
    seconds = run.measured["end_at"].max() - run.measured["due_at"].min()
    found = run.summary(limits).set_index("model").loc["b/m", "goodput_rps"]
    assert found == pytest.approx(kept.sum() / seconds)
    assert run.summary()["goodput_rps"].isna().all()
    made = dataclasses.replace(
        run, info=dataclasses.replace(run.info, settings={**run.info.settings, "limits": limits})
    )
    assert made.summary()["goodput_rps"].tolist() == run.summary(limits)["goodput_rps"].tolist()


def test_wrong_words_are_told(run: Run) -> None:
    with pytest.raises(OptionValueError, match="no measure 'latency'"):
        run.summary({"latency": 1})
    with pytest.raises(OptionValueError, match='"cluster" or "stage"'):
        run.summary(by="day")
    with pytest.raises(OptionValueError, match="leaves it out"):
        run.summary(failures="zero")
    for ask in (
        run.summary,
        run.paired,
        run.power,
        run.certify,
        run.pareto,
        run.report,
        lambda **how: run.pass_at(1, **how),
    ):
        with pytest.raises(OptionValueError, match=r"such as 0\.95 for 95 %"):
            ask(confidence=95)
