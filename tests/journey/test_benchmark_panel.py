"""BenchmarkPanel in a real JupyterLab: by hand, by keyboard, both themes, narrow, saved."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journey.scenes import DARK

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
OPEN = "import hybrid_nb as hnb\npanel = hnb.BenchmarkPanel(max_tokens=50)\npanel"
MODELS = ["openai/simulated-openai", "gemini/simulated-gemini"]
LOADING = 40_000  # milliseconds in which a kernel on a busy machine has loaded scipy and matplotlib


WIDER = """e => [...e.children].filter(c => c.getBoundingClientRect().right > e.getBoundingClientRect().right + 4)
    .map(c => c.className + ' ' + c.getBoundingClientRect().width + ' ' + e.getBoundingClientRect().width)"""


def button(output, name):
    return output.get_by_role("button", name=name, exact=True)


def test_a_benchmark_by_hand_is_shown_saved_and_a_run(lab, fleet):
    nb = lab.notebook([OPEN, "panel.run"], config=fleet.config())
    output = nb.run(0).locator(".hnb")
    expect(output.get_by_text("Choose models and write prompts")).to_be_visible()
    button(output, "Start").click()
    wrong = output.get_by_role("alert").filter(has_text="choose one model or more")
    expect(wrong).to_be_visible()
    output.get_by_label("Models").select_option(MODELS)
    output.get_by_label("Prompts").fill("What is 6 * 7? => 42\nWhat is 2 + 2? => 4")
    output.get_by_label("Prompts").press("Tab")  # what is typed counts when its field is left
    output.get_by_label("Scorers").select_option(["includes"])
    expect(output.get_by_text("This is 4 calls, likely $")).to_be_visible(timeout=LOADING)
    expect(wrong).to_have_count(0)
    assert nb.axe(output) == []
    button(output, "Start").press("Enter")
    expect(output.get_by_role("status").filter(has_text="Done: 4 calls")).to_be_visible()
    expect(output.locator("caption")).to_contain_text("4 calls to 2 models", timeout=LOADING)
    expect(output.locator("svg").first).to_be_visible()
    assert nb.axe(output) == []
    nb.screenshot("benchmark-light", output)
    nb.theme(DARK)
    assert nb.axe(output) == []
    nb.screenshot("benchmark-dark", output)
    nb.width(480)
    assert output.evaluate(WIDER) == []
    assert nb.axe(output) == []
    expect(nb.run(1)).to_contain_text("4 calls to 2 models", timeout=LOADING)
    nb.until(lambda: "data:image/png;base64" in str(nb.save()["cells"][0]["outputs"]), "saved result")


def test_it_is_stopped_while_another_cell_is_busy(lab, fleet):
    fleet["openai"].set(ttft=0.1, tokens_per_second=50)
    data = "[f'What is {n} + 1?' for n in range(500)]"
    cell = f"import hybrid_nb as hnb\npanel = hnb.BenchmarkPanel(data={data}, models={MODELS[:1]})\npanel"
    nb = lab.notebook([cell, "import time; time.sleep(6)"], config=fleet.config())
    output = nb.run(0).locator(".hnb")
    nb.run(1, wait=False)
    button(output, "Start").click()
    expect(output.get_by_role("progressbar")).to_be_visible()
    expect(button(output, "Start")).to_be_disabled()
    button(output, "Stop").click()
    expect(output.get_by_role("status").filter(has_text="Stopped: ")).to_be_visible(timeout=LOADING)
    expect(button(output, "Start")).to_be_enabled()
