"""The chat on core ipywidgets, where anywidget is missing or its front end cannot load: the same intents, less comfort.

It shows the last turns; what is done to a turn is done to the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from threading import local
from typing import Any

import ipywidgets as w

from hybrid_nb.notebook.widgets.chat.news import News
from hybrid_nb.notebook.widgets.panel import flowing

MOST_TURNS = 30


def turn_html(turn: News) -> str:
    """A turn as HTML; `blocks` are safe already, all else is escaped."""
    text = "".join(turn["blocks"]) or f'<p style="white-space:pre-wrap">{escape(turn["text"])}</p>'
    names = [*(picture["label"] for picture in turn["pictures"]), *turn["tables"]]
    listed = "".join(f"<li>{escape(name)}</li>" for name in names)
    told = f'<p role="alert">{escape(turn["error"])} {escape(turn["advice"])}</p>' if turn["error"] else ""
    foot = " · ".join(part for part in (_versions(turn), turn["footer"]) if part)
    return (
        f'<article class="hnb-body"><strong>{escape(turn["who"])}</strong>{f"<ul>{listed}</ul>" if listed else ""}'
        f"{text}{told}<footer><small>{escape(foot)}</small></footer></article>"
    )


def _versions(turn: News) -> str:
    siblings = turn["siblings"]
    return f"version {siblings.index(turn['id']) + 1} of {len(siblings)}" if siblings else ""


class CoreView:
    """A FrontEnd."""

    def __init__(self) -> None:
        self._hear: Callable[[Any, Sequence[Any]], None] = lambda _, __: None
        self._turns: list[News] = []
        self._first = 0
        self._telling = local()  # whether this thread shows a message of the chat
        self._editing: int | None = None
        self._log = w.VBox(layout=w.Layout(max_height="480px", overflow="auto"))
        self._model = w.Dropdown(options=["auto"], description="Ask")
        self._system = w.Textarea(description="System", rows=2, continuous_update=False)
        self._box = w.Textarea(description="Message", rows=3, layout=w.Layout(width="98%"))
        self._variable = w.Text(description="DataFrame", placeholder="variable")
        self._upload = w.FileUpload(accept="image/*", multiple=True, description="Picture")
        self._line, self._said, self._total, self._file = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self._buttons = {name: w.Button(description=text) for name, text in self._labels().items()}
        self.widget = w.VBox(self._parts())
        self._wire()

    @staticmethod
    def _labels() -> dict[str, str]:
        return {
            "send": "Send", "stop": "Stop", "retry": "Retry", "edit": "Edit last", "back": "Previous version",
            "forth": "Next version", "undo": "Undo", "clear": "Clear", "attach": "Attach table",
            "markdown": "Export Markdown", "notebook": "Export notebook",
        }  # fmt: skip

    def _row(self, *names: str) -> w.HBox:
        return w.HBox([self._buttons[name] for name in names], layout=flowing())

    def _parts(self) -> list[Any]:
        attach = w.HBox([self._upload, self._variable, self._buttons["attach"]], layout=flowing())
        above = w.HBox([self._model, self._row("undo", "clear", "markdown", "notebook")], layout=flowing())
        below = self._row("send", "stop", "retry", "edit", "back", "forth")
        return [
            above,
            self._system,
            self._log,
            self._line,
            self._said,
            self._box,
            attach,
            below,
            self._total,
            self._file,
        ]

    def _wire(self) -> None:
        simple = ("stop", "retry", "undo", "clear")
        works: dict[str, Callable[[], None]] = {name: lambda name=name: self._ask(name) for name in simple}  # type: ignore[misc]  # bound now
        works |= {"send": self._send, "edit": self._edit, "attach": self._attach}
        works |= {"back": lambda: self._pick(-1), "forth": lambda: self._pick(1)}
        works |= {
            "markdown": lambda: self._ask("export", kind="markdown"),
            "notebook": lambda: self._ask("export", kind="notebook"),
        }
        for name, work in works.items():
            self._buttons[name].on_click(lambda _, work=work: work())
        self._model.observe(lambda change: self._ask("model", name=change["new"]), "value")
        self._system.observe(lambda change: self._ask("system", text=change["new"]), "value")
        self._upload.observe(lambda change: self._pictures(change["new"]), "value")

    # --- up ---

    def connect(self, hello: Sequence[News], hear: Callable[[Any, Sequence[Any]], None]) -> None:
        """Begin: with what is shown first, and who hears what the user wants."""
        for news in hello:
            self.tell(news)
        self._hear = hear

    def _ask(self, what: str, buffers: Sequence[Any] = (), **more: Any) -> None:
        if not getattr(self._telling, "now", False):  # a value that the chat sets is no wish of the user's
            self._hear({"ask": what, "n": 0, **more}, buffers)

    def _send(self) -> None:
        text, turn = self._box.value, self._editing
        self._box.value, self._editing = "", None
        self._buttons["send"].description = "Send"
        if turn is None:
            self._ask("send", text=text)
        else:
            self._ask("edit", turn=turn, text=text)

    def _edit(self) -> None:
        last = next((turn for turn in reversed(self._turns) if turn["role"] == "user"), None)
        if last is not None:
            self._box.value, self._editing = last["text"], last["id"]
            self._buttons["send"].description = "Send as a branch"

    def _pick(self, step: int) -> None:
        """The version before or after, of the last turn that has several."""
        turn = next((turn for turn in reversed(self._turns) if turn["siblings"]), None)
        place = turn["siblings"].index(turn["id"]) + step if turn is not None else -1
        if turn is not None and 0 <= place < len(turn["siblings"]):
            self._ask("pick", turn=turn["siblings"][place])

    def _attach(self) -> None:
        self._ask("attach", name=self._variable.value)
        self._variable.value = ""

    def _pictures(self, files: Sequence[Any]) -> None:
        for file in files:
            self._ask("picture", [file["content"]], name=file["name"])
        if files:
            self._upload.value = ()

    # --- down ---

    def tell(self, news: News) -> None:
        """A message of the chat. On any thread, one at a time."""
        work = getattr(self, f"_on_{news['do']}", None)
        if work is None:
            return
        self._telling.now = True
        try:
            work(news)
        finally:
            self._telling.now = False

    def _on_models(self, news: News) -> None:
        chosen = self._model.value
        self._model.options = ["auto", *dict.fromkeys(name for group in news["groups"] for name in group["names"])]
        self._model.value = chosen if chosen in self._model.options else "auto"

    def _on_turns(self, news: News) -> None:
        if "first" in news:
            self._turns, self._first = [], news["first"]
        kept = self._turns[: max(0, news["from"] - self._first)]
        if self._first + len(kept) != news["from"]:  # not what stands before these
            kept, self._first = [], news["from"]
        self._turns = [*kept, *news["turns"]]
        over = max(0, len(self._turns) - MOST_TURNS)
        self._turns, self._first = self._turns[over:], self._first + over
        shown = [w.HTML(turn_html(turn)) for turn in self._turns]
        note = [w.HTML(f"<em>{self._first:,} earlier turns are not shown</em>")] if self._first else []
        self._log.children = (*note, *shown)

    def _at(self, number: int) -> int | None:
        return next((place for place, turn in enumerate(self._turns) if turn["id"] == number), None)

    def _draw(self, place: int) -> None:
        self._log.children[place - len(self._turns)].value = turn_html(self._turns[place])

    def _on_turn(self, news: News) -> None:
        place = self._at(news["turn"]["id"])
        if place is not None:
            self._turns[place] = news["turn"]
            self._draw(place)

    def _on_text(self, news: News) -> None:
        place = self._at(news["turn"])
        if place is None:
            return
        blocks, fresh = self._turns[place]["blocks"], list(news["blocks"])
        if news["keep"] and fresh:
            kept = blocks[news["from"]].encode("utf-16-le")[: 2 * news["keep"]].decode("utf-16-le")
            fresh[0] = kept + fresh[0]
        blocks[news["from"] :] = fresh
        self._draw(place)

    def _on_state(self, news: News) -> None:
        busy = news["busy"]
        if busy:
            self._said.value = ""
        for name in ("send", "retry", "edit", "back", "forth", "undo", "clear"):
            self._buttons[name].disabled = busy
        self._buttons["stop"].disabled = not busy
        if news["model"] in self._model.options:
            self._model.value = news["model"]
        self._system.value = news["system"]
        attached = "".join(f" · with {escape(label)}" for label in news["attached"])
        self._total.value = f"{escape(news['total'])}{attached}"
        self._line.value = f'<div role="status">{escape(news["doing"] or "asking")} …</div>' if busy else ""

    def _on_say(self, news: News) -> None:
        role = "alert" if news["problem"] else "status"
        self._said.value = f'<div role="{role}">{escape(news["text"])}</div>' if news["text"] else ""

    def _on_refused(self, news: News) -> None:
        if news["ask"] in ("send", "edit") and not self._box.value:
            self._box.value = news["text"]

    def _on_file(self, news: News) -> None:
        from base64 import b64encode

        address = f"data:{news['type']};base64,{b64encode(news['text'].encode()).decode()}"
        name = escape(news["name"])
        self._file.value = f'<a download="{name}" href="{address}">Download {name}</a>'
