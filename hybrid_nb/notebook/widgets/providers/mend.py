"""A configuration file with mistakes: each at its line, the text to mend, and a way to go on with what is left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape

from ipywidgets import HTML, Button

from hybrid_nb.core.salvage import Flaw
from hybrid_nb.mending import Broken, look
from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers.filing import _wide
from hybrid_nb.notebook.widgets.providers.lines import pane, row, show, title
from hybrid_nb.notebook.widgets.providers.toml_text import TomlText
from hybrid_nb.notebook.widgets.style import table

AROUND = 2  # lines before and after
ROWS = 16


class Mending:
    """Shown while the router's file is broken."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._router = panel, panel.router
        self._shown: Broken | None = None
        self.words, self.flaws = HTML(), HTML()
        self.text = TomlText(description="The file's text", rows=ROWS, layout={"width": "auto"})
        self.check = Button(description="Check and load", tooltip="Write the text into the file if it has no mistake")
        self.check.add_class("hnb-main")
        self.check.on_click(panel.guarded(lambda _: self._check()))
        self.write = Button(description="Write what is left", tooltip="The old file is kept beside it")
        self.write.on_click(panel.guarded(lambda _: self._write()))
        self.editor = _wide(self.text)
        self.box = pane(
            title("The configuration file has mistakes"), self.words, self.flaws, self.editor,
            row(self.check, self.write),
        )  # fmt: skip

    def refresh(self) -> None:
        broken = self._router.broken
        show(self.box, broken is not None)
        if broken is None or broken == self._shown:
            return
        self._shown = broken
        self.text.load(broken.text or "")
        for part in (self.editor, self.check, self.write):
            show(part, broken.text is not None)
        self.words.value = _words(broken)
        self._show(broken.flaws)

    def _show(self, flaws: Sequence[Flaw]) -> None:
        self.flaws.value = f'<div role="alert">{flaw_table(flaws)}</div>' + "".join(
            excerpt(self.text.value, flaw.line) for flaw in flaws[:5]
        )

    def _check(self) -> None:
        text = self.text.whole()
        flaws = look(text, os.environ).flaws
        if flaws:
            self._show(flaws)
            told = f"line {flaws[0].line}: {flaws[0].told}" if flaws[0].line else flaws[0].told
            self._panel.say(f"The text has mistakes still ({len(flaws)}), and was not written: {told}", problem=True)
            return
        changes = self._router.mend(text)
        self._panel.done(f"written and loaded: {'; '.join(changes) or 'nothing differs'}")

    def _write(self) -> None:
        path = self._router.save(overwrite=True)
        self._panel.done(f"{path} has what was left; the old file is beside it, as {path.name}.broken")


def _words(broken: Broken) -> str:
    if broken.text is None:
        told = f"{broken.path}: {broken.flaws[0].told}"
    else:
        told = (
            f"{broken.path} is left as it is. What could be read is in force, and nothing is saved until the text is "
            "mended here, or what is left is written over it. Keys in it are shown as marks such as <key 1>."
        )
    return f'<div class="hnb-body"><p>{escape(told)}</p></div>'


def flaw_table(flaws: Sequence[Flaw]) -> str:
    """The mistakes as a table."""
    return table("Mistakes", ("Line", "What is wrong", "Until it is mended"), flaws, (0,))


def excerpt(text: str, line: int | None) -> str:
    """The line with its number and its neighbours, marked by a sign; "" where it is not known."""
    lines = text.split("\n")
    if line is None or not 0 < line <= len(lines):
        return ""
    first = max(1, line - AROUND)
    shown = [
        f"{'>' if number == line else ' '} {number:>4} | {lines[number - 1]}"
        for number in range(first, min(len(lines), line + AROUND) + 1)
    ]
    body = escape("\n".join(shown)).replace("\0", "\ufffd")
    return f'<div class="hnb-body"><pre tabindex="0" role="region" aria-label="around line {line}">{body}</pre></div>'
