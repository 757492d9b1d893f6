"""A conversation as a tree: whatever is done, no turn is lost, and undo goes back to what was shown."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.types import Image
from hybrid_nb.notebook.conversation import Attachment, Conversation, ConversationError
from hybrid_nb.notebook.conversation_json import from_json, to_json
from hybrid_nb.notebook.conversation_text import to_cells, to_markdown, to_notebook
from hybrid_nb.notebook.options import ASK, parse

OPERATIONS = ("ask", "retry", "edit", "pick", "clear", "system", "undo")
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 30), st.text("ab ", max_size=4)), max_size=25)


def done(conversation: Conversation, text: str = "answer", **fields: Any) -> Conversation:
    running = conversation.running
    return conversation if running is None else conversation.finished(running.id, text=text, status="done", **fields)


def talk(*texts: str) -> Conversation:
    conversation = Conversation()
    for text in texts:
        conversation = done(conversation.ask(text), f"re: {text}", cost=Decimal("0.5"))
    return conversation


def step(conversation: Conversation, kind: str, number: int, text: str) -> Conversation:
    """One operation, or the same conversation where it makes no sense."""
    do = {
        "ask": lambda c: c.ask(text),
        "retry": lambda c: c.retry(),
        "edit": lambda c: c.edit(number, text),
        "pick": lambda c: c.pick(number),
        "clear": lambda c: c.clear(),
        "system": lambda c: c.with_system(text),
        "undo": lambda c: c.undo(),
    }[kind]
    try:
        return done(do(conversation), text)
    except ConversationError:
        return conversation


def shown(conversation: Conversation) -> Any:
    path = conversation.path
    return path, [conversation.siblings(turn.id) for turn in path], conversation.view.system


@given(STEPS)
def test_no_operation_loses_a_turn(steps):
    conversation = Conversation()
    for each in steps:
        before, conversation = conversation, step(conversation, *each)
        assert conversation.turns[: len(before.turns)] == before.turns
        assert [turn.id for turn in conversation.turns] == list(range(len(conversation.turns)))


@given(STEPS, st.tuples(st.sampled_from(OPERATIONS[:-1]), st.integers(0, 30), st.text("ab", max_size=4)))
def test_undo_goes_back_to_what_was_shown(steps, last):
    conversation = Conversation()
    for each in steps:
        conversation = step(conversation, *each)
    after = step(conversation, *last)
    if after is not conversation:
        assert shown(after.undo()) == shown(conversation)


@given(STEPS)
def test_every_branch_that_was_not_taken_back_can_be_reached(steps):
    conversation = Conversation()
    for each in steps:
        conversation = step(conversation, *each)
    for turn in conversation.path:
        for sibling in conversation.siblings(turn.id):
            assert sibling in [t.id for t in conversation.pick(sibling).path]


@given(STEPS)
def test_roles_take_turns_in_what_is_sent(steps):
    conversation = Conversation()
    for each in steps:
        conversation = step(conversation, *each)
    asked = conversation.ask("last")
    roles = [message.role for message in asked.messages(asked.view.tip) if message.role != "system"]
    assert roles[-1] == "user"
    assert all(a != b for a, b in itertools.pairwise(roles))


@given(STEPS)
def test_json_and_back(steps):
    conversation = Conversation()
    for each in steps:
        conversation = step(conversation, *each)
    data = json.loads(json.dumps(to_json(conversation)))
    assert from_json(data, data["turns"]) == conversation


def test_everything_of_a_turn_goes_through_json():
    asked = Conversation().ask("a", [Image("image/png", b"\x89PNG12")], [Attachment("df", "| a |")], "x/y", 12.5)
    conversation = done(asked, cost=Decimal("0.1"), latency=1.5, ttft=0.5, input_tokens=3, provider="x", model="y")
    data = json.loads(json.dumps(to_json(conversation)))
    assert from_json(data, data["turns"]) == conversation


def test_an_answer_that_was_under_way_when_the_kernel_ended_is_broken_off():
    data = to_json(Conversation().ask("hello"))
    turn = from_json(data, data["turns"]).path[-1]
    assert turn.status == "broken"
    assert "kernel" in turn.error


def test_an_edited_turn_is_a_branch_and_one_goes_back():
    conversation = done(talk("a", "b").edit(2, "b2"), "re: b2")
    assert [turn.text for turn in conversation.path] == ["a", "re: a", "b2", "re: b2"]
    assert conversation.siblings(4) == (2, 4)
    assert [turn.text for turn in conversation.pick(2).path] == ["a", "re: a", "b", "re: b"]


def test_an_edited_turn_keeps_its_attachments():
    conversation = done(Conversation().ask("look", attachments=[Attachment("df", "| a |")]))
    edited = conversation.edit(0, "look again")
    assert edited.messages(edited.view.tip)[0].text == "look again\n\ndf:\n\n| a |"


def test_a_second_answer_is_beside_the_first():
    conversation = done(talk("a").retry(), "other")
    assert conversation.siblings(2) == (1, 2)
    assert [turn.text for turn in conversation.path] == ["a", "other"]


def test_after_a_clear_the_first_turn_has_no_siblings_and_undo_brings_all_back():
    conversation = talk("a", "b").clear()
    assert conversation.path == ()
    assert done(conversation.ask("c")).siblings(4) == (4,)
    assert [turn.text for turn in conversation.undo().path] == ["a", "re: a", "b", "re: b"]


def test_a_failed_turn_goes_with_the_next_one():
    failed = Conversation().ask("first")
    failed = failed.finished(1, status="failed", error="nobody there")
    asked = failed.ask("second")
    assert [(m.role, m.text) for m in asked.messages(asked.view.tip)] == [("user", "first\n\nsecond")]


def test_the_total_counts_what_was_taken_back_and_tells_unknowns_apart():
    conversation = talk("a", "b").undo()
    assert conversation.total[:3] == (2, Decimal("1.0"), 0)
    unknown = done(conversation.ask("c"), cost=None)
    assert str(unknown.total) == "3 answers · $1.00 + 1 of unknown cost"
    assert str(done(Conversation().ask("c")).total) == "1 answer · unknown cost"
    assert str(Conversation().total) == "no answer yet"


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_is_not_sent(text):
    with pytest.raises(ConversationError, match="nothing to send"):
        Conversation().ask(text)


def test_markdown_has_every_turn_with_its_footer():
    conversation = done(talk("a").ask("b"), "B", provider="p", model="m", footer="p/m · free")
    text = to_markdown(conversation, "trip")
    assert text.startswith("# trip\n")
    assert "## You\n\nb\n\n## p/m\n\nB\n\n<sub>p/m · free</sub>" in text


def test_the_cells_are_ones_that_the_magic_takes():
    conversation = talk("first").with_system("be 'brief' and\n\"kind\"")
    conversation = done(conversation.ask("second", asked="a/m"), "answer")
    cells = to_cells(conversation, "my trip")
    assert [cell.partition("\n")[2] for cell in cells] == ["first", "second"]
    line = cells[1].partition("\n")[0].removeprefix("%%llm ")
    parsed = parse(line, ASK)
    assert parsed.words == ["a/m"]
    assert parsed.values == {"chat": "my-trip", "system": "be 'brief' and 'kind'"}


def test_the_notebook_is_valid():
    notebook = nbformat.reads(json.dumps(to_notebook(talk("a", "b"), "trip")), as_version=4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells[2:]] == ["%%llm --chat trip\na", "%%llm --chat trip\nb"]
    assert notebook.cells[2].outputs[0].data["text/markdown"].startswith("re: a")
