"""The quickstart in a real JupyterLab, in a real browser: every cell runs and shows what the README promises."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hybrid_nb.demo import start_lab, workplace
from tests.journey.browser import Troubles

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """The address of the demo's JupyterLab."""
    with workplace() as (folder, config):
        process, address = start_lab(folder, config)
        yield address
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def page(browser: Any, demo: str) -> Iterator[Any]:
    page, troubles = browser.new_page(), Troubles()
    troubles.watch(page)
    page.set_viewport_size({"width": 1100, "height": 5000})  # so tall that no cell is left undrawn
    page.goto(demo)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector("text=Python 3 (ipykernel)", timeout=60_000)
    yield page
    page.close()
    assert troubles.found() == []


def run_all(page: Any) -> None:
    page.click("text=Edit")
    page.click("text=Clear Outputs of All Cells")
    page.click("#jp-MainMenu >> text=Run")
    page.click("text=Run All Cells")
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    give_up = time.monotonic() + 90
    while not re.fullmatch(r"\[\d+\]:", last.inner_text().strip()):
        assert time.monotonic() < give_up, "the notebook did not come to its end"
        page.wait_for_timeout(200)


def test_every_cell_of_the_quickstart_runs_and_shows_what_it_says(page):
    run_all(page)
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    shown = page.locator(".jp-Notebook").inner_text()
    assert "The capital of France is Paris." in shown
    footer = page.locator(".jp-RenderedMarkdown sub").first.inner_text()
    assert re.match(
        r"sim-ollama/simulated-llama · \d+\.\d\d s \(first token \d+\.\d\d s\) · 8 → 8 tokens · free", footer
    )
    table = page.locator("table", has_text="One prompt, 4 models")
    assert table.locator("tbody tr").count() == 4
    assert "after sim-ollama failed" in shown
    assert "answered by sim-gemini/simulated-gemini" in shown
