"""What only a front end can show of the magics: the ids of cells, and a background call that draws in its own cell."""

from __future__ import annotations

import re

import pytest

from tests.journey.lab import Lab
from tests.journey.notebook_page import Notebook

SETUP = """
import hybrid_nb as hnb
%load_ext hybrid_nb
models = (hnb.sim.Model("simulated-m", ttft=2.5, tokens_per_second=60.0, accuracy=1.0),)
fleet = hnb.sim.Fleet([hnb.sim.Vendor("slow", "openai", models)]).start()
hnb.set_default_router(hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}}))
"""
CELLS = [
    SETUP.strip(),
    "%%llm --background\nWrite an essay of 60 words about bees",
    "print('meanwhile', _llm_job.done)",
    "%%llm --chat sums\nWhat is 1 + 1?",
    "%%llm --chat sums\nWhat is 2 + 2?",
    "%%llm_compare slow/simulated-m simulated-m\nWrite an essay of 60 words about bees",
    "print('sent', [m['content'] for m in fleet['slow'].chats[-1].body['messages'] if m['role'] == 'user'])",
]
WAIT = 20_000  # milliseconds
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def notebook(lab: Lab) -> Notebook:
    """A notebook with one vendor that is slow to begin."""
    notebook = lab.notebook(CELLS)
    notebook.run(0)
    return notebook


def test_a_background_call_draws_in_the_cell_that_began_it(notebook):
    from playwright.sync_api import expect

    background = notebook.run(1)
    assert "meanwhile False" in notebook.run(2).inner_text()
    expect(background).to_contain_text("first token", timeout=WAIT)
    assert "simulated model" in background.inner_text()
    assert "simulated model" not in notebook.output(2).inner_text()


def test_a_cell_that_is_run_again_replaces_its_turn(notebook):
    from playwright.sync_api import expect

    first = notebook.run(3, wait=False)
    expect(first).to_contain_text(re.compile("asking slow/simulated-m … 1 s"), timeout=WAIT)
    notebook.wait_run(3)
    notebook.run(4)
    notebook.run(3)
    assert "sent ['What is 1 + 1?']" in notebook.run(6).inner_text()
    notebook.run(4)
    assert "sent ['What is 1 + 1?', 'What is 2 + 2?']" in notebook.run(6).inner_text()


def test_answers_come_side_by_side_and_end_with_a_table(notebook):
    from playwright.sync_api import expect

    comparison = notebook.run(5, wait=False)
    expect(comparison).to_contain_text("simulated model", timeout=WAIT)
    assert "One prompt" not in comparison.inner_text()
    notebook.wait_run(5)
    assert comparison.locator("table caption").inner_text() == "One prompt, 2 models"
    assert comparison.locator("table tbody tr").count() == 2
