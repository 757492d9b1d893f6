"""BenchmarkPanel: what router.benchmark() does, from a form: estimate, start, progress, stop, and the result."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from ipywidgets import HTML, Button, Dropdown, Widget

from hybrid_nb.bench.results import Run
from hybrid_nb.bench.traffic import bar
from hybrid_nb.bench.traffic.job import Job
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.notebook.widgets.benchmark import result
from hybrid_nb.notebook.widgets.benchmark.form import Form
from hybrid_nb.notebook.widgets.benchmark.wanted import Look, Wanted, known_models, look, look_at_data
from hybrid_nb.notebook.widgets.opening import Source, opened
from hybrid_nb.notebook.widgets.panel import Panel, Saved, live
from hybrid_nb.notebook.widgets.providers.lines import SHEET, row, show
from hybrid_nb.notebook.widgets.style import bar as share_bar
from hybrid_nb.notebook.widgets.style import paragraph

DRAW = 0.25  # seconds between redraws while it runs
NOTHING = "No benchmark was run yet."


class BenchmarkPanel(Panel):
    """A benchmark from a form. Nothing is asked before Start; what it may cost stands there before.

    Args:
        router: that asks (None: the default one), or the path of a configuration.
        data: as for router.benchmark(); None: prompts are typed, one a line, with what is right after "=>".
        models, scorers: chosen at first. Scorers and functions given here can be chosen by their names.
        settings: others of router.benchmark(), as max_cost, save, max_tokens, warmup, allow_code.

    `run` is the last Run (None: none has ended), `job` the one under way. What a run is stopped with is kept.

    >>> panel = hnb.BenchmarkPanel(router, data, scorers=["exact"], max_cost=0.10)     # doctest: +SKIP
    >>> panel.run.summary()                                                          # doctest: +SKIP
    """

    topics: ClassVar[frozenset[str]] = frozenset({"config"})

    def __init__(
        self,
        router: Source = None,
        data: Any = None,
        *,
        models: Sequence[str] = (),
        scorers: Sequence[Any] = (),
        **settings: Any,
    ) -> None:
        late("scipy", "benchmark")
        if isinstance(models, str) or isinstance(scorers, str):
            raise OptionValueError("models and scorers are lists of names")
        self._given = (many(data), tuple(scorers), settings)
        asker = opened(router)
        self._chosen = known_models(asker, models)
        self.job: Job | None = None
        self.run: Run | None = None
        self._look: Look | None = None
        self._looks = 0
        self._result: result.Shown | None = None
        self._shown: Run | None = None  # whose result was drawn, or could not be
        super().__init__(asker)

    def compose(self) -> Sequence[Widget]:
        self.form = Form(*self._given)
        self.form.on_change(self.guarded(self._changed_form))
        self.estimate, self.progress, self.view = HTML(), HTML(), live()
        self.start = Button(description="Start", tooltip="Ask every model every prompt")
        self.start.add_class("hnb-main")
        self.stop = Button(description="Stop", disabled=True, tooltip="End it; what is finished is kept")
        self.kind = Dropdown(options=result.PICTURES, description="Picture")
        self.start.on_click(self.guarded(lambda _: self._start()))
        self.stop.on_click(self.guarded(lambda _: self._stop()))
        self.kind.observe(self.guarded(lambda _: self._draw_result()), "value")
        self._pictures = row(self.kind)
        show(self._pictures, False)
        sheet = HTML(f"<style>{SHEET}</style>")
        show(sheet, False)
        buttons = row(self.start, self.stop)
        return (sheet, *self.form.children, self.estimate, buttons, self.progress, self._pictures, self.view)

    def refresh(self, news: frozenset[str]) -> None:
        groups = {*self.router.settings.group, *self._chosen}
        self.form.offer([name for name in self.router.model_names() if "/" in name or name in groups], self._chosen)
        if not news:
            self._changed_form()
        if self.job is not None:
            self._follow(self.job)

    # --- before it begins ---------------------------------------------------------------------------------------

    def _changed_form(self) -> None:
        """Look at what stands there now, aside: data may be long. Only what was typed wrong is said at once."""
        wanted, wrong = self.form.read()
        self._looks += 1
        number = self._looks
        self.form.tell(wrong)
        if wrong or (not self.form.given and not len(wanted.data)):
            self._show_look(None)
            return
        seen = look if wanted.models else look_at_data
        self.in_background(lambda: self._looked(number, seen(self.router, wanted)))

    def _looked(self, number: int, found: Look) -> None:
        with self.lock:
            if number == self._looks:
                self._show_look(found)

    def _show_look(self, found: Look | None) -> None:
        self._look = found
        text = f"Choose models{'' if self.form.given else ' and write prompts'} to see what it may cost."
        if found is not None and (found.wrong or found.size is not None):
            left = self.form.tell(found.wrong)
            text = left or ("; ".join(found.wrong.values()) and "There is a mistake above.")
            if found.size is not None:
                text = " ".join([f"This is {bar.line(found.size)}.", *found.notes])
        self.estimate.value = f'<div class="hnb-body" role="status">{paragraph(text)}</div>'
        self.changed()

    def _checked(self) -> Wanted:
        """What is asked for, if nothing is wrong with it. Raises OptionValueError."""
        wanted, wrong = self.form.read()
        found = Look(None, wrong) if wrong else look(self.router, wanted)
        self._looks += 1
        self._show_look(found)
        if found.wrong:
            places = ", ".join(self.form.lines[n].field.label for n in found.wrong if n in self.form.lines)
            told = "; ".join(found.wrong.values())
            raise OptionValueError(f"nothing was asked: see {places}" if places else f"nothing was asked: {told}")
        return wanted

    # --- while it runs ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self.lock:
            if self.job is not None:
                raise OptionValueError("a benchmark is under way: stop it first")
            wanted = self._checked()
            self.job = self.router.start_benchmark(wanted.data, wanted.models, wanted.scorers, **wanted.settings)
            self._follow(self.job)

    def _stop(self) -> None:
        with self.lock:
            if self.job is not None:
                self.job.stop()
                self.say("Stopping: what is finished is kept.")

    def _follow(self, job: Job) -> None:
        """Show how far it is; again soon, until it is over. Under the lock."""
        now, over = job.progress, job.done
        self.start.disabled, self.stop.disabled = not over, over
        self.progress.value = f'<div class="hnb-body">{share_bar(share(now), bar.line(now))}</div>'
        if not over:
            self.again(DRAW)
            return
        self.job = None
        try:
            self.run = job.result()
        except Exception as error:  # of a scorer, or a full disk
            self.tell(error)
            return
        self._draw_result()
        self.say(ended(self.run))

    def _draw_result(self) -> None:
        """The summary and a picture, aside: intervals and drawing take a second."""
        run, kind = self.run, self.kind.value
        if run is None:
            return

        def draw() -> None:
            try:
                self._show_result(result.shown(run, kind), kind)
            finally:
                self._shown = run

        self.in_background(draw)

    def _show_result(self, shown: result.Shown, kind: str) -> None:
        with self.lock:
            if shown.run is self.run and kind == self.kind.value:
                self._result = shown
                self.view.value = shown.live
                show(self._pictures)
                self.changed()

    def saved(self) -> Saved:
        """The result; before there is one, what stands in the form."""
        if self._result is not None:
            return Saved(self._result.saved, self._result.text)
        wanted, _ = self.form.read()
        asked = f"Models: {', '.join(wanted.models) or 'none chosen'}."
        return Saved(paragraph(NOTHING) + paragraph(asked), f"{NOTHING}\n{asked}")

    def wait(self, timeout: float | None = None) -> Run | None:
        """Until no benchmark is under way and its result is shown; the Run. None: it took longer than `timeout`
        seconds, or none was begun.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        while self.job is not None or self.run is not self._shown:
            if give_up is not None and time.monotonic() > give_up:
                return None
            time.sleep(0.05)
        return self.run

    def close(self) -> None:
        """Take it from the page, and end what it asked."""
        if self.job is not None:
            self.job.stop()
        super().close()

    def __repr__(self) -> str:
        return f"BenchmarkPanel({getattr(self, 'run', None) or NOTHING})"


def many(data: Any) -> Any:
    """Data that can be read more than once: for the estimate, and for the run."""
    if data is None or isinstance(data, str | os.PathLike) or hasattr(data, "__len__"):
        return str(data) if isinstance(data, os.PathLike) else data
    return list(data)


def share(now: Progress) -> float | None:
    """How much of it is done; None where that is not known."""
    return None if not now.total else (now.done + now.skipped) / now.total


def ended(run: Run) -> str:
    """What to know at its end."""
    how = {None: "Done", "interrupt": "Stopped", "budget": "Stopped by its budget"}.get(run.info.stopped)
    told = how or f"Ended early ({run.info.stopped})"
    doubt = f" Its times are not to be trusted: {'; '.join(run.info.invalid)}." if run.info.invalid else ""
    calls = "1 call" if len(run.measured) == 1 else f"{len(run.measured):,} calls"
    return f"{told}: {calls}; the Run is in this panel's `run`.{doubt}"
