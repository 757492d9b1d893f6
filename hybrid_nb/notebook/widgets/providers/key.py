"""Where a key is typed in: it is emptied in the moment in which it is read, and only "set" or "not set" is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape

from ipywidgets import HTML, Dropdown, Password, VBox
from traitlets import Unicode

from hybrid_nb import keys
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Vendor
from hybrid_nb.notebook.widgets.unlogged import unlogged

KEPT = (("the system's keyring, for good", "keyring"), ("this kernel, until it ends", "environment"))
NO_KEYRING = "pip install 'hybrid-nb[keyring]' keeps keys for good, where the system has a keyring"


class Secret(Password):
    """A password field that keeps nothing: what arrives is not sent back, and emptied by who reads it."""

    value = Unicode("", help="emptied when it is read").tag(sync=True, echo_update=False)


class KeyEntry(VBox):
    """A key's field, where it is kept, and whether it is set. `heard` is called with the key, `tell` with an
    error that is not the key's.
    """

    def __init__(self, heard: Callable[[keys.Key], None], tell: Callable[[BaseException], None]) -> None:
        self._heard, self._tell = heard, tell
        self.typed = Secret(description="Key", continuous_update=False, layout={"width": "auto"})
        unlogged(self.typed)
        known = keys.has_keyring()
        self.place = Dropdown(options=KEPT if known else KEPT[1:], description="Keep it in", layout={"width": "auto"})
        self._state, self._told = HTML(), HTML()
        self._told.layout.display = "none"
        self._help = HTML()
        note = HTML("" if known else f'<div class="hnb-help">{NO_KEYRING}</div>')
        super().__init__([self.typed, self._state, self._told, self._help, self.place, note])
        self.add_class("hnb-line")
        self.typed.observe(self._read, "value")

    def _read(self, change: dict[str, str]) -> None:
        given = change["new"]
        if not given:
            return
        self.typed.value = ""
        try:
            self._heard(keys.taken(given, os.environ))
        except ConfigError as error:
            self.wrong(str(error))
        except Exception as error:
            self._tell(error)

    def of(self, vendor: Vendor) -> None:
        """Say what a key of this kind of provider is."""
        told = [] if vendor.key_required else ["only if the server asks for one"]
        if vendor.key_url:
            url = escape(vendor.key_url)
            told.append(f'get one at <a href="{url}" target="_blank" rel="noopener">{url}</a>')
        if vendor.key_env:
            told.append(f"or set {escape(' or '.join(vendor.key_env))} before the kernel starts")
        self._help.value = f'<div class="hnb-help">{"; ".join(told)}</div>'

    def state(self, words: str) -> None:
        """Say whether it is set, and where: "set (keyring:openai)"."""
        self._state.value = f'<div class="hnb-body" role="status">Key: {escape(words)}</div>'

    @property
    def shown(self) -> str:
        """Everything that it says, as HTML."""
        return f"{self._state.value} {self._told.value} {self._help.value}"

    def wrong(self, told: str = "") -> None:
        """Say what is wrong with the key; nothing is."""
        self._told.value = f'<div class="hnb-wrong" role="alert">{escape(told)}</div>' if told else ""
        self._told.layout.display = "" if told else "none"


def key_words(source: str) -> str:
    """What a row of router.providers() says of a key, as "set (where)", "not set" or "not needed"."""
    words = {"missing": "not set", "not needed": "not needed", "config": "set (in the configuration)"}
    return words.get(source, f"set ({source})")
