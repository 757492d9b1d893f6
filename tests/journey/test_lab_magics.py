"""What only a front end can show of the magics: the ids of cells, and a background call that draws in its own cell."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hybrid_nb.demo import QUICKSTART, start_lab, workplace
from tests.journey.test_lab import CHROMIUM, FLAGS

SETUP = """
import hybrid_nb as hnb
%load_ext hybrid_nb
models = (hnb.sim.Model("simulated-m", ttft=1.3, tokens_per_second=60.0, accuracy=1.0),)
fleet = hnb.sim.Fleet([hnb.sim.Vendor("slow", "openai", models)]).start()
hnb.set_default_router(hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}}))
"""
CELLS = [
    SETUP,
    "%%llm --background\nWrite an essay of 60 words about bees",
    "print('meanwhile', _llm_job.done)",
    "%%llm --chat sums\nWhat is 1 + 1?",
    "%%llm --chat sums\nWhat is 2 + 2?",
    "%%llm_compare slow/simulated-m simulated-m\nWrite an essay of 60 words about bees",
    "print('sent', [m['content'] for m in fleet['slow'].chats[-1].body['messages'] if m['role'] == 'user'])",
]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def page() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with workplace() as (folder, config):
        process, address = start_lab(folder, config)
        (folder / "notebooks" / QUICKSTART).write_text(json.dumps(book()), "utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1100, "height": 3000})
            page.goto(address)
            page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
            page.wait_for_selector("text=Python 3 (ipykernel)", timeout=60_000)
            yield page
            browser.close()
        asyncio.set_event_loop(None)
        process.terminate()
        process.wait(timeout=20)


def book() -> dict[str, Any]:
    cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**cell, "id": f"cell-{n}", "source": source.strip()} for n, source in enumerate(CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def start(page: Any, place: int) -> Any:
    """Run a cell; its output area."""
    cell = page.locator(".jp-CodeCell").nth(place)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return cell.locator(".jp-OutputArea")


def run(page: Any, place: int) -> Any:
    """Run a cell to its end; its output area."""
    output = start(page, place)
    prompt = page.locator(".jp-CodeCell").nth(place).locator(".jp-InputPrompt")
    page.wait_for_timeout(100)
    give_up = time.monotonic() + 30
    while not prompt.inner_text().strip().strip("[]:").isdigit():
        assert time.monotonic() < give_up, f"cell {place} did not end: {output.inner_text()}"
        page.wait_for_timeout(50)
    return output


def test_cells_in_jupyterlab(page):
    run(page, 0)
    background = run(page, 1)
    assert "meanwhile False" in run(page, 2).inner_text()
    assert "sub" in background.inner_html()
    page.wait_for_function("area => area.innerText.includes('first token')", arg=background.element_handle())
    assert "simulated model" in background.inner_text()
    assert "simulated model" not in page.locator(".jp-CodeCell").nth(2).inner_text()

    first = start(page, 3)
    page.wait_for_function(
        "area => area.innerText.includes('asking slow/simulated-m … 1 s')", arg=first.element_handle(), polling=50
    )
    run(page, 4)
    run(page, 3)
    assert "sent ['What is 1 + 1?']" in run(page, 6).inner_text()
    run(page, 4)
    assert "sent ['What is 1 + 1?', 'What is 2 + 2?']" in run(page, 6).inner_text()

    comparison = start(page, 5)
    page.wait_for_function(
        "area => area.innerText.includes('simulated model') && !area.innerText.includes('One prompt')",
        arg=comparison.element_handle(),
        polling=50,
    )
    page.wait_for_selector("table caption:has-text('One prompt, 2 models')")
    assert page.locator("table tbody tr").count() == 2
