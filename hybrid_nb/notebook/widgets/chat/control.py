"""What the chat does, whatever shows it: intents and calls come in on any thread, messages go to the front end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hybrid_nb.core.asking import Asking
from hybrid_nb.core.config import nearest
from hybrid_nb.core.types import Image
from hybrid_nb.notebook.conversation import Attachment, Conversation, ConversationError
from hybrid_nb.notebook.following import told
from hybrid_nb.notebook.widgets.chat import attach as chat_attach
from hybrid_nb.notebook.widgets.chat import news as chat_news
from hybrid_nb.notebook.widgets.chat.keep import Keeper
from hybrid_nb.notebook.widgets.chat.news import News
from hybrid_nb.notebook.widgets.chat.run import Answering
from hybrid_nb.router import Router

AUTO = "auto"
MOST_PICTURE = 20_000_000  # bytes


class FrontEnd(Protocol):
    """Who shows the chat."""

    def tell(self, news: News) -> None:
        """A message; see chat_news."""


def doing(asking: Asking | None) -> str:
    """Who is asked and what failed before, without the time, which the page counts by itself."""
    return "" if asking is None else told(asking, asking.since).removesuffix(" …")


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


class Chat:
    """The state of a chat, and everything that can be done to it. `names` are the user's variables."""

    def __init__(
        self,
        router: Router,
        front: FrontEnd,
        names: Callable[[], Mapping[str, Any]],
        keeper: Keeper | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.router, self.front, self.names, self.keeper, self._changed = router, front, names, keeper, changed
        self.lock = threading.RLock()
        self.conversation = Conversation() if keeper is None else keeper.load()
        self.model: str | None = None
        self.waiting: list[chat_attach.Part] = []  # what goes with the next turn
        self._answering: Answering | None = None
        self._text: chat_news.Text | None = None
        self._asking: Asking | None = None

    # --- what is going on -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._answering is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Until no answer is on its way; False when it took longer. An interrupt stops the answer."""
        running = self._answering
        if running is None:
            return True
        give_up = None if timeout is None else time.monotonic() + timeout
        try:
            while not running.done.wait(0.1):
                if give_up is not None and time.monotonic() > give_up:
                    return False
        except KeyboardInterrupt:
            self.stop()
            running.done.wait(2.0)
            raise
        return True

    def state(self) -> News:
        """The message that tells what stands around the turns."""
        running, asking = self._answering, self._asking
        since = asking.since if asking is not None else running.began if running is not None else None
        return chat_news.state(
            self.conversation,
            {
                "busy": self.busy,
                "asking": None if asking is None else str(asking.target),
                "doing": doing(asking),
                "since": None if since is None else time.monotonic() - since,
                "model": self.model or AUTO,
                "attached": [chat_attach.label(part) for part in self.waiting],
                "name": "" if self.keeper is None else self.keeper.name,
            },
        )

    def models(self) -> News:
        """The message with the names that can be asked."""
        return chat_news.models(self.router.model_names())

    def hello(self) -> None:
        """Tell a front end that has nothing everything it needs."""
        with self.lock:
            for news in (self.models(), chat_news.turns(self.conversation, 0, afresh=True)):
                self.front.tell(news)
            if self._text is not None:
                self.front.tell(self._text.whole())
            self.front.tell(self.state())

    def older(self, before: int) -> None:
        """Tell what stands before a place."""
        with self.lock:
            self.front.tell(chat_news.older(self.conversation, before))

    # --- asking -------------------------------------------------------------------------------------------------

    def _idle(self) -> None:
        if self.busy:
            raise ConversationError("an answer is still on its way: stop it first (Escape)")

    def send(self, text: str) -> None:
        """A turn of the user with all that waits to go with it."""
        with self.lock:
            self._idle()
            images = [part for part in self.waiting if isinstance(part, Image)]
            tables = [part for part in self.waiting if isinstance(part, Attachment)]
            asked = self.conversation.ask(text, images, tables, self.model, time.time())
            self.waiting = []
            self._begin(asked)

    def retry(self, turn: int | None = None) -> None:
        """Another answer beside one (None: the last)."""
        with self.lock:
            self._idle()
            self._begin(self.conversation.retry(turn, self.model, time.time()))

    def edit(self, turn: int, text: str) -> None:
        """Another text beside one, on a branch of its own; a turn of the user is answered."""
        with self.lock:
            self._idle()
            edited = self.conversation.edit(turn, text, self.model, time.time())
            if edited.running is None:
                self._show(edited)
            else:
                self._begin(edited)

    def _begin(self, asked: Conversation) -> None:
        answer = asked.running
        if answer is None:
            raise ConversationError("nothing is asked")
        messages, number = asked.messages(answer.id), answer.id
        if not messages or messages[-1].role != "user":
            raise ConversationError("there is nothing to answer")
        text = self._text = chat_news.Text(number)
        self._asking = None
        old, self.conversation = self.conversation, asked
        self._answering = Answering(
            lambda: self.router.stream(messages, model=answer.asked),
            lambda first, parts: self._grown(text, first, parts),
            self._now_asking,
            lambda fields: self._ended(number, fields),
        )
        self._answering.start()  # before anything that may fail, so that an answer that is on its way always ends
        self._tell_change(old)

    def _now_asking(self, asking: Asking) -> None:
        with self.lock:
            self._asking = asking
            self.front.tell(self.state())

    def _grown(self, text: chat_news.Text, first: int, parts: Sequence[str]) -> None:
        with self.lock:
            news = text.news(first, parts)
            if news is not None:
                self.front.tell(news)

    def _ended(self, number: int, fields: Mapping[str, Any]) -> None:
        with self.lock:
            known = {} if self._asking is None else self._asking.target._asdict()
            self.conversation = self.conversation.finished(number, **{**known, **_known(fields)})
            self._answering = self._text = self._asking = None
        try:
            self._tell_end(number)
        finally:
            self._keep()  # whatever the page does

    def _tell_end(self, number: int) -> None:
        with self.lock:
            self.front.tell({"do": "turn", "turn": chat_news.shown(self.conversation, self.conversation.turn(number))})
            self.front.tell(self.state())

    def stop(self) -> None:
        """End the answer that is on its way; what came is kept. Nothing when there is none."""
        running = self._answering
        if running is not None:
            running.stop()

    # --- changing -----------------------------------------------------------------------------------------------

    def _show(self, new: Conversation) -> None:
        """Make it the conversation, and tell what differs."""
        old, self.conversation = self.conversation, new
        self._tell_change(old)

    def _tell_change(self, old: Conversation) -> None:
        new = self.conversation
        same = chat_news.differs(old, new)
        if same < len(new.path) or len(old.path) != len(new.path):
            self.front.tell(chat_news.turns(new, same))
        self.front.tell(self.state())
        self._keep()

    def _change(self, change: Callable[[Conversation], Conversation]) -> None:
        with self.lock:
            self._idle()
            self._show(change(self.conversation))

    def pick(self, turn: int) -> None:
        """Show another branch."""
        self._change(lambda conversation: conversation.pick(turn))

    def undo(self) -> None:
        """Take the last operation back."""
        self._change(Conversation.undo)

    def clear(self) -> None:
        """Show nothing; undo brings it back."""
        self._change(Conversation.clear)

    def set_system(self, text: str) -> None:
        """The system prompt from the next answer on."""
        with self.lock:
            changed = self.conversation.with_system(text)
            if changed is not self.conversation:
                self._show(changed)

    def set_model(self, name: str | None) -> None:
        """Whom the next turn asks: "provider/model", a model's name, a group; None or "auto": as the router plans."""
        wanted = None if name in (None, "", AUTO) else name
        with self.lock:
            names = self.router.model_names()
            if wanted is not None and wanted not in names:
                near = nearest(wanted, names)
                raise ConversationError(f"there is no model {wanted!r}{near}; router.model_names() lists all")
            self.model = wanted
            self.front.tell(self.state())
            self.say(f"The next turn goes to {wanted}." if wanted else "The next turn goes where the router plans it.")

    # --- attaching ----------------------------------------------------------------------------------------------

    def attach(self, part: chat_attach.Part) -> None:
        """Let it go with the next turn."""
        if isinstance(part, Image) and part.data is not None and len(part.data) > MOST_PICTURE:
            raise ConversationError(f"the picture has more than {MOST_PICTURE // 1_000_000} MB: make it smaller first")
        with self.lock:
            self.waiting.append(part)
            self.front.tell(self.state())

    def detach(self, place: int) -> None:
        """Take one of what waits away."""
        with self.lock:
            if 0 <= place < len(self.waiting):
                del self.waiting[place]
            self.front.tell(self.state())

    # --- telling and keeping ------------------------------------------------------------------------------------

    def say(self, text: str, problem: bool = False) -> None:
        """A line of the chat's own."""
        self.front.tell({"do": "say", "text": text, "problem": problem})

    def _keep(self) -> None:
        """Save it when it has a name; a save that fails is told, and made up for by the next one."""
        self._changed()
        if self.keeper is None:
            return
        try:
            note = self.keeper.save(self.conversation)
        except Exception as error:  # the conversation goes on, whatever the store has
            self.say(f"not kept: {type(error).__name__}: {error}; it is tried again after the next turn", problem=True)
            return
        if note:
            self.say(note, problem=True)
            self.front.tell(self.state())
