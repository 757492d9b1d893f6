"""ConfigPanel: the settings and the file of a configuration, without its providers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ipywidgets import HTML, VBox, Widget

from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.notebook.widgets.providers.filing import Exchange, FileBar
from hybrid_nb.notebook.widgets.providers.lines import SHEET, show
from hybrid_nb.notebook.widgets.providers.settings_form import SettingsForm
from hybrid_nb.notebook.widgets.style import paragraph


class ConfigPanel(Panel):
    """Settings that work as they are changed, undo, save, and the configuration as text to copy or to paste.

    No key is shown.
    """

    topics = frozenset({"config"})

    def compose(self) -> Sequence[Widget]:
        self.bar, self.settings, self.exchange = FileBar(self), SettingsForm(self), Exchange(self)
        sheet = HTML(f"<style>{SHEET}</style>")
        show(sheet, False)
        return (sheet, *self.bar.children, VBox(self.settings.children), VBox(self.exchange.children))

    def refresh(self, news: frozenset[str]) -> None:
        self.bar.refresh()
        self.settings.refresh()
        self.exchange.refresh()

    def saved(self) -> Saved:
        unsaved, toml = self.router.unsaved(), self.router.to_toml()
        facts = [f"File: {self.bar.path}", "Not saved: " + "; ".join(unsaved) if unsaved else "All changes are saved."]
        lines = "".join(paragraph(line) for line in facts)
        return Saved(f'{lines}<div class="hnb-body"><pre>{escape(toml)}</pre></div>', "\n".join([*facts, "", toml]))
