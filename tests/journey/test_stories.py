"""Whole stories across the widgets, each in one notebook: a person's day, without the mouse, and on a narrow screen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import model_of
from tests.journey.scenes import DARK

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
CELLS = (
    "import hybrid_nb as hnb\nhnb.ProviderManager()",
    "hnb.ChatCell()",
    "hnb.HealthPanel()",
    "hnb.CostTable()",
)
QUIET = {"health_interval": 0, "retries": 0, "breaker_threshold": 2, "retry_delay": 0.01}
TABS = ("Providers", "Chat", "Testing", "Usage", "Health", "Configuration")
REFUSED = "Raise the budget in hnb.ProviderManager() or the settings, or wait until it resets."


PRICED = "from IPython.display import HTML\nfrom hybrid_nb.compare import beside, card\n"
PRICED += "HTML(beside([card('a/m', 'It went from $5 to $10.')]))"


class Chat:
    """A chat in some part of the page, as a person uses it."""

    def __init__(self, part: Any) -> None:
        self.root = part.locator(".hnb-chat")
        self.turns = self.root.locator(".hnb-chat-turn:not(.hnb-chat-pending)")
        self.last = self.turns.last

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def ask(self, text: str, model: str | None = None) -> Any:
        """Send a turn; the one that answers it."""
        if model is not None:
            self.root.get_by_label("Ask").select_option(model)
        before = self.turns.count()
        self.root.get_by_role("textbox", name="Message").fill(text)
        self.press("Send")
        expect(self.turns).to_have_count(before + 2)
        return self.last


def row(output: Any, name: str) -> Any:
    return output.locator("tbody tr", has=output.page.get_by_role("rowheader", name=name, exact=True)).first


def press(output: Any, name: str) -> None:
    output.get_by_role("button", name=name, exact=True).click()


def add_openai(manager: Any, provider: dict[str, Any]) -> None:
    """By clicking, as number one, with its prices."""
    press(manager, "Add a provider")
    manager.get_by_label("Type").select_option("OpenAI")
    press(manager, "More")
    filled = {"Address": provider["base_url"], "Models": provider["models"][0], "Priority": "1"}
    filled["Prices"] = f"{provider['models'][0]} = 1, 2"
    for name, text in filled.items():
        manager.get_by_label(name, exact=True).fill(text)
    manager.get_by_label("Key", exact=True).fill(provider["api_key"])
    manager.get_by_label("Name (needed)").focus()  # the key is sent when its field is left
    expect(manager.get_by_text("typed, and kept when you press Add")).to_be_visible()
    press(manager, "Add")
    expect(row(manager, "openai")).to_contain_text("set (env:OPENAI_API_KEY)")


def test_a_day(lab, fleet):
    """Set up, talk, stop, switch, lose a vendor, pay, be refused; and all of it readable afterwards."""
    first, *_, gemini, _ = fleet.config()["provider"]
    nb = lab.notebook(CELLS, config={"provider": [gemini], "router": QUIET})
    nb.run_all()
    manager, health, costs = (nb.output(number).locator(".hnb") for number in (0, 2, 3))
    chat = Chat(nb.output(1))

    add_openai(manager, first)
    expect(chat.root.locator("option", has_text=model_of("openai"))).to_have_count(1)

    fleet["openai"].set(ttft=0.2, tokens_per_second=60, chunk_tokens=1)
    streaming = chat.ask("500 words please")
    expect(streaming).to_contain_text("simulated model")
    chat.press("Stop")
    expect(streaming).to_contain_text("Stopped: this is what had come.")

    answer = chat.ask("What is 6 * 7?", model_of("gemini"))
    expect(answer.locator("footer")).to_contain_text(re.compile(r"tokens · \$0\.0"))
    assert answer.get_attribute("aria-label") == "Answer of gemini/simulated-gemini"
    expect(row(costs, "gemini")).to_contain_text("$0.0000")
    expect(row(manager, "gemini")).to_contain_text("$0.0000")

    expect(row(health, "openai")).to_contain_text("unknown")  # an answer that was stopped says nothing
    press(health, "Check now")
    expect(row(health, "openai")).to_contain_text("healthy")
    fleet["openai"].kill()
    for _ in range(2):
        expect(chat.ask("What is 2 + 2?", "auto (the router plans)").locator("footer")).to_contain_text(
            "after openai failed"
        )
        expect(chat.last).to_contain_text("2 + 2 = 4.")
    expect(row(health, "openai")).to_contain_text(re.compile(r"ConnectionFailedError.*in \d+ s"))
    expect(costs.get_by_role("caption")).to_contain_text("for 4 calls")

    press(manager, "Settings")
    manager.get_by_label("A day", exact=True).fill("0.0000001")
    manager.get_by_label("A day", exact=True).press("Tab")
    expect(costs.get_by_text("Today:")).to_be_visible()
    refused = chat.ask("What is 3 + 3?").get_by_role("alert")
    expect(refused).to_contain_text("BudgetExceededError")
    expect(refused).to_contain_text(REFUSED)
    press(manager, "Settings")
    press(manager, "Save")
    expect(manager.get_by_text("All changes are saved")).to_be_visible()

    nb.theme(DARK)
    assert [trouble for part in (manager, chat.root, health, costs) for trouble in nb.axe(part)] == []
    nb.until(lambda: "BudgetExceededError" in json.dumps(nb.save()), "saved form of the refusal")
    nb.restart_kernel()
    nb.reload()
    shown = [nb.output(number).inner_text() for number in range(4)]
    assert re.search(r"openai.*\bdown|openai.*degraded", shown[0])
    assert "2 + 2 = 4." in shown[1]
    assert REFUSED in shown[1] or "BudgetExceededError" in shown[1]
    assert "ConnectionFailedError" in shown[2]
    assert re.search(r"Today: \$[\d.]+ spent of \$0.0000001", shown[3])  # dollars are no maths
    assert re.search(r"all time: \$[\d.]+ for 5 calls", shown[3])  # what was refused cost nothing
    assert first["api_key"] not in nb.page.content() + json.dumps(nb.saved())


def test_from_cell_to_answer_without_the_mouse(lab, fleet):
    nb = lab.notebook(["", PRICED], config=fleet.config())
    keys = nb.page.keyboard
    keys.press("Enter")  # into the cell
    keys.type("import hybrid_nb as hnb; hnb.ChatCell()")
    keys.press("Control+Enter")
    chat = Chat(nb.output(0))
    expect(chat.root).to_be_visible()
    for _ in range(12):
        keys.press("Tab")
        if nb.focused() == "textarea: Message":
            break
    keys.type("What is 6 * 7?")
    keys.press("Enter")
    expect(chat.last).to_contain_text("6 * 7 = 42.")
    expect(chat.last.locator("footer")).to_be_visible()
    assert nb.focused() == "textarea: Message"
    keys.press("Shift+Tab")
    assert nb.focused() != "textarea: Message"  # there is a way out
    expect(nb.run(1)).to_contain_text("from $5 to $10")  # which a notebook would take for maths


WIDER = "parts => parts.map(p => p.getBoundingClientRect()).filter(r => r.width > 0 && r.right > 481).length"


def test_the_whole_dashboard_in_both_themes_and_narrow(lab, fleet):
    config = {**fleet.config(), "router": QUIET, "budget": {"daily_usd": 1}}
    nb = lab.notebook(["import hybrid_nb as hnb\nhnb.Dashboard()"], config=config)
    board = nb.run(0).locator(".hnb").first

    def opened(title: str) -> None:
        board.get_by_role("tab", name=title).click()
        expect(board.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")

    def look(wide: bool = True) -> None:
        for title in TABS:
            opened(title)
            found = nb.axe(board)
            assert found == [], (title, found)
            controls = board.locator("input, select, textarea, button")
            assert wide or controls.evaluate_all(WIDER) == 0, title

    look()
    nb.theme(DARK)
    look()
    nb.width(480)
    look(wide=False)
    opened("Chat")  # and it is of use there
    answer = Chat(board).ask("What is 6 * 7?", model_of("gemini"))
    expect(answer).to_contain_text("6 * 7 = 42.")
    opened("Usage")
    expect(board.get_by_role("caption").first).to_contain_text("for 1 call")
    opened("Health")
    expect(row(board, "gemini").last).to_contain_text("100 %")
