"""A notebook in a browser, as a test tells it: run this cell, look at its output, reload the page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.journey import axe
from tests.journey.browser import WINDOW, Troubles

PATIENCE = 30.0  # seconds for anything
ERROR = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
# `jupyterapp` is there because the servers are started with expose_app_in_browser
PANEL = "jupyterapp.shell.currentWidget"
READY = f"""path => globalThis.jupyterapp && {PANEL}?.context?.path === path
    && {PANEL}.sessionContext?.session?.kernel?.status === 'idle' && {PANEL}.content?.widgets?.length > 0
    && document.getElementById('jupyterlab-splash') === null"""
LEAVE = f"""async () => {{
    const panel = {PANEL};
    await panel.context.save();
    await panel.sessionContext.shutdown();
    panel.dispose();
}}"""
IDLE = f"""() => {PANEL}.sessionContext.session?.kernel?.status === 'idle'
    && ![...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(p => p.textContent.includes('[*]'))"""
FORGET_COUNT = f"""cell => {{
    const widget = {PANEL}.content.widgets.find(w => w.node === cell);
    widget.model.executionCount = null;
}}"""

SIDE_BARS = """async shown => {
    const commands = jupyterapp.commands, toggle = 'application:toggle-side-tabbar';
    for (const side of ['left', 'right'])
        if (commands.hasCommand(toggle) && commands.isToggled(toggle, {side}) !== shown)
            await commands.execute(toggle, {side});
}"""
FOCUSED = """() => {
    const e = document.activeElement, label = e.getAttribute('aria-label') || e.labels?.[0]?.textContent;
    return `${e.tagName.toLowerCase()}: ${(label || e.textContent || e.title || '').trim().slice(0, 80)}`;
}"""
LIGHT = "JupyterLab Light"


class Notebook:
    """A notebook that is open in a page. Every wait ends after PATIENCE at the latest.

    Args:
        page: an empty one, or one where JupyterLab is open already (which saves two seconds).
        address: of the notebook in its server.
        root: the server's folder.
        path: the notebook's file.
        pictures: a folder for screenshots.
    """

    def __init__(self, page: Any, address: str, root: Path, path: Path, pictures: Path) -> None:
        self.page = page
        self.address = address
        self.name = path.relative_to(root).as_posix()
        self.path = path
        self.pictures = pictures
        self.worn = False  # whether the page is as no other test wants it
        self.troubles = Troubles()
        self._unwatch = self.troubles.watch(page)

    def open(self) -> Notebook:
        if self.page.url == "about:blank":
            self.page.goto(self.address)
        else:
            self.command("docmanager:open", {"path": self.name}, wait=False)
        self._wait_ready()
        return self

    def leave(self) -> bool:
        """Ends the kernel and closes the notebook; whether its page may serve another. A worn page is closed."""
        reusable = not self.worn and not self.troubles.found()
        if reusable:
            self.theme(LIGHT)
            self.width(WINDOW["width"])
            self.page.evaluate(LEAVE)
        else:
            self.page.close(run_before_unload=False)
        self._unwatch()
        return reusable

    # what is on the screen

    def cell(self, index: int) -> Any:
        """The code cell at this place, from 0; -1 is the last."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Any:
        """All that stands under a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def prompt(self, index: int) -> str:
        """ "[3]:" for a cell that ran, "[*]:" for one that runs, "[ ]:" for one that never did."""
        return self.cell(index).locator(".jp-InputPrompt").inner_text().strip()

    def errors(self) -> list[str]:
        """Tracebacks and stderr in all cells."""
        return self.page.locator(f".jp-Notebook .jp-OutputArea :is({ERROR})").all_inner_texts()

    # what a user does

    def run(self, index: int, wait: bool = True) -> Any:
        """Runs a cell with Ctrl-Enter and waits until it ended (unless told not to); its output."""
        cell = self.cell(index)
        cell.evaluate(FORGET_COUNT)  # so that a number means that this run ended, not the one before
        cell.locator(".jp-InputPrompt").first.click()
        self.page.keyboard.press("Control+Enter")
        if wait:
            self.wait_run(index)
        return self.output(index)

    def wait_run(self, index: int) -> None:
        """Waits until a cell that was started ended."""
        from playwright.sync_api import expect

        prompt = self.cell(index).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(re.compile(r"^\s*\[\d+\]:\s*$"), timeout=PATIENCE * 1000)

    def run_all(self) -> None:
        """Runs every cell and waits until the last ended."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        for cell in cells.all():
            cell.evaluate(FORGET_COUNT)
        self.command("notebook:run-all-cells", wait=False)
        self.wait_run(-1)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Waits until no cell runs and the kernel is idle."""
        self._wait(IDLE)

    def interrupt(self) -> None:
        """The stop button of the toolbar."""
        self.command("notebook:interrupt-kernel", wait=False)

    def restart_kernel(self) -> None:
        """Restarts the kernel, with a yes to the question whether one is sure; the outputs stay."""
        self.command("notebook:restart-kernel", wait=False)
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self._wait(f"() => {PANEL}.sessionContext.session?.kernel?.status !== 'idle'")
        self._wait_ready()

    def save(self) -> dict[str, Any]:
        """Saves, and gives what is in the file then."""
        self.command("docmanager:save")
        return self.saved()

    def saved(self) -> dict[str, Any]:
        """The notebook's file as it is now."""
        return json.loads(self.path.read_text("utf-8"))

    def reload(self) -> None:
        """Loads the page anew: what was not saved is gone, the kernel goes on."""
        self.worn = True
        self.page.reload()
        self._wait_ready()

    def theme(self, name: str) -> None:
        """Changes the theme: "JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"."""
        shown = f"() => document.body.dataset.jpThemeName === {json.dumps(name)}"
        if not self.page.evaluate(shown):
            self.command("apputils:change-theme", {"theme": name})
        # JupyterLab hides the change behind its splash, and fails when the next change comes before that is gone
        self._wait(f"{shown} && document.getElementById('jupyterlab-splash') === null")

    def width(self, pixels: int) -> None:
        """Makes the browser's window so wide; a narrow one, as on a telephone, without JupyterLab's side bars."""
        self.page.set_viewport_size({"width": pixels, "height": WINDOW["height"]})
        self.page.evaluate(SIDE_BARS, pixels >= WINDOW["width"])

    # what a test asks besides

    def command(self, name: str, args: dict[str, Any] | None = None, wait: bool = True) -> Any:
        """One of JupyterLab's commands."""
        call = "([name, args]) => jupyterapp.commands.execute(name, args)"
        return self.page.evaluate(call if wait else f"async x => {{ ({call})(x); }}", [name, args or {}])

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Waits until a condition outside the page holds (a vendor was asked, a file was written)."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > give_up:
                raise TimeoutError(f"no {what} in {PATIENCE:.0f} s")
            self.page.wait_for_timeout(50)  # which hears of the page's events, as sleeping would not

    def focused(self) -> str:
        """What a key would go to: the tag and the text or label of the element, as "button: Stop"."""
        return self.page.evaluate(FOCUSED)

    def axe(self, locator: Any) -> list[str]:
        """What axe-core finds wrong there."""
        return axe.violations(locator)

    def screenshot(self, name: str, locator: Any = None) -> Path:
        """A picture of a part of the page, or of its window, as PNG in the test's folder; without a blinking cursor."""
        path = self.pictures / f"{name}.png"
        (self.page if locator is None else locator).screenshot(path=path, animations="disabled", caret="hide")
        return path

    def report(self) -> str:
        """What a reader of a failure wants to know, with a screenshot beside it."""
        lines = [f"{self.path.name} at {self.page.url}", f"screenshot: {self.screenshot(f'failed-{self.path.stem}')}"]
        for number in range(self.page.locator(".jp-Notebook .jp-CodeCell").count()):
            shown = self.output(number).all_inner_texts()
            lines.append(f"cell {number} {self.prompt(number)} {' '.join(shown).strip()[:2000]}")
        return "\n".join([*lines, *self.troubles.found()])

    def _wait_ready(self) -> None:
        self.page.wait_for_function(READY, arg=self.name, timeout=PATIENCE * 1000)

    def _wait(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=PATIENCE * 1000)
