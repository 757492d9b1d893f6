# ruff: noqa: E501 - cells and scripts
"""The chat in a real JupyterLab and Notebook 7: by keyboard, in both themes, narrow, long, and when things go wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from hybrid_nb.sim import Fault
from tests.conftest import model_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
CELL = "import hybrid_nb as hnb\nchat = hnb.ChatCell()\nchat"
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Chat:
    """The chat in the output of a notebook's first cell."""

    def __init__(self, nb: Any) -> None:
        self.nb = nb
        self.page = nb.page
        self.root = nb.output(0).locator(".hnb-chat")
        self.box = self.root.get_by_role("textbox", name="Message")
        self.turns = self.root.locator(".hnb-chat-turn:not(.hnb-chat-pending)")
        self.last = self.turns.last

    def button(self, name: str, within: Any = None) -> Any:
        return (within or self.root).get_by_role("button", name=name, exact=True)

    def type(self, text: str) -> None:
        self.box.focus()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def ask(self, text: str) -> Any:
        """Send a turn by keyboard and wait for the end of its answer."""
        count = self.turns.count()
        self.type(text)
        expect(self.turns).to_have_count(count + 2)
        expect(self.last.locator("footer")).to_be_visible()
        return self.last


def opened(lab: Any, fleet: Any, *cells: str, first: str = CELL) -> Chat:
    nb = lab.notebook([first, *cells], config=fleet.config())
    nb.run(0)
    chat = Chat(nb)
    expect(chat.box).to_be_visible()
    return chat


def slow(fleet: Any, words_per_second: float = 60) -> None:
    fleet["openai"].set(ttft=0.2, tokens_per_second=words_per_second, chunk_tokens=1)


def test_a_conversation_by_keyboard_alone(lab, fleet):
    chat = opened(lab, fleet)
    chat.box.focus()
    chat.page.keyboard.type("What is")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.type("6 * 7?")
    expect(chat.box).to_have_value("What is\n6 * 7?")
    chat.page.keyboard.press("Enter")
    expect(chat.last.locator("footer")).to_contain_text("6 → 6 tokens · $0.000018")
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    expect(chat.box).to_be_focused()
    chat.page.keyboard.press("ArrowUp")  # edit what was asked
    chat.page.keyboard.press("Control+A")
    chat.page.keyboard.type("What is 2 + 2?")
    chat.page.keyboard.press("Enter")
    expect(chat.last).to_contain_text("2 + 2 = 4.")
    expect(chat.turns.first.locator(".hnb-chat-branches")).to_contain_text("2 of 2")
    chat.button("Previous", chat.turns.first).press("Enter")
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    assert chat.nb.prompt(0) == "[1]:"  # Shift+Enter and Enter ran nothing
    assert chat.nb.page.locator(".jp-Notebook .jp-CodeCell").count() == 1


def test_an_answer_streams_and_escape_stops_it(lab, fleet):
    slow(fleet)
    chat = opened(lab, fleet)
    chat.type("500 words please")
    expect(chat.last).to_contain_text("asking openai/simulated-openai")
    expect(chat.last.locator(".hnb-chat-block")).to_contain_text("simulated model")
    expect(chat.box).to_be_focused()
    chat.page.keyboard.type("already the next")
    chat.page.keyboard.press("Escape")
    expect(chat.last).to_contain_text("Stopped: this is what had come.")
    expect(chat.root.locator(".hnb-chat-total")).to_have_text("1 answer · unknown cost")
    expect(chat.box).to_have_value("already the next")
    expect(chat.box).to_be_focused()


def test_the_buttons(lab, fleet):
    chat = opened(lab, fleet)
    chat.ask("What is 6 * 7?")
    chat.root.get_by_label("Ask").select_option(model_of("gemini"))
    expect(chat.root.locator(".hnb-chat-status").first).to_have_text("The next turn goes to gemini/simulated-gemini.")
    chat.button("Retry", chat.last).click()
    expect(chat.last).to_have_attribute("aria-label", "Answer of gemini/simulated-gemini")
    expect(chat.last.locator(".hnb-chat-branches")).to_contain_text("2 of 2")
    chat.button("Clear").click()
    expect(chat.turns).to_have_count(0)
    chat.button("Undo").click()
    expect(chat.turns).to_have_count(2)
    chat.root.get_by_text("Export").click()
    with chat.page.expect_download() as download:
        chat.button("Notebook file").click()
    assert download.value.suggested_filename == "chat.ipynb"
    chat.root.get_by_text("System prompt").click()
    chat.root.get_by_label("Instructions for the model").fill("Be brief.")
    chat.ask("And 2 + 2?")
    assert fleet["gemini"].chats[-1].body["systemInstruction"]["parts"][0]["text"] == "Be brief."


