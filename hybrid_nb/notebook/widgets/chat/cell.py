"""ChatCell: a conversation with any of the router's models, in a notebook's output and from code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.notebook import conversation_text
from hybrid_nb.notebook.conversation import Total, Turn
from hybrid_nb.notebook.widgets.chat import attach as chat_attach
from hybrid_nb.notebook.widgets.chat import intents as chat_intents
from hybrid_nb.notebook.widgets.chat import news as chat_news
from hybrid_nb.notebook.widgets.chat import saved as chat_saved
from hybrid_nb.notebook.widgets.chat.control import Chat
from hybrid_nb.notebook.widgets.chat.keep import Keeper
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.router import Router

if TYPE_CHECKING:
    import pandas as pd

FRONT_ENDS = ("anywidget", "core")


def variables() -> Mapping[str, Any]:
    """The user's variables; none outside of IPython."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    return {} if shell is None else shell.user_ns


def front_end(wanted: str | None) -> Any:
    """The front end that is asked for, by the argument or HYBRID_NB_FRONTEND; "core" where anywidget is missing."""
    choice = wanted or os.environ.get("HYBRID_NB_FRONTEND") or "anywidget"
    if choice not in FRONT_ENDS:
        raise OptionValueError(f"frontend must be one of {', '.join(FRONT_ENDS)}, not {choice!r}")
    if choice == "anywidget" and find_spec("anywidget") is not None:
        from hybrid_nb.notebook.widgets.chat.view import ChatView

        return ChatView()
    from hybrid_nb.notebook.widgets.chat.core_view import CoreView

    return CoreView()


