"""Comparisons drawn while they run: draws are counted on a clock of our own, with calls that are scripts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hybrid_nb.core.asking import Asking
from hybrid_nb.core.errors import ServiceUnavailableError
from hybrid_nb.core.types import Reply, Target
from hybrid_nb.notebook.sidebyside import DRAWS_PER_SECOND, SideBySide
from tests.notebook.test_display import Clock, Screen


class Script:
    """A call that gives these pieces, one at each look; "" is silence, an exception is raised."""

    def __init__(self, clock: Clock, pieces: Sequence[str | Exception]) -> None:
        self.left = list(pieces)
        self.text = ""
        self.asking = Asking(Target("a", "m"), clock())
        self.cancelled = False

    def poll(self, timeout: float | None) -> str | None:
        assert timeout == 0
        if not self.left:
            return None
        piece = self.left.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        self.text += piece
        return piece

    @property
    def reply(self) -> Reply:
        return Reply(self.text, provider="a", model="m")

    def cancel(self) -> None:
        self.cancelled = True


def board(*scripts):
    screen, clock = Screen(), Clock()
    calls = [(f"a/{n}", Script(clock, pieces)) for n, pieces in enumerate(scripts)]

    def sleep(seconds):
        clock.now += seconds

    return SideBySide(calls, screen.show, clock, sleep), screen, clock, [call for _, call in calls]


def test_partial_answers_stand_side_by_side_and_the_table_comes_at_the_end():
    drawn, screen, clock, _ = board(["one ", "", "two", ""], ["", ServiceUnavailableError("down & out", "b", 503)])
    comparison = drawn.run("hi")
    assert [side.reply and side.reply.text for side in comparison.sides] == ["one two", None]
    pages = [data["text/html"] for data in screen.shown]
    assert "one " in pages[0]
    assert "asking a/m" in pages[0]
    assert "down &amp; out" in pages[-1]
    assert ["<caption" in page for page in pages] == [False] * (len(pages) - 1) + [True]
    assert screen.shown[-1]["text/plain"] == repr(comparison)
    assert drawn.draws <= DRAWS_PER_SECOND * (clock.now - 100) + 2


def test_long_silence_is_drawn_once_a_second():
    drawn, _, clock, _ = board([""] * 100)
    drawn.run("hi")
    assert clock.now == pytest.approx(110)
    assert 10 <= drawn.draws <= 13


def test_an_interrupt_stops_all_and_leaves_what_came():
    drawn, screen, _, calls = board(["<b>half", "", "", KeyboardInterrupt()], ["whole"])
    with pytest.raises(KeyboardInterrupt):
        drawn.run("hi")
    page = screen.shown[-1]["text/html"]
    assert "&lt;b&gt;half" in page
    assert "stopped by an interrupt" in page
    assert "<caption" in page
    assert [call.cancelled for call in calls] == [True, False]
    assert [str(side.error or "") for side in drawn.sides] == ["stopped by an interrupt", ""]
    assert drawn.sides[0].error.partial_text == "<b>half"


def test_any_other_error_stops_all_too():
    drawn, _, _, calls = board(["a", "", RuntimeError("of ours")], [""] * 50)
    with pytest.raises(RuntimeError, match="of ours"):
        drawn.run("hi")
    assert [call.cancelled for call in calls] == [True, True]
