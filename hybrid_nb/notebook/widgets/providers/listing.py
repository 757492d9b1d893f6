"""The list of providers: a table, one of them chosen, and what can be done with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from ipywidgets import HTML, Button, Dropdown, Widget

from hybrid_nb.changing import mentions
from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers import provider_rows
from hybrid_nb.notebook.widgets.providers.lines import row, show
from hybrid_nb.notebook.widgets.providers.provider_rows import CAPTION, HEADS, NUMBERS, Row, cells
from hybrid_nb.notebook.widgets.providers.steps import Tester
from hybrid_nb.notebook.widgets.style import table, text_table
from hybrid_nb.router import Router

EMPTY = (
    "No provider yet. Press “Add a provider”, choose its type and fill in what it asks for; or set a key such as "
    "OPENAI_API_KEY before the kernel starts; or start a local server such as Ollama, and look for it there."
)


class ProviderList:
    """`edit` is called with a provider's name, `wrong_key` with a name and what is wrong with its key."""

    def __init__(self, panel: Panel, edit: Callable[[str], None], wrong_key: Callable[[str, str], None]) -> None:
        self._panel = panel
        self._router: Router = panel.router
        self._edit = edit
        self.rows: list[Row] = []
        self.table = HTML()
        self.chooser = Dropdown(description="Provider", options=(), layout={"width": "auto"})
        self.chooser.observe(lambda _: self._chosen(), "value")
        self.tester = Tester(panel, wrong_key)
        self._make_buttons()
        self._make_question()
        self.children: tuple[Widget, ...] = (self.table, self.actions, self.question, self.tester.result)

    def _make_buttons(self) -> None:
        def button(text: str, work: Callable[[], None], tooltip: str) -> Button:
            made = Button(description=text, tooltip=tooltip)
            made.on_click(self._panel.guarded(lambda _: pressed(work)))
            return made

        def pressed(work: Callable[[], None]) -> None:
            show(self.question, False)
            work()

        self.test = button("Test", lambda: self.tester.start(self.name), "Connection, key and model, in three steps")
        self.edit = button("Edit", lambda: self._edit(self.name), "Its key, models, limits and prices")
        self.enable = button("Disable", self._enable, "Whether calls may go to it")
        self.up = button("Move up", lambda: self._move(-1), "Prefer it")
        self.down = button("Move down", lambda: self._move(1), "Ask it later")
        self.remove = button("Remove", self._ask, "Take it out of the configuration")
        self.buttons = (self.test, self.edit, self.enable, self.up, self.down, self.remove)
        self.actions = row(self.chooser, *self.buttons)

    def _make_question(self) -> None:
        self.words = HTML()
        self.yes, self.no = Button(description="Yes, remove it"), Button(description="No, keep it")
        self.yes.on_click(self._panel.guarded(lambda _: self._remove()))
        self.no.on_click(self._panel.guarded(lambda _: show(self.question, False)))
        self.question = row(self.words, self.yes, self.no)
        show(self.question, False)

    @property
    def name(self) -> str:
        """The one that is chosen; "": there is none."""
        return str(self.chooser.value or "")

    # --- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        self.rows = read(self._router)
        self.table.value = _table(self.rows) if self.rows else _empty()
        names = tuple(r.name for r in self.rows)
        if names != self.chooser.options:
            kept = self.name if self.name in names else names[0] if names else None
            self.chooser.options = names
            self.chooser.value = kept
        self._chosen()

    def _chosen(self) -> None:
        names = [r.name for r in self.rows]
        place = names.index(self.name) if self.name in names else None
        for button in self.buttons:
            button.disabled = place is None
        self.up.disabled = place is None or place == 0
        self.down.disabled = place is None or place == len(names) - 1
        self.enable.description = "Disable" if place is None or self.rows[place].enabled else "Enable"
        if is_asked(self.words) != self.name:
            show(self.question, False)
        if self.tester.name != self.name:
            show(self.tester.result, False)

    def saved(self) -> tuple[str, str]:
        """The table as HTML and as text."""
        if not self.rows:
            return _empty(), EMPTY
        return _table(self.rows), text_table(CAPTION, HEADS, (cells(r, plain=True) for r in self.rows))

    # --- doing --------------------------------------------------------------------------------------------------

    def _enable(self) -> None:
        on = self.enable.description == "Enable"
        self._router.update_provider(self.name, enabled=on)
        self._panel.done(f"{self.name} is {'enabled' if on else 'disabled'}")

    def _move(self, by: int) -> None:
        names = self._router.provider_names()
        here = names.index(self.name)
        there = min(max(here + by, 0), len(names) - 1)
        names.insert(there, names.pop(here))
        self._router.order_providers(names)
        self._panel.done(f"{self.name} is number {there + 1} now")

    def _ask(self) -> None:
        also = escape(", ".join(mentions(self._router.settings, self.name)))
        told = f" It is also in {also}, and is taken out there." if also else ""
        words = f"Remove {self.name}?{told} It can be undone."
        self.words.value = f'<div class="hnb-body" role="alert" data-name="{self.name}">{words}</div>'
        self.yes.description = f"Yes, remove {self.name}"
        show(self.question)

    def _remove(self) -> None:
        name = is_asked(self.words) or self.name
        self._router.remove_provider(name, everywhere=True)
        show(self.question, False)
        self._panel.done(f"{name} was removed")


def is_asked(words: HTML) -> str:
    """Of which provider it is asked whether to remove it; its name has only letters, digits and . _ -."""
    return str(words.value).partition('data-name="')[2].partition('"')[0]


def read(router: Router) -> list[Row]:
    """The rows as they are now."""
    midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return provider_rows.rows(
        _plain(router.providers()),
        _plain(router.health(check=False)),
        _plain(router.costs(by="provider", since=midnight)),
        {item.name for item in router.settings.provider},
    )


def _plain(frame: Any) -> list[Mapping[str, Any]]:
    """The rows of a frame, with None for what is missing."""
    found: list[Mapping[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found


def _table(rows: list[Row]) -> str:
    return f'<div class="hnb-whole">{table(CAPTION, HEADS, map(cells, rows), NUMBERS)}</div>'


def _empty() -> str:
    return f'<div class="hnb-body"><p>{EMPTY}</p></div>'
