"""The harness itself: a plain widget in a real JupyterLab and Notebook 7, and that bad pages are found out."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

WIDGET = """
import ipywidgets as widgets
from IPython.display import HTML, display
count = 0
label = widgets.Label("not yet")
button = widgets.Button(description="Count")
def on_click(_):
    global count
    count += 1
    label.value = f"clicked {count} times"
button.on_click(on_click)
widgets.VBox([button, label])
"""


def click_twice(notebook):
    output = notebook.run(0)
    for _ in range(2):
        output.get_by_role("button", name="Count").click()
    expect(output.get_by_text("clicked 2 times")).to_be_visible()
    assert notebook.errors() == []


def test_a_widget_works_in_jupyterlab_and_outlives_a_reload(lab):
    nb = lab.notebook([WIDGET, "count"])
    click_twice(nb)
    nb.save()
    nb.reload()
    nb.output(0).get_by_role("button", name="Count").click()
    expect(nb.output(0).get_by_text("clicked 3 times")).to_be_visible()
    expect(nb.run(1)).to_contain_text("3")


def test_keys_alone_reach_a_widget_under_its_cell(lab):
    nb = lab.notebook([WIDGET])
    output = nb.run(0)
    for _ in range(5):
        nb.page.keyboard.press("Tab")
        if nb.focused() == "button: Count":
            break
    nb.page.keyboard.press("Enter")
    nb.page.keyboard.press("Space")
    expect(output.get_by_text("clicked 2 times")).to_be_visible()
    nb.until(lambda: nb.focused() == "button: Count", "focus that stays")


def test_a_widget_works_in_notebook_7(classic):
    click_twice(classic.notebook([WIDGET]))


def test_a_click_is_heard_while_a_cell_is_busy(lab):
    """What ipykernel 7.4 and JupyterLab 4.6 need for that is told in test_callbacks.py."""
    stay = "button.comm._reply_subshell_for = None\nimport threading; go = threading.Event()\n"
    nb = lab.notebook([WIDGET, stay + "button.on_click(lambda _: go.set())", "go.wait(20)"])
    nb.run(0)
    nb.run(1)
    nb.run(2, wait=False)
    nb.output(0).get_by_role("button", name="Count").click()
    nb.wait_run(2)
    expect(nb.output(2)).to_contain_text("True")
    expect(nb.output(0).get_by_text("clicked 1 times")).to_be_visible()


def test_a_kernel_is_interrupted_and_restarted(lab):
    nb = lab.notebook(["import time; print('on it', flush=True); time.sleep(60)", "here = 1\nhere", "here"])
    output = nb.run(0, wait=False)
    expect(output).to_contain_text("on it")
    nb.interrupt()
    nb.wait_run(0)
    assert "KeyboardInterrupt" in nb.errors()[0]
    nb.run(1)
    nb.restart_kernel()
    expect(nb.run(2)).to_contain_text("NameError")
    nb.wait_idle()
    assert nb.prompt(2) == "[1]:"


def test_the_default_router_finds_the_configuration_beside_the_notebook(lab, fleet):
    config = fleet.config()
    nb = lab.notebook(["%load_ext hybrid_nb", "%%llm openai/simulated-openai\nWhat is 6 * 7?"], config=config)
    nb.run_all()
    expect(nb.output(1)).to_contain_text("42")
    assert len(fleet["openai"].chats) == 1
    assert "42" in str(nb.save()["cells"][1]["outputs"])


def test_themes_and_widths(lab):
    nb = lab.notebook([WIDGET])
    output = nb.run(0)
    colour = "e => getComputedStyle(e).color"
    light = output.get_by_text("not yet").evaluate(colour)
    nb.theme("JupyterLab Dark")
    assert output.get_by_text("not yet").evaluate(colour) != light
    nb.width(480)
    box = nb.page.locator(".jp-NotebookPanel").bounding_box()
    assert (box["x"], box["width"]) == (0, 480)
    assert nb.screenshot("dark").stat().st_size > 1000


def test_theme_and_width_are_gone_in_the_next_test(lab):
    nb = lab.notebook(["1"])
    assert nb.page.evaluate("document.body.dataset.jpThemeName") == "JupyterLab Light"
    box = nb.page.locator(".jp-NotebookPanel").bounding_box()
    assert (box["x"] > 20, box["width"] > 1000) == (True, True)


def test_axe_finds_what_is_wrong_and_only_there(lab):
    bad = "<button></button><p style='color:#bbb;background:#fff'>faint</p>"
    nb = lab.notebook([f"from IPython.display import HTML\nHTML({bad!r})", "HTML('<p>fine</p>')"])
    nb.run_all()
    nb.wait_idle()
    rules = {line.split(" ")[0] for line in nb.axe(nb.output(0).locator(".jp-RenderedHTML"))}
    assert rules == {"button-name", "color-contrast"}
    assert nb.axe(nb.output(1).locator(".jp-RenderedHTML")) == []


def forgive(notebook):
    """Trouble was what the test wanted."""
    notebook.worn = True
    notebook.troubles.outside.clear()
    notebook.troubles.errors.clear()


def test_what_leaves_this_machine_is_found_and_never_arrives(lab):
    nb = lab.notebook(["from IPython.display import HTML\nHTML('<img alt=x src=\"https://example.org/x.png\">')"])
    with nb.page.expect_event("requestfailed") as failed:
        nb.run(0)
    assert failed.value.url == "https://example.org/x.png"
    assert nb.troubles.outside == ["https://example.org/x.png"]
    assert "ERR_PROXY_CONNECTION_FAILED" in nb.troubles.errors[0]
    forgive(nb)


def test_errors_in_the_console_are_found(lab):
    nb = lab.notebook(["1"])
    with nb.page.expect_event("pageerror"):
        nb.page.evaluate("() => { console.error('one'); setTimeout(() => { throw new TypeError('two') }) }")
    first, second = nb.troubles.errors
    assert first.startswith("one")
    assert second.startswith("TypeError: two")
    forgive(nb)


def test_a_report_says_what_was_on_the_screen(lab):
    nb = lab.notebook(["print('some text')", "1 / 0"])
    nb.run_all()
    nb.page.evaluate("() => console.error('a complaint')")
    report = nb.report()
    assert (lab.pictures / "failed-story.png").is_file()
    for told in ("failed-story.png", "cell 0 [1]:", "some text", "ZeroDivisionError", "a complaint"):
        assert told in report
    forgive(nb)
