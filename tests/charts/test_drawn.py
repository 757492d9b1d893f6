"""Charts as SVG, PNG and plotly figures."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from hybrid_nb.charts import interactive, look, static
from hybrid_nb.charts.chart import Axis, Bars, Chart, Grid, Line, Points, Rule, Spans, named
from hybrid_nb.charts.picture import PLOTLY, Picture
from hybrid_nb.core.inputs import OptionValueError

EVIL = '<script>alert(1)</script> $x$ & "q"'


def points(**more):
    mark = Points("a/m", (0.001, 0.1), (0.5, None), (0.0005, None), (0.002, None), (0.4, None), (0.6, None),
                  labels=("a/m", "lost"), tone=1)  # fmt: skip
    return Chart("Cost against quality", Axis("dollars", "usd", "log"), Axis("score", "share"), (mark,), **more)


CHARTS = {
    "points": points(notes=("one is unknown",), told="1 model"),
    "lines": Chart("Lines", Axis("at", "", "time"), Axis("so far", "usd"), (
        Line("a", (1.79e9, 1.7901e9), (0.0, 1.0), low=(0.0, 0.5), high=(0.0, 2.0), tone=0, label="a $1"),
        Line("b", (1.79e9, None, 1.7901e9), (0.0, 1.0, 3.0), steps=True, tone=1, label="b $3"),
        Rule(2.0, "y", "budget"), Rule(1.79e9, "x", "begin"))),
    "stacked": Chart("Bars", Axis("day", ticks=named(["mo", "tu"])), Axis("dollars", "usd", low=0.0), (
        Bars("a", (0.0, 1.0), (1.0, 2.0), 0), Bars("b", (0.0, 1.0), (3.0, None), 1)), legend=True),
    "grouped": Chart("Bars", Axis("day"), Axis("dollars"), (Bars("a", (0.0,), (1.0,), 0), Bars("b", (0.0,), (3.0,), 1)),
                     bars="grouped"),
    "spans": Chart("Calls", Axis("seconds", "s"), Axis("", ticks=((0.0, "a/m"),), down=True), (
        Spans("queue", (0.0,), (1.0,), (0.0,), faint=True), Spans("stream", (1.0, None), (2.0, 3.0), (0.0, 1.0), 0),
        Points("failed", (2.0,), (0.0,), tone=1, cross=True)), legend=True),
    "grid": Chart("Grid", Axis("", ticks=named(["x", "y"])), Axis("", ticks=named(["a/m"]), down=True),
                  (Grid("exact", ((0.5, None),), (("50 %\nn = 4", ""),), "share"),)),
    "empty": Chart("Nothing", Axis("x", "usd", "log"), Axis("y"), ()),
    "evil": Chart(EVIL, Axis(EVIL), Axis(EVIL, ticks=((0.0, EVIL),)), (
        Points(EVIL, (1.0,), (0.0,), labels=(EVIL,)), Line(EVIL, (0.0, 1.0), (0.0, 1.0), label=EVIL),
        Rule(0.5, "y", EVIL)), notes=(EVIL,), told=EVIL, legend=True),
}  # fmt: skip


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("inline", [False, True])
def test_every_chart_is_an_svg_with_a_name(name, inline):
    chart = CHARTS[name]
    svg = static.svg(chart, inline)
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", chart.alt)
    assert chart.title in texts(svg)
    assert not re.search(r'<g id="', svg)  # ids would clash in a page of several pictures
    assert ("currentColor" in svg) == inline
    assert ("#1b1c1d" in svg) != inline
    assert "<script" not in svg


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_a_figure(name):
    figure = interactive.figure(CHARTS[name])
    shown = interactive.bundle(figure)
    assert set(shown) == {"data", "layout", "config"}
    assert CHARTS[name].height <= shown["layout"]["height"]
    assert "<script" not in figure.to_json()


def test_a_dollar_is_a_dollar_and_no_maths():
    assert EVIL in texts(static.svg(CHARTS["evil"]))


def test_the_same_chart_is_the_same_svg():
    assert static.svg(CHARTS["lines"]) == static.svg(CHARTS["lines"])


def test_an_image_has_the_size_that_is_told():
    for kind in ("png", "jpeg"):
        with Image.open(io.BytesIO(static.image(points(), kind))) as image:
            assert image.size == (1520, 880)
            assert image.getpixel((2, 2))[:3] == (255, 255, 255)  # a white card


def test_intervals_and_unknown_values_reach_the_figure():
    trace = interactive.figure(points()).data[0]
    assert tuple(trace.y) == (0.5, None)
    assert trace.error_x.array[0] == pytest.approx(0.001)
    assert trace.error_y.arrayminus[0] == pytest.approx(0.1)
    assert trace.error_y.array[1] is None
    assert "score: unknown" in trace.hovertext[1]


def test_a_name_stands_where_there_is_room_beside_intervals():
    """A wide interval leaves its point at the left of the picture: its name stands at the right of it."""
    wide = Points("b/m", (0.2,), (0.9,), (0.1,), (4.0,), (0.8,), (1.0,), labels=("b/a long name of a model",))
    other = Points("a/m", (0.0,), (0.7,), labels=("a/m",))
    found = interactive.figure(Chart("Cost", Axis("dollars", "usd"), Axis("score", "share"), (wide, other)))
    assert [trace.textposition[0].split()[1] for trace in found.data] == ["right", "right"]


def test_names_of_points_at_one_place_stand_on_different_sides():
    same = [Points(name, (0.0,), (0.0,), labels=(f"{name}/model (2 of 8 priced)",)) for name in ("anthropic", "gemini")]
    found = interactive.figure(Chart("Cost", Axis("dollars", "usd"), Axis("score", "share"), tuple(same)))
    assert len({trace.textposition[0] for trace in found.data}) == 2


@pytest.mark.parametrize(("values", "seen"), [((1.0,), True), ((None, 1.0), True), ((1.0, 2.0), False)])
def test_a_line_of_one_point_is_seen_by_a_marker(values, seen):
    line = Line("a", tuple(map(float, range(len(values)))), values, tone=0)
    chart = Chart("So far", Axis("day"), Axis("dollars", "usd"), (line,))
    assert interactive.figure(chart).data[0].mode == ("lines+markers" if seen else "lines")
    colour = look.colour(0).lower()
    assert any(colour in mark for mark in re.findall(r"<use[^>]*>", static.svg(chart))) is seen


def test_bars_stand_on_each_other_only_when_stacked():
    assert interactive.figure(CHARTS["stacked"]).layout.barmode == "stack"
    assert interactive.figure(CHARTS["grouped"]).layout.barmode == "group"
    svg = static.svg(CHARTS["stacked"])
    assert svg.count("<path") > 4


def test_an_empty_cell_is_no_0():
    heat = interactive.figure(CHARTS["grid"]).data[0]
    assert list(heat.z[0]) == [0.5, None]
    assert "0 %" not in texts(static.svg(CHARTS["grid"]))


def test_the_users_matplotlib_is_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 44, "axes.facecolor": "red", "text.usetex": False}):
        own = dict(matplotlib.rcParams)
        svg = static.svg(points())
        assert dict(matplotlib.rcParams) == own
    assert svg == static.svg(points())  # and does not change ours
    assert dict(matplotlib.rcParams) == before


def test_drawing_imports_neither_pyplot_nor_a_backend_of_windows():
    code = (
        "import sys\nfrom tests.charts.test_drawn import points\nfrom hybrid_nb.charts import static\n"
        "static.svg(points()); static.image(points())\n"
        "print('matplotlib.pyplot' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- the picture -----------------------------------------------------------------------------------------------


def test_a_notebook_gets_a_live_and_a_still_picture_and_words():
    shown, told = Picture(points(told="1 model"))._repr_mimebundle_()
    assert set(shown) == {PLOTLY, "image/jpeg", "text/plain"}
    assert shown["text/plain"] == "Cost against quality. 1 model."
    assert told["image/jpeg"] == {"width": 760, "height": 440, "alt": shown["text/plain"]}
    assert repr(Picture(points())) == "Picture('Cost against quality')"


def test_a_change_of_the_figure_is_shown():
    picture = Picture(points())
    picture.figure.update_layout(title_text="mine")
    assert picture._repr_mimebundle_()[0][PLOTLY]["layout"]["title"]["text"] == "mine"


@pytest.mark.parametrize(
    ("missing", "kinds"),
    [(("plotly",), ["image/png", "text/plain"]), (("matplotlib",), [PLOTLY, "text/plain"]),
     (("plotly", "matplotlib"), ["text/plain"])],
)  # fmt: skip
def test_without_a_package_the_rest_is_shown(missing, kinds):
    code = f"""
