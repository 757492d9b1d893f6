"""The chat behind its front ends, over simulated vendors: what is said, what is shown, what is kept."""

from __future__ import annotations

import itertools
import json
import threading
import time
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from hybrid_nb.notebook.conversation import Conversation, ConversationError, Turn, View
from hybrid_nb.notebook.widgets.chat import attach as chat_attach
from hybrid_nb.notebook.widgets.chat import intents as chat_intents
from hybrid_nb.notebook.widgets.chat import news as chat_news
from hybrid_nb.notebook.widgets.chat.control import Chat
from hybrid_nb.notebook.widgets.chat.keep import Keeper
from hybrid_nb.notebook.widgets.chat.run import Pace
from hybrid_nb.sim import Fault
from tests.conftest import model_of

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64
PATIENCE = 20.0


class Page:
    """A front end that does what chat.js does with the messages, and remembers them."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.first = 0
        self.turns: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.said: list[str] = []

    def tell(self, news: dict[str, Any]) -> None:
        news = json.loads(json.dumps(news))
        self.heard.append(news)
        self.times.append(time.monotonic())
        work = getattr(self, f"on_{news['do']}", None)
        if work:
            work(news)

    def on_turns(self, news):
        if "first" in news:
            self.turns, self.first = [], news["first"]
        kept = self.turns[: max(0, news["from"] - self.first)]
        if self.first + len(kept) != news["from"]:
            kept, self.first = [], news["from"]
        self.turns = kept + news["turns"]

    def on_older(self, news):
        assert news["from"] + len(news["turns"]) == self.first
        self.turns, self.first = news["turns"] + self.turns, news["from"]

    def on_turn(self, news):
        self.turns = [news["turn"] if turn["id"] == news["turn"]["id"] else turn for turn in self.turns]

    def on_text(self, news):
        blocks = next(turn for turn in self.turns if turn["id"] == news["turn"])["blocks"]
        fresh = news["blocks"]
        if news["keep"]:
            kept = blocks[news["from"]].encode("utf-16-le")[: 2 * news["keep"]].decode("utf-16-le")
            fresh = [kept + fresh[0], *fresh[1:]]
        blocks[news["from"] :] = fresh

    def on_state(self, news):
        self.state = news

    def on_say(self, news):
        self.said.append(news["text"])


def shown(chat: Chat) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(chat_news.shown(chat.conversation, turn))) for turn in chat.conversation.path]


@pytest.fixture
def names() -> dict[str, Any]:
    return {}


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def chat(router, page, names) -> Chat:
    return Chat(router, page, lambda: names)


def say(chat: Chat, text: str) -> Any:
    chat.send(text)
    assert chat.wait(PATIENCE)
    return chat.conversation.path[-1]


def ask(chat: Chat, what: str, *buffers: bytes, **more: Any) -> None:
    chat_intents.handle(chat, {"ask": what, "n": 1, **more}, buffers)
    assert chat.wait(PATIENCE)


def slow(fleet, wire="openai", words_per_second=200):
    fleet[wire].set(tokens_per_second=words_per_second, chunk_tokens=1)


def until(condition, patience=PATIENCE):
    give_up = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


# --- talking ----------------------------------------------------------------------------------------------


def test_an_answer_comes_with_who_gave_it_and_what_it_took(chat, page):
    turn = say(chat, "What is 6 * 7?")
    assert (turn.text, turn.status, turn.who) == ("6 * 7 = 42.", "done", model_of("openai"))
    assert turn.cost == Decimal("0.000018")
    assert turn.ttft is not None
    assert page.turns == shown(chat)
    assert page.turns[-1]["footer"].endswith("6 → 6 tokens · $0.000018 · cloud tier, priority 1")
    assert page.state["total"] == "1 answer · $0.000018"
    assert not page.state["busy"]


def test_what_was_said_before_goes_with_the_next_turn(chat, fleet):
    chat.set_system("Be brief.")
    say(chat, "What is 6 * 7?")
    say(chat, "And 2 + 2?")
    sent = fleet["openai"].chats[-1].body["messages"]
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in sent] == ["Be brief.", "What is 6 * 7?", "6 * 7 = 42.", "And 2 + 2?"]


def test_another_model_answers_from_the_next_turn_on(chat, page, fleet):
    say(chat, "What is 6 * 7?")
    ask(chat, "model", name=model_of("gemini"))
    assert page.said[-1] == "The next turn goes to gemini/simulated-gemini."
    assert say(chat, "And 2 + 2?").who == model_of("gemini")
    assert len(fleet["gemini"].chats[-1].body["contents"]) == 3
    ask(chat, "model", name="auto")
    assert say(chat, "And 3 + 3?").who == model_of("openai")


def test_a_second_answer_an_edit_and_the_way_back(chat, page):
    say(chat, "What is 6 * 7?")
    ask(chat, "retry", turn=1)
    assert page.turns[-1]["siblings"] == [1, 2]
    ask(chat, "edit", turn=0, text="What is 2 + 2?")
    assert page.turns[-1]["text"] == "2 + 2 = 4."
    assert page.turns == shown(chat)
    ask(chat, "pick", turn=0)
    assert [turn["text"] for turn in page.turns] == ["What is 6 * 7?", "6 * 7 = 42."]
    ask(chat, "undo")
    assert page.turns == shown(chat)
    assert page.turns[-1]["text"] == "2 + 2 = 4."


def test_clear_can_be_undone(chat, page):
    say(chat, "What is 6 * 7?")
    before = page.turns
    ask(chat, "clear")
    assert page.turns == []
    assert page.state["total"] == "1 answer · $0.000018"
    ask(chat, "undo")
    assert page.turns == before


def test_a_stopped_answer_keeps_what_came(chat, page, fleet):
    slow(fleet)
    chat.send("500 words please")
    until(lambda: len("".join(page.turns[-1]["blocks"])) > 40)
    started = time.monotonic()
    ask(chat, "stop")
    assert time.monotonic() - started < 2
    turn = chat.conversation.path[-1]
    assert turn.status == "stopped"
    assert 0 < len(turn.text) < 2000
    assert turn.cost is None
    assert page.state["total"] == "1 answer · unknown cost"
    assert page.turns == shown(chat)
    until(lambda: fleet["openai"].chats[-1].client_closed)


def test_a_stop_before_the_first_token_is_a_stop(chat, fleet):
    fleet["openai"].fail(Fault("slow_first", seconds=30))
    chat.send("hello")
    until(lambda: fleet["openai"].chats)
    ask(chat, "stop")
    assert chat.conversation.path[-1].status == "stopped"


def test_one_answer_at_a_time(chat, page, fleet):
    slow(fleet)
    chat.send("500 words please")
    with pytest.raises(ConversationError, match="still on its way"):
        chat.send("more")
    chat_intents.handle(chat, {"ask": "send", "n": 2, "text": "more"})
    assert "still on its way" in page.said[-1]
    assert page.heard[-2] == {"do": "refused", "ask": "send", "text": "more"}
    chat.stop()
    assert chat.wait(PATIENCE)


def test_who_is_asked_is_told_before_the_first_token(chat, page, fleet):
    fleet["openai"].set(ttft=0.3, tokens_per_second=1000)
    chat.send("What is 6 * 7?")
    until(lambda: page.state.get("asking"))
    assert page.state["asking"] == model_of("openai")
    assert page.state["doing"] == f"asking {model_of('openai')}"
    assert page.turns[-1]["blocks"] == []
    assert chat.wait(PATIENCE)


def test_who_failed_before_is_told_too(chat, page, fleet):
    fleet["openai"].fail(Fault("status", status=401))
    fleet["anthropic"].set(ttft=0.5, tokens_per_second=1000)
    chat.send("What is 6 * 7?")
    until(lambda: "openai failed" in page.state.get("doing", ""))
    assert page.state["asking"] == model_of("anthropic")
    assert chat.wait(PATIENCE)
    assert "after openai failed" in page.turns[-1]["footer"]


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_a_broken_stream_keeps_what_came_and_says_what_to_do(make_router, fleet, page):
    router = make_router(
        [{**provider, "priority": 1} for provider in fleet.config()["provider"][:1]], resume=False, retries=0
    )
    chat = Chat(router, page, dict)
    fleet["openai"].fail(Fault("cut", after_tokens=20))
    turn = say(chat, "100 words please")
    assert turn.status == "broken"
    assert turn.text.startswith("This answer comes from a simulated model")
    assert turn.error.startswith("StreamInterruptedError")
    assert "Retry" in turn.advice
    assert say_again(chat).status == "done"


def say_again(chat: Chat) -> Any:
    chat.retry()
    assert chat.wait(PATIENCE)
    return chat.conversation.path[-1]


def test_a_wrong_key_is_told_in_the_turn_and_costs_nothing(make_router, fleet, page):
    provider = {**fleet.config()["provider"][0], "api_key": "wrong-key-123456"}
    chat = Chat(make_router([provider]), page, dict)
    turn = say(chat, "hello")
    assert turn.status == "failed"
    assert "AuthenticationError" in turn.error
    assert "ProviderManager" in turn.advice
    assert turn.cost == 0
    assert "wrong-key" not in json.dumps(page.heard)


def test_a_spent_budget_is_told_in_the_turn(make_router, fleet, page):
    config = {**fleet.config(), "budget": {"daily_usd": 0.0000001}}
    chat = Chat(make_router(config), page, dict)
    chat.set_model(model_of("openai"))
    turn = say(chat, "hello")
    assert turn.error.startswith("BudgetExceededError")
    assert "\n" not in turn.error
    assert "budget" in turn.advice
    assert turn.cost == 0


def test_a_closed_router_says_what_to_do(chat, router):
    router.close()
    turn = say(chat, "hello")
    assert "closed" in turn.error
    assert "hnb.ChatCell(hnb.Router())" in turn.advice


def test_a_failed_turn_is_not_lost_for_the_next_answer(make_router, fleet, page):
    chat = Chat(make_router(fleet.config()["provider"][:1], retries=0), page, dict)
    fleet["openai"].fail(Fault("status", status=400))
    assert say(chat, "My name is Ada.").status == "failed"
    say(chat, "What is 6 * 7?")
    assert fleet["openai"].chats[-1].body["messages"][-1]["content"] == "My name is Ada.\n\nWhat is 6 * 7?"


@pytest.mark.parametrize(
    ("intent", "told"),
    [
        ({"ask": "send", "text": " "}, "nothing to send"),
        ({"ask": "retry", "turn": None}, "no answer to ask for again"),
        ({"ask": "edit", "turn": 99, "text": "x"}, "no turn 99"),
        ({"ask": "undo"}, "nothing to undo"),
        ({"ask": "model", "name": "nobody/nothing"}, "no model 'nobody/nothing'"),
        ({"ask": "attach", "name": "nothing"}, "no variable 'nothing'"),
        ({"ask": "picture", "name": "x.png"}, "x.png is empty"),
        ({"ask": "edit"}, "turn"),
    ],
)
def test_what_makes_no_sense_is_said(chat, page, intent, told):
    chat_intents.handle(chat, {"n": 5, **intent})
    assert told in page.said[-1]
    assert page.heard[0] == {"do": "ack", "n": 5}


@pytest.mark.parametrize("junk", [None, "x", {}, {"ask": "format"}, {"ask": None}, []])
def test_what_is_no_intent_is_left_alone(chat, page, junk):
    chat_intents.handle(chat, junk)
    assert page.heard == []


# --- attaching ----------------------------------------------------------------------------------------------


def test_a_table_goes_along_as_bounded_markdown(chat, page, names, fleet):
    names["sales"] = pd.DataFrame({"city": ["Lisbon|x", "Porto"], "sum": [1.5, None]})
    ask(chat, "tables")
    assert page.heard[-1] == {"do": "tables", "names": ["sales"]}
    ask(chat, "attach", name="sales")
    assert page.state["attached"] == ["sales (2 rows × 2 columns)"]
    say(chat, "What is in it?")
    assert page.state["attached"] == []
    assert page.turns[0]["tables"] == ["sales (2 rows × 2 columns)"]
    content = fleet["openai"].chats[-1].body["messages"][-1]["content"]
    assert content.startswith("What is in it?\n\nsales (2 rows × 2 columns):\n\n|  | city | sum |\n|---|---|---|\n")
    assert "Lisbon\\|x" in content


def test_a_large_table_says_what_is_left_out():
    frame = pd.DataFrame({f"c{i}": range(1000) for i in range(40)})
    text = chat_attach.table(frame)
    assert text.endswith("(950 more rows and 10 more columns left out)")
    assert text.count("\n") == 53


def test_a_picture_goes_along(chat, page, fleet):
    ask(chat, "picture", PNG, name="x.png")
    assert page.state["attached"] == ["PNG image, 1 KB"]
    turn = say(chat, "What do you see?")
    assert "I see 1 image" in turn.text
    assert page.turns[0]["pictures"][0]["src"].startswith("data:image/png;base64,")
    ask(chat, "picture", PNG)
    ask(chat, "detach", place=0)
    assert page.state["attached"] == []


def test_what_is_no_picture_is_told(chat, page):
    ask(chat, "picture", b"<svg onload=alert(1)>", name="x.svg")
    assert "not a PNG, JPEG, GIF or WebP" in page.said[-1]


# --- how much is sent ---------------------------------------------------------------------------------------


def test_a_fast_answer_draws_fifteen_times_a_second_and_loses_nothing(chat, page, fleet):
    fleet["openai"].set(ttft=0.0, tokens_per_second=10_000, chunk_tokens=1)
    started = time.monotonic()
    turn = say(chat, "9000 words please")
    seconds = time.monotonic() - started
    assert len(turn.text.split()) == 9000
    drawn = [at for at, news in zip(page.times, page.heard, strict=True) if news["do"] == "text"]
    assert drawn
    assert all(sum(at <= other < at + 1 for other in drawn) <= 16 for at in drawn)
    assert page.turns == shown(chat)
    sent = sum(len(json.dumps(news)) for news in page.heard if news["do"] == "text")
    assert sent < 3 * len(turn.text), f"{sent} bytes for {len(turn.text)} characters in {seconds:.1f} s"


def test_looks_are_at_most_fifteen_a_second_and_a_fifth_of_the_time():
    pace, now, looks = Pace(), 0.0, []
    for cost in [0.001] * 30 + [0.1] * 10:
        now += pace.wait(now)
        looks.append((now, cost))
        pace.looked(now, now + cost)
        now += cost
    assert all(later - early > 1 / 15 - 1e-9 for (early, _), (later, _) in itertools.pairwise(looks))
    assert looks[-1][0] - looks[30][0] >= 9 * 0.1 / 0.2 * 0.99


def test_signs_beyond_the_basic_plane_are_counted_as_the_page_counts(chat, page):
    text = chat_news.Text(1)
    page.turns = [{"id": 1, "blocks": []}]
    for blocks in (["<p>😀 a</p>"], ["<p>😀 a😀b</p>"], ["<p>😀 a😀b</p>", "<p>x</p>"], ["<p>😁</p>"]):
        page.tell(text.news(0, blocks))
        assert page.turns[0]["blocks"] == blocks
    assert text.news(0, ["<p>😁</p>"]) is None


def long_talk(turns: int) -> Conversation:
    made = [
        Turn(
            i,
            i - 1 if i else None,
            "assistant" if i % 2 else "user",
            f"turn **{i}**",
            cost=Decimal(1) if i % 2 else None,
        )
        for i in range(turns)
    ]
    return Conversation(tuple(made), View(tip=turns - 1))


def test_a_long_conversation_is_never_sent_whole(chat, page):
    chat.conversation = long_talk(10_000)
    chat.hello()
    assert (page.first, len(page.turns)) == (10_000 - chat_news.CHUNK, chat_news.CHUNK)
    before = len(page.heard)
    started = time.perf_counter()
    say(chat, "What is 6 * 7?")
    assert time.perf_counter() - started < 2
    assert sum(len(news.get("turns", ())) for news in page.heard[before:]) == 2
    assert sum(len(json.dumps(news)) for news in page.heard[before:]) < 20_000
    ask(chat, "older", before=page.first)
    assert page.turns == shown(chat)[page.first :]


def test_what_changes_before_the_window_moves_it(chat, page):
    chat.conversation = long_talk(1_000)
    chat.hello()
    ask(chat, "clear")
    assert (page.first, page.turns) == (0, [])
    ask(chat, "undo")
    assert (page.first, page.turns) == (960, shown(chat)[960:])
    ask(chat, "edit", turn=100, text="What is 6 * 7?")
    assert page.turns == shown(chat)[page.first :]
    assert len(chat.conversation.path) == 102
    ask(chat, "pick", turn=100)
    assert (page.first, page.turns) == (960, shown(chat)[960:])


# --- many threads -------------------------------------------------------------------------------------------


def test_intents_of_several_threads_leave_the_page_as_the_chat_is(chat, page, fleet):
    slow(fleet, words_per_second=2000)
    chat.send("300 words please")
    works = (
        chat.hello,
        lambda: chat.set_model(model_of("gemini")),
        lambda: chat.set_system("x"),
        lambda: chat.detach(0),
    )
    threads = [threading.Thread(target=work) for work in works * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert chat.wait(PATIENCE)
    assert page.turns == shown(chat)
    assert chat.conversation.path[-1].status == "done"


# --- kept by name -------------------------------------------------------------------------------------------


def keeping(router, page, name="trip") -> Chat:
    return Chat(router, page, dict, Keeper(router.conversations, name))


def test_a_kept_conversation_is_there_again(router, page):
    chat = keeping(router, page)
    chat.set_system("Be brief.")
    say(chat, "What is 6 * 7?")
    chat.edit(0, "What is 2 + 2?")
    assert chat.wait(PATIENCE)
    again = keeping(router, Page())
    assert again.conversation == chat.conversation
    assert router.conversations.names() == ["trip"]
    say(again, "And 3 + 3?")
    assert [t.text for t in keeping(router, Page()).conversation.path][-2:] == ["And 3 + 3?", "3 + 3 = 6."]


def test_two_kernels_on_one_name_lose_nothing(router, page):
    say(keeping(router, Page()), "What is 6 * 7?")
    one, other = keeping(router, Page()), keeping(router, page)
    say(one, "And 2 + 2?")
    say(other, "And 3 + 3?")
    assert 'now kept as "trip (2)"' in page.said[-1]
    assert page.state["name"] == "trip (2)"
    say(other, "And 4 + 4?")
    assert [t.text for t in keeping(router, Page()).conversation.path][-1] == "2 + 2 = 4."
    assert [t.text for t in keeping(router, Page(), "trip (2)").conversation.path][-1] == "4 + 4 = 8."


def test_nothing_is_kept_without_a_name(chat, router):
    say(chat, "What is 6 * 7?")
    assert router.conversations.names() == []
