"""ProviderManager: every provider of a router at a glance, and everything about them by clicking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import ClassVar

from ipywidgets import HTML, Button, ToggleButton, VBox, Widget

from hybrid_nb.notebook.widgets.opening import Source, opened
from hybrid_nb.notebook.widgets.panel import Saved
from hybrid_nb.notebook.widgets.providers.adding import ProviderForm, heading
from hybrid_nb.notebook.widgets.providers.filing import Exchange, FileBar
from hybrid_nb.notebook.widgets.providers.host import Host
from hybrid_nb.notebook.widgets.providers.lines import SHEET, is_shown, pane, replace_children, row, show
from hybrid_nb.notebook.widgets.providers.listing import ProviderList
from hybrid_nb.notebook.widgets.providers.mend import Mending, flaw_table
from hybrid_nb.notebook.widgets.providers.offers import Adding
from hybrid_nb.notebook.widgets.providers.settings_form import SettingsForm


class ProviderManager(Host):
    """A widget to see, add, test, change, order and remove providers, and to set how they are used.

    `router` is a Router, the path of a configuration file, or None: the default router. A file with mistakes opens
    with each at its line, and works with what is left. Every change works at once and can be undone; Save writes it.
    """

    topics: ClassVar[frozenset[str]] = frozenset({"calls", "health", "config"})
    every: ClassVar[float | None] = 60.0  # a day ends, and with it what was spent today

    def __init__(self, router: Source = None) -> None:
        super().__init__(opened(router))

    def compose(self) -> Sequence[Widget]:
        self.mending = Mending(self)
        self.list = ProviderList(self, self.edit, self.wrong_key)
        self.editor: ProviderForm | None = None
        self.editing = pane()
        self.bar = FileBar(self)
        self.adding = Adding(self)
        self.panes = {words: pane() for words in ("Add a provider", "Settings", "Import, export")}
        self.panes["Add a provider"].children = self.adding.children
        self.toggles = {words: self._toggle(words, part) for words, part in self.panes.items()}
        sheet = HTML(f"<style>{SHEET}</style>")
        show(sheet, False)
        top = (self.mending.box, *self.list.children, self.editing, *self.bar.children)
        return (sheet, *top, row(*self.toggles.values()), *self.panes.values())

    @cached_property
    def settings(self) -> SettingsForm:
        """Made when it is looked at: a browser takes long for hundreds of widgets."""
        return SettingsForm(self)

    @cached_property
    def exchange(self) -> Exchange:
        return Exchange(self)

    def _toggle(self, words: str, part: VBox) -> ToggleButton:
        made = ToggleButton(description=words)

        def turned(change: dict[str, bool]) -> None:
            show(part, change["new"])
            self.guarded(self._refresh_open)()
            if change["new"] and words == "Add a provider":
                self.guarded(self.adding.opened)()

        made.observe(turned, "value")
        return made

    # --- showing ------------------------------------------------------------------------------------------------

    def refresh(self, news: frozenset[str]) -> None:
        self.list.refresh()
        if news <= {"calls", "health", "clock"} and news:
            return
        if self.editor is not None and self.editor.name not in self.router.provider_names():
            self.close_editor()
        self.mending.refresh()
        self.bar.refresh()
        self._refresh_open()
        if not self.list.rows and not news:
            self.toggles["Add a provider"].value = True

    def _refresh_open(self) -> None:
        """The parts that are made and read only when they are looked at."""
        if is_shown(self.panes["Settings"]):
            self.settings.refresh()
            self._fill("Settings", self.settings.children)
        if is_shown(self.panes["Import, export"]):
            self.exchange.refresh()
            self._fill("Import, export", self.exchange.children)

    def _fill(self, words: str, parts: Sequence[Widget]) -> None:
        if not self.panes[words].children:
            replace_children(self.panes[words], *parts)

    def saved(self) -> Saved:
        html, text = self.list.saved()
        broken = self.router.broken
        if broken is not None:
            html = f'<div class="hnb-body"><p>{escape(str(broken))}</p></div>{flaw_table(broken.flaws)}{html}'
            text = f"{broken}\n\n{text}"
        return Saved(html, text)

    # --- editing ------------------------------------------------------------------------------------------------

    def edit(self, name: str, wrong_key: str = "") -> None:
        """Show the form of a provider that is there."""
        kind = next(row.kind for row in self.list.rows if row.name == name)
        self.editor = ProviderForm(self, kind, name)
        self.editor.wrong_key(wrong_key)
        cancel = Button(description="Cancel")
        cancel.on_click(self.guarded(lambda _: self.close_editor()))
        replace_children(self.editing, heading(self.editor), self.editor.box, row(self.editor.main, cancel))
        show(self.editing)

    def close_editor(self) -> None:
        """No form of a provider."""
        self.editor = None
        show(self.editing, False)
        replace_children(self.editing)

    def wrong_key(self, name: str, told: str) -> None:
        """What a test says of a provider's key, at the key's field; "": it is good, or was not tried."""
        if self.editor is not None and self.editor.name == name:
            self.editor.wrong_key(told)
        elif told:
            self.edit(name, told)

    def provider_done(self, name: str, added: bool, wrong_key: str = "") -> None:
        """A provider was added, or changed."""
        if added:
            self.adding.clear()
        else:
            self.close_editor()
        self.done(f"{name} is {'added' if added else 'changed'}; press Test to see whether it works")
        self.list.chooser.value = name
        if wrong_key:
            self.edit(name, wrong_key)
