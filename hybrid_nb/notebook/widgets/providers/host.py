"""The panel that forms of providers stand in, as they see it."""

from __future__ import annotations

from hybrid_nb.notebook.widgets.panel import Panel


class Host(Panel):
    """A panel that hears when a form has done its work."""

    def provider_done(self, name: str, added: bool, wrong_key: str = "") -> None:
        """A provider was added, or changed; `wrong_key` is what is wrong with the key that came with it."""
        raise NotImplementedError
