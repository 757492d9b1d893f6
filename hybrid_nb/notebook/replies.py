"""A reply that was already shown by the magic, so that the cell's own output does not repeat it."""

from __future__ import annotations

from typing import Any

from IPython.display import display

from hybrid_nb.core.types import Reply


class ShownReply(Reply):
    """Shows itself in later cells only."""

    def _ipython_display_(self) -> None:
        from IPython import get_ipython

        shell: Any = get_ipython()
        if shell is None or shell.execution_count != getattr(self, "shown_in", None):
            text = self._repr_markdown_()
            display({"text/markdown": text, "text/plain": repr(self)}, raw=True)


def as_shown(reply: Reply, execution_count: int) -> ShownReply:
    shown = ShownReply(**{name: getattr(reply, name) for name in Reply.__dataclass_fields__})
    object.__setattr__(shown, "shown_in", execution_count)
    return shown
