"""TestPanel: one prompt to many models at once, and a provider's connection in three steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ipywidgets import Button, Dropdown, HBox, Layout, SelectMultiple, Textarea, Widget

from hybrid_nb.compare import HEADINGS, Comparison
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.trials import HEADS, Trials
from hybrid_nb.notebook.widgets.panel import Panel, Saved, flowing, label, live
from hybrid_nb.notebook.widgets.style import Raw, dot, table, text_table
from hybrid_nb.notebook.words import latency
from hybrid_nb.router import Router

PROMPT = "Say in one sentence what you are good at."
DRAW = 0.25  # seconds between redraws while answers come
FIGURES = range(1, len(HEADINGS) - 1)
STEPS = ("step", "result", "detail", "time")


class TestPanel(Panel):
    """Ask several models the same at once and see times, tokens and cost; test a provider's address, key and model.

    `comparison` is the result of the last run, as router.compare() gives it.
    """

    __test__ = False  # pytest collects names like this one
    topics = frozenset({"config"})

    def __init__(self, router: Router | None = None) -> None:
        self._trials: Trials | None = None
        self.comparison: Comparison | None = None
        self.tested = ""  # the provider whose connection was tested
        self.steps: list[dict[str, Any]] = []
        super().__init__(router)

    def compose(self) -> Sequence[Widget]:
        wide = Layout(width="100%", max_width="700px")
        self.prompt = Textarea(value=PROMPT, description="prompt", rows=2, layout=wide)
        self.models = SelectMultiple(description="models", rows=6, layout=wide)
        self.run = Button(description="Run", button_style="primary", tooltip="Ask all chosen models at once")
        self.stop = Button(description="Stop", disabled=True, tooltip="End the calls under way")
        self.provider = Dropdown(description="provider")
        self.connect = Button(description="Test connection", tooltip="Address, key, and a prompt of a few tokens")
        self.view, self.step_view = live(), live()
        self.run.on_click(self.guarded(lambda _: self._run()))
        self.stop.on_click(self.guarded(lambda _: self._stop()))
        self.connect.on_click(self.guarded(lambda _: self._connect()))
        return (
            self.prompt, self.models, HBox((self.run, self.stop), layout=flowing()), self.view,
            label("Test a provider: is it there, is its key good, does a model answer? May cost a fraction of a cent."),
            HBox((self.provider, self.connect), layout=flowing()), self.step_view,
        )  # fmt: skip

    # --- a prompt to many ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        prompt, names = self.prompt.value.strip(), self.models.value
        if not prompt:
            raise OptionValueError("write a prompt first")
        if not names:
            raise OptionValueError("choose at least one model (Ctrl or Shift and a click choose several)")
        with self.lock:
            self._trials, self.comparison = Trials(prompt, names, time.monotonic()), None
            for trial in self._trials.all:
                trial.start(self.router, prompt)
            self._draw()

    def _stop(self) -> None:
        with self.lock:
            if self._trials is not None:
                self._trials.stop()
                self._draw()

    def _draw(self) -> None:
        """Read what has come and show it; again soon while anything is under way."""
        if self._trials is None:
            return
        now = time.monotonic()
        self._trials.look(now)
        running = self._trials.running > 0
        self.run.disabled, self.stop.disabled = running, not running
        if running:
            self.again(DRAW)
        elif self.comparison is None:
            self.comparison = self._trials.comparison
            self.say("Done: the whole answers are in this panel's `comparison`.")
        self.view.value = table(self._trials.caption(), HEADS, self._trials.cells(now), FIGURES, scrolls=False)

    def refresh(self, news: frozenset[str]) -> None:
        names = [name for name in self.router.model_names() if "/" in name]
        if self.models.options != tuple(names):
            chosen = self.models.value or names[:1]
            self.models.options = names
            self.models.value = [name for name in chosen if name in names]
        providers = tuple(self.router.provider_names())
        if self.provider.options != providers:
            chosen = self.provider.value
            self.provider.options = providers
            self.provider.value = chosen if chosen in providers else next(iter(providers), None)
        self.connect.disabled = self.connect.disabled or not providers
        self._draw()

    # --- a connection -------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        name = self.provider.value
        if name is None:
            raise OptionValueError("there is no provider to test; add one first")
        self.tested, self.steps, self.connect.disabled = name, [], True
        self._draw_steps()
        self.in_background(lambda: asyncio.run(self._follow(name)), f"Testing {name} …")

    async def _follow(self, name: str) -> None:
        try:
            async for step in self.router.test_steps(name):
                self.steps.append(step)
                self._draw_steps()
            good = all(step["ok"] for step in self.steps)
            self.say(f"{name}: " + ("all three steps went well." if good else _problem(self.steps)), problem=not good)
        finally:
            self.connect.disabled = False

    def _draw_steps(self) -> None:
        with self.lock:
            self.step_view.value = table(f"Connection of {self.tested}", STEPS, self._step_rows(), (3,), scrolls=False)
            self.changed()

    def _step_rows(self, marks: bool = True) -> list[list[Any]]:
        done = [[s["step"], _outcome(s), s["detail"] or "", latency(s["seconds"]) or ""] for s in self.steps]
        if marks:
            done = [[name, _mark(word), *rest] for name, word, *rest in done]
        rest = ("connection", "key", "model")[len(done) :]
        return done + [[name, "…", "", ""] for name in rest]

    def saved(self) -> Saved:
        parts, texts = [], []
        if self._trials is not None:
            now = time.monotonic()
            parts.append(table(self._trials.caption(), HEADS, self._trials.cells(now), FIGURES))
            texts.append(text_table(self._trials.caption(), HEADS, self._trials.plain(now)))
        if self.steps:
            caption = f"Connection of {self.tested}"
            parts.append(table(caption, STEPS, self._step_rows(), (3,)))
            texts.append(text_table(caption, STEPS, self._step_rows(marks=False)))
        return Saved("".join(parts), "\n\n".join(texts) or "No model was tested yet.")

    def close(self) -> None:
        """Take it from the page, and end what it asked."""
        if self._trials is not None:
            self._trials.stop()
        super().close()


def _outcome(step: dict[str, Any]) -> str:
    return "ok" if step["ok"] else "not tried" if step["detail"] == "not tried" else "failed"


def _mark(word: str) -> Raw:
    return dot(word)


def _problem(steps: Sequence[dict[str, Any]]) -> str:
    failed = next(step for step in steps if not step["ok"] and step["detail"] != "not tried")
    return f"{failed['step']}: {failed['detail']}"
