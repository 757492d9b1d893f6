"""The system as a whole: requests and tokens a second, calls in flight, goodput, warm-up and stages."""

from __future__ import annotations

import pandas as pd
import pytest

from hybrid_nb.bench.records import Call
from hybrid_nb.bench.results import Info, Run


def call(number: int, begin: float, end: float, phase: str = "measured", stage: int = 0, **changes: object) -> Call:
    """A call that speaks from the middle of its time to its end, ten tokens a second."""
    one = Call(f"k{number}", str(number), None, 0, "a/m", phase, stage=stage, status="ok")  # type: ignore[arg-type]
    one.due_at = one.started_at = one.sent_at = begin
    one.first_any_at = one.first_answer_at = (begin + end) / 2
    one.last_at = one.end_at = end
    one.output_tokens, one.usage_source = round(10 * (end - begin) / 2), "provider"
    for name, value in changes.items():
        setattr(one, name, value)
    return one


def run_of(calls: list[Call]) -> Run:
    return Run.of(calls, Info({"models": ["a/m"]}))


def test_two_calls_at_once_all_the_time() -> None:
    table = run_of([call(2 * n + lane, 4.0 * n, 4.0 * n + 4) for n in range(10) for lane in range(2)]).system()
    whole = table.iloc[-1]
    assert whole["stage"] is pd.NA
    assert (whole["calls"], whole["ok"], whole["seconds"]) == (20, 20, 40.0)
    assert (whole["requests_per_s"], whole["output_tokens_per_s"]) == (0.5, 10.0)
    assert (whole["mean_in_flight"], whole["max_in_flight"]) == (2.0, 2)
    assert whole["goodput_rps"] is pd.NA


def test_warm_up_calls_that_reach_into_the_window_are_part_of_the_system() -> None:
    """A slot passes from a warm-up call to a measured one; the other is still busy with warm-up for two seconds."""
    calls = [call(0, 0, 4, "warmup"), call(1, 2, 6, "warmup"), call(2, 4, 8), call(3, 6, 10), call(4, 8, 12)]
    whole = run_of(calls).system({"latency_s": 5}).iloc[-1]
    assert (whole["calls"], whole["seconds"]) == (3, 8.0)
    assert whole["requests_per_s"] == 4 / 8  # the warm-up call that ended at 6 too
    assert whole["output_tokens_per_s"] == (20 + 3 * 20) / 8  # and all of its tokens came after 4
    assert whole["mean_in_flight"] == pytest.approx((2 + 3 * 4) / 8)
    assert whole["goodput_rps"] == 3 / 8  # but only measured calls are good


def test_tokens_before_the_window_are_not_of_it() -> None:
    calls = [call(0, 0, 8, "warmup"), call(1, 6, 8)]  # the warm-up call speaks from 4 to 8, 40 tokens
    whole = run_of(calls).system().iloc[-1]
    assert whole["output_tokens_per_s"] == pytest.approx((20 + 10) / 2)


def test_stages_have_windows_of_their_own() -> None:
    slow = [call(n, float(n), n + 0.5, stage_rate=1.0) for n in range(10)]
    fast = [call(100 + n, 10 + n / 4, 10.5 + n / 4, stage=1, stage_rate=4.0) for n in range(40)]
    table = run_of(slow + fast).system({"latency_s": 0.6})
    assert table["stage"].tolist() == [0, 1, pd.NA]
    assert table["stage_rate"].tolist() == [1.0, 4.0, pd.NA]
    assert table["requests_per_s"].tolist()[0] == pytest.approx(1.0)
    assert table["requests_per_s"].tolist()[1] == pytest.approx(4, rel=0.05)
    assert table["goodput_share"].tolist() == [1.0, 1.0, 1.0]
    by = run_of(slow + fast).summary({"latency_s": 0.6}, by="stage")
    assert by["goodput_rps"].tolist() == pytest.approx(table["goodput_rps"].tolist()[:2])


def test_failures_and_missing_times_are_not_good() -> None:
    calls = [call(0, 0, 1), call(1, 0, 1, status="error"), call(2, 0, 1, first_any_at=None), call(3, 0, 2)]
    whole = run_of(calls).system({"ttft_any_s": 0.6}).iloc[-1]
    assert (whole["ok"], whole["error_rate"]) == (3, 0.25)
    assert whole["goodput_rps"] == 1 / 2


def test_of_tokens_a_second_more_is_better() -> None:
    assert (
        run_of([call(0, 0, 2), call(1, 0, 1, output_tokens=1)]).system({"tokens_per_s": 3}).iloc[-1]["goodput_rps"]
        == 0.5
    )


def test_unknown_tokens_are_counted_and_not_zero() -> None:
    one = run_of([call(0, 0, 2, output_tokens=None), call(1, 0, 2)]).system().iloc[-1]
    assert (one["unknown_tokens"], one["output_tokens_per_s"]) == (1, 5.0)
    none = run_of([call(0, 0, 2, output_tokens=None)]).system().iloc[-1]
    assert none["output_tokens_per_s"] is pd.NA


def test_a_call_that_was_not_asked_is_not_in_flight() -> None:
    skipped = Call("k9", "9", None, 0, "a/m", "measured", status="skipped", error="budget")
    whole = run_of([call(0, 0, 2), skipped]).system().iloc[-1]
    assert (whole["calls"], whole["max_in_flight"]) == (1, 1)


def test_an_empty_run_has_one_row_of_nothing() -> None:
    table = run_of([]).system({"latency_s": 1})
    assert len(table) == 1
    assert table.iloc[0]["requests_per_s"] is pd.NA
