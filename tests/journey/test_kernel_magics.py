"""What lives in a real kernel only: notes before the first token, calls in the background, turns that a re-run
replaces, comparisons that are drawn while they run."""

from __future__ import annotations

import time

import pytest

from tests.journey.kernels import Kernel, Message

SETUP = """
import hybrid_nb as hnb
%load_ext hybrid_nb
def model(name, ttft, speed=60.0): return (hnb.sim.Model(name, ttft=ttft, tokens_per_second=speed, accuracy=1.0),)
fleet = hnb.sim.Fleet([
    hnb.sim.Vendor("quick", "openai", model("simulated-quick", 0.05), priority=1),
    hnb.sim.Vendor("broken", "openai", model("simulated-broken", 0.0), priority=8),
    hnb.sim.Vendor("late", "openai", model("simulated-late", 1.6), priority=9),
]).start()
fleet["broken"].fail(hnb.sim.Fault("status", status=503), times=None)
hnb.set_default_router(hnb.Router({
    **fleet.config(), "ledger": {"url": "sqlite:///:memory:"}, "router": {"retries": 0},
    "group": {"unlucky": ["broken/simulated-broken", "late/simulated-late"]},
}))
"""
ESSAY = "Write an essay of 400 words about bees"
DRAWN = ("display_data", "update_display_data")
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def notebook(bare_kernel: Kernel) -> Kernel:
    """A kernel with vendors that are quick, late and broken."""
    bare_kernel.do(SETUP)
    return bare_kernel


def later(kernel: Kernel, launched: list[Message], wanted: str) -> list[Message]:
    """The draws into the display of a launching cell, until one that shows `wanted`."""
    place = next(m for m in launched if m["type"] == "display_data")["transient"]["display_id"]

    def drawn() -> list[Message]:
        return [m for m in kernel.heard if m["type"] in DRAWN and m["transient"].get("display_id") == place]

    if not any(wanted in str(m["data"]) for m in drawn()):
        kernel.until(lambda m: m["type"] in DRAWN and wanted in str(m["data"]), wanted)
    shown = [wanted in str(m["data"]) for m in drawn()]
    return drawn()[: shown.index(True) + 1]


def plain(messages: list[Message]) -> list[str]:
    return [m["data"]["text/plain"] for m in messages if m["type"] in DRAWN]


@pytest.mark.parametrize("option", ["", " --no-stream"])
def test_until_the_first_token_it_says_who_is_asked_and_for_how_long(notebook, option):
    shown = plain(notebook.run(f"%%llm unlucky{option}\nWhat is 6 * 7?"))
    notes = shown[:-1] if option else [text for text in shown if "asking" in text]
    assert notes[-1].startswith("broken failed (ServiceUnavailableError: ")
    assert notes[-1].endswith("asking late/simulated-late … 1 s")
    assert 2 <= len(notes) <= 6  # whenever it changes, which is once a second
    assert "= 42" in shown[-1]
    assert "late/simulated-late" in shown[-1]
    assert "after broken failed" in shown[-1]


def test_a_whole_answer_is_interrupted_as_soon_as_a_stream(notebook):
    messages = notebook.run(f"%%llm late/simulated-late --no-stream\n{ESSAY}", interrupt_when="asking late")
    assert time.monotonic() - notebook.interrupted < 0.5 + 0.5  # half a second, and as much for a busy machine
    assert messages[-1]["ename"] == "Stopped"
    assert "stopped after" in plain(messages)[-1]


def test_a_call_in_the_background_is_drawn_in_its_own_cell_while_others_run(notebook):
    began = time.monotonic()
    messages = notebook.run("%%llm quick/simulated-quick --background --to job\nWrite an essay of 120 words about bees")
    assert time.monotonic() - began < 1.0
    first = next(m for m in messages if m["type"] == "display_data")
    assert "job.reply waits, job.cancel() stops" in first["data"]["text/plain"]
    assert not [m for m in messages if m["type"] == "execute_result"]
    assert notebook.value("job.done, job is _llm_job") == "(False, True)"
    drawn = later(notebook, messages, "first token")
    assert [m["type"] for m in drawn[1:]] == ["update_display_data"] * (len(drawn) - 1)
    assert {m["transient"]["display_id"] for m in drawn} == {first["transient"]["display_id"]}
    assert len(drawn) <= 15 * 10
    assert notebook.value("job.done, job.reply.provider, job.text == job.reply.text") == "(True, 'quick', True)"
    assert notebook.value("(await job).provider") == "'quick'"
    assert drawn[-1]["data"]["text/plain"].count("\n\n— ") == 1


def test_waiting_for_the_background_can_be_interrupted_and_leaves_it_under_way(notebook):
    launched = notebook.run(f"%%llm quick/simulated-quick --background\n{ESSAY}")
    messages = notebook.run("print('waits'); display('now'); _llm_job.reply", interrupt_when="now")
    assert time.monotonic() - notebook.interrupted < 0.5 + 0.5
    assert [m["ename"] for m in messages if m["type"] == "error"] == ["KeyboardInterrupt"]
    assert notebook.value("_llm_job.done") == "False"
    notebook.run("_llm_job.cancel()")
    last = later(notebook, launched, "cancelled after")[-1]
    assert "simulated model" in last["data"]["text/plain"]
    error = next(m for m in notebook.run("await _llm_job") if m["type"] == "error")
    assert error["ename"] == "StreamInterruptedError"
    assert len(error["traceback"]) == 1


