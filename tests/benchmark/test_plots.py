"""Pictures of runs whose truth is known: what is drawn is what the frames say."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from hybrid_nb.bench.drawing.timeline import chosen
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.charts.chart import Grid, Line, Points, Spans, values
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from tests.benchmark.made import Truth, made_run


@pytest.fixture(scope="module")
def run() -> Run:
    return made_run(
        {
            "a/cheap": Truth(0.6, 0.1, 0.0001),
            "b/good": Truth(0.95, 0.3, 0.01, failing=0.1),
            "c/worse": Truth(0.5, 0.2, 0.02),
            "d/free of price": Truth(0.7, 0.2, None),
        },
        samples=40,
    )


def marks(run, kind, sort, **options):
    return [mark for mark in run.plot(kind, **options).chart.marks if isinstance(mark, sort)]


def test_the_front_is_of_what_is_not_beaten_and_unknown_cost_is_told(run):
    picture = run.plot("pareto")
    summary = run.summary().set_index("model")
    points = {mark.name: mark for mark in marks(run, "pareto", Points)}
    assert list(points) == ["a/cheap", "b/good", "c/worse"]
    for name, mark in points.items():
        row = summary.loc[name]
        assert mark.x[0] == pytest.approx(1000 * row["cost_per_call_usd"])
        limits = values(1000 * row[["cost_per_call_usd_low", "cost_per_call_usd_high"]])
        assert mark.x_low + mark.x_high == limits
        assert mark.y + mark.y_low + mark.y_high == values(row[["score_exact", "score_exact_low", "score_exact_high"]])
    (front,) = marks(run, "pareto", Line)
    assert list(front.x) == sorted(front.x)
    assert front.x[0] == points["a/cheap"].x[0]
    assert points["c/worse"].x[0] not in front.x
    assert "d/free of price is left out: its cost is unknown." in picture.alt
    assert picture.chart.x.scale == "log"  # a factor of two hundred


def test_some_unknown_costs_are_told_at_the_point():
    run = made_run({"a/m": Truth(0.9), "b/m": Truth()}, samples=20)
    hidden = run.calls.index[run.calls["model"] == "a/m"][:8]
    run.calls.loc[hidden, "cost_usd"] = pd.NA
    labels = [mark.labels[0] for mark in marks(run, "pareto", Points)]
    assert sorted(labels) == ["a/m (12 of 20 priced)", "b/m"]


def test_latency_is_the_distribution_of_what_was_answered(run):
    curves = {mark.name: mark for mark in marks(run, "latency", Line)}
    answered = run.measured[run.measured["status"] == "ok"]
    for model, curve in curves.items():
        found = sorted(answered[answered["model"] == model]["ttft_answer_s"])
        assert curve.x[1:] == pytest.approx(found)
        assert (curve.y[0], curve.y[-1]) == (0.0, 1.0)
        assert list(curve.y) == sorted(curve.y)
    failed = int((run.measured["status"] != "ok").sum())
    assert f"{failed} calls failed and are not in it." in run.plot("latency").alt
    median = marks(run, "latency", Points)[0]
    assert median.x_low[0] <= median.x[0] <= median.x_high[0]


def test_latency_of_another_time_and_of_one_that_is_none(run):
    assert marks(run, "latency", Line, measure="tpot_s")
    with pytest.raises(OptionValueError, match=r"no time 'latency' \(did you mean 'latency_s'\?\)"):
        run.plot("latency", measure="latency")


def test_a_long_curve_keeps_its_ends():
    run = made_run({"a/m": Truth(tokens=1)}, samples=900)
    (curve,) = marks(run, "latency", Line)
    assert len(curve.x) <= 402
    assert (curve.x[0], curve.x[-1]) == (run.calls["ttft_answer_s"].min(), run.calls["ttft_answer_s"].max())


def test_the_time_line_has_every_part_of_every_call(run):
    spans = {mark.name: mark for mark in marks(run, "timeline", Spans, most=1000)}
    assert list(spans) == ["queue", "until the first token", "streaming", "no token came"]
    well = run.measured[run.measured["status"] == "ok"]
    assert len(spans["streaming"].row) == len(well)
    seconds = sum(end - start for start, end in zip(spans["streaming"].start, spans["streaming"].end, strict=True))
    assert seconds == pytest.approx(float((well["end_at"] - well["first_any_at"]).sum()))
    (failed,) = marks(run, "timeline", Points, most=1000)
    assert len(failed.x) == len(run.measured) - len(well) == len(spans["no token came"].row)
    rows = [*spans["streaming"].row, *spans["no token came"].row]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("most", [1, 10, 30, 159])
def test_of_many_calls_failures_come_first_and_the_rest_evenly(run, most):
    found = chosen(run.measured, most)
    assert len(found) == most
    failed = int((run.measured["status"] != "ok").sum())
    assert (found["status"] != "ok").sum() >= min(failed, most // 2)
    assert f"{most} of 160 calls" in run.plot("timeline", most=most).alt
    with pytest.raises(OptionValueError, match="at least 1"):
        run.plot("timeline", most=0)


def test_spend_ends_at_what_was_spent(run):
    lines = {mark.name: mark for mark in marks(run, "spend", Line)}
    costs = run.calls.groupby("model")["cost_usd"].sum()
    assert set(lines) == {"a/cheap", "b/good", "c/worse"}
    for name, line in lines.items():
        assert line.y[-1] == pytest.approx(costs[name])
        assert list(line.y) == sorted(line.y)
    assert "d/free of price: 40 calls" in run.plot("spend").alt


@pytest.mark.parametrize(
    ("cost", "told"), [(None, "What the judges cost is unknown."), (0.5, "Judges cost $0.50"), (0.0, "")]
)
def test_judges_are_told_beside_the_spend(run, cost, told):
    judged = dataclasses.replace(run, info=dataclasses.replace(run.info, judge_cost_usd=cost))
    alt = judged.plot("spend").alt
    assert told in alt
    assert ("udges" in alt) == bool(told)


def test_the_heat_map_has_n_in_each_cell_and_nothing_where_nothing_is():
    run = made_run({"a/m": Truth(), "b/m": Truth()}, samples=10)
    calls = run.calls[~((run.calls["model"] == "b/m") & (run.calls["cluster"] == "prose"))]
    (grid,) = marks(dataclasses.replace(run, calls=calls), "heatmap", Grid)
    own = run.calls[(run.calls["model"] == "a/m") & (run.calls["cluster"] == "maths")]
    assert grid.values[0][0] == pytest.approx(own["score_exact"].mean())
    assert grid.texts[0][0].endswith("n = 5")
    assert grid.values[1][1] is None
    assert grid.texts[1][1] == ""


def test_samples_without_a_cluster_are_one_of_their_own():
    run = made_run({"a/m": Truth()}, samples=4, clusters=())
    assert [name for _, name in run.plot("heatmap").chart.x.ticks] == ["(none)"]


def test_an_unknown_kind_or_option_names_the_nearest(run):
    with pytest.raises(OptionValueError, match=r"no such picture \(did you mean 'pareto'\?\)"):
        run.plot("paretto")
    with pytest.raises(OptionTypeError, match=r"no option 'mesure' \(did you mean 'measure'\?\)"):
        run.plot("latency", mesure="latency_s")
    with pytest.raises(OptionTypeError, match="no option 'most'"):
        run.plot("pareto", most=3)


@pytest.mark.parametrize("kind", ["pareto", "latency", "timeline", "spend", "heatmap"])
def test_every_kind_is_drawn_both_ways_also_of_a_run_in_which_all_failed(run, kind):
    for one in (run, made_run({"a/m": Truth(failing=1.0)}, samples=3)):
        picture = one.plot(kind)
        assert picture.svg().startswith("<svg")
        assert picture.figure.layout.title.text


def test_an_empty_run_has_pictures_without_marks():
    empty = Run.of([], Info(scorers=("exact",), settings={"models": ["a/m"]}))
    for kind in ("pareto", "latency", "timeline", "spend", "heatmap"):
        assert empty.plot(kind).svg().startswith("<svg")
