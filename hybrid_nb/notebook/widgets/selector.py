"""ProviderSelector: where a call goes - by itself, or to a place, a provider, a model - with health in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, ClassVar

from ipywidgets import HTML, Button, Dropdown, ToggleButtons, Widget
from traitlets import Unicode

from hybrid_nb.core.types import RoutePlan
from hybrid_nb.notebook.widgets.choices import Choice, Seen, explain, narrowed, places
from hybrid_nb.notebook.widgets.opening import Source, opened
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.notebook.widgets.providers.lines import SHEET, row, show
from hybrid_nb.notebook.widgets.style import dot, table, text_table

HEADS = ("Provider", "Model", "Where", "Status")
ANY = "any"


class ProviderSelector(Panel):
    """A widget to choose where calls go.

    `value` is the name to give as `model` (None: by itself), which can be observed; `options` the options of a call:

    >>> selector = hybrid_nb.ProviderSelector(router)        # doctest: +SKIP
    >>> router.chat("Say hi", **selector.options)            # doctest: +SKIP
    """

    topics: ClassVar[frozenset[str]] = frozenset({"health", "config"})
    value = Unicode(None, allow_none=True, help="the model to ask for, or None")

    def __init__(self, router: Source = None) -> None:
        self._seen: tuple[Seen, ...] = ()
        self._filling = False
        super().__init__(opened(router))

    def compose(self) -> Sequence[Widget]:
        self.where = ToggleButtons(options=places(()), value="auto", description="Where")
        self.provider = Dropdown(options=((ANY, ""),), description="Provider", layout={"width": "auto"})
        self.model = Dropdown(options=((ANY, ""),), description="Model", layout={"width": "auto"})
        for part in (self.where, self.provider, self.model):
            part.observe(lambda _: self.guarded(self._chosen)(), "value")
        self.words = HTML()
        self.make_default = Button(description="Make it the default", tooltip="For calls that name no model")
        self.make_default.on_click(self.guarded(lambda _: self._make_default()))
        self.no_default = Button(description="Default: back to auto")
        self.no_default.on_click(self.guarded(lambda _: self._no_default()))
        sheet = HTML(f"<style>{SHEET}{SELECTOR_SHEET}</style>")
        show(sheet, False)
        self.dropdowns = row(self.provider, self.model)
        return (sheet, self.where, self.dropdowns, self.words, row(self.make_default, self.no_default))

    # --- what is chosen -----------------------------------------------------------------------------------------

    @property
    def choice(self) -> Choice:
        """What is chosen, as it stands in the dropdowns."""
        return Choice(self.where.value, self.provider.value or "", self.model.value or "")

    @property
    def options(self) -> dict[str, Any]:
        """Options for `router.chat(prompt, **options)`: model, or tier, or none of them."""
        choice = self.choice
        if self.value is not None:
            return {"model": self.value}
        return {} if choice.where == "auto" else {"tier": choice.where}

    def choose(self, model: str | None) -> None:
        """Choose a "provider/model", or None: by itself. Raises KeyError for one that is not there."""
        found = None if model is None else next((s for s in self._seen if str(s) == model), None)
        if model is not None and found is None:
            raise KeyError(model)
        self._put(Choice("auto", "", "") if found is None else Choice(found.tier, found.provider, found.model))

    def _put(self, choice: Choice) -> None:
        """Show this choice, with what it leaves to be chosen."""
        self._filling = True
        try:
            _fill(self.where, places(self._seen, choice.where), choice.where)
            _fill(self.provider, [(ANY, ""), *narrowed(self._seen, choice.where)], choice.provider)
            _fill(self.model, [(ANY, ""), *narrowed(self._seen, choice.where, choice.provider)], choice.model)
        finally:
            self._filling = False
        show(self.dropdowns, choice.where != "auto")
        self.value = choice.target(self._seen)
        self._explain()

    def _chosen(self) -> None:
        if self._filling:
            return
        with self.lock:
            self._put(self.choice.within(self._seen))
            self.changed()

    # --- showing ------------------------------------------------------------------------------------------------

    def refresh(self, news: frozenset[str]) -> None:
        self._seen = seen(self.router)
        self._put(self.choice)

    def _explain(self) -> None:
        default = self.router.settings.router.default_model
        self.words.value = f'<div class="hnb-body" role="status">{self._html(default)}</div>'
        self.make_default.disabled = self.value is None or self.value == default
        show(self.no_default, default is not None)

    def _html(self, default: str | None) -> str:
        told = f"<p>{escape(self._sentence(default))}</p>"
        found = [s for s in self._seen if s.fits(self.choice)]
        rows = [(s.provider, s.model, s.place, dot(s.status)) for s in found]
        return told if self.choice.where == "auto" or not rows else told + table("What this leaves", HEADS, rows)

    def _sentence(self, default: str | None) -> str:
        choice = self.choice
        if choice.where == "auto":
            return explain(self._plan(), self.router.settings.router, default)
        return choice.sentence(self._seen, self.value)

    def _plan(self) -> RoutePlan:
        return self.router.plan("hi", model=self.router.settings.router.default_model)

    def saved(self) -> Saved:
        default = self.router.settings.router.default_model
        rows = [(s.provider, s.model, s.place, s.status) for s in self._seen if s.fits(self.choice)]
        caption = f"Selected: {self.value or self.choice.words}"
        told = self._sentence(default)
        html = table(caption, HEADS, [(*r[:3], dot(r[3])) for r in rows])
        return Saved(f"<p>{escape(told)}</p>{html}", f"{told}\n{text_table(caption, HEADS, rows)}")

    # --- doing --------------------------------------------------------------------------------------------------

    def _make_default(self) -> None:
        self.router.configure(default_model=self.value)
        self.say(f"calls that name no model go to {self.value}")
        self.redraw(frozenset({"config"}))

    def _no_default(self) -> None:
        self.router.configure(default_model=None)
        self.say("calls that name no model go where the strategy says")
        self.redraw(frozenset({"config"}))


def seen(router: Any) -> tuple[Seen, ...]:
    """Every model that can be chosen, in the order of preference, with its health in words."""
    health = router.health(check=False, by="model")
    status = {(p, m): s for p, m, s in zip(health["provider"], health["model"], health["status"], strict=True)}
    models = router.models()
    found = zip(models["provider"], models["model"], models["tier"], strict=True)
    return tuple(Seen(p, m, t, status.get((p, m), "unknown")) for p, m, t in found)


def _fill(part: Any, options: Iterable[tuple[str, str]], value: str) -> None:
    """Other options without losing the choice; one that is not there any more stays, and says so."""
    options = tuple(options)
    if value not in [v for _, v in options]:
        options = (*options, (f"{value} (not there now)", value))
    if tuple(part.options) != options:
        part.options = options
    if part.value != value:
        part.value = value


SELECTOR_SHEET = """
.hnb .widget-toggle-buttons { height: auto; flex-flow: row wrap; }
.hnb .widget-toggle-buttons .widget-label { width: auto; margin-right: 8px; }
.hnb .widget-toggle-button { width: auto; padding: 0 10px; }
.hnb .hnb-row > .widget-dropdown .widget-label { width: auto; margin-right: 8px; }
"""
