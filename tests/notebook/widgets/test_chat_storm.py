"""Everything that can be done to a chat, in any order and on several threads, while answers stream and fronts fail."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.notebook.conversation import ConversationError
from hybrid_nb.notebook.conversation_json import from_json, to_json
from hybrid_nb.notebook.widgets.chat import intents as chat_intents
from hybrid_nb.notebook.widgets.chat.control import Chat
from hybrid_nb.notebook.widgets.chat.keep import Keeper

PATIENCE = 20.0


class Strict:
    """A front end that takes what a page takes: JSON in UTF-8."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tell(self, news) -> None:
        json.dumps(news, ensure_ascii=False).encode("utf-8")
        if news["do"] == "say" and news["problem"]:
            self.said.append(news["text"])


@pytest.fixture
def unseen(monkeypatch):
    """What threads raised and nobody saw."""
    found: list[object] = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


def at_rest(chat: Chat) -> None:
    assert chat.wait(PATIENCE)
    assert not chat.busy
    assert chat.conversation.running is None


def is_sound(chat: Chat) -> None:
    """No turn is lost or has two questions, and every answer stands after a question."""
    turns = chat.conversation.turns
    assert [turn.id for turn in turns] == list(range(len(turns)))
    for turn in turns:
        before = None if turn.before is None else turns[turn.before]
        assert before is None or before.id < turn.id
        assert turn.role == "user" or (before is not None and before.role == "user")
    assert sum(turn.status == "running" for turn in turns) <= 1


class Storm(RuleBasedStateMachine):
    """What a user does, in any order; some of it makes no sense at that moment, and is refused by a sentence."""

    chat: Chat
    most = 0

    def do(self, work) -> None:
        with contextlib.suppress(ConversationError):
            work()
        assert len(self.chat.conversation.turns) >= self.most, "a turn is lost"
        self.most = len(self.chat.conversation.turns)

    @rule(text=st.sampled_from(["what is 6 * 7?", "", "\ud83d", "\x00\x1b[31m", "a\u202eb" + "\u0301" * 50]))
    def send(self, text):
        self.do(lambda: self.chat.send(text))

    @rule()
    def stop(self):
        self.chat.stop()

    @rule(turn=st.none() | st.integers(-1, 12))
    def retry(self, turn):
        self.do(lambda: self.chat.retry(turn))

    @rule(turn=st.integers(-1, 12), text=st.sampled_from(["another", " ", "\udfff"]))
    def edit(self, turn, text):
        self.do(lambda: self.chat.edit(turn, text))

    @rule(turn=st.integers(-1, 12))
    def pick(self, turn):
        self.do(lambda: self.chat.pick(turn))

    @rule()
    def undo(self):
        self.do(self.chat.undo)

    @rule()
    def clear(self):
        self.do(self.chat.clear)

    @rule(text=st.sampled_from(["", "be short", "\udc80"]))
    def system(self, text):
        self.do(lambda: self.chat.set_system(text))

    @rule()
    def wait(self):
        at_rest(self.chat)

    @invariant()
    def sound(self):
        is_sound(self.chat)

    def teardown(self):
        self.chat.stop()
        at_rest(self.chat)
        is_sound(self.chat)
        assert to_json(from_json(*_parts(self.chat))) == to_json(self.chat.conversation)


def _parts(chat: Chat):
    kept = json.loads(json.dumps(to_json(chat.conversation)))
    return kept, kept["turns"]


def test_whatever_is_done_in_whatever_order(router, fleet, unseen):
    fleet["openai"].set(tokens_per_second=300, chunk_tokens=1)
    made: list[Chat] = []

    class Here(Storm):
        def __init__(self):
            super().__init__()
            self.chat = Chat(router, Strict(), dict, Keeper(router.conversations, f"storm {len(made)}"))
            self.chat.set_model("openai/simulated-openai")
            made.append(self.chat)

    quick = settings(max_examples=15, stateful_step_count=25, deadline=None, derandomize=True)
    run_state_machine_as_test(Here, settings=settings(quick, suppress_health_check=list(HealthCheck)))
    assert unseen == []
    for number, chat in enumerate(made[-3:], len(made) - len(made[-3:])):
        assert [said for said in chat.front.said if "not kept" in said] == []
        if chat.conversation.turns:
            kept = Keeper(router.conversations, f"storm {number}").load()
            assert to_json(kept) == to_json(chat.conversation)


def test_clicks_of_many_threads_at_once(router, fleet, unseen):
    fleet["openai"].set(tokens_per_second=2_000, chunk_tokens=1)
    chat = Chat(router, Strict(), dict, Keeper(router.conversations, "crowd"))
    asks = [
        {"ask": "send", "text": "what is 6 * 7?"}, {"ask": "stop"}, {"ask": "retry"}, {"ask": "undo"},
        {"ask": "clear"}, {"ask": "edit", "turn": 0, "text": "again"}, {"ask": "system", "text": "be short"},
        {"ask": "pick", "turn": 0}, {"ask": "hello"}, {"ask": "export", "kind": "notebook"},
    ]  # fmt: skip

    def click(first: int) -> None:
        for step in range(30):
            chat_intents.handle(chat, {**asks[(first * 7 + step * 3) % len(asks)], "n": step})

    threads = [threading.Thread(target=click, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    chat.stop()
    at_rest(chat)
    is_sound(chat)
    assert unseen == []
    assert chat.front.said != []  # much was refused; nothing of it went wrong
    assert [said for said in chat.front.said if "Error" in said or "not kept" in said] == []


class Broken(Strict):
    """A front end that is gone: nothing can be told to it any more."""

    broken = False

    def tell(self, news) -> None:
        if self.broken:
            raise OSError("the page is gone")
        super().tell(news)


def test_a_front_end_that_fails_leaves_no_answer_on_its_way_for_ever(router, unseen):
    chat = Chat(router, Broken(), dict, Keeper(router.conversations, "gone"))
    chat.front.broken = True
    with contextlib.suppress(OSError, HybridNbError):
        chat.send("what is 6 * 7?")
    at_rest(chat)
    assert unseen == []
    chat.front.broken = False
    chat.send("and 6 * 8?")
    at_rest(chat)
    kept = Keeper(router.conversations, "gone").load()
    assert [turn.status for turn in kept.turns if turn.role == "assistant"][-1] == "done"


class Interrupting(Strict):
    """A front end during whose messages the kernel is interrupted."""

    after = 0

    def tell(self, news) -> None:
        super().tell(news)
        if self.after:
            self.after -= 1
            if not self.after and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt


@pytest.mark.parametrize("after", range(1, 6))
def test_an_interrupt_in_the_middle_of_a_click_leaves_the_chat_in_order(router, fleet, unseen, after):
    fleet["openai"].set(tokens_per_second=50, chunk_tokens=1)
    chat = Chat(router, Interrupting(), dict)
    chat.set_model("openai/simulated-openai")
    chat.front.after = after
    with contextlib.suppress(KeyboardInterrupt):
        chat_intents.handle(chat, {"ask": "send", "text": "what is 6 * 7?", "n": 1})
    at_rest(chat)
    is_sound(chat)
    assert unseen == []
    chat.front.after = 0
    fleet["openai"].set(tokens_per_second=float("inf"))
    chat_intents.handle(chat, {"ask": "send", "text": "and 6 * 8?", "n": 2})
    at_rest(chat)
    assert chat.conversation.path[-1].status == "done"
