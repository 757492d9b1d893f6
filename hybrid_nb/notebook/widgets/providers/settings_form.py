"""The settings of a router: each line works as soon as it is changed; one that is wrong says so and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipywidgets import VBox

from hybrid_nb.core.config import BudgetSettings, CacheSettings, RouterSettings
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.notebook import forms, wording
from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers.lines import Line, form, title
from hybrid_nb.notebook.widgets.providers.rollouts import Rollouts

PARTS = (
    ("Routing", "router", RouterSettings, wording.ROUTING),
    ("Retries and time limits", "router", RouterSettings, wording.TIMES),
    ("Health", "router", RouterSettings, wording.HEALTH),
    ("Budget", "budget", BudgetSettings, wording.BUDGET),
    ("Cache", "cache", CacheSettings, wording.CACHE),
)


class SettingsForm:
    """`lines` by section and name: ("router", "retries")."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self.lines: dict[tuple[str, str], Line] = {}
        parts = []
        for words, section, model, told in PARTS:
            fields = forms.section_fields(model, told)
            parts.append(VBox([title(words), form([self._line(section, field) for field in fields])]))
        self.rollouts = Rollouts(panel)
        self.children = (*parts, *self.rollouts.children)

    def _line(self, section: str, field: forms.Field) -> Line:
        options = self._panel.router.model_names() or ("",) if field.name == "default_model" else ()
        line = self.lines[section, field.name] = Line(field, options)
        line.on_change(self._panel.guarded(lambda: self._set(section, line)))
        return line

    def refresh(self) -> None:
        """Show what is in force, but for lines that say what is wrong with what was typed there."""
        settings = self._panel.router.settings
        for (section, name), line in self.lines.items():
            if not line.told:
                line.show(getattr(getattr(settings, section), name))
        self.lines["router", "default_model"].input.options = tuple(self._panel.router.model_names())
        self.rollouts.refresh()

    def _set(self, section: str, line: Line) -> None:
        field = line.field
        values, wrong = forms.values_of([field], {field.name: line.value})
        if not wrong:
            try:
                self._configure(section, field, values[field.name])
            except ConfigError as error:
                wrong = forms.mistakes(error, [field.name])
        line.wrong("; ".join(wrong.values()))
        if wrong:
            self._panel.say(f"{field.label} stays as it was: {'; '.join(wrong.values())}", problem=True)
        else:
            self._panel.done(f"{field.label}: {self._in_force(section, field)}")

    def _configure(self, section: str, field: forms.Field, value: Any) -> None:
        value = field.default if value is None and not field.optional else value
        change: Mapping[str, Any] = {field.name: value} if section == "router" else {section: {field.name: value}}
        self._panel.router.configure(**change)

    def _in_force(self, section: str, field: forms.Field) -> str:
        value = getattr(getattr(self._panel.router.settings, section), field.name)
        words = {None: "none", True: "yes", False: "no", (): "all"}
        return words.get(value) or forms.to_text(field, value)
