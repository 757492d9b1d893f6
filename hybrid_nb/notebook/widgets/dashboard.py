"""Dashboard: all panels of a router behind tabs; each is made when its tab is opened first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ipywidgets import Tab, VBox, Widget

import hybrid_nb
from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.widgets.configuration import ConfigPanel
from hybrid_nb.notebook.widgets.costs import CostTable
from hybrid_nb.notebook.widgets.health import HealthPanel
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.router import Router


class Place(NamedTuple):
    """A tab: its title, and the class of its panel or its public name."""

    title: str
    panel: Any
    rests: bool = True  # nothing goes on in it that its redraws carry


def places() -> list[Place]:
    """The tabs in order. What this installation does not have is left out."""
    from hybrid_nb.notebook.widgets.testing import TestPanel

    found = [
        Place("Providers", "ProviderManager", rests=False),
        Place("Chat", "ChatCell", rests=False),
        Place("Testing", TestPanel, rests=False),
        Place("Usage", CostTable),
        Place("Health", HealthPanel),
        Place("Configuration", ConfigPanel),
    ]
    return [place for place in found if not isinstance(place.panel, str) or hasattr(hybrid_nb, place.panel)]


class Dashboard(Panel):
    """Providers, chat, testing, usage, health and configuration of a router, one tab each.

    `tab` is the title of the open one, and can be set.

    >>> hnb.Dashboard(router, tab="Usage")      # doctest: +SKIP
    """

    topics = frozenset({"calls", "health", "config"})  # its saved form has what its panels show

    def __init__(self, router: Router | None = None, tab: str | None = None) -> None:
        self._places = places()
        self.panels: dict[str, Any] = {}  # those that were opened, by title
        self._open = self._places[0].title if tab is None else tab
        self._index(self._open)
        super().__init__(router)

    def compose(self) -> Sequence[Widget]:
        titles = tuple(place.title for place in self._places)
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
            index, before = self._index(title), self._places[self._index(self._open)]
            place, self._open = self._places[index], title
            if before.title in self.panels and before.rests:
                self.panels[before.title].rest()
            if title not in self.panels:
                kind = getattr(hybrid_nb, place.panel) if isinstance(place.panel, str) else place.panel
                self.panels[title] = kind(self.router)
                self.tabs.children[index].children = (self.panels[title],)
            elif place.rests:
                self.panels[title].awaken()
            self.changed()

    def _index(self, title: str) -> int:
        titles = [place.title for place in self._places]
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
