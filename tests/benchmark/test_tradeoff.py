"""Cost against quality: the front, and the area under it."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.bench.statistics.tradeoff import hull, hull_area
from tests.benchmark.made import Truth, made_run

POINTS = st.lists(st.tuples(st.integers(1, 50).map(float), st.integers(0, 100).map(float)), min_size=1, max_size=8)


def test_the_front_is_what_nobody_beats_in_both() -> None:
    models = {
        "dear/m": Truth(0.95, cost=0.01), "cheap/m": Truth(0.5, cost=0.0001), "bad/m": Truth(0.3, cost=0.005),
        "secret/m": Truth(0.9, cost=None),
    }  # fmt: skip
    table = made_run(models, samples=100).pareto()
    assert table["model"].tolist() == ["cheap/m", "bad/m", "dear/m", "secret/m"]
    assert table["front"].tolist() == [True, False, True, pd.NA]
    told = table.set_index("model")["explanation"]
    assert told["bad/m"] == "cheap/m is cheaper and better"
    assert told["secret/m"] == "left out: its cost is unknown"


def test_the_better_of_two_at_one_price_is_on_the_front_and_the_cheaper_of_two_as_good() -> None:
    models = {"a/m": Truth(1.0), "b/m": Truth(0.0), "c/m": Truth(1.0, cost=0.002)}
    table = made_run(models, samples=10).pareto().set_index("model")
    assert table["front"].to_dict() == {"a/m": True, "b/m": False, "c/m": False}
    assert table.loc["b/m", "explanation"] == "a/m is better"
    assert table.loc["c/m", "explanation"] == "a/m is cheaper"


def test_equals_are_both_on_the_front() -> None:
    run = made_run({"a/m": Truth(1.0), "b/m": Truth(1.0)}, samples=10)
    assert run.pareto()["front"].tolist() == [True, True]


def test_aiq_is_the_area_of_routerbench() -> None:
    # from (1, 0.2) over (2, 0.6) to (4, 0.8), and (3, 0.5) below: (0.4 + 1.4) / 4
    assert hull_area([(2, 0.6), (1, 0.2), (4, 0.8), (3, 0.5)]) == pytest.approx(0.45)
    assert hull_area([(1, 0.6), (4, 0.2)]) == pytest.approx(3 * 0.6 / 4)  # the dear one adds nothing
    assert hull_area([(1, 0.6)]) is None
    assert hull_area([(0, 0.6), (0, 0.7)]) is None


def test_a_run_has_an_aiq_of_the_models_with_a_price() -> None:
    models = {"a/m": Truth(1.0, cost=0.001), "b/m": Truth(0.0, cost=0.0005), "c/m": Truth(1.0, cost=None)}
    run = made_run(models, samples=10)
    assert run.aiq() == pytest.approx(0.5 * 0.5)
    assert made_run({"a/m": Truth(cost=None)}, samples=3).aiq() is None


@given(POINTS)
def test_no_model_lies_over_the_hull_and_it_never_falls(points: list[tuple[float, float]]) -> None:
    corners = hull(points)
    assert set(corners) <= set(points)
    assert corners == sorted(corners)
    values = [value for _, value in corners]
    assert values == sorted(values)
    for cost, value in points:
        assert value <= _height(corners, cost) + 1e-9


def _height(corners: list[tuple[float, float]], cost: float) -> float:
    import numpy as np

    return float(np.interp(cost, *zip(*corners, strict=True)))


@given(POINTS)
def test_the_order_of_the_models_does_not_matter(points: list[tuple[float, float]]) -> None:
    assert hull(points) == hull(points[::-1])