def test_an_error_in_the_background_is_one_line_in_its_display_and_raised_to_who_asks(notebook):
    notebook.run("%%llm broken/simulated-broken --background\nhi")
    error = next(m for m in notebook.run("_llm_job.reply") if m["type"] == "error")
    assert error["ename"] == "ServiceUnavailableError"
    launched = notebook.run("%%llm broken/simulated-broken --background\nhi")
    last = later(notebook, launched, "no answer: ServiceUnavailableError")[-1]
    assert "\n" not in last["data"]["text/plain"]


def turns(notebook: Kernel) -> str:
    code = "[m['content'] for m in fleet['quick'].chats[-1].body['messages'] if m['role'] == 'user']"
    return notebook.value(code)


def test_a_cell_that_is_run_again_replaces_its_turn(notebook):
    ask = "%%llm quick/simulated-quick --chat sums --max-tokens 20\nWhat is "
    notebook.run(f"{ask}1 + 1?", cell="a")
    notebook.run(f"{ask}2 + 2?", cell="b")
    assert turns(notebook) == "['What is 1 + 1?', 'What is 2 + 2?']"
    notebook.run(f"{ask}3 + 3?", cell="a")
    assert turns(notebook) == "['What is 3 + 3?']"
    notebook.run(f"{ask}4 + 4?", cell="b", interrupt_when="asking")
    notebook.run(f"{ask}5 + 5?", cell="c")
    assert turns(notebook) == "['What is 3 + 3?', 'What is 2 + 2?', 'What is 5 + 5?']"
    notebook.run(f"{ask}6 + 6?")
    notebook.run(f"{ask}6 + 6?")
    assert turns(notebook).count("6 + 6") == 2


def test_a_comparison_is_drawn_while_it_runs(notebook):
    prompt = "Write an essay of 60 words about bees"
    messages = notebook.run(
        f"%%llm_compare quick/simulated-quick late/simulated-late broken/simulated-broken\n{prompt}"
    )
    drawn = [m for m in messages if m["type"] in DRAWN]
    assert [m["type"] for m in drawn[:2]] == list(DRAWN)
    assert len({m["transient"]["display_id"] for m in drawn}) == 1
    seconds = drawn[-1]["at"] - drawn[0]["at"]
    assert 5 <= len(drawn) <= 10 * seconds + 3
    pages = [m["data"]["text/html"] for m in drawn]
    assert any("asking late/simulated-late … 1 s" in page and "simulated model" in page for page in pages)
    assert "<caption" in pages[-1]
    assert not [page for page in pages[:-1] if "<caption" in page]
    assert "ServiceUnavailableError" in pages[-1]
    assert "Comparison(3 models)" in drawn[-1]["data"]["text/plain"]
    assert notebook.value("list(_llm.frame['status'])") == "['ok', 'ok', 'error']"
    assert notebook.value("list(hnb.default_router().calls()['status'])[-3:].count('ok')") == "2"


def test_an_interrupted_comparison_keeps_what_came(notebook):
    code = f"%%llm_compare quick/simulated-quick late/simulated-late\n{ESSAY}"
    messages = notebook.run(code, interrupt_when="simulated model")
    assert time.monotonic() - notebook.interrupted < 0.5 + 0.5
    assert messages[-1]["ename"] == "Stopped"
    last = [m for m in messages if m["type"] in DRAWN][-1]["data"]["text/html"]
    assert "simulated model" in last
    assert "stopped by an interrupt" in last
    assert "<caption" in last
    assert "simulated model" in notebook.value("_llm_partial.sides[0].error.partial_text")
    give_up = time.monotonic() + 5
    while notebook.value("[v.requests[-1].client_closed for v in (fleet['quick'], fleet['late'])]") != "[True, True]":
        assert time.monotonic() < give_up


def test_a_failed_cell_is_explained_without_its_keys(notebook):
    notebook.run("api_key = 'PLANTED-hunter2'\ndef half(x):\n    return x / len(api_key[:0])")
    notebook.run("half(3)  # with 'PLANTED-hunter2'")
    messages = notebook.run("%llm_explain quick/simulated-quick --max-tokens 20")
    assert "quick/simulated-quick" in plain(messages)[-1]
    sent = notebook.value("print(fleet['quick'].chats[-1].body['messages'][-1]['content']); 0")
    assert sent == "0"
    text = "".join(m["text"] for m in notebook.run("print(fleet['quick'].chats[-1].body)") if m["type"] == "stream")
    assert "return x / len(api_key[:0])" in text
    assert "ZeroDivisionError" in text
    assert "ipykernel/" not in text
    assert "PLANTED" not in text
