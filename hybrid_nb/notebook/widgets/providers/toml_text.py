"""A text of a configuration in a widget: keys in it are marks there, and kept aside."""

from __future__ import annotations

from typing import Any

from ipywidgets import Textarea
from traitlets import Unicode

from hybrid_nb.core.masking import mask, unmask
from hybrid_nb.notebook.widgets.unlogged import unlogged


class TomlText(Textarea):
    """What is typed or pasted is not sent back as it came; a key in it is a mark as soon as it arrives."""

    value = Unicode("", help="the text, with marks for keys").tag(sync=True, echo_update=False)

    def __init__(self, **given: Any) -> None:
        self._kept: dict[str, str] = {}
        super().__init__(continuous_update=False, **given)
        unlogged(self)
        self.observe(self._mask, "value")

    def _mask(self, change: dict[str, str]) -> None:
        whole = unmask(change["new"], self._kept)
        masked = mask(whole)
        self._kept = dict(masked.secrets)
        if masked.text != change["new"]:
            self.value = masked.text

    def load(self, text: str) -> None:
        """Put a text there."""
        masked = mask(text)
        self._kept = dict(masked.secrets)
        self.value = masked.text

    def whole(self) -> str:
        """The text with its keys."""
        return unmask(self.value, self._kept)
