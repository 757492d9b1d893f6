"""The form of a benchmark: models, prompts, scorers, how often, how many at once, and at most for how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ipywidgets import SelectMultiple, Textarea

from hybrid_nb.bench.scorers.named import BARE
from hybrid_nb.notebook import forms
from hybrid_nb.notebook.forms import Field
from hybrid_nb.notebook.widgets.benchmark.wanted import Wanted, typed
from hybrid_nb.notebook.widgets.panel import label
from hybrid_nb.notebook.widgets.providers.lines import Line, form, tell_all

SEVERAL = "Ctrl or Shift and a click choose several"
FIELDS = (
    Field("epochs", "Epochs", "how often each prompt is asked", "whole", 1),
    Field("concurrency", "At once", "calls under way together, over all models", "whole", 4),
    Field("max_cost", "Cost at most, $", "calls that might pass it are not asked; empty: no limit", "number"),
)
EXAMPLE = "What is 6 * 7? => 42"
NAMED = tuple(name for name in BARE if name != "unit_tests")  # which runs code, and is given from code


class Form:
    """Its lines by name: models, prompts (unless data are given), scorers, epochs, concurrency, max_cost."""

    def __init__(self, data: Any, scorers: Sequence[Any], settings: Mapping[str, Any]) -> None:
        self._data = data
        self._settings = dict(settings)
        self._scorers: dict[str, Any] = {name: name for name in NAMED} | {_name(each): each for each in scorers}
        self.lines: dict[str, Line] = {"models": _several("models", "Models", SEVERAL, ())}
        self.lines["scorers"] = _several("scorers", "Scorers", f"none: only times and costs; {SEVERAL}", self._scorers)
        self.lines["scorers"].input.value = tuple(_name(each) for each in scorers)
        if data is None:
            self.lines["prompts"] = _prompts()
        for each in FIELDS:
            self.lines[each.name] = Line(each)
            self.lines[each.name].show(self._settings.pop(each.name, None) or each.default)
        told = [] if data is None else [label(given(data))]
        self.children = (*told, form(self.lines.values()))

    @property
    def given(self) -> bool:
        """Whether the data came from code, and no prompts are typed."""
        return self._data is not None

    def on_change(self, work: Callable[[], None]) -> None:
        """Call this whenever something else stands in it."""
        for line in self.lines.values():
            line.on_change(work)

    def offer(self, names: Sequence[str], chosen: Sequence[str]) -> None:
        """The models that can be asked; those that are chosen stay so."""
        part = self.lines["models"].input
        if part.options != tuple(names):
            kept = part.value or chosen
            part.options = tuple(names)
            part.value = tuple(name for name in kept if name in names)

    def read(self) -> tuple[Wanted, dict[str, str]]:
        """What is asked for, and the lines in which something else than a value stands."""
        values, wrong = forms.values_of(FIELDS, {each.name: self.lines[each.name].value for each in FIELDS})
        known = {name: value for name, value in values.items() if value is not None}
        data = self._data if self._data is not None else typed(self.lines["prompts"].value)
        scorers = [self._scorers[name] for name in self.lines["scorers"].value]
        return Wanted(data, self.lines["models"].value, scorers, {**self._settings, **known}), wrong

    def tell(self, wrong: Mapping[str, str]) -> str:
        """Say each mistake at its line; returns what has no line."""
        return tell_all(self.lines, wrong)


def given(data: Any) -> str:
    """What the data are, in a line."""
    try:
        if isinstance(data, str):
            return f"The data: {data}."
        return f"The data given: {len(data):,} sample{'' if len(data) == 1 else 's'}."
    except TypeError:
        return f"The data given: {type(data).__name__}."


def _name(scorer: Any) -> str:
    return (
        scorer if isinstance(scorer, str) else str(getattr(scorer, "name", None) or getattr(scorer, "__name__", scorer))
    )


def _several(name: str, words: str, told: str, options: Any) -> Line:
    made = SelectMultiple(options=tuple(options), rows=6, description=words, layout={"width": "auto"})
    return Line(Field(name, words, told), made=made)


def _prompts() -> Line:
    told = "one a line; what is right may follow after =>"
    made = Textarea(
        description="Prompts", rows=6, placeholder=EXAMPLE, continuous_update=False, layout={"width": "auto"}
    )
    return Line(Field("prompts", "Prompts", told), wide=True, made=made)
