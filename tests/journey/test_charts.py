"""Pictures in a real JupyterLab: live by plotly, and as PNG where that is not."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.benchmark.made import Truth, made_run
from tests.journey import axe
from tests.journey.browser import Troubles

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


def test_a_picture_is_live_in_jupyterlab_and_still_where_plotly_is_not(lab):
    nb = lab.notebook([CHART, "picture", ALONE])
    nb.run_all()
    live, still = nb.output(1), nb.output(2)
    drawn = live.locator(".js-plotly-plot .main-svg").first
    expect(drawn).to_be_visible()
    assert live.locator(".plot-img:visible").count() == 0  # plotly's preview of a PNG, which would be cut off
    for text in ("a/small", "b/<b>large", "Intervals of 95 %."):
        expect(live).to_contain_text(text)
    assert nb.axe(live) == []
    box = still.locator("img").bounding_box()
    assert (box["width"], box["height"]) == (760, 440)
    nb.theme("JupyterLab Dark")
    nb.page.wait_for_timeout(300)  # in which JupyterLab resizes what is on the page
    assert drawn.bounding_box()["height"] > 400
    nb.screenshot("dark", nb.page.locator(".jp-Notebook"))
    nb.width(480)
    scrolls = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== 'visible'"
    assert any(live.locator("*").all()[n].evaluate(scrolls) for n in range(8)) or live.evaluate(scrolls)
    assert nb.errors() == []


def test_a_saved_picture_is_seen_before_anything_ran(lab):
    nb = lab.notebook([CHART, "picture"])
    nb.run_all()
    expect(nb.output(1).locator(".js-plotly-plot .main-svg").first).to_be_visible()
    saved = nb.save()["cells"][1]["outputs"][0]["data"]
    assert {"application/vnd.plotly.v1+json", "image/jpeg", "text/plain"} <= set(saved)
    nb.reload()
    shown = nb.output(1).locator(".js-plotly-plot .main-svg, .plot-img")  # a preview that its renderer saved
    expect(shown.locator("visible=true").first).to_be_visible()
    assert shown.locator("visible=true").first.bounding_box()["width"] >= 700


def test_a_saved_picture_is_seen_without_a_kernel(lab):
    """Sent to somebody who has not this kernel: nothing can run there, and the pictures are seen."""
    nb = lab.notebook([CHART, "picture", ALONE])
    nb.run_all()
    expect(nb.output(1).locator(".js-plotly-plot .main-svg").first).to_be_visible()
    sent = nb.save()
    sent["metadata"] = {"kernelspec": {"name": "not-here", "display_name": "Not here", "language": "other"}}
    place = nb.path.with_name("sent.ipynb")
    place.write_text(json.dumps(sent), "utf-8")
    page, troubles = lab.context.new_page(), Troubles()
    troubles.watch(page)
    page.goto(lab.site.address(place))
    page.locator(".jp-Dialog").get_by_role("button", name="No Kernel").click()
    live, still = (page.locator(".jp-Notebook .jp-CodeCell").nth(number) for number in (1, 2))
    expect(live.locator(".js-plotly-plot .main-svg, .plot-img").locator("visible=true").first).to_be_visible()
    expect(still.locator("img")).to_be_visible()
    assert still.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
    assert [session["path"] for session in lab.site.sessions()] == [nb.name]
    page.close(run_before_unload=False)
    assert troubles.found() == []


@pytest.mark.parametrize("interactive", [False, True])
def test_the_report_of_a_run_is_read_by_everybody(browser, tmp_path, interactive):
    run = made_run({"a/m": Truth(), "b/a rather long name of a model": Truth(0.4, failing=0.2, cost=None)}, samples=20)
    place = run.to_html(tmp_path / "run.html", interactive=interactive)
    page, troubles = browser.new_page(), Troubles()
    troubles.watch(page)
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)
        page.goto(place.as_uri())
        expect(page.locator("figure svg").first).to_be_visible()
        page.screenshot(path=tmp_path / f"{look}.png", full_page=True)
        assert axe.violations(page.locator("html")) == []
    back, text = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (back, text) == ("rgb(20, 21, 23)", "rgb(232, 234, 237)")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400  # what is wide scrolls by itself
    page.close()
    assert troubles.found() == []
