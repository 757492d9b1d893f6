"""TestPanel: one prompt to many models at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ipywidgets import Button, HBox, Layout, SelectMultiple, Textarea, Widget

from hybrid_nb.compare import HEADINGS, Comparison
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.trials import HEADS, Trials
from hybrid_nb.notebook.widgets.panel import Panel, Saved, flowing, live
from hybrid_nb.notebook.widgets.style import paragraph, table, text_table
from hybrid_nb.router import Router

PROMPT = "Say in one sentence what you are good at."
DRAW = 0.25  # seconds between redraws while answers come
FIGURES = range(1, len(HEADINGS) - 1)
NOTHING = "No model was tested yet."


class TestPanel(Panel):
    """Ask several models the same at once and see times, tokens and cost.

    `comparison` is the result of the last run, as router.compare() gives it.
    """

    __test__ = False  # pytest collects names like this one
    topics = frozenset({"config"})

    def __init__(self, router: Router | None = None) -> None:
        self._trials: Trials | None = None
        self.comparison: Comparison | None = None
        super().__init__(router)

    def compose(self) -> Sequence[Widget]:
        wide = Layout(width="100%", max_width="700px")
        self.prompt = Textarea(value=PROMPT, description="prompt", rows=2, layout=wide)
        self.models = SelectMultiple(description="models", rows=6, layout=wide)
        self.run = Button(description="Run", button_style="primary", tooltip="Ask all chosen models at once")
        self.stop = Button(description="Stop", disabled=True, tooltip="End the calls under way")
        self.view = live()
        self.run.on_click(self.guarded(lambda _: self._run()))
        self.stop.on_click(self.guarded(lambda _: self._stop()))
        return (self.prompt, self.models, HBox((self.run, self.stop), layout=flowing()), self.view)

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
        self._draw()

    def saved(self) -> Saved:
        if self._trials is None:
            return Saved(paragraph(NOTHING), NOTHING)
        caption, now = self._trials.caption(), time.monotonic()
        html = table(caption, HEADS, self._trials.cells(now), FIGURES)
        return Saved(html, text_table(caption, HEADS, self._trials.plain(now)))

    def close(self) -> None:
        """Take it from the page, and end what it asked."""
        if self._trials is not None:
            self._trials.stop()
        super().close()
