"""Conversations: a model of them in a few lines, and the promises that hold for every history of runs."""

from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.types import Message
from hybrid_nb.notebook.chats import Chat


def said(chat, draft, text):
    chat.keep(draft, Message("user", text), Message("assistant", f"re {text}"))


def asked(chat):
    return [m.text for m in chat.messages if m.role == "user"]


def ask(chat, text, cell=None, run=None, new=False):
    draft = chat.begin(cell, run, new)
    before = [m.text for m in chat.before(draft) if m.role == "user"]
    said(chat, draft, text)
    return before


runs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["ok", "failed", "new"])), max_size=20)


@given(runs)
def test_a_rerun_replaces_its_turn_and_sees_what_is_before_it(history):
    chat, model = Chat(), {}  # the model: texts by cell, in the order of the first answers
    for run, (cell, how) in enumerate(history):
        draft = chat.begin(cell, str(run), how == "new")
        known = [m.text for m in chat.before(draft) if m.role == "user"]
        cells = list(model)
        if how == "new":
            assert known == []
        else:
            assert known == [model[c] for c in (cells[: cells.index(cell)] if cell in model else cells)]
        if how == "failed":
            continue
        said(chat, draft, f"{cell}{run}")
        model = {cell: f"{cell}{run}"} if how == "new" else {**model, cell: f"{cell}{run}"}
        assert asked(chat) == list(model.values())


@given(st.lists(st.text(min_size=1), max_size=8))
def test_without_cell_ids_every_question_is_added(texts):
    chat = Chat()
    for place, text in enumerate(texts):
        assert ask(chat, text) == texts[:place]
    assert asked(chat) == texts
    assert [m.role for m in chat.messages] == ["user", "assistant"] * len(texts)


@given(st.permutations(range(4)))
def test_answers_that_come_late_stand_where_they_were_asked(order):
    chat = Chat()
    drafts = [chat.begin(str(n), "r") for n in range(4)]
    for n in order:
        said(chat, drafts[n], str(n))
    assert asked(chat) == ["0", "1", "2", "3"]


def test_a_cell_that_asks_twice_has_two_turns_and_drops_the_second_when_it_asks_once():
    chat = Chat()
    ask(chat, "one", "a", "1")
    assert ask(chat, "two", "a", "1") == ["one"]
    chat.ended("a", "1")
    ask(chat, "later", "b", "2")
    assert ask(chat, "one!", "a", "3") == []
    assert asked(chat) == ["one!", "two", "later"]
    chat.ended("a", "3")
    assert asked(chat) == ["one!", "later"]


def test_a_run_of_another_cell_ends_nothing():
    chat = Chat()
    ask(chat, "one", "a", "1")
    chat.ended("b", "2")
    chat.ended(None, None)
    chat.ended("a", "0")
    assert asked(chat) == ["one"]


def test_the_later_of_two_runs_of_a_cell_wins():
    chat = Chat()
    first, second = chat.begin("a", "1"), chat.begin("a", "2")
    said(chat, second, "second")
    said(chat, first, "first")
    assert asked(chat) == ["second"]
