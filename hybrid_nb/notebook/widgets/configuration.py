"""ConfigPanel: the configuration in force as TOML, what of it is not in the file, and saving it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ipywidgets import Button, HBox, Widget

from hybrid_nb.core.errors import ConfigConflictError
from hybrid_nb.notebook.widgets.panel import Panel, Saved, flowing, live
from hybrid_nb.notebook.widgets.style import paragraph

CHANGES = 10  # lines of what is not saved


class ConfigPanel(Panel):
    """Read the configuration, save it to its file, take what the file says now, undo changes. No key is shown."""

    topics = frozenset({"config"})

    def compose(self) -> Sequence[Widget]:
        self.save = Button(description="Save", tooltip="Write it to its file; comments there are kept")
        self.overwrite = Button(
            description="Save over theirs", tooltip="Write it, and lose what others wrote meanwhile"
        )
        self.reload = Button(description="Reload", tooltip="Take what the file says now; Undo takes that back")
        self.undo = Button(description="Undo", tooltip="Take the last change back")
        for button, work in (
            (self.save, self._save), (self.overwrite, self._overwrite), (self.reload, self._reload),
            (self.undo, self._undo),
        ):  # fmt: skip
            button.on_click(self.guarded(_without_button(work)))
        self.overwrite.layout.display = "none"
        self.facts, self.view = live(), live()
        buttons = HBox((self.save, self.overwrite, self.reload, self.undo), layout=flowing())
        self.view.layout.max_height = "400px"
        return (self.facts, buttons, self.view)

    def refresh(self, news: frozenset[str]) -> None:
        self.facts.value = "".join(paragraph(line) for line in self._facts())
        self.view.value = f'<div class="hnb-body"><pre>{escape(self.router.to_toml())}</pre></div>'
        self.undo.disabled = self.router.undoable is None

    def _facts(self) -> list[str]:
        where, unsaved = self.router.path, self.router.unsaved()
        origin = (
            f"File: {where.absolute()}" if where else "It came from no file; Save writes it to the user's own file."
        )
        if not unsaved:
            return [origin, *self._last(), "Everything is saved." if where else "Nothing was changed."]
        more = [f"and {len(unsaved) - CHANGES} more"] if len(unsaved) > CHANGES else []
        return [origin, *self._last(), "Not saved: " + "; ".join([*unsaved[:CHANGES], *more])]

    def _last(self) -> list[str]:
        return [f"Undo takes back: {self.router.undoable}"] if self.router.undoable else []

    def _save(self) -> None:
        try:
            self._saved_to(self.router.save())
        except ConfigConflictError:
            self.overwrite.layout.display = None
            raise

    def _overwrite(self) -> None:
        self._saved_to(self.router.save(overwrite=True))

    def _saved_to(self, path: Any) -> None:
        self.overwrite.layout.display = "none"
        self.redraw(frozenset())
        self.say(f"Saved to {path}.")

    def _reload(self) -> None:
        changes = self.router.reload()
        self.overwrite.layout.display = "none"
        self.redraw(frozenset())
        self.say(f"Reloaded: {'; '.join(changes[:CHANGES])}." if changes else "The file says what is in force.")

    def _undo(self) -> None:
        what = self.router.undo()
        self.redraw(frozenset())
        self.say(f"Taken back: {what}.")

    def saved(self) -> Saved:
        facts, toml = self._facts(), self.router.to_toml()
        lines = "".join(paragraph(line) for line in facts)
        return Saved(f'{lines}<div class="hnb-body"><pre>{escape(toml)}</pre></div>', "\n".join([*facts, "", toml]))


def _without_button(work: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _: work()
