"""Dashboard: all panels of a router behind tabs; each is made when its tab is opened first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ipywidgets import Tab, VBox, Widget

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.widgets.chat.cell import ChatCell
from hybrid_nb.notebook.widgets.configuration import ConfigPanel
from hybrid_nb.notebook.widgets.costs import CostTable
from hybrid_nb.notebook.widgets.health import HealthPanel
from hybrid_nb.notebook.widgets.opening import Source, opened
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.notebook.widgets.providers.manager import ProviderManager
from hybrid_nb.notebook.widgets.testing import TestPanel


class Place(NamedTuple):
    """A tab: its title, and the class of its panel."""

    title: str
    panel: type[Panel]
    rests: bool = True  # nothing goes on in it that its redraws carry


PLACES = (
    Place("Providers", ProviderManager, rests=False),
    Place("Chat", ChatCell, rests=False),
    Place("Testing", TestPanel, rests=False),
    Place("Usage", CostTable),
    Place("Health", HealthPanel),
    Place("Configuration", ConfigPanel),
)


class Dashboard(Panel):
    """Providers, chat, testing, usage, health and configuration of a router, one tab each.

    `router` is a Router, the path of a configuration file (one with mistakes too), or None: the default router. `tab`
    is the title of the open tab, and can be set.

    >>> hnb.Dashboard(router, tab="Usage")      # doctest: +SKIP
    """

    topics = frozenset({"calls", "health", "config"})  # its saved form has what its panels show

    def __init__(self, router: Source = None, tab: str | None = None) -> None:
        self.panels: dict[str, Any] = {}  # those that were opened, by title
        self._open = PLACES[0].title if tab is None else tab
        self._index(self._open)
        super().__init__(opened(router))

    def compose(self) -> Sequence[Widget]:
        titles = tuple(place.title for place in PLACES)
        self.tabs = Tab([VBox() for _ in titles], titles=titles, selected_index=self._index(self._open))
        self._turn(self._open)
        self.tabs.observe(self.guarded(lambda change: self._turn(titles[change["new"]])), "selected_index")
        return (self.tabs,)

    @property
    def tab(self) -> str:
        """The title of the open tab."""
        return self._open

    @tab.setter
    def tab(self, title: str) -> None:
        self.tabs.selected_index = self._index(title)

    @property
    def panel(self) -> Any:
        """The panel of the open tab."""
        return self.panels[self._open]

    def _turn(self, title: str) -> None:
        with self.lock:
            index, before = self._index(title), PLACES[self._index(self._open)]
            place, self._open = PLACES[index], title
            if before.title in self.panels and before.rests:
                self.panels[before.title].rest()
            if title not in self.panels:
                self.panels[title] = place.panel(self.router)
                self.tabs.children[index].children = (self.panels[title],)
            elif place.rests:
                self.panels[title].awaken()
            self.changed()

    def _index(self, title: str) -> int:
        titles = [place.title for place in PLACES]
        if title not in titles:
            raise OptionValueError(f"no tab {title!r}{nearest(title, titles)}; there are {', '.join(titles)}")
        return titles.index(title)

    def saved(self) -> Saved:
        """What was opened, one after the other."""
        forms = [(title, panel.saved()) for title, panel in self.panels.items()]
        html = "".join(f'<div class="hnb-body"><strong>{title}</strong></div>{form.html}' for title, form in forms)
        return Saved(html, "\n\n".join(f"{title}\n{form.text}" for title, form in forms))

    def close(self) -> None:
        """Take it and its panels from the page and from the news."""
        for panel in self.panels.values():
            panel.close()
        super().close()
