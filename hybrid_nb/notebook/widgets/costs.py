"""CostTable: what was spent, by anything, as it is spent; budgets; and the DataFrame behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ipywidgets import HTML, Button, Checkbox, Combobox, DatePicker, Dropdown, HBox, Text, Widget

from hybrid_nb import frames
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.ledger.costs import GROUPS
from hybrid_nb.notebook import spending
from hybrid_nb.notebook.widgets.panel import Panel, Saved, flowing, live
from hybrid_nb.notebook.widgets.style import paragraph, table, text_table
from hybrid_nb.notebook.words import calls, dollars, duration
from hybrid_nb.router import Router

if TYPE_CHECKING:
    import pandas as pd

NAME = "llm_costs"
SHOWN = 50  # rows; the others are in the DataFrame
FAST = 0.1  # seconds of a query up to which it may hold up the other panels
SOON = 0.25  # seconds until it looks again while it is still reading
LARGEST = 10_000_000  # characters of links that hold a table
EMPTY = "No calls yet: ask something, and what it costs is here."


class CostTable(Panel):
    """Calls, tokens and dollars by any of provider, model, tier, day, month, status, cost_source and "tag:NAME".

    Args:
        router: whose ledger; all notebooks that share it are in the table.
        by: the groups at first.
        since: one of "all time", "today", "7 days" and "this month", at first.

    Days and months are in UTC. `frame` is the whole table as a DataFrame; the button puts it into `llm_costs`.

    >>> hnb.CostTable(router, by=("day", "tag:project"), since="this month")     # doctest: +SKIP
    """

    topics = frozenset({"calls", "config"})
    renewed: ClassVar[float] = 60.0  # seconds until it looks for what other processes spent

    def __init__(
        self, router: Router | None = None, by: Sequence[str] = ("provider", "model"), since: str = "all time"
    ) -> None:
        if isinstance(by, str):
            by = (by,)
        for name in by:
            if name not in GROUPS and not name.startswith("tag:"):
                raise OptionValueError(f"by: no group {name!r}; there are {', '.join(GROUPS)} and tag:NAME")
        if since not in spending.SINCE[:-1]:
            raise OptionValueError(f"since: one of {', '.join(spending.SINCE[:-1])}, not {since!r}")
        self._first = (tuple(by), since)
        self._rows: list[spending.Sum] = []
        self._budget: list[dict[str, Any]] = []
        self._queried: tuple[str, ...] = ()  # the groups of _rows
        self._took, self._read_at = 0.0, 0.0  # seconds; time.monotonic()
        self._reading = False
        self._setting = False  # several controls are being set
        super().__init__(router)

    # --- controls -----------------------------------------------------------------------------------------------

    def compose(self) -> Sequence[Widget]:
        by, since = self._first
        self.groups = {
            name: Checkbox(value=name in by, description=name.replace("_", " "), indent=False) for name in GROUPS
        }
        tags = [name[4:] for name in by if name.startswith("tag:")]
        self.tag = Combobox(
            value=tags[0] if tags else "", description="tag", placeholder="project", ensure_option=False
        )
        self.since = Dropdown(options=spending.SINCE, value=since, description="since")
        self.date = DatePicker(description="from")
        self.filter = Text(description="filter", placeholder="words in any group")
        self.sort = Dropdown(options=list(spending.FIGURES), value="cost", description="sort by")
        self.direction = Dropdown(options=("high to low", "low to high"), description="order")
        self.bars, self.view, self.links = live(), live(), HTML()
        for control in (*self.groups.values(), self.tag, self.since, self.date):
            control.observe(self.guarded(lambda _: self._ask()), "value")
        for control in (self.filter, self.sort, self.direction):
            control.observe(self.guarded(lambda _: self._draw_table()), "value")
        for box in self.groups.values():
            box.layout.width = "auto"
        return (*self._layout(), self.bars, self.view, self.links)

    def _layout(self) -> Sequence[Widget]:
        self.to_frame = Button(description="DataFrame", tooltip=f"Put the whole table into the variable {NAME}")
        self.export = Button(description="Markdown, CSV", tooltip="Links that save the whole table as a file")
        self.to_frame.on_click(self.guarded(lambda _: self._hand_over()))
        self.export.on_click(self.guarded(lambda _: self._export()))
        boxes = HBox((HTML("by"), *self.groups.values()), layout=flowing())
        rows = ((self.tag, self.since, self.date), (self.filter, self.sort, self.direction))
        buttons = HBox((self.to_frame, self.export), layout=flowing())
        return (boxes, *(HBox(row, layout=flowing()) for row in rows), buttons)

    @property
    def by(self) -> tuple[str, ...]:
        """The groups that are chosen."""
        tag = self.tag.value.strip()
        return (*(name for name, box in self.groups.items() if box.value), *([f"tag:{tag}"] if tag else []))

    @by.setter
    def by(self, names: Sequence[str]) -> None:
        with self.lock:
            self._setting = True
            for name, box in self.groups.items():
                box.value = name in names
            self.tag.value = next((name[4:] for name in names if name.startswith("tag:")), "")
            self._setting = False
            self._ask()

    # --- reading ------------------------------------------------------------------------------------------------

    def refresh(self, news: frozenset[str]) -> None:
        wait = self._read_at + spending.wait_after(self._took) - time.monotonic()
        if not news or (wait <= 0 and not self._reading):
            self._read_aside() if news and self._took > FAST else self._read()
            wait = self.renewed
        self.again(max(wait, SOON))

    def _ask(self) -> None:
        """The user wants to see something else: now."""
        if self._setting:
            return
        self.date.layout.display = None if self.since.value == "a date" else "none"
        with self.lock:
            self._read()
            self.changed()

    def _read_aside(self) -> None:
        """A slow query, for which the other panels do not wait."""
        self._reading = True

        def read() -> None:
            try:
                self._read()
                with self.lock:
                    self.changed()
            finally:
                self._reading = False

        self.in_background(read)

    def _read(self) -> None:
        by, since = self.by, self._since()
        started = self._read_at = time.monotonic()
        rows = spending.sums(self.router.cost_rows(by, since), len(by))
        budget, tags = self.router.budget_rows(), self.router.tag_names()
        with self.lock:
            self._read_at = time.monotonic()
            self._took = self._read_at - started
            if by == self.by:  # the user may have chosen others meanwhile
                self._rows, self._queried, self._budget = rows, by, budget
                self.tag.options = tuple(tags)
                self._draw()

    def _since(self) -> float | None:
        return spending.since_of(self.since.value, self.date.value, time.time())

    # --- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        columns = (*self._queried, *spending.FIGURES)
        if self.sort.options != columns:
            chosen = self.sort.value if self.sort.value in columns else "cost"
            self.sort.options = columns
            self.sort.value = chosen
        self.date.layout.display = None if self.since.value == "a date" else "none"
        self.bars.value = self._bars()
        self._draw_table()

    def _bars(self) -> str:
        return spending.bars(self._budget, self.router.settings.budget.alert_at, time.time())

    def _draw_table(self) -> None:
        with self.lock:
            self.view.value = self._table(scrolls=False)

    def chosen(self) -> list[spending.Sum]:
        """The rows that match the filter, in order."""
        rows = spending.filtered(self._rows, self.filter.value)
        return spending.ordered(rows, self._queried, self.sort.value, self.direction.value == "high to low")

    def _notes(self, rows: Sequence[spending.Sum]) -> list[str]:
        wait = spending.wait_after(self._took)
        slow = f"The last look at the ledger took {self._took:.1f} s; the next is in {duration(wait)} at the earliest."
        notes = [spending.left_out(len(self._rows), len(rows), min(len(rows), SHOWN)), slow if wait > 2 else ""]
        return [note for note in notes if note]

    def _caption(self, rows: Sequence[spending.Sum]) -> str:
        whole = spending.total(rows)
        saved = f", {dollars(whole.saved_usd)} saved by answers that were kept" if whole.saved_usd else ""
        by = f" by {', '.join(self._queried)}" if self._queried else ""
        when = f" since {self.date.value}" if self.since.value == "a date" else f", {self.since.value}"
        return f"Spending{by}{when}: {spending.cost(whole)} for {calls(whole.calls)}{saved}"

    def _table(self, scrolls: bool) -> str:
        rows = self.chosen()
        notes = "".join(paragraph(note) for note in self._notes(rows))
        if not self._rows:
            return paragraph(EMPTY)
        if not rows:
            return notes
        groups = max(1, len(self._queried))
        figures = range(groups, groups + len(spending.COLUMNS))
        foot = spending.foot(rows, groups) if self._queried else None
        html = table(self._caption(rows), self._heads(), self._cells(rows), figures, scrolls=scrolls, foot=foot)
        return html + notes

    def _heads(self) -> tuple[str, ...]:
        return spending.heads(self._queried)

    def _cells(self, rows: Sequence[spending.Sum]) -> list[list[Any]]:
        return [["all"] * (not self._queried) + spending.cells(row) for row in rows[:SHOWN]]

    def saved(self) -> Saved:
        rows, alert, now = self.chosen(), self.router.settings.budget.alert_at, time.time()
        words = [spending.budget(row, alert, now) for row in self._budget]
        text = text_table(self._caption(rows), self._heads(), self._cells(rows)) if rows else EMPTY
        left = spending.left_out(len(self._rows), len(rows), min(len(rows), SHOWN))
        return Saved(self._bars() + self._table(scrolls=True), "\n".join([*words, text, *([left] if left else [])]))

    # --- handing over -------------------------------------------------------------------------------------------

    @property
    def frame(self) -> pd.DataFrame:
        """The whole table, with the filter and in the order of the widget, in the columns of router.costs()."""
        with self.lock:
            return frames.costs([(*row.groups, *row[1:]) for row in self.chosen()], self._queried)

    def _hand_over(self) -> None:
        from IPython import get_ipython

        shell: Any = get_ipython()
        found = self.frame
        if shell is None:
            self.say("There is no notebook here: read the `frame` of this CostTable.", problem=True)
            return
        shell.user_ns[NAME] = found
        self.say(f"{NAME} is a DataFrame of {len(found)} rows and {len(found.columns)} columns now.")

    def _export(self) -> None:
        with self.lock:
            rows, by = self.chosen(), self._queried
        links = spending.links(NAME, by, rows)
        if len(links) > LARGEST:
            self.say(
                f"{len(rows):,} rows are too many for a link: use DataFrame, and {NAME}.to_csv(...).", problem=True
            )
            return
        self.links.value = links
        self.say("The links above save the table as it is now.")
