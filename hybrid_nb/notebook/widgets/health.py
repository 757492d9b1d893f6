"""HealthPanel: how each provider is, or each model, and when it is next tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ipywidgets import Button, Checkbox, HBox, Widget

from hybrid_nb.notebook import vital_cells
from hybrid_nb.notebook.widgets.panel import Panel, Saved, flowing, live
from hybrid_nb.notebook.widgets.style import paragraph, table, text_table
from hybrid_nb.router import Router

COUNTING = 1.0  # seconds between redraws while a row counts down
AGEING = 10.0  # and otherwise, as the table tells how long ago things were
BYTES = 200_000  # a second that a table is redrawn with at most while calls end: each time it is sent whole


class HealthPanel(Panel):
    """Live status, latency, success, breaker and last error of each provider, or of each model with `by="model"`.

    Reading it asks nobody; "Check now" asks all providers at once, which costs nothing.

    >>> hnb.HealthPanel(router)                 # doctest: +SKIP
    """

    topics = frozenset({"calls", "health", "config"})

    def __init__(self, router: Router | None = None, by: str = "provider") -> None:
        self._rows: Sequence[vital_cells.Row] = ()
        self._first = by
        self._drawn_at = 0.0  # time.monotonic()
        super().__init__(router)

    def compose(self) -> Sequence[Widget]:
        self.check = Button(description="Check now", tooltip="Ask every provider for its models; costs nothing")
        self.models = Checkbox(value=self._first == "model", description="one row a model", indent=False)
        self.view = live()
        self.check.on_click(self.guarded(self._check))
        self.models.observe(self.guarded(lambda _: self.redraw(frozenset())), "value")
        return (HBox((self.check, self.models), layout=flowing()), self.view)

    @property
    def by(self) -> str:
        """ "provider" or "model"."""
        return "model" if self.models.value else "provider"

    @property
    def _caption(self) -> str:
        return f"Health of {len(self._rows)} {self.by}s"

    def refresh(self, news: frozenset[str]) -> None:
        wait = self._drawn_at + len(self.view.value) / BYTES - time.monotonic()
        if news == {"calls"} and wait > 0:
            self.again(wait)
            return
        self._drawn_at = time.monotonic()
        self._rows = self.router.health_rows(self.by)
        self.view.value = self._table([vital_cells.cells(row, time.time()) for row in self._rows])
        self.again(COUNTING if vital_cells.counts_down(self._rows) else AGEING)

    def _table(self, rows: Sequence[Sequence[Any]], scrolls: bool = False) -> str:
        if not self.router.provider_names():
            return paragraph(vital_cells.EMPTY)
        if not rows:
            return paragraph("No models are known yet: name some in a provider's models, or ask one.")
        return table(self._caption, vital_cells.heads(self.by), rows, vital_cells.numbers(self.by), scrolls)

    def _check(self, _: Button) -> None:
        self.check.disabled = True
        asked = len(self.router.provider_names())
        self.in_background(self._ask, f"Asking {asked} provider{'' if asked == 1 else 's'} …")

    def _ask(self) -> None:
        try:
            self.router.health()
            self.redraw(frozenset())
            self.say(vital_cells.result(self.router.health_rows()))
        finally:
            self.check.disabled = False

    def saved(self) -> Saved:
        heads = vital_cells.heads(self.by)
        html = self._table([vital_cells.marked(row) for row in self._rows], scrolls=True)
        if not self._rows:
            return Saved(html, vital_cells.EMPTY)
        return Saved(html, text_table(self._caption, heads, map(vital_cells.plain, self._rows)))
