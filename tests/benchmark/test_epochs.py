"""Several answers to one sample: pass@k, pass^k and reducers."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.bench.statistics.epochs import pass_all_k, pass_at_k
from hybrid_nb.core.inputs import OptionValueError
from tests.benchmark.made import Truth, made_run


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k(n: int, data: st.DataObject) -> None:
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    answers = [1] * right + [0] * (n - right)
    chosen = list(itertools.combinations(answers, k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))
    assert pass_all_k(n, right, k) == pytest.approx(sum(map(all, chosen)) / len(chosen))


def test_fewer_than_k_answers_have_no_pass_at_k() -> None:
    assert pass_at_k(2, 2, 3) is None
    assert pass_all_k(2, 2, 3) is None


def test_a_run_has_pass_at_k_by_model() -> None:
    run = made_run({"a/m": Truth(0.5), "b/m": Truth(0.9)}, samples=200, epochs=5)
    table = run.pass_at(2).set_index("model")
    right = run.measured.groupby(["model", "id"])["score_exact"].sum().astype(int)
    expected = [pass_at_k(5, c, 2) for c in right["a/m"]]
    assert table.loc["a/m", "pass_at_k"] == pytest.approx(sum(expected) / 200)  # type: ignore[arg-type]
    assert table.loc["a/m", "pass_at_k_low"] < 0.75 < table.loc["a/m", "pass_at_k_high"]
    assert table.loc["b/m", "pass_all_k_low"] < 0.81 < table.loc["b/m", "pass_all_k_high"]
    assert (run.pass_at(1)["pass_at_k"] - run.summary()["score_exact"]).abs().max() < 1e-12


def test_samples_with_too_few_scored_epochs_are_left_out_and_counted() -> None:
    run = made_run({"a/m": Truth(failing=0.3)}, samples=30, epochs=3)
    row = run.pass_at(3, failures="missing").iloc[0]
    answered = run.measured[run.measured["status"] == "ok"].groupby("id").size()
    assert row["samples"] == (answered == 3).sum() > 0
    assert row["too_few"] == 30 - row["samples"]
    assert run.pass_at(3).iloc[0]["samples"] == 30  # a failed call is a wrong answer
    assert run.pass_at(4).iloc[0]["pass_at_k"] is pd.NA


def test_reducers() -> None:
    run = made_run({"a/m": Truth(0.6)}, samples=40, epochs=4)
    right = run.measured.groupby("id", sort=False)["score_exact"].sum().astype(int)

    def values(reducer: str) -> list[float]:
        return run.reduced(reducer)["value"].tolist()

    assert values("mean") == pytest.approx((right / 4).tolist())
    assert values("at_least_2") == [float(c >= 2) for c in right]
    assert values("mode") == [float(c > 2) for c in right]
    assert values("median") == [{0: 0, 1: 0, 2: 0.5}.get(c, 1.0) for c in right]
    assert run.reduced("at_least_5")["value"].isna().all()
    assert run.reduced()["n"].tolist() == [4] * 40


def test_an_unscored_sample_stays_as_missing() -> None:
    run = made_run({"a/m": Truth(failing=1.0)}, samples=3)
    table = run.reduced(failures="missing")
    assert table["value"].isna().all()
    assert table["n"].tolist() == [0, 0, 0]
    assert table["cluster"].tolist() == ["maths", "prose", "maths"]


def test_wrong_words_are_told() -> None:
    run = made_run({"a/m": Truth()}, samples=3)
    with pytest.raises(OptionValueError, match="at_least_2"):
        run.reduced("best")
    with pytest.raises(OptionValueError, match="at least one"):
        run.pass_at(0)
    with pytest.raises(OptionValueError, match="no score of this run; its scorers: exact"):
        run.pass_at(1, "latency_s")
