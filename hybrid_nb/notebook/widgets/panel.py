"""What every widget stands on: redrawn when something happened at its router, saved as HTML beside itself.

A widget that is saved in a notebook is gone when its kernel is: JupyterLab keeps no widget state, GitHub runs none. So
a panel shows two outputs: itself, and a static table of the same state. The live one holds a style rule that hides the
static one, and so whoever cannot show the first shows the second.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, ClassVar, NamedTuple

from ipywidgets import HTML, Layout, VBox, Widget

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.types import NO_MATHS
from hybrid_nb.notebook.display import is_static
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets import places, subshells
from hybrid_nb.notebook.widgets.style import SHEET, TEXT
from hybrid_nb.router import Router, default_router

log = logging.getLogger("hybrid_nb")
SAVE_EVERY = 2.0  # seconds between updates of the saved form, which is sent whole
_numbers = itertools.count(1)
CLOSED = "This router is closed: make a new one with hybrid_nb.Router(), and run this cell again."


class Saved(NamedTuple):
    """A panel's last state, for GitHub, nbconvert and a closed kernel."""

    html: str
    text: str


class Panel(VBox):
    """A widget over a router (None: the default one). Subclasses say what it shows and for which news it is redrawn."""

    topics: ClassVar[frozenset[str]] = frozenset()
    every: ClassVar[float | None] = None  # seconds after which it is redrawn in any case
    _gone = False

    def __init__(self, router: Router | None = None) -> None:
        self.router = router if router is not None else default_router()
        super().__init__()
        self.lock = threading.RLock()
        self.trouble: BaseException | None = None  # the last that a callback raised
        self._number = next(_numbers)
        self._handle: Any = None
        self._saved_at = 0.0
        self._again_at: float | None = None
        self._sent: dict[str, str] = {}
        self._status = HTML()
        self.add_class("hnb")
        hide = f".hnb-saved-{self._number}{{display:none}}"
        sheet = HTML(f"<style>{SHEET}{hide}</style>")
        sheet.layout.display = "none"
        try:
            self.children = (*self.compose(), self._status, sheet)
        except BaseException:
            super().close()  # ipywidgets keeps what is not closed, half made too
            raise
        subshells.stay(self)
        self.awaken()

    # --- for subclasses ---------------------------------------------------------------------------------------

    def compose(self) -> Sequence[Widget]:
        """The children, made once."""
        raise NotImplementedError

    def refresh(self, news: frozenset[str]) -> None:
        """Read the router and redraw. On the feed's thread, under `lock`; at first, with no news, on the caller's."""

    def saved(self) -> Saved:
        """The static form of what is shown now."""
        raise NotImplementedError

    def say(self, text: str, problem: bool = False) -> None:
        """The line under the panel; a problem is announced to those who listen."""
        kind, role = ("hnb-say problem", "alert") if problem else ("hnb-say", "status")
        self._status.value = f'<div class="{kind}" role="{role}">{escape(text)}</div>' if text else ""

    def done(self, told: str = "") -> None:
        """A callback changed something: show it at once, and say what it was."""
        with self.lock:
            self.refresh(frozenset({"config"}))
            self.changed()
        self.say(told)

    def guarded(self, work: Callable[..., Any]) -> Callable[..., None]:
        """A callback whose error is said in the panel, and kept in `trouble`."""

        def run(*arguments: Any, **named: Any) -> None:
            try:
                if self.router.closed:
                    self.say(CLOSED, problem=True)
                else:
                    self.say("")
                    work(*arguments, **named)
            except Exception as error:
                self.tell(error)
            except KeyboardInterrupt:
                self.say("stopped by an interrupt of the kernel; look at what is done, and do the rest again", True)
                raise

        return run

    def tell(self, error: BaseException) -> None:
        """An error as one line; ours say what to do, others where they were raised."""
        self.trouble = error
        typed = isinstance(error, OptionValueError | OptionTypeError)  # a mistake in a form: its words are enough
        text = str(error) if typed else f"{type(error).__name__}: {error}"
        if not typed and not isinstance(error, HybridNbError):
            where = traceback.extract_tb(error.__traceback__)[-1:]
            text += "".join(f" (in {frame.name}, line {frame.lineno})" for frame in where)
            log.warning("a callback of %s failed", type(self).__name__, exc_info=error)
        self.say(text, problem=True)

    def in_background(self, work: Callable[[], Any], note: str = "") -> threading.Thread:
        """Slow work on a thread of its own, so that the kernel goes on; its error is said."""
        if note:
            self.say(note)

        def run() -> None:
            try:
                work()
            except Exception as error:
                self.tell(error)

        thread = threading.Thread(target=run, name=f"hybrid_nb {type(self).__name__}", daemon=True)
        thread.start()
        return thread

    # --- redrawing ----------------------------------------------------------------------------------------------

    def redraw(self, news: frozenset[str]) -> None:
        """For the feed: refresh, and tell what went wrong."""
        with self.lock:
            try:
                if self.router.closed:
                    self.say(CLOSED, problem=True)
                    return
                if news != {"reminder"} or (self._again_at is not None and time.monotonic() >= self._again_at):
                    self._again_at = None
                    self.refresh(news)
                elif self._again_at is not None:
                    feed_of(self.router).remind(self, self._again_at - time.monotonic())
                self.changed()
            except Exception as error:
                self.tell(error)

    def awaken(self) -> None:
        """Show how things are now, and be redrawn from now on."""
        feed_of(self.router).join(self)
        self.redraw(frozenset())

    def rest(self) -> None:
        """Nobody sees it: it is not redrawn until it is awakened."""
        feed_of(self.router).leave(self)

    def again(self, seconds: float) -> None:
        """For `refresh`: it is called again in so many seconds, or earlier for other news."""
        self._again_at = time.monotonic() + seconds
        feed_of(self.router).remind(self, seconds)

    def changed(self) -> None:
        """The saved form differs now, and is sent again when it is time."""
        if self._handle is None:
            return
        wait = self._saved_at + SAVE_EVERY - time.monotonic()
        if wait > 0:
            feed_of(self.router).remind(self, wait)
            return
        found = self._saved_bundle()
        self._saved_at = time.monotonic()
        if found != self._sent:
            self._sent = found
            self._handle.update(found, raw=True)

    def _saved_bundle(self) -> dict[str, str]:
        found = Saved(f"<p>{escape(CLOSED)}</p>", CLOSED) if self.router.closed else self.saved()
        html = f'<div class="hnb-saved-{self._number} {NO_MATHS}" style="color:{TEXT}">{found.html}</div>'
        return {"text/html": html, "text/plain": found.text}

    # --- showing ------------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        from IPython.display import display

        with self.lock:
            if not is_static():
                places.shown(self)
                subshells.stay(self)
                display(super()._repr_mimebundle_(), raw=True)
            self._saved_at = time.monotonic()
            self._sent = self._saved_bundle()
            self._handle = display(self._sent, raw=True, display_id=not is_static() or None)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """For whoever shows it by its own means: the widget, and its saved form where widgets cannot be shown."""
        with self.lock:
            found: dict[str, Any] = {**super()._repr_mimebundle_(*args, **kwargs), **self._saved_bundle()}
        return found

    def __repr__(self) -> str:
        if not hasattr(self, "router"):
            return f"{type(self).__name__}(not made)"
        return f"{type(self).__name__}({', '.join(self.router.provider_names()) or 'no providers'})"

    def close(self) -> None:
        """Take it from the page and from the news, with all that is in it: a widget lives until it is closed."""
        if self._gone:
            return
        self._gone = True
        if hasattr(self, "router"):  # one that could not be made is closed when it is collected
            feed_of(self.router).leave(self)
        for part in self.children:
            close_all(part)
        self.layout.close()
        super().close()

    def __del__(self) -> None:
        """Collected in the middle of anything, so that no lock may be waited for: the feed forgets it by itself."""
        if not self._gone:
            super().close()


def close_all(part: Widget) -> None:
    """Close a widget, what is in it, and its layout and style, which are widgets too."""
    for inner in getattr(part, "children", ()):
        close_all(inner)
    for own in (part.layout, getattr(part, "style", None)):
        if isinstance(own, Widget):
            own.close()
    part.close()


def live() -> HTML:
    """A part that is redrawn: it scrolls by itself, by keys too, and stays where it was scrolled to."""
    found = HTML()
    found.tabbable = True
    found.add_class("hnb-live")
    return found


def flowing() -> Layout:
    """A row of controls that goes on in the next line where it is too long."""
    return Layout(flex_flow="row wrap", align_items="center", grid_gap="2px 8px")


def label(text: str) -> HTML:
    """A line of text of ours."""
    return HTML(f'<div class="hnb-body">{escape(text)}</div>')
