"""A provider's form: to add one from a template, or to edit one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ipywidgets import HTML, Button, SelectMultiple, ToggleButton, VBox

from hybrid_nb import keys
from hybrid_nb.core.config import validate
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Vendor
from hybrid_nb.notebook import forms
from hybrid_nb.notebook.widgets.providers.host import Host
from hybrid_nb.notebook.widgets.providers.key import KeyEntry, key_words
from hybrid_nb.notebook.widgets.providers.lines import Line, form, pane, row, show, tell_all, title
from hybrid_nb.providers import vendor

MANY = 8  # rows of the list of models


class Unfit(Exception):  # noqa: N818 - a signal inside this module
    """What stands in a form is not fit to be used, and it says why."""


class ProviderForm:
    """The lines of one kind of provider; with `name` those of a provider that is there already.

    Nothing that was typed is lost by a mistake. A key for a provider that is not there yet waits as a Key, which
    shows nothing of itself.
    """

    def __init__(self, panel: Host, kind: str, name: str | None = None) -> None:
        self._panel, self._router, self.name = panel, panel.router, name
        self.vendor: Vendor = vendor(kind)
        left_out = {"name" if name else "", "base_url" if self._several() else ""}
        self._fields = [f for f in forms.provider_fields(self.vendor) if f.name not in left_out]
        self.lines = {field.name: Line(field, wide=field.name == "models") for field in self._fields}
        self.key = KeyEntry(self._keyed, panel.tell)
        self.key.of(self.vendor)
        self._waiting: keys.Key | None = None
        self.trouble = ""  # with the key of one that was added
        self._make_models()
        self._make_more()
        self.main = Button(description="Apply changes" if name else "Add", tooltip="It works at once")
        self.main.add_class("hnb-main")
        self.main.on_click(panel.guarded(lambda _: self.submit()))
        several = self._several()
        told = f"It has {several} addresses, each with its key; they are changed in the file." if several else ""
        self.told = HTML(f'<div class="hnb-help">{told}</div>' if told else "")
        first = [line for field, line in self.lines.items() if not line.field.more and field != "models"]
        self.box = VBox([form([*first, self.key]), self.models, self.more_box, self.told])
        self._fill()

    def _several(self) -> int:
        """How many addresses it has, where they stand one by one in the file; 0: it has one."""
        return next((len(item.endpoints) for item in self._router.settings.provider if item.name == self.name), 0)

    # --- parts --------------------------------------------------------------------------------------------------

    def _make_models(self) -> None:
        self.find = Button(description="Find models", tooltip="Ask the server which it has; this costs nothing")
        self.find.on_click(self._panel.guarded(lambda _: self._find()))
        self.found = SelectMultiple(description="On the server", options=(), rows=MANY, layout={"width": "auto"})
        self.found.observe(lambda _: self._choose(), "value")
        note = HTML('<div class="hnb-help">Several with Ctrl or Shift; they go into Models.</div>')
        self.found_box = VBox([self.found, note])
        self.found_box.add_class("hnb-line")
        show(self.found_box, False)
        self.models = VBox([self.lines["models"], row(self.find), self.found_box])

    def _make_more(self) -> None:
        lines = [line for line in self.lines.values() if line.field.more]
        self.more = ToggleButton(description="More", tooltip="Priority, limits, prices, context")
        self.more_pane = pane(form(lines))
        self.more.observe(lambda change: show(self.more_pane, change["new"]), "value")
        self.more_box = VBox([row(self.more), self.more_pane])

    # --- filling ------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if self.name is None:
            self.lines["name"].show(forms.free_name(self.vendor.type, self._router.provider_names()))
            self.lines["tier"].show(self.vendor.tier)
            if self.vendor.base_url and not self.lines["base_url"].field.more:
                self.lines["base_url"].show(self.vendor.base_url)
            self._say_key("")
            return
        for field, value in self._present().items():
            if field in self.lines and value not in (None, {}, ()):
                self.lines[field].show(value)
        self._say_key("")

    def _present(self) -> dict[str, Any]:
        """What is set for the provider now; of one that was found, what it would be."""
        item = next((item for item in self._router.settings.provider if item.name == self.name), None)
        if item is not None:
            return {"tier": self.vendor.tier, **item.model_dump(exclude_unset=True)}
        found = self._router.providers().set_index("provider").loc[str(self.name)]
        return {"base_url": found["base_url"], "tier": found["tier"]}

    def _say_key(self, told: str) -> None:
        self.key.wrong(told)
        if self.name is None:
            self.key.state("typed, and kept when you press Add" if self._waiting else "not set")
            return
        rows = self._router.providers().set_index("provider")
        self.key.state(key_words(rows["key"].get(self.name, "missing")))

    def wrong_key(self, told: str) -> None:
        """Say at the key's field what the server, or the test, has said of it."""
        self._say_key(told)

    # --- doing --------------------------------------------------------------------------------------------------

    def _keyed(self, key: keys.Key) -> None:
        """A key was typed in: kept at once for a provider that is there, else when it is added."""
        if self.name is None:
            self._waiting = key
        else:
            self._router.set_key(self.name, key, self.key.place.value)
            self._panel.done(f"the key of {self.name} is kept; press Test to see whether it is good")
        self._say_key("")

    def values(self) -> dict[str, Any]:
        """What stands in the form. Raises Unfit, and says each mistake at its field."""
        given = {name: line.value for name, line in self.lines.items()}
        values, wrong = forms.values_of(self._fields, given)
        wrong |= {name: told for name, told in self._settings_say(values).items() if name not in wrong}
        rest = tell_all(self.lines, wrong)
        if wrong:
            if any(self.lines[name].field.more for name in wrong if name in self.lines):
                self.more.value = True
            raise Unfit(rest or f"look at {', '.join(self._labels(wrong))}; nothing was changed")
        return values

    def _labels(self, names: Iterable[str]) -> list[str]:
        return [self.lines[name].field.label for name in names if name in self.lines]

    def _settings_say(self, values: dict[str, Any]) -> dict[str, str]:
        """What the settings would say to these values, each for itself, so that all mistakes are told at once."""
        item = {"name": self.name or "x", "type": self.vendor.type, **_given(values)}
        taken = self.name is None and values.get("name") in self._router.provider_names()
        found = {"name": "there is a provider of this name; choose another"} if taken else {}
        try:
            validate({"provider": [item]}, "the form")
        except ConfigError as error:
            return {**forms.mistakes(error, self.lines), **found}
        return found

    def submit(self) -> None:
        """Add it, or change it, at once."""
        try:
            values = self.values()
            name = self._change(values) if self.name else self._add(values)
        except Unfit as error:
            self._panel.say(str(error), problem=True)
            return
        except ConfigError as error:
            tell_all(self.lines, forms.mistakes(error, self.lines))
            raise
        self._panel.provider_done(name, added=self.name is None, wrong_key=self.trouble)

    def _add(self, values: dict[str, Any]) -> str:
        self._router.add_provider({"type": self.vendor.type, **_given(values)})
        name = str(values["name"])
        if self._waiting is not None:
            try:
                self._router.set_key(name, self._waiting, self.key.place.value)
            except ConfigError as error:
                self.trouble = str(error)
            self._waiting = None
        return name

    def _change(self, values: dict[str, Any]) -> str:
        before = self._present()
        changes = {f.name: values[f.name] for f in self._fields if not _same(f, values[f.name], before.get(f.name))}
        if changes:
            self._router.update_provider(str(self.name), **changes)
        return str(self.name)

    def _find(self) -> None:
        asked: Any = self.name
        if asked is None:
            address = self.lines["base_url"]
            address.wrong("this is needed" if address.field.required and not address.value.strip() else "")
            if address.told:
                return
            url = address.value.strip() or None
            asked = _given({"name": "x", "type": self.vendor.type, "base_url": url})
        self._panel.in_background(lambda: self._list(asked), "asking the server for its models …")

    def _list(self, asked: Any) -> None:
        names = sorted(self._router.listed_models(asked, self._waiting))
        self.found.options = tuple(names)
        self.found.description = f"On the server ({len(names)})"
        show(self.found_box, bool(names))
        self._panel.say(f"{len(names)} models found" if names else "the server lists no model")

    def _choose(self) -> None:
        if self.found.value:
            self.lines["models"].show(list(self.found.value))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _same(field: forms.Field, value: Any, before: Any) -> bool:
    if field.kind == "choice":
        return bool(value == before)
    return forms.to_text(field, value) == forms.to_text(field, before)


def heading(form_: ProviderForm) -> HTML:
    words = f"Edit {form_.name} ({form_.vendor.title})" if form_.name else f"Add {form_.vendor.title}"
    return title(words)