def test_pictures_and_tables_go_along(lab, fleet):
    chat = opened(lab, fleet, first="import pandas as pd\nsales = pd.DataFrame({'city': ['Porto']})\n" + CELL)
    chat.root.locator("input[type=file]").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": PNG})
    expect(chat.root.get_by_label("Attached to the next message")).to_contain_text("PNG image")
    chat.button("Attach table").click()
    chat.root.get_by_label("Variable with a DataFrame").fill("sales")
    chat.page.keyboard.press("Enter")
    expect(chat.root.get_by_label("Attached to the next message")).to_contain_text("sales (1 row × 1 column)")
    expect(chat.box).to_be_focused()
    expect(chat.ask("What is it?")).to_contain_text("I see 1 image")
    expect(chat.turns.first.locator("img")).to_be_visible()


PASTE = """(box, png) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(png)], 'x.png', {type: 'image/png'}));
    box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
    box.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def test_pictures_are_pasted_and_dropped_and_taken_away(lab, fleet):
    chat = opened(lab, fleet)
    chat.box.evaluate(PASTE, list(PNG))
    attached = chat.root.get_by_label("Attached to the next message").locator("li")
    expect(attached).to_have_count(2)
    chat.root.get_by_role("button", name="Remove PNG image").first.click()
    expect(attached).to_have_count(1)
    expect(chat.ask("What is it?")).to_contain_text("I see 1 image")


def test_turns_and_code_are_copied(lab, fleet):
    chat = opened(lab, fleet)
    chat.page.evaluate(
        "() => { window.copied = []; navigator.clipboard.writeText = async text => { window.copied.push(text); }; }"
    )
    chat.ask("Write python code")
    chat.root.get_by_role("button", name="Copy this python code").click()
    chat.button("Copy", chat.last).click()
    expect(chat.button("Copied", chat.last)).to_be_visible()
    code, turn = chat.page.evaluate("window.copied")
    assert code.startswith("def simulated(question: str) -> str:\n    return")
    assert turn.endswith("```")
    assert code in turn


def test_what_was_said_is_there_after_a_reload_and_stays_readable_without_a_kernel(lab, fleet):
    chat = opened(lab, fleet)
    chat.ask("What is 6 * 7?")
    expect(chat.nb.output(0).locator("[class^=hnb-saved]")).to_contain_text("6 * 7 = 42.")
    saved = str(chat.nb.save()["cells"][0]["outputs"])
    assert "6 * 7 = 42." in saved
    chat.nb.reload()
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    chat.ask("And 2 + 2?")
    assert "What is 6 * 7?" in saved
    chat.nb.restart_kernel()
    expect(chat.root.get_by_role("alert")).to_contain_text("Not connected: the kernel was restarted or has ended")
    expect(chat.last).to_contain_text("2 + 2 = 4.")
    expect(chat.button("Send")).to_be_disabled()
    # JupyterLab's own complaint about a kernel that is restarted while it is asked for its debugger
    chat.nb.troubles.errors = [text for text in chat.nb.troubles.errors if "debugger state" not in text]


def test_it_answers_while_another_cell_is_busy(lab, fleet):
    chat = opened(lab, fleet, "import time; time.sleep(6)")
    chat.nb.run(1, wait=False)
    chat.type("What is 6 * 7?")
    expect(chat.root.locator(".hnb-chat-body", has_text="What is 6 * 7?")).to_be_visible()
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    assert chat.nb.prompt(1) == "[*]:"


NO_SUBSHELLS = "() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.commsOverSubshells = 'disabled'; }"


def test_where_there_are_no_subshells_it_says_that_it_waits(lab, fleet):
    nb = lab.notebook([CELL, "import time; time.sleep(5)"], config=fleet.config())
    nb.page.evaluate(NO_SUBSHELLS)
    nb.run(0)
    chat = Chat(nb)
    expect(chat.box).to_be_visible()
    nb.run(1, wait=False)
    chat.type("What is 6 * 7?")
    expect(chat.root.locator(".hnb-chat-pending")).to_contain_text("What is 6 * 7?")
    waits = chat.root.locator(".hnb-chat-status", has_text="the kernel is busy with another cell")
    expect(waits).to_be_visible()
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    expect(waits).to_have_count(0)
    expect(chat.turns).to_have_count(2)


def test_what_goes_wrong_is_told_in_the_turn_with_a_way_on(lab, fleet):
    config = fleet.config()
    config["router"] = {**config["router"], "failover": False, "retries": 0}
    nb = lab.notebook([CELL], config=config)
    nb.run(0)
    chat = Chat(nb)
    fleet["openai"].fail(Fault("status", status=401))
    chat.type("What is 6 * 7?")
    expect(chat.last.get_by_role("alert")).to_contain_text("AuthenticationError")
    expect(chat.last.get_by_role("alert")).to_contain_text("Check the key")
    fleet["openai"].heal()
    chat.button("Retry", chat.last).click()
    expect(chat.last).to_contain_text("6 * 7 = 42.")


HOSTILE = r"""
bad = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'
chat.send(bad, wait=True)
chat.edit(chat.turns[-1], bad + "\n\n```html\n" + bad + "\n```\n\n$$\\text{" + bad + "}$$\n\n| a |\n|---|\n| " + bad + " |")
"""


def test_nothing_in_an_answer_acts(lab, fleet):
    chat = opened(lab, fleet, HOSTILE)
    chat.nb.run(1)
    expect(chat.last).to_contain_text("onerror")
    assert chat.page.evaluate("window.hacked") is None
    assert chat.root.locator("img, script").count() == 0


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_is_accessible_wide_and_narrow(lab, fleet, theme):
    text = "## Title\n\n```python\ndef f(x): # note\n    return 'a' + str(1.5)\n```\n\n| a | b |\n|---|---|\n| 1 | $x^2$ |\n\n> quoted `code`"
    chat = opened(lab, fleet, f"chat.edit(chat.turns[-1], {text!r})")
    chat.ask("What is 6 * 7?")
    chat.nb.run(1)
    expect(chat.last.locator("table")).to_be_visible()
    chat.nb.theme(theme)
    assert chat.nb.axe(chat.root) == []
    chat.nb.width(480)
    assert chat.nb.axe(chat.root) == []
    assert chat.root.evaluate("e => e.scrollWidth <= e.clientWidth")
    small = chat.root.locator("button:visible, summary:visible").evaluate_all(
        "es => es.filter(e => e.getBoundingClientRect().height < 24).map(e => e.textContent)"
    )
    assert small == []


def test_an_answer_is_announced_once(lab, fleet):
    slow(fleet, 200)
    chat = opened(lab, fleet)
    chat.page.evaluate(
        """() => {
            window.said = [];
            const live = document.querySelector('.hnb-chat [aria-live="polite"]');
            new MutationObserver(() => window.said.push(live.textContent)).observe(live, {childList: true, characterData: true, subtree: true});
        }"""
    )
    chat.ask("60 words please")
    assert chat.root.get_by_role("log").get_attribute("aria-live") == "off"
    said = chat.page.evaluate("window.said")
    assert len(said) == 1
    assert said[0].startswith("Answer of openai/simulated-openai: This answer comes from")


def test_keys_on_its_buttons_are_no_business_of_the_notebook(lab, fleet):
    chat = opened(lab, fleet, "1")
    chat.ask("What is 6 * 7?")
    chat.button("Copy", chat.last).focus()
    for key in ("d", "d", "x", "a", "b"):
        chat.page.keyboard.press(key)
    assert chat.page.locator(".jp-Notebook .jp-CodeCell").count() == 2


def test_in_notebook_7(classic, fleet):
    chat = opened(classic, fleet)
    expect(chat.ask("What is 6 * 7?")).to_contain_text("6 * 7 = 42.")


def test_on_core_widgets(lab, fleet):
    nb = lab.notebook(["import hybrid_nb as hnb\nhnb.ChatCell(frontend='core')"], config=fleet.config())
    output = nb.run(0)
    output.get_by_label("Message").fill("What is 6 * 7?")
    output.get_by_role("button", name="Send").click()
    expect(output.get_by_text("6 * 7 = 42.")).to_be_visible()


# --- long conversations -------------------------------------------------------------------------------------

LONG = """
from decimal import Decimal
from hybrid_nb.notebook.conversation import Conversation, Turn, View
text = "Turn **{}** with `code`\\n\\n```python\\nprint({})\\n```\\n\\n- one\\n- two"
made = tuple(Turn(i, i - 1 if i else None, "assistant" if i % 2 else "user", text.format(i, i), cost=Decimal(1)) for i in range(10_000))
chat.chat.conversation = Conversation(made, View(tip=len(made) - 1))
chat.chat.hello()
"""
SCROLL = """async log => {
    const frames = [];
    let before = performance.now(), going = true;
    const tick = now => { frames.push(now - before); before = now; if (going) requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
    const end = performance.now() + 5000;
    while (performance.now() < end) {
        log.scrollTop = Math.max(0, log.scrollTop - 600);
        await new Promise(done => setTimeout(done, 16));
    }
    going = false;
    frames.sort((a, b) => a - b);
    return { turns: log.querySelectorAll('.hnb-chat-turn').length, median: frames[frames.length >> 1], p95: frames[Math.floor(frames.length * 0.95)] };
}"""


def test_ten_thousand_turns_stay_smooth(lab, fleet):
    chat = opened(lab, fleet, LONG)
    chat.nb.run(1)
    expect(chat.last).to_contain_text("Turn 9999")
    assert chat.turns.count() == 40
    found = chat.root.get_by_role("log").evaluate(SCROLL)
    assert found["turns"] > 100  # earlier ones came as they were wanted
    assert found["p95"] < 100, found
    chat.type("What is 6 * 7?")
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    assert chat.turns.count() <= 240
    assert re.fullmatch(r"Earlier turns \(\d+\)", chat.root.locator(".hnb-chat-log > button").inner_text())
    print(found)
