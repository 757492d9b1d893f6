"""The arena in a real JupyterLab: votes by keyboard alone, blind until each, in both themes and narrow."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import WIRES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
LOADING = 30_000  # milliseconds in which a kernel on a busy machine has loaded scipy
SUMS = ["What is 6 * 7?", "What is 2 + 2?", "What is 9 * 9?"]
CELL = f"import hybrid_nb as hnb\narena = hnb.Arena(prompts={SUMS}, models=%s, seed=1)\narena"
TWO = "['openai/simulated-openai', 'gemini/simulated-gemini']"


class Arena:
    """The arena in the output of a notebook's first cell."""

    def __init__(self, nb: Any) -> None:
        self.nb, self.page = nb, nb.page
        self.root = nb.output(0).locator(".hnb-arena")
        self.told = self.root.locator(".hnb-arena-told")
        self.caption = self.root.locator("caption")
        self.heads = self.root.locator(".hnb-arena-side > header")

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def open(self) -> None:
        expect(self.told).to_contain_text("Both answers are there")

    def names(self, where: Any = None) -> list[str]:
        """Which vendors are named anywhere in it."""
        html = (where or self.root).evaluate("e => e.outerHTML")
        return [wire for wire in WIRES if wire in html]

    def blind(self) -> None:
        """No name in the arena; nor, as soon as it was sent, in its saved form, which had the vote before."""
        assert self.names() == []
        self.nb.until(lambda: self.names(self.nb.output(0)) == [], "saved form without names")


def opened(lab: Any, fleet: Any, *cells: str, models: str = TWO) -> Arena:
    nb = lab.notebook([CELL % models, *cells], config=fleet.config())
    nb.run(0)
    arena = Arena(nb)
    expect(arena.button("Start")).to_be_visible()
    return arena


def test_votes_by_keyboard_alone_and_blind(lab, fleet):
    arena = opened(lab, fleet, "arena.votes[['winner', 'left']]", "arena")
    arena.button("Start").focus()
    arena.press("Enter")
    arena.open()
    arena.blind()
    assert arena.page.evaluate("() => document.activeElement.closest('.hnb-arena') !== null")
    for key, told in (("ArrowLeft", "left is better"), ("2", "right is better"), ("t", "a tie")):
        arena.press(key)
        expect(arena.told).to_contain_text(f"You voted: {told}")
        expect(arena.heads.first).to_contain_text("Left: ")
        assert arena.names() == ["openai", "gemini"]
        arena.press(key)  # once more: no vote on what comes
        arena.press("Enter")
        if key != "t":
            arena.open()
            arena.blind()
    expect(arena.told).to_contain_text("Nothing is left to vote on.")
    expect(arena.caption).to_have_text("Ranking by 3 votes (Bradley-Terry, 95 % intervals)", timeout=LOADING)
    expect(arena.root.get_by_role("progressbar")).to_have_attribute("aria-label", "Votes so far")
    assert arena.nb.prompt(0) == "[1]:"  # no key ran a cell, or made another of it
    assert arena.page.locator(".jp-Notebook .jp-CodeCell").count() == 3
    table = arena.nb.run(1)
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table).to_contain_text("tie")
    arena.nb.until(lambda: "Ranking by 3 votes" in str(arena.nb.save()["cells"][0]["outputs"]), "saved ranking")


