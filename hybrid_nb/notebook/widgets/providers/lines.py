"""The lines of a form: each an input with its label, its help and, when it is wrong, what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from ipywidgets import HTML, Box, Checkbox, Combobox, Dropdown, Text, Textarea, VBox, Widget

from hybrid_nb.notebook import forms
from hybrid_nb.notebook.forms import Field
from hybrid_nb.notebook.widgets import subshells
from hybrid_nb.notebook.widgets.panel import close_all
from hybrid_nb.notebook.widgets.style import LINE, PANE, TEXT, WRONG

SHEET = f"""
.hnb .hnb-form {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(240px, 100%), 1fr));
  gap: 8px 20px; overflow: visible; width: 100%; align-items: start; }}
.hnb .hnb-line {{ min-width: 0; max-width: 100%; overflow: visible; }}
.hnb .hnb-line.wide {{ grid-column: 1 / -1; width: 100%; }}
.hnb .hnb-line > .widget-inline-hbox {{ flex-flow: column nowrap; align-items: stretch; height: auto; width: auto;
  margin: 0; overflow: visible; }}
.hnb .hnb-line > * + .widget-inline-hbox, .hnb .hnb-line.wide {{ margin-top: 8px; }}
.hnb .hnb-line .widget-label {{ width: auto; text-align: left; margin: 0; height: auto; line-height: 1.5;
  font-weight: 600; }}
.hnb .hnb-line input:not([type=checkbox]), .hnb .hnb-line select, .hnb .hnb-line textarea {{
  box-sizing: border-box; width: 100%; flex: none; margin: 0; }}
.hnb .hnb-line .widget-dropdown > select {{ height: var(--jp-widgets-inline-height, 28px); }}
.hnb .hnb-line .widget-html, .hnb .hnb-line .widget-html-content {{ margin: 0; height: auto; min-height: 0; }}
.hnb-help {{ color: {TEXT}; font-size: 0.92em; line-height: 1.35; overflow-wrap: anywhere; }}
.hnb-wrong {{ color: {TEXT}; border-left: 3px solid {WRONG}; padding: 0 0 0 6px; line-height: 1.35; }}
.hnb .hnb-row {{ display: flex; flex-flow: row wrap; gap: 4px 6px; align-items: flex-end; overflow: visible;
  width: 100%; }}
.hnb .hnb-row > .jupyter-button {{ width: auto; min-width: 0; padding: 0 10px; margin: 2px 0; color: {TEXT};
  border: 1px solid {LINE}; }}
.hnb .hnb-row > .jupyter-button.hnb-main {{ font-weight: 600; border-width: 2px; }}
.hnb .hnb-row > .jupyter-button:disabled {{ opacity: 0.55; }}
.hnb .hnb-row > .jupyter-button.mod-active {{ font-weight: 600; }}
.hnb .hnb-row > .widget-inline-hbox {{ width: auto; max-width: 100%; }}
.hnb .hnb-row > .widget-inline-hbox .widget-label {{ width: auto; margin: 0 8px 0 2px; }}
.hnb .hnb-row .widget-html {{ margin: 2px 0; height: auto; }}
.hnb-whole td, .hnb-whole th {{ white-space: nowrap; }}
.hnb-whole tbody th {{ position: sticky; left: 0; background: var(--jp-layout-color0, {PANE}); }}
.hnb .hnb-pane {{ border-left: 3px solid {LINE}; padding: 2px 4px 6px 12px; margin: 4px 0 8px 2px; overflow: visible; }}
.hnb .hnb-pane > * {{ flex-shrink: 0; }}
.hnb-title {{ color: {TEXT}; font-weight: 600; font-size: 1.05em; margin: 6px 0 2px; }}
.hnb-body pre {{ color: inherit; background: none; margin: 4px 0; overflow-x: auto; }}
.hnb-body a, .hnb-help a {{ color: inherit; text-decoration: underline; }}
"""


class Line(VBox):
    """One field. `value` is what stands in it: a text, or what was chosen. `made`: its input, where that is special."""

    def __init__(
        self, field: Field, options: Iterable[str] = (), wide: bool = False, made: Widget | None = None
    ) -> None:
        self.field = field
        self._showing = False
        self.input = _input(field, options) if made is None else made
        self._told = HTML()
        self._told.layout.display = "none"
        help_ = HTML(f'<div class="hnb-help">{escape(field.help)}</div>') if field.help else None
        super().__init__([part for part in (self.input, help_, self._told) if part is not None])
        self.add_class("hnb-line")
        if wide or field.kind in ("prices", "contexts"):
            self.add_class("wide")

    @property
    def value(self) -> Any:
        return self.input.value

    def show(self, value: Any) -> None:
        """Put a value of the settings there."""
        chosen = self.field.kind in ("choice", "yes-no") and value is not None
        self._showing = True
        try:
            self.input.value = value if chosen else forms.to_text(self.field, value)
        finally:
            self._showing = False

    @property
    def told(self) -> str:
        """What is said to be wrong, as HTML; "": nothing."""
        return str(self._told.value)

    def wrong(self, told: str = "") -> None:
        """Say what is wrong here; nothing is."""
        self._told.value = f'<div class="hnb-wrong" role="alert">{escape(told)}</div>' if told else ""
        self._told.layout.display = "" if told else "none"

    def on_change(self, work: Callable[[], None]) -> None:
        """Call this whenever somebody put another value here."""

        def heard(_: Any) -> None:
            if not self._showing:
                work()

        self.input.observe(heard, "value")


def _input(field: Field, options: Iterable[str]) -> Widget:
    label = field.label + (" (needed)" if field.required else "")
    given: dict[str, Any] = {"description": label, "layout": {"width": "auto"}}
    if field.kind == "yes-no":
        return Checkbox(bool(field.default), indent=False, **given)
    if field.kind == "choice":
        return Dropdown(options=field.choices, value="" if field.default is None else field.default, **given)
    if field.kind in ("prices", "contexts"):
        return Textarea(continuous_update=False, rows=2, **given)
    if options:
        return Combobox(options=tuple(options), ensure_option=False, continuous_update=False, **given)
    return Text(continuous_update=False, **given)


def form(lines: Iterable[Widget]) -> Box:
    """Lines side by side as far as there is room."""
    box = Box(tuple(lines))
    box.add_class("hnb-form")
    return box


def row(*parts: Widget) -> Box:
    """Buttons and short texts in a row, or in several where it is narrow."""
    box = Box(parts)
    box.add_class("hnb-row")
    return box


def pane(*parts: Widget, shown: bool = False) -> VBox:
    """A part of a panel that is shown when it is needed."""
    box = VBox(parts)
    box.add_class("hnb-pane")
    show(box, shown)
    return box


def show(part: Widget, shown: bool = True) -> None:
    part.layout.display = "" if shown else "none"


def replace_children(box: Box, *parts: Widget) -> None:
    """Other parts in a box; those that were there are closed."""
    before, box.children = box.children, parts
    subshells.stay(box)
    for part in before:
        close_all(part)


def is_shown(part: Widget) -> bool:
    return bool(part.layout.display != "none")


def title(text: str) -> HTML:
    return HTML(f'<div class="hnb-title" role="heading" aria-level="3">{escape(text)}</div>')


def tell_all(lines: Mapping[str, Line], wrong: Mapping[str, str]) -> str:
    """Say each mistake at its line; returns what has no line here."""
    for name, line in lines.items():
        line.wrong(wrong.get(name, ""))
    return "; ".join(told for name, told in wrong.items() if name not in lines)