class ChatCell(Panel):
    """A chat over a router (None: the default one).

    With a `name` the conversation is kept in the ledger's file after each turn, and shown again by a ChatCell of the
    same name; without one it is as long as the widget. `model` is whom to ask ("provider/model", a model's name or a
    group; None: as the router plans), `system` the system prompt. `frontend` is "anywidget" or "core" (ipywidgets).

    >>> chat = hnb.ChatCell(router, name="trip")     # doctest: +SKIP
    >>> chat.send("What is 6 * 7?", wait=True)       # doctest: +SKIP
    >>> chat.turns[-1].text                          # doctest: +SKIP
    """

    topics: ClassVar[frozenset[str]] = frozenset({"config"})

    def __init__(
        self,
        router: Router | None = None,
        name: str | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        frontend: str | None = None,
    ) -> None:
        for package in ("markdown_it", "latex2mathml", "pygments"):
            late(package, "lab")
        self._name, self._frontend = name, frontend
        super().__init__(router)
        try:
            if system is not None:
                self.system = system
            if model is not None:
                self.model = model
        except ValueError:
            self.close()  # nobody will hold it
            raise

    def compose(self) -> Sequence[Any]:
        """The front end, connected to the chat behind it."""
        front = front_end(self._frontend)
        keeper = None if self._name is None else Keeper(self.router.conversations, self._name)
        self.chat = Chat(self.router, front, variables, keeper, self._changed)
        hello = (self.chat.models(), chat_news.turns(self.chat.conversation, 0, afresh=True), self.chat.state())
        front.connect(hello, lambda asked, buffers: chat_intents.handle(self.chat, asked, buffers))
        return [getattr(front, "widget", front)]

    def refresh(self, news: frozenset[str]) -> None:
        """The names that can be asked have changed."""
        if news:
            self.chat.front.tell(self.chat.models())

    def _changed(self) -> None:
        """The saved form is for what has come to an end."""
        if not self.chat.busy:
            self.changed()

    def saved(self) -> Saved:
        """The last turns as static HTML and text."""
        conversation = self.chat.conversation
        return Saved(chat_saved.html(conversation), chat_saved.text(conversation))

    # --- talking ------------------------------------------------------------------------------------------------

    def send(self, text: str, wait: bool = False) -> None:
        """Send a turn; with `wait` return when it was answered (an interrupt stops the answer).

        What goes wrong with the answer is in its turn. Raises ValueError when there is nothing to send, or an answer
        is still on its way.
        """
        self.chat.send(text)
        if wait:
            self.chat.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Until no answer is on its way; False when that took longer than `timeout` seconds."""
        return self.chat.wait(timeout)

    def stop(self) -> None:
        """End the answer that is on its way; what came is kept."""
        self.chat.stop()

    def retry(self, wait: bool = False) -> None:
        """Another answer beside the last one."""
        self.chat.retry()
        if wait:
            self.chat.wait()

    def edit(self, turn: int | Turn, text: str, wait: bool = False) -> None:
        """Another text beside a turn (its id, or one of `turns`), on a branch; a turn of the user is answered."""
        self.chat.edit(turn.id if isinstance(turn, Turn) else turn, text)
        if wait:
            self.chat.wait()

    def pick(self, turn: int | Turn) -> None:
        """Show the branch on which this turn is."""
        self.chat.pick(turn.id if isinstance(turn, Turn) else turn)

    def undo(self) -> None:
        """Take the last operation back."""
        self.chat.undo()

    def clear(self) -> None:
        """Begin anew; undo brings back what was there."""
        self.chat.clear()

    def attach(self, value: Any, name: str = "") -> None:
        """Let a picture (path, bytes, URL, PIL, matplotlib figure), a DataFrame or any other value go with the next
        turn.
        """
        self.chat.attach(chat_attach.part_of(value, variables(), name))

    @property
    def model(self) -> str | None:
        """Whom the next turn asks; None: as the router plans."""
        return self.chat.model

    @model.setter
    def model(self, name: str | None) -> None:
        self.chat.set_model(name)

    @property
    def system(self) -> str:
        """The system prompt, from the next answer on."""
        return self.chat.conversation.view.system

    @system.setter
    def system(self, text: str) -> None:
        self.chat.set_system(text)

    # --- what was said ------------------------------------------------------------------------------------------

    @property
    def turns(self) -> list[Turn]:
        """The turns that are shown, oldest first (frozen)."""
        return list(self.chat.conversation.path)

    @property
    def total(self) -> Total:
        """What all answers took together, also those on other branches."""
        return self.chat.conversation.total

    @property
    def frame(self) -> pd.DataFrame:
        """One row a turn that is shown; cost in US dollars, times in seconds, missing where not known."""
        rows = [
            {
                "turn": t.id, "role": t.role, "text": t.text, "status": t.status, "provider": t.provider,
                "model": t.model, "cost_usd": None if t.cost is None else float(t.cost), "latency_s": t.latency,
                "ttft_s": t.ttft, "input_tokens": t.input_tokens, "output_tokens": t.output_tokens, "error": t.error,
            }
            for t in self.turns
        ]  # fmt: skip
        columns = "turn role text status provider model cost_usd latency_s ttft_s input_tokens output_tokens error"
        found: pd.DataFrame = late("pandas", "frames").DataFrame(rows, columns=columns.split())
        return found

    @property
    def _title(self) -> str:
        return self.chat.keeper.name if self.chat.keeper else "chat"

    def to_markdown(self) -> str:
        """The turns that are shown, as Markdown."""
        return conversation_text.to_markdown(self.chat.conversation, self._title)

    def to_cells(self) -> list[str]:
        """The turns of the user as sources of `%%llm --chat` cells. The last one is put into a new cell below the one
        that runs: front ends take one cell from a run, so `save_notebook` is for all of them.
        """
        from IPython import get_ipython

        cells, shell = conversation_text.to_cells(self.chat.conversation, self._title), get_ipython()
        if cells and shell is not None:
            shell.set_next_input(cells[-1])
        return cells

    def save_notebook(self, path: str | os.PathLike[str]) -> Path:
        """Write the conversation as a notebook of `%%llm` cells with the answers as their outputs."""
        place = Path(path)
        notebook = conversation_text.to_notebook(self.chat.conversation, self._title)
        place.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", "utf-8")
        return place

    def close(self) -> None:
        """Take it from the page; an answer that is on its way is stopped."""
        if hasattr(self, "chat"):  # one that could not be made is closed when it is collected
            self.chat.stop()
        super().close()

    def __repr__(self) -> str:
        return f"ChatCell({self._title}: {len(self.chat.conversation.path)} turns, {self.total})"