def test_skip_ranking_and_a_prompt_of_ones_own(lab, fleet):
    arena = opened(lab, fleet)
    arena.button("Start").click()
    arena.open()
    prompt = arena.root.get_by_role("region", name="Prompt")
    first = prompt.inner_text()
    arena.press("s")
    expect(prompt).not_to_have_text(first)
    arena.open()
    box = arena.root.get_by_label("A prompt of your own")
    box.focus()
    arena.page.keyboard.type("s0 t: What is 5 * 5?")  # letters, and no votes
    expect(box).to_have_value("s0 t: What is 5 * 5?")
    arena.press("Enter")
    expect(box).to_have_value("")
    arena.press("0")
    expect(arena.told).to_contain_text("a tie")
    arena.press("Enter")
    expect(prompt).to_have_text("s0 t: What is 5 * 5?")
    arena.open()
    arena.button("Ranking").click()
    expect(arena.caption).to_contain_text("Ranking by 1 vote", timeout=LOADING)
    expect(arena.heads.first).to_be_hidden()
    arena.press("Enter")
    expect(prompt).to_have_text("s0 t: What is 5 * 5?")
    arena.blind()
    arena.button("Right is better").click()
    expect(arena.told).to_contain_text("right is better")
    expect(arena.heads.last).to_contain_text("(your choice)")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_is_accessible_wide_and_narrow(lab, fleet, theme):
    arena = opened(lab, fleet)
    arena.nb.theme(theme)
    assert arena.nb.axe(arena.root) == []
    arena.button("Start").click()
    arena.open()
    assert arena.nb.axe(arena.root) == []
    arena.press("1")
    expect(arena.told).to_contain_text("You voted")
    assert arena.nb.axe(arena.root) == []
    arena.nb.screenshot(f"arena-{theme.split()[1]}", arena.root)
    arena.nb.width(480)
    assert arena.root.evaluate("e => e.scrollWidth <= e.clientWidth")
    arena.button("Next pair").click()
    arena.open()
    arena.button("Ranking").click()
    expect(arena.caption).to_be_visible(timeout=LOADING)
    assert arena.nb.axe(arena.root) == []
    assert arena.root.evaluate("e => e.scrollWidth <= e.clientWidth")
    small = arena.root.locator("button:visible").evaluate_all(
        "es => es.filter(e => e.getBoundingClientRect().height < 24).map(e => e.textContent)"
    )
    assert small == []


OUTLINE = "e => { const s = getComputedStyle(e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1; }"


def test_the_focus_is_seen_and_progress_is_read_out(lab, fleet):
    arena = opened(lab, fleet)
    arena.button("Start").focus()
    arena.press("Enter")
    arena.open()
    assert arena.root.evaluate("e => e === document.activeElement")
    arena.press("Shift")  # a key, so that the focus is one of the keyboard
    assert arena.root.evaluate(OUTLINE)
    assert arena.told.get_attribute("aria-live") == "polite"
    arena.press("Tab")
    arena.press("Tab")
    assert arena.page.evaluate(f"() => ({OUTLINE})(document.activeElement)")


def test_while_another_cell_is_busy_and_after_the_kernel_is_gone(lab, fleet):
    arena = opened(lab, fleet, "import time; time.sleep(5)")
    arena.nb.run(1, wait=False)
    arena.button("Start").click()
    arena.open()
    arena.press("1")
    expect(arena.told).to_contain_text("You voted")
    assert arena.nb.prompt(1) == "[*]:"
    arena.nb.wait_run(1)
    arena.nb.restart_kernel()
    expect(arena.root).to_contain_text("Not connected: the kernel was restarted or has ended")
    arena.nb.troubles.errors = [text for text in arena.nb.troubles.errors if "debugger state" not in text]


def test_on_core_widgets(lab, fleet):
    nb = lab.notebook([f"import hybrid_nb as hnb\nhnb.Arena(prompts={SUMS}, frontend='core')"], config=fleet.config())
    output = nb.run(0)
    output.get_by_role("button", name="Start").click()
    expect(output.get_by_text("Both answers are there")).to_be_visible()
    output.get_by_role("button", name="Left is better").click()
    expect(output.get_by_text("You voted: left is better")).to_be_visible()
    output.get_by_role("button", name="Ranking").click()
    expect(output.locator("caption").first).to_contain_text("Ranking by 1 vote", timeout=LOADING)
    assert nb.axe(output.locator(".hnb").first) == []
