"""Pictures in a real JupyterLab: live by plotly, and as PNG where that is not."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
CHART = """
from hybrid_nb.charts.chart import Axis, Chart, Points
from hybrid_nb.charts.picture import Picture
points = [Points(name, (x,), (y,), (x * .9,), (x * 1.1,), (y - .05,), (y + .04,), (name,), tone=tone)
          for tone, (name, x, y) in enumerate([("a/small", .0003, .6), ("b/<b>large", .002, .85)])]
picture = Picture(Chart("Cost against quality", Axis("cost of a call", "usd", "log"), Axis("exact", "share"),
                        tuple(points), notes=("Intervals of 95 %.",), told="2 models"))
"""
ALONE = """
class Static:
    def _repr_mimebundle_(self, include=None, exclude=None):
        shown, told = picture._repr_mimebundle_()
        return {kind: shown[kind] for kind in ("image/jpeg", "text/plain")}, told
Static()
"""


def test_a_picture_is_live_in_jupyterlab_and_png_without_plotly(lab):
    nb = lab.notebook([CHART, "picture", ALONE])
    nb.run_all()
    live, static = nb.output(1), nb.output(2)
    picture = live.locator("[data-mime-type='application/vnd.plotly.v1+json']")
    expect(picture.locator(".main-svg").first).to_be_visible()
    expect(live).to_contain_text("a/small")
    expect(picture.locator("img")).to_be_hidden()
    expect(live).to_contain_text("b/<b>large")
    nb.screenshot("b", live)
    expect(static.locator("img")).to_be_visible()
    print("size", static.locator("img").bounding_box())
    nb.screenshot("c", static)
    nb.theme("JupyterLab Dark")
    nb.page.wait_for_timeout(500)
    nb.screenshot("d", nb.page.locator(".jp-Notebook"))
    print(nb.axe(live), nb.axe(static))
    assert nb.errors() == []
    print(nb.pictures)