import sys, importlib.util
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(name=name)
missing, found = {missing!r}, importlib.util.find_spec
sys.meta_path.insert(0, type("Hidden", (), {{"find_spec": staticmethod(lambda name, path=None, target=None: None)}}))
import hybrid_nb.charts.picture as p
p.find_spec = lambda name: None if name in missing else found(name)
for name in missing: sys.modules[name] = None
from tests.charts.test_drawn import points
shown, _ = p.Picture(points())._repr_mimebundle_()
print(*sorted(shown), sep="|")
if len(missing) == 2:
    print(shown["text/plain"])
    try: p.Picture(points()).figure
    except ImportError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    lines = done.stdout.splitlines()
    assert lines[:1] == ["|".join(kinds)], done.stderr
    if len(missing) == 2:
        assert lines[1].endswith("(pip install 'hybrid-nb[benchmark]' draws it.)")
        assert lines[2] == "plotly.graph_objects is needed for this: pip install 'hybrid-nb[benchmark]'"


def test_saving(tmp_path):
    picture = Picture(CHARTS["evil"])
    assert picture.save(tmp_path / "a.svg").read_text("utf-8") == picture.svg()
    assert picture.save(str(tmp_path / "a.PNG")).read_bytes() == picture.png()
    page = picture.save(tmp_path / "a.html").read_text("utf-8")
    assert "alert(1)</script>" not in page
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//', page)
    with pytest.raises(OptionValueError, match=r"saved as .svg, .png or .html \(did you mean '.html'\?\)"):
        picture.save(tmp_path / "a.htm")


def test_a_mark_looks_the_same_in_both():
    trace = interactive.figure(points()).data[0]
    assert trace.marker.color == look.colour(1)
    assert look.colour(1).lower() in static.svg(points()).lower()
