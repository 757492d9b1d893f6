"""Rollouts: which run, a way to end one, and a line to start another."""

from __future__ import annotations

from ipywidgets import HTML, Button, Dropdown

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.notebook import forms
from hybrid_nb.notebook.forms import Field
from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers.lines import Line, form, row, show, title
from hybrid_nb.notebook.widgets.style import table

SHARE = "0 to 100; a higher one later adds users and takes none out"
BY = (("user", "user"), ("notebook", "notebook"))
FIELDS = (
    Field("model", "Of those who ask for", "a group or model; *: no model", required=True),
    Field("to", "Send to", "provider/model", required=True),
    Field("percent", "Percent", SHARE, "number", required=True),
    Field("by", "By", "who stays on one side at every call", "choice", "user", choices=BY),
)
HEADS = ("Asked for", "Goes to", "Percent", "By")


class Rollouts:
    """Shown among the settings."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        names = tuple(panel.router.model_names()) or ("",)
        self.lines = {field.name: Line(field, names if field.name in ("model", "to") else ()) for field in FIELDS}
        self.start = Button(description="Start rollout")
        self.start.on_click(panel.guarded(lambda _: self._start()))
        self.running = HTML()
        self.chooser = Dropdown(description="Rollout", options=(), layout={"width": "auto"})
        self.end = Button(description="End it", tooltip="At once; calls under way are finished where they are")
        self.end.on_click(panel.guarded(lambda _: self._end()))
        self.ending = row(self.chooser, self.end)
        self.children = (title("Rollout"), self.running, self.ending, form(self.lines.values()), row(self.start))

    def refresh(self) -> None:
        running = self._panel.router.settings.rollout
        rows = [(name, r.to, f"{r.percent:g}", r.by) for name, r in running.items()]
        self.running.value = table("Rollouts that run", HEADS, rows, (2,)) if rows else ""
        show(self.ending, bool(rows))
        if tuple(running) != self.chooser.options:
            self.chooser.options = tuple(running)

    def _start(self) -> None:
        values, wrong = forms.values_of(FIELDS, {name: line.value for name, line in self.lines.items()})
        if not wrong:
            try:
                self._panel.router.rollout(values["model"], values["to"], float(values["percent"]), values["by"])
            except ConfigError as error:
                wrong = forms.mistakes(error, self.lines) if _at_fields(error) else {"to": str(error)}
        for name, line in self.lines.items():
            line.wrong(wrong.get(name, ""))
        if not wrong:
            self._panel.done(f"{values['percent']:g} % of those who ask for {values['model']} go to {values['to']}")

    def _end(self) -> None:
        name = self.chooser.value
        self._panel.router.rollback(name)
        self._panel.done(f"the rollout of {name} has ended")


def _at_fields(error: ConfigError) -> bool:
    return any(len(where) > 2 for where, _ in error.problems)
