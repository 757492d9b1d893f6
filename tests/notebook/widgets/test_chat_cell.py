"""ChatCell from code: its methods, its saved form, and its front ends without a page."""

from __future__ import annotations

import json
from decimal import Decimal

import nbformat
import pandas as pd
import pytest

import hybrid_nb as hnb
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.feed import feed_of
from tests.conftest import model_of

PATIENCE = 20.0


@pytest.fixture
def chat(router):
    chat = hnb.ChatCell(router)
    yield chat
    chat.close()


def test_a_chat_from_code(chat, fleet):
    chat.system, chat.model = "Be brief.", model_of("gemini")
    chat.send("What is 6 * 7?", wait=True)
    assert [(t.role, t.text) for t in chat.turns] == [("user", "What is 6 * 7?"), ("assistant", "6 * 7 = 42.")]
    assert chat.turns[1].provider == "gemini"
    chat.edit(chat.turns[0], "What is 2 + 2?", wait=True)
    assert chat.turns[1].text == "2 + 2 = 4."
    chat.retry(wait=True)
    assert chat.total.answers == 3
    chat.pick(0)
    assert chat.turns[1].text == "6 * 7 = 42."
    chat.clear()
    assert chat.turns == []
    chat.undo()
    assert len(chat.turns) == 2


def test_the_frame_has_a_row_a_turn(chat):
    chat.send("What is 6 * 7?", wait=True)
    frame = chat.frame
    assert list(frame["role"]) == ["user", "assistant"]
    assert frame["cost_usd"].iloc[1] == pytest.approx(0.000018)
    assert pd.isna(frame["cost_usd"].iloc[0])


def test_whom_nobody_knows_is_refused(chat):
    with pytest.raises(ValueError, match="no model 'gpt-9'"):
        chat.model = "gpt-9"
    assert chat.model is None


def test_exports(chat, tmp_path):
    chat.send("What is 6 * 7?", wait=True)
    assert "## openai/simulated-openai\n\n6 * 7 = 42." in chat.to_markdown()
    assert chat.to_cells() == ["%%llm --chat chat\nWhat is 6 * 7?"]
    path = chat.save_notebook(tmp_path / "trip.ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[-1].outputs[0].data["text/markdown"].startswith("6 * 7 = 42.")


def test_what_is_attached_from_code_goes_along(chat, fleet):
    chat.attach(pd.DataFrame({"a": [1]}), name="small")
    chat.attach(b"\x89PNG\r\n\x1a\n" + b"0" * 9)
    chat.attach({"some": "value"}, name="facts")
    chat.send("look", wait=True)
    assert [a.name for a in chat.turns[0].attachments] == ["small (1 row × 1 column)", "facts"]
    assert "I see 1 image" in chat.turns[1].text


def test_the_saved_form_is_static_escaped_and_bounded(chat):
    chat.send("<script>alert(1)</script>", wait=True)
    saved = chat.saved()
    assert "<script>" not in saved.html
    assert "&lt;script&gt;alert(1)" in saved.html
    assert "mathjax_ignore" in saved.html  # maths is MathML already
    assert saved.text.startswith("You:\n<script>")
    conversation = chat.chat.conversation
    for number in range(70):
        asked = conversation.ask(f"turn {number}")
        conversation = asked.finished(asked.running.id, text="x" * 60_000, status="done", cost=Decimal(0))
    chat.chat.conversation = conversation
    saved = chat.saved()
    assert "82 earlier turns left out here" in saved.html
    assert "(20,000 characters left out)" in saved.text
    assert "turn 69" in saved.html
    assert "turn 0<" not in saved.html


def test_the_page_gets_what_is_there_with_its_first_look(router):
    first = hnb.ChatCell(router, name="trip")
    first.send("What is 6 * 7?", wait=True)
    again = hnb.ChatCell(router, name="trip")
    snapshot = json.loads(json.dumps(again.chat.front.snapshot))
    assert [news["do"] for news in snapshot["news"]] == ["models", "turns", "state"]
    assert [turn["text"] for turn in snapshot["news"][1]["turns"]] == ["What is 6 * 7?", "6 * 7 = 42."]


def test_another_provider_can_be_asked_at_once(chat, router, fleet):
    told = []
    front = chat.chat.front
    chat.chat.front = type("Both", (), {"tell": lambda _, news: (told.append(news), front.tell(news))})()
    router.add_provider({**fleet.config()["provider"][0], "name": "another"})
    chat.redraw(frozenset({"config"}))
    assert any("another/simulated-openai" in group["names"] for group in told[-1]["groups"])
    chat.model = "another/simulated-openai"


def test_a_front_end_that_is_not_known_is_refused(router, monkeypatch):
    with pytest.raises(OptionValueError, match="anywidget, core"):
        hnb.ChatCell(router, frontend="flash")
    monkeypatch.setenv("HYBRID_NB_FRONTEND", "core")
    assert type(hnb.ChatCell(router).chat.front).__name__ == "CoreView"


# --- on core ipywidgets -------------------------------------------------------------------------------------


@pytest.fixture
def core(router):
    chat = hnb.ChatCell(router, frontend="core")
    yield chat
    chat.close()


def press(chat, name):
    chat.chat.front._buttons[name].click()
    assert chat.wait(PATIENCE)


def write(chat, text):
    chat.chat.front._box.value = text
    press(chat, "send")


def log(chat):
    return [child.value for child in chat.chat.front._log.children]


def test_the_core_front_end_does_the_same(core, fleet):
    write(core, "What is 6 * 7?")
    assert "<p>6 * 7 = 42.</p>" in log(core)[-1]
    assert "$0.000018" in log(core)[-1]
    core.chat.front._model.value = model_of("gemini")
    press(core, "retry")
    assert core.turns[-1].provider == "gemini"
    assert "version 2 of 2" in log(core)[-1]
    press(core, "back")
    assert core.turns[-1].provider == "openai"
    press(core, "edit")
    assert core.chat.front._box.value == "What is 6 * 7?"
    write(core, "What is 2 + 2?")
    assert "2 + 2 = 4." in log(core)[-1]
    press(core, "clear")
    assert log(core) == []
    press(core, "undo")
    assert "2 + 2 = 4." in log(core)[-1]
    press(core, "markdown")
    assert 'download="chat.md"' in core.chat.front._file.value


def test_the_core_front_end_says_what_went_wrong(core):
    write(core, "")
    assert "nothing to send" in core.chat.front._said.value
    core.chat.front._variable.value = "nothing"
    press(core, "attach")
    assert "no variable" in core.chat.front._said.value
    write(core, "<img src=x onerror=alert(1)>")
    assert "<img" not in "".join(log(core))


def test_the_core_front_end_shows_the_last_turns_only(core):
    for number in range(20):
        core.send(f"What is {number} + 1?", wait=True)
    assert log(core)[0] == "<em>10 earlier turns are not shown</em>"
    assert len(log(core)) == 31


def test_a_model_that_is_not_there_is_one_line_with_the_nearest(router):
    with pytest.raises(ValueError, match=r"no model 'simulated-opena' \(did you mean 'simulated-openai'\?\)") as caught:
        hnb.ChatCell(router, model="simulated-opena")
    assert len(caught.value._render_traceback_()) == 1
    assert feed_of(router).readers == 0
