"""ProviderManager and ProviderSelector in a real JupyterLab: by clicking, by keyboard, both themes, narrow, saved."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.journey.scenes import DARK

KEY = "hunter2-PLANTED-secret"
OPEN = "import hybrid_nb as hnb\nmanager = hnb.ProviderManager()\nmanager"
SELECT = "selector = hnb.ProviderSelector()\nselector"
pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]


def panel(nb, cell):
    """Runs a cell; the widget in its output, without the static form beside it."""
    return nb.run(cell).locator(".hnb")


def button(output, name):
    return output.get_by_role("button", name=name, exact=True)


def test_a_provider_is_configured_by_clicking_and_its_key_is_nowhere(lab, fleet):
    openai = fleet.config()["provider"][0]
    nb = lab.notebook([OPEN, "hnb.default_router().chat('What is 6 * 7?').text"])
    output = panel(nb, 0)
    expect(output.get_by_text("No provider yet")).to_be_visible()
    output.get_by_label("Type").select_option("OpenAI")
    button(output, "More").click()
    output.get_by_label("Address").fill(openai["base_url"])
    output.get_by_label("Models", exact=True).fill("simulated-openai")
    output.get_by_label("Key", exact=True).fill(KEY)
    output.get_by_label("Name (needed)").focus()  # the key is sent when its field is left
    expect(output.get_by_text("typed, and kept when you press Add")).to_be_visible()
    expect(output.get_by_label("Key", exact=True)).to_have_value("")
    button(output, "Add").click()
    expect(output.get_by_text("set (env:OPENAI_API_KEY)").first).to_be_visible()
    button(output, "Test").click()
    expect(output.get_by_text("Press Edit and type the key in again")).to_be_visible()
    wrong = output.get_by_role("alert").filter(has_text="AuthenticationError")
    expect(wrong.first).to_be_visible()
    output.get_by_label("Key", exact=True).last.fill(openai["api_key"])
    output.get_by_label("Key", exact=True).last.press("Tab")
    expect(wrong).to_have_count(0)
    button(output, "Test").click()
    expect(output.get_by_text("simulated-openai answered")).to_be_visible()
    expect(nb.run(1)).to_contain_text("6 * 7 = 42.")
    button(output, "Save").click()
    expect(output.get_by_text("All changes are saved")).to_be_visible()
    written = (nb.path.parent / "hybrid_nb.toml").read_text("utf-8")
    assert 'api_key = "env:OPENAI_API_KEY"' in written
    saved = json.dumps(nb.save()) + written + nb.page.content()
    assert KEY not in saved
    assert openai["api_key"] not in saved
    assert nb.axe(output) == []


def test_by_keyboard_alone_and_the_focus_stays(lab, fleet):
    nb = lab.notebook([OPEN], config=fleet.config())
    output = panel(nb, 0)
    chooser = output.get_by_label("Provider", exact=True)
    chooser.focus()
    for key in ("Space", "ArrowDown", "Enter"):  # an arrow alone is JupyterLab's own way to the next cell
        nb.page.keyboard.press(key)
    expect(chooser).to_have_value("anthropic")
    for _ in range(3):
        nb.page.keyboard.press("Tab")
    expect(button(output, "Disable")).to_be_focused()
    nb.page.keyboard.press("Enter")
    expect(button(output, "Enable")).to_be_focused()  # the same button, with another word
    expect(output.get_by_text("anthropic is disabled")).to_be_visible()
    nb.page.keyboard.press("Enter")
    expect(output.get_by_text("anthropic is enabled")).to_be_visible()
    expect(button(output, "Disable")).to_be_focused()


@pytest.mark.parametrize("theme", [None, DARK])
def test_every_part_is_accessible_and_fits_480_pixels(lab, fleet, theme):
    nb = lab.notebook([OPEN, SELECT], config=fleet.config())
    if theme:
        nb.theme(theme)
    nb.width(480)
    output = panel(nb, 0)
    for name in ("Edit", "Add a provider", "Settings", "Import, export"):
        button(output, name).click()
    output.get_by_label("Type").select_option("Any OpenAI-compatible endpoint")
    button(output, "Add").click()
    expect(output.get_by_text("this is needed")).to_be_visible()
    expect(output.get_by_text("Download hybrid_nb.toml")).to_be_visible()
    wide = output.locator("input, select, textarea, button").evaluate_all(
        "parts => parts.map(p => p.getBoundingClientRect()).filter(r => r.width > 0 && r.right > 481).length"
    )
    assert wide == 0
    selector = panel(nb, 1)
    button(selector, "cloud").click()
    expect(selector.get_by_text("the first that can take the call is asked")).to_be_visible()
    assert nb.axe(output) + nb.axe(selector) == []


def test_a_broken_file_is_mended_in_the_browser(lab, fleet):
    nb = lab.notebook([OPEN, "manager.router.provider_names()"], config=fleet.config())
    path = nb.path.parent / "hybrid_nb.toml"
    good = path.read_text("utf-8")
    path.write_text(good.replace('type = "gemini"', "type = gemini"), "utf-8")
    output = panel(nb, 0)
    expect(output.get_by_text("The configuration file has mistakes")).to_be_visible()
    expect(output.locator("pre")).to_contain_text("type = gemini")
    expect(nb.run(1)).to_contain_text("['openai', 'anthropic', 'ollama']")
    text = output.get_by_label("The file's text")
    assert "sim-key" not in text.input_value()
    text.fill(text.input_value().replace("type = gemini", 'type = "gemini"'))
    button(output, "Check and load").click()
    expect(output.get_by_text("written and loaded")).to_be_visible()
    expect(output.get_by_text("The configuration file has mistakes")).to_be_hidden()
    assert path.read_text("utf-8") == good
    assert nb.axe(output) == []


def test_what_is_chosen_is_asked_and_the_saved_notebook_shows_tables(lab, fleet):
    ask = "hnb.default_router().chat('What is 6 * 7?', **selector.options).provider, selector.value"
    nb = lab.notebook([OPEN, SELECT, ask], config=fleet.config())
    nb.run(0)
    output = panel(nb, 1)
    expect(output.get_by_text("auto asks openai/simulated-openai first")).to_be_visible()
    button(output, "cloud").click()
    gemini = output.locator("option", has_text="gemini ·").first.inner_text()  # with its health
    output.get_by_label("Provider", exact=True).select_option(gemini)
    expect(output.get_by_text("gemini/simulated-gemini is asked")).to_be_visible()
    expect(nb.run(2)).to_contain_text("('gemini', 'gemini/simulated-gemini')")
    nb.page.wait_for_timeout(2500)  # the saved form follows at most every two seconds
    cells = nb.save()["cells"]
    html = ["".join(o["data"].get("text/html", "")) for cell in cells[:2] for o in cell["outputs"]]
    assert any("<caption>Providers</caption>" in text for text in html)
    assert any("Selected: gemini/simulated-gemini" in text for text in html)


def test_it_works_in_notebook_7_too(classic, fleet):
    nb = classic.notebook([OPEN, "import hybrid_nb as hnb\n" + SELECT], config=fleet.config())
    output = panel(nb, 0)
    button(output, "Test").click()
    expect(output.get_by_text("simulated-openai answered")).to_be_visible()
    button(output, "Disable").click()
    expect(output.get_by_text("openai is disabled")).to_be_visible()
    selector = panel(nb, 1)
    expect(selector.get_by_text("auto asks anthropic/simulated-anthropic first")).to_be_visible()
    button(output, "Undo: change openai").click()
    expect(selector.get_by_text("auto asks openai/simulated-openai first")).to_be_visible()
    assert nb.errors() == []
