"""The first five minutes of a new user, as pictures: the demo's JupyterLab, and then one notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from hybrid_nb.demo import start_lab, workplace
from hybrid_nb.sim import Fleet
from tests.journey.notebook_page import Notebook
from tests.journey.scenes import COMPARE, Scene

WINDOW = {"width": 1100, "height": 760}
QUESTION = "%%llm\nI have 40 GB of CSV from a telescope. Which file format should it move to?"
MANAGER = 2  # the cell with the provider manager
BOX = "gpu-box/simulated-qwen"


def demo(context: Any, folder: Path) -> Path:
    """What `hybrid-nb demo` opens."""
    path = folder / "first_1_demo.png"
    with workplace() as (place, config):
        process, address = start_lab(place, config)
        try:
            page = context.new_page()
            page.set_viewport_size(WINDOW)
            page.goto(address)
            page.wait_for_selector("text=Python 3 (ipykernel)", timeout=60_000)
            page.wait_for_selector(".jp-DirListing-item")
            page.screenshot(path=path, animations="disabled", caret="hide")
            page.close()
        finally:
            process.terminate()
            process.wait(timeout=20)
    return path


def _fill_form(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_role("button", name="Add a provider", exact=True).click()
    output.get_by_label("Type").select_option("Any OpenAI-compatible endpoint")
    for label, text in {
        "Name (needed)": "gpu-box",
        "Address (needed)": fleet["gpu-box"].base_url,
        "Models": "simulated-qwen",
    }.items():
        output.get_by_label(label, exact=True).fill(text)
    output.get_by_label("Where", exact=True).select_option("LAN: a machine nearby")


def _add_and_ask(nb: Notebook, output: Any, fleet: Fleet) -> None:
    nb.output(MANAGER).get_by_role("button", name="Add", exact=True).click()
    chat = output.locator(".hnb-chat")
    expect(chat.locator("option", has_text=BOX)).to_have_count(1)
    chat.get_by_label("Ask").select_option(BOX)
    chat.get_by_role("textbox", name="Message").fill("Show me how to convert one file, and what it saves.")
    chat.get_by_role("button", name="Send").click()
    expect(chat.locator(".hnb-chat-turn footer").last).to_contain_text("tokens")


FIRST = (
    Scene("", "%load_ext hybrid_nb\nimport hybrid_nb as hnb"),
    Scene("first_2_answer", QUESTION, cells=2),
    Scene("first_3_provider", "hnb.ProviderManager()", _fill_form, cells=1),
    Scene("first_4_chat", "hnb.ChatCell()", _add_and_ask, cells=1),
    Scene("first_5_compare", COMPARE, cells=1),
    Scene("first_6_costs", "hnb.CostTable()", cells=1),
)


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Without what is added by the form."""
    return {**config, "provider": [item for item in config["provider"] if item["name"] != "gpu-box"]}
