"""The configuration's file: what is not saved yet, undo, save, and what to do when somebody else has changed it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import quote

from ipywidgets import HTML, Button, FileUpload, VBox

from hybrid_nb.core.config import parse, user_file
from hybrid_nb.core.errors import ConfigConflictError, ConfigError
from hybrid_nb.notebook.widgets.panel import Panel
from hybrid_nb.notebook.widgets.providers.lines import pane, row, show, title
from hybrid_nb.notebook.widgets.providers.toml_text import TomlText
from hybrid_nb.notebook.widgets.unlogged import unlogged

MOST = 2**20  # bytes of an uploaded file


class FileBar:
    """Undo and save, with what is not saved yet; it is always shown."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._router = panel, panel.router
        self.undo = self._button("Undo", self._undo, "Take the last change back")
        self.save = self._button("Save", self._save, "")
        self.unsaved = HTML()
        self.take = self._button("Take theirs", self._take, "What is not saved is lost; undo brings it back")
        self.overwrite = self._button("Write mine", lambda: self._write(True), "Their changes are lost")
        self.theirs = HTML()
        answers = row(self.take, self.overwrite)
        self.conflict = pane(title("The file was changed by somebody else"), self.theirs, answers)
        self.children = (row(self.undo, self.save), self.unsaved, self.conflict)

    def _button(self, text: str, work: object, tooltip: str) -> Button:
        made = Button(description=text, tooltip=tooltip)
        made.on_click(self._panel.guarded(lambda _: work()))  # type: ignore[operator]
        return made

    @property
    def path(self) -> Path:
        return self._router.path or user_file()

    def refresh(self) -> None:
        last, changes = self._router.undoable, self._router.unsaved()
        self.undo.description = f"Undo: {last}" if last else "Undo"
        self.undo.disabled = last is None
        self.save.tooltip = f"To {self.path}"
        self.save.disabled = self._router.broken is not None and self._router.broken.text is not None
        self.unsaved.value = self._words(changes)

    def _words(self, changes: list[str]) -> str:
        where = escape(str(self.path))
        if not changes and self._router.path is None:
            return f'<div class="hnb-help">This came from no file; Save writes it to {where}.</div>'
        if not changes:
            return f'<div class="hnb-help">File: {where}. All changes are saved.</div>'
        many = f"{len(changes)} unsaved change{'s' if len(changes) > 1 else ''}"
        items = "".join(f"<li>{escape(change)}</li>" for change in changes)
        return (
            f'<div class="hnb-help"><details><summary>{many}; Save writes {"them" if len(changes) > 1 else "it"} to '
            f"{where}</summary><ul>{items}</ul></details></div>"
        )

    def _undo(self) -> None:
        what = self._router.undo()
        kept = "; the key stays where it is kept" if what.startswith("key of ") else ""
        self._panel.done(f"taken back: {what}{kept}")

    def _save(self) -> None:
        self._write(False)

    def _write(self, overwrite: bool) -> None:
        try:
            path = self._router.save(overwrite=overwrite)
        except ConfigConflictError as conflict:
            self.theirs.value = _list("Their changes:", conflict.changes)
            show(self.conflict)
            raise
        show(self.conflict, False)
        self._panel.done(f"saved to {path}")

    def _take(self) -> None:
        changes = self._router.reload()
        show(self.conflict, False)
        self._panel.done(f"theirs are in force: {'; '.join(changes) or 'nothing differs'}")


class Exchange:
    """Reload, import and export."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._router = panel, panel.router
        self.reload = Button(description="Reload the file", tooltip="What is not saved is lost; undo brings it back")
        self.reload.on_click(panel.guarded(lambda _: self._reload()))
        self.upload = FileUpload(accept=".toml", description="Choose a file", layout={"width": "auto"})
        unlogged(self.upload)
        self.upload.observe(lambda change: self._uploaded(change["new"]), "value")
        self.text = TomlText(description="TOML to import", rows=6, layout={"width": "auto"})
        self.use = Button(description="Use it", tooltip="At once, in place of what is in force; it can be undone")
        self.use.on_click(panel.guarded(lambda _: self._use()))
        self.exported = TomlText(description="TOML to copy", rows=8, disabled=False, layout={"width": "auto"})
        self.link = HTML()
        self.children = (
            row(self.reload),
            title("Import"), _wide(self.text), row(self.use, self.upload),
            title("Export"), _wide(self.exported), self.link,
        )  # fmt: skip

    def refresh(self) -> None:
        text = self._router.to_toml()
        self.exported.load(text)
        link = f"data:text/plain;charset=utf-8,{quote(text)}"
        self.link.value = (
            '<div class="hnb-body">Keys are left out; where they are kept is in it. '
            f'<a href="{link}" download="hybrid_nb.toml">Download hybrid_nb.toml</a></div>'
        )

    def _reload(self) -> None:
        changes = self._router.reload()
        self._panel.done(f"read again: {'; '.join(changes) or 'nothing has changed'}")

    def _uploaded(self, files: tuple[dict[str, object], ...]) -> None:
        if not files:
            return
        content = bytes(files[0]["content"])  # type: ignore[call-overload]
        self.upload.value = ()  # it may hold a key
        self._panel.guarded(lambda: self._read(content))()

    def _read(self, content: bytes) -> None:
        if len(content) > MOST:
            raise ConfigError(f"the file is larger than {MOST // 1024} KiB; choose a configuration in TOML")
        try:
            self.text.load(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ConfigError("the file is no text in UTF-8; choose a configuration in TOML") from None
        self._panel.say("Look at it, then press “Use it”.")

    def _use(self) -> None:
        if not self.text.value.strip():
            raise ConfigError("there is nothing to import: paste TOML into the field, or choose a file")
        self._router.take(parse(self.text.whole(), "the text"))
        self.text.load("")
        self._panel.done("the imported configuration is in force, and the ledger stays; Undo takes it back")


def _wide(part: TomlText) -> VBox:
    box = VBox([part])
    box.add_class("hnb-line")
    box.add_class("wide")
    return box


def _list(words: str, items: tuple[str, ...]) -> str:
    shown = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<div class="hnb-body">{words}<ul>{shown}</ul></div>'
