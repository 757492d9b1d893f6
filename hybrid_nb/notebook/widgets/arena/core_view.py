"""The arena on core ipywidgets, where anywidget is missing or its front end cannot load: buttons, and no keys."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from hybrid_nb.notebook.widgets.arena.page import Page
from hybrid_nb.notebook.widgets.panel import flowing, live
from hybrid_nb.notebook.widgets.style import bar

LABELS = {"left": "Left is better", "tie": "Tie", "right": "Right is better", "skip": "Skip"}
GO = {"ready": "Start", "voted": "Next pair", "resting": "Go on", "halted": "Go on", "over": "Go on"}


class CoreView:
    """Shows a page; the same wishes as the front end of its own."""

    def __init__(self) -> None:
        self._hear: Callable[[Any], None] = lambda _: None
        self._page: Page = {}
        self.progress, self.prompt, self.told, self.table = w.HTML(), w.HTML(), w.HTML(), live()
        self.sides = (live(), live())
        for side in self.sides:
            side.layout = w.Layout(flex="1 1 280px", min_width="0", max_height="480px", overflow="auto")
        self.choices = {name: w.Button(description=text) for name, text in LABELS.items()}
        self.go, self.rest = w.Button(description="Start", button_style="primary"), w.Button(description="Ranking")
        self.own = w.Textarea(description="Prompt", placeholder="A prompt of your own", layout={"width": "98%"})
        self.ask = w.Button(description="Ask it")
        self.widget = w.VBox(self._parts())
        self._wire()

    def _parts(self) -> list[Any]:
        buttons = (*self.choices.values(), self.go, self.rest)
        return [
            self.progress, self.prompt, w.HBox(self.sides, layout=flowing()), w.HBox(buttons, layout=flowing()),
            self.told, self.table, self.own, self.ask,
        ]  # fmt: skip

    def _wire(self) -> None:
        for name in ("left", "tie", "right"):
            self.choices[name].on_click(lambda _, name=name: self._vote(name))
        self.choices["skip"].on_click(lambda _: self._hear({"ask": "skip", "number": self._page.get("number")}))
        self.go.on_click(lambda _: self._hear({"ask": "next"}))
        self.rest.on_click(lambda _: self._hear({"ask": "rest"}))
        self.ask.on_click(lambda _: self._own())

    def _vote(self, choice: str) -> None:
        self._hear({"ask": "vote", "choice": choice, "number": self._page.get("number")})

    def _own(self) -> None:
        text, self.own.value = self.own.value, ""
        self._hear({"ask": "own", "text": text})

    def connect(self, hear: Callable[[Any], None]) -> None:
        """Who hears what the user wants."""
        self._hear = hear

    def tell(self, page: Page) -> None:
        """Show this. On any thread."""
        self._page = page
        phase = page["phase"]
        self.progress.value = f'<div class="hnb-body">{bar(page["share"], page["progress"])}</div>'
        prompt = f'<p style="white-space:pre-wrap"><strong>Prompt:</strong> {escape(page["prompt"])}</p>'
        self.prompt.value = f'<div class="hnb-body">{prompt}</div>' if page["prompt"] else ""
        for place, side in enumerate(self.sides):
            side.value = self._side(page, place)
        role = "alert" if page["problem"] else "status"
        self.told.value = f'<div class="hnb-body" role="{role}" aria-live="polite">{escape(page["told"])}</div>'
        self.table.value = page["table"]
        for name, button in self.choices.items():
            button.disabled = phase != "open" and not (name == "skip" and phase == "asking")
        self.go.description, self.go.disabled = GO.get(phase, "Next pair"), phase in ("asking", "open")
        self.rest.disabled = phase not in ("open", "asking", "voted")

    def _side(self, page: Page, place: int) -> str:
        name, key = (("Left", "left"), ("Right", "right"))[place]
        if not page[key]:
            return ""
        who = f": {escape(page['names'][place])}" if page["names"] else ""
        note = f"<footer><small>{escape(page['notes'][place])}</small></footer>" if page["notes"] else ""
        return f'<article class="hnb-body"><strong>{name}{who}</strong>{"".join(page[key])}{note}</article>'
