"""Adding a provider: its type first, then its form; local servers that run and are not configured are offered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from ipywidgets import HTML, Button, Dropdown, VBox

from hybrid_nb import setup
from hybrid_nb.core.provider import Provider
from hybrid_nb.discovery import discover
from hybrid_nb.notebook import forms
from hybrid_nb.notebook.widgets.providers.adding import ProviderForm, heading
from hybrid_nb.notebook.widgets.providers.host import Host
from hybrid_nb.notebook.widgets.providers.lines import replace_children, row
from hybrid_nb.portal import portal
from hybrid_nb.providers import vendors


def local_servers() -> list[Provider]:
    """The model servers that run on this machine."""
    return portal().run(discover([vendor for vendor in vendors() if vendor.ports], environ=os.environ))


def new_ones(found: Iterable[Provider], known: Iterable[str]) -> list[Provider]:
    """Those at addresses that no provider has."""
    taken = {address.strip().rstrip("/").replace("localhost", "127.0.0.1") for address in known}
    return [p for p in found if p.endpoints[0].base_url.rstrip("/") not in taken]


class Adding:
    """`look` finds local servers."""

    def __init__(self, panel: Host, look: Callable[[], Sequence[Provider]] = local_servers) -> None:
        self._panel, self._look = panel, look
        self.kind = Dropdown(
            options=[("Choose its type …", ""), *forms.kinds(vendors())],
            description="Type",
            layout={"width": "auto"},
        )
        self.kind.observe(lambda change: self._panel.guarded(lambda: self.choose(change["new"]))(), "value")
        self.look = Button(description="Look for local servers", tooltip="Ollama, LM Studio, llama.cpp on this machine")
        self.look.on_click(panel.guarded(lambda _: self.search()))
        self._looked = False
        self.form: ProviderForm | None = None
        self.place = VBox()
        self.offers = VBox()
        self.children = (row(self.kind, self.look), self.offers, self.place)

    def choose(self, kind: str) -> None:
        """Show the form of this type; "": none."""
        self.form = ProviderForm(self._panel, kind) if kind else None
        if self.form is None:
            replace_children(self.place)
            return
        cancel = Button(description="Cancel")
        cancel.on_click(self._panel.guarded(lambda _: self.clear()))
        replace_children(self.place, heading(self.form), self.form.box, row(self.form.main, cancel))

    def clear(self) -> None:
        """No form."""
        self.kind.value = ""

    def opened(self) -> None:
        """Somebody is about to add one: what runs here is offered, without a word where nothing does."""
        if not self._looked:
            self._looked = True
            self._panel.in_background(lambda: self.offer(self._look(), quiet=True))

    def search(self) -> None:
        """Look for local servers, and offer those that are new."""
        self._panel.in_background(lambda: self.offer(self._look()), "looking for local servers …")

    def offer(self, found: Sequence[Provider], quiet: bool = False) -> None:
        """Offer those of them that are not there yet."""
        known = ", ".join(self._panel.router.providers()["base_url"]).split(",")
        new = new_ones(found, known)
        told = "" if new or quiet else "No local server runs that is not in the list already."
        replace_children(self.offers, *(self._offer(p) for p in new), *([HTML(_line(told))] if told else []))
        if not quiet:
            self._panel.say("")

    def _offer(self, provider: Provider) -> Any:
        where = provider.endpoints[0].base_url
        models = f", {len(provider.models)} models" if provider.models else ""
        add = Button(description=f"Add {provider.vendor.title}", tooltip=where)
        add.on_click(self._panel.guarded(lambda _: self._take(provider)))
        return row(HTML(_line(f"Found {provider.vendor.title} at {where}{models}")), add)

    def _take(self, provider: Provider) -> None:
        name = forms.free_name(provider.vendor.type, self._panel.router.provider_names())
        self._panel.router.add_provider({**setup.as_settings(provider), "name": name})
        replace_children(self.offers)
        self._panel.provider_done(name, added=True)


def _line(text: str) -> str:
    return f'<div class="hnb-body">{escape(text)}</div>'
