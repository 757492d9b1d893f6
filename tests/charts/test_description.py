"""What a chart says without being drawn: its words, its colours, and where names stand."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.charts import look
from hybrid_nb.charts.chart import Axis, Bars, Chart, Grid, Line, Points, Rule, Spans, blank, number, spread, values
from hybrid_nb.charts.labels import HIGH, LETTER, ends, places


def test_what_is_unknown_is_none_and_never_0():
    assert values([1, None, pd.NA, float("nan"), float("inf"), "2", 0]) == (1.0, None, None, None, None, 2.0, 0.0)
    assert number(pd.NaT) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Points("p", (1, 2), (1,)),
        lambda: Points("p", (1, 2), (1, 2), labels=("a",)),
        lambda: Points("p", (1, 2), (1, 2), y_low=(1,)),
        lambda: Line("l", (1,), ()),
        lambda: Bars("b", (1,), ()),
        lambda: Spans("s", (1,), (1,), ()),
        lambda: Grid("g", ((1.0,),), (("a", "b"),)),
    ],
)
def test_values_that_do_not_belong_together_are_refused(make):
    with pytest.raises(ValueError, match="with"):
        make()


def test_the_alternative_text_has_all_words_in_one_line():
    chart = Chart("Cost", Axis("x"), Axis("y"), (), notes=("2 are unknown.", "Why?"), told="a costs most")
    assert chart.alt == "Cost. a costs most. 2 are unknown. Why?"
    assert Chart("Cost", Axis("day"), Axis("dollars"), ()).alt == "Cost. dollars by day."


def test_a_wide_spread_asks_for_a_logarithm_unless_there_is_a_0():
    assert spread([0.001, 0.1]) == "log"
    assert spread([0.001, 0.01]) == "linear"
    assert spread([0.0, 0.1, None]) == "linear"
    assert spread([]) == "linear"


def test_every_colour_is_seen_on_white_and_on_dark_and_no_two_tones_look_the_same():
    for colour in look.COLOURS:
        assert min(look.contrast(colour, ground) for ground in (look.PAPER, "#111111", "#141517")) >= 3
    assert look.contrast(look.INK, look.PAPER) >= 4.5
    looks = [(look.colour(tone), look.shape(tone), look.dash(tone)) for tone in range(40)]
    assert len(set(looks)) == 40
    for one, other in combinations(range(7), 2):  # told apart without colour
        assert look.shape(one) != look.shape(other)
        assert look.dash(one) != look.dash(other)


def test_contrast_is_as_wcag_says():
    assert look.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert look.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@given(st.floats(-1, 2))
def test_what_stands_in_a_cell_is_read(share):
    shade = look.shade(share)
    assert look.contrast(shade, look.on(shade)) >= 4.5


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00025, "usd", "$0.00025"), (0, "usd", "$0"), (1.5, "usd", "$1.50"), (-0.02, "usd", "-$0.02"),
        (1234.0, "usd", "$1,234.00"), (0.35, "s", "0.35 s"), (0.012, "s", "12 ms"), (75, "s", "75 s"),
        (0.825, "share", "82.5 %"), (1, "share", "100 %"), (12000, "count", "12,000"), (0.333333, "", "0.333"),
    ],
)  # fmt: skip
def test_values_are_written_with_their_unit(value, unit, text):
    assert look.written(value, unit) == text


def test_a_tick_loses_no_figure():
    ticks = {0.1: "$0.10", 0.125: "$0.125", 0.15: "$0.15", 0.175: "$0.175", 5: "$5", 10: "$10", 12.5: "$12.50"}
    assert {value: look.ticked(value, "usd") for value in ticks} == ticks


@given(st.floats(1e-9, 1e6), st.floats(1, 1e6))
def test_ticks_of_a_logarithm_reach_over_the_values(low, times):
    ticks = look.log_ticks(low, low * times)
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low * (1 + 1e-9)
    assert ticks[-1] >= low * times / (2 if times <= 100 else 10) * (1 - 1e-9)


def test_of_many_ticks_as_many_are_named_as_have_room():
    ticks = tuple((float(n), str(n)) for n in range(100))
    assert len(look.fewer(ticks, 12)) <= 12
    assert look.fewer(ticks, 12)[0] == (0.0, "0")
    assert look.fewer(ticks[:5], 12) == ticks[:5]


WIDE = st.floats(0, 700)
POINTS = st.lists(st.tuples(WIDE, st.floats(0, 400), st.text(min_size=1, max_size=12)), min_size=1, max_size=6)


@given(POINTS)
def test_every_point_has_a_name_near_it(points):
    for place in places(points, 700, 400):
        assert abs(place.x) + abs(place.y) <= 60


def test_names_of_points_that_are_near_do_not_cover_each_other():
    points = [(300.0, 200.0, "anthropic/haiku"), (315.0, 204.0, "groq/llama"), (305.0, 190.0, "gemini/flash")]
    boxes = []
    for (x, y, name), place in zip(points, places(points, 700, 400), strict=True):
        wide = len(name) * LETTER
        left = x + place.x - wide * {-1: 0, 0: 0.5, 1: 1}[place.anchor]
        boxes.append((left, left + wide, y + place.y - HIGH / 2, y + place.y + HIGH / 2))
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert b <= e or f <= a or d <= g or h <= c


@given(st.lists(st.floats(0, 500), min_size=1, max_size=12))
def test_names_at_the_ends_of_lines_keep_apart_and_in_order(heights):
    moved = ends(heights)
    ordered = sorted(moved)
    assert all(b - a >= HIGH - 1e-6 for a, b in pairwise(ordered))
    by_height = sorted(range(len(heights)), key=lambda n: heights[n])
    assert [moved[n] for n in by_height] == pytest.approx(ordered)
    assert math.isclose(sum(moved), sum(heights), abs_tol=1e-6)  # moved as little as is needed, both ways


def test_a_long_name_keeps_its_end():
    assert look.shortened("provider/very/long/model-name", 12) == "…/model-name"
    assert look.shortened("a  b\nc", 12) == "a b c"


@pytest.mark.parametrize("mark", [
    Points("a", (1.0, None), (None, 1.0)), Line("a", (), ()), Bars("a", (0.0,), (None,)),
    Spans("a", (0.0,), (None,), (0.0,)), Grid("a", ((None,),), (("",),)), Rule(0.5, "y", "median"),
])  # fmt: skip
def test_a_chart_of_nothing_known_is_blank(mark):
    def chart(*marks):
        return Chart("Nothing", Axis("x"), Axis("y"), marks)

    assert blank(chart(mark))
    assert not blank(chart(mark, Points("b", (0.0,), (0.0,))))
