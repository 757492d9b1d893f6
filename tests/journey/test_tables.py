"""HealthPanel, CostTable and Dashboard in a real JupyterLab: live, by keyboard, in both themes, and saved."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.conftest import model_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
SETUP = f"""
import hybrid_nb as hnb
router = hnb.default_router()
def ask(model):
    try: router.chat('What is 6 * 7?', model=model, tags={{'project': 'apollo'}})
    except Exception: pass
ask({model_of("openai")!r})
"""
QUIET = {"health_interval": 0, "retries": 0, "breaker_threshold": 2}


@pytest.fixture
def config(fleet):
    return {**fleet.config(), "router": QUIET, "budget": {"daily_usd": 1}}


def row(output, name):
    return output.locator("tbody tr", has=output.page.get_by_role("rowheader", name=name, exact=True))


def test_health_follows_a_vendor_that_is_killed(lab, fleet, config):
    nb = lab.notebook([SETUP, "hnb.HealthPanel(router)", f"for _ in range(2): ask({model_of('gemini')!r})"], config)
    nb.run(0)
    health = nb.run(1)
    expect(row(health, "openai")).to_contain_text("healthy")
    fleet["gemini"].kill()
    nb.run(2)
    expect(row(health, "gemini")).to_contain_text("ConnectionFailedError")
    expect(row(health, "gemini")).to_contain_text(re.compile(r"open.*in \d+ s"))
    health.get_by_role("button", name="Check now").press("Enter")
    expect(health.get_by_role("status")).to_contain_text("3 healthy, 1 down (gemini: ConnectionFailedError")
    assert nb.errors() == []
    assert nb.axe(health) == []


def test_costs_rise_and_a_table_that_is_read_stays_where_it_is(lab, config):
    nb = lab.notebook([SETUP, "hnb.CostTable(router)", "len(llm_costs)"], config)
    nb.run(0)
    costs = nb.run(1)
    nb.width(480)
    view = costs.locator(".hnb-live").last
    expect(view).to_contain_text("for 1 call")
    view.focus()
    view.evaluate("e => { e.scrollLeft = 60; }")
    nb.page.evaluate("""jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute(
        {code: "ask('gemini/simulated-gemini')"}).done""")
    expect(view).to_contain_text("for 2 calls")
    assert view.evaluate("e => [e.scrollLeft, e === document.activeElement]") == [60, True]
    costs.get_by_label("tag").fill("project")
    costs.get_by_label("tag").press("Enter")
    expect(view.get_by_role("columnheader", name="tag:project")).to_be_visible()
    costs.get_by_label("provider", exact=True).uncheck()
    costs.get_by_label("model", exact=True).uncheck()
    expect(row(view, "apollo")).to_contain_text("$0.0000")
    costs.get_by_role("button", name="DataFrame").click()
    expect(costs.get_by_role("status")).to_contain_text("llm_costs is a DataFrame of 1 rows")
    expect(nb.run(2)).to_contain_text("1")
    costs.get_by_role("button", name="Markdown, CSV").click()
    with nb.page.expect_download() as download:
        costs.get_by_role("link", name="Save llm_costs.csv").click()
    assert download.value.path().read_text().startswith("tag:project,calls,errors")


def test_the_dashboard_by_keyboard(lab, config):
    """That each tab is accessible in both themes and narrow is in test_stories.py."""
    nb = lab.notebook([SETUP, "hnb.Dashboard(router, tab='Testing')"], config)
    nb.run(0)
    board = nb.run(1)
    board.get_by_label("prompt").focus()
    board.get_by_label("models").select_option([model_of("openai"), model_of("ollama")])
    board.get_by_role("button", name="Run").press("Enter")
    expect(board.get_by_role("caption").first).to_contain_text("2 answered")
    expect(board.get_by_role("status")).to_contain_text("Done")
    assert nb.axe(board) == []
    for title in ("Usage", "Health", "Configuration"):
        board.locator("[role=tab][tabindex='0']").focus()
        nb.page.keyboard.press("ArrowRight")
        nb.page.keyboard.press("Enter")
        expect(board.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")
        expect(board.locator(".hnb .hnb:visible")).to_have_count(1)
    nb.width(480)
    tabs = [tab.bounding_box() for tab in board.get_by_role("tab").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 480 for box in tabs)


def test_what_is_saved_can_be_read_without_a_kernel(lab, config):
    nb = lab.notebook([SETUP, "hnb.HealthPanel(router)", "hnb.CostTable(router)"], config)
    nb.run_all()
    cells = nb.save()["cells"]
    shown = [str(output["data"]) for cell in cells[1:] for output in cell["outputs"] if "text/html" in output["data"]]
    assert "<caption>Health of 4 providers</caption>" in shown[0]
    assert "<caption>Spending by provider, model, all time: $" in shown[1]
    nb.restart_kernel()
    nb.reload()
    expect(nb.output(1).get_by_role("caption")).to_be_visible()
    expect(nb.output(2).get_by_role("caption")).to_be_visible()
