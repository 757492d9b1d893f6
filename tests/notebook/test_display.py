"""Draws are counted, not timed: the clock is passed in."""

import pytest

from hybrid_nb.notebook.display import DRAWS_PER_SECOND, LiveAnswer, StaticAnswer, TerminalAnswer, bundle


class Screen:
    """What a notebook would show."""

    def __init__(self):
        self.shown = []

    def show(self, data, raw, display_id=None):
        self.shown.append(data)
        return self

    def update(self, data, raw):
        self.shown.append(data)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def run(pieces, seconds):
    """Feed pieces evenly over so many seconds, ticking after each as the magic does."""
    screen, clock = Screen(), Clock()
    answer = LiveAnswer("markdown", screen.show, clock)
    answer.start("asking a/m …")
    for piece in pieces:
        clock.now += seconds / len(pieces)
        answer.add(piece)
        answer.tick()
    answer.finish("".join(pieces), "a/m · 1.00 s")
    return screen, answer


def test_10_000_tokens_a_second_draw_at_most_15_times_a_second_and_lose_none():
    pieces = [f"w{i} " for i in range(10_000)]
    screen, answer = run(pieces, 1.0)
    assert answer.draws <= DRAWS_PER_SECOND + 2  # the first note and the final draw stand outside the rate
    assert answer.draws >= 10
    assert screen.shown[-1]["text/markdown"].startswith("".join(pieces))


def test_a_slow_stream_is_drawn_at_every_piece():
    screen, _ = run(["a", "b", "c"], 3.0)
    assert [data["text/plain"].split("\n")[0] for data in screen.shown] == ["asking a/m …", "a", "ab", "abc", "abc"]


def test_something_undrawn_is_due_soon():
    screen, clock = Screen(), Clock()
    answer = LiveAnswer("markdown", screen.show, clock)
    answer.start("asking")
    assert answer.due() is None
    answer.add("x")
    assert 0 < answer.due() <= 1 / DRAWS_PER_SECOND
    clock.now += 1
    assert answer.due() == 0


def test_a_failure_replaces_the_note():
    screen = Screen()
    answer = LiveAnswer("markdown", screen.show, Clock())
    answer.start("asking a/m …")
    answer.fail("no answer: AuthenticationError")
    assert screen.shown[-1]["text/plain"] == "no answer: AuthenticationError"


def test_static_shows_once():
    screen = Screen()
    answer = StaticAnswer("text", screen.show)
    answer.start("asking")
    answer.add("x")
    answer.tick()
    assert screen.shown == []
    answer.finish("x", "f")
    assert len(screen.shown) == 1


def test_a_terminal_gets_pieces_and_never_the_same_text_twice():
    written = []
    answer = TerminalAnswer(written.append)
    for piece in ("one ", "two"):
        answer.add(piece)
    answer.finish("one two", "a/m · 1.00 s")
    assert "".join(written) == "one two\n\n— a/m · 1.00 s\n"


@pytest.mark.parametrize(
    ("kind", "text", "inside"),
    [
        ("markdown", "**hi**", "**hi**\n\n<sub>f</sub>"),
        ("text", "**hi**", "```\n**hi**\n```"),
        ("json", '```json\n{"a":1}\n```', '```json\n{\n  "a": 1\n}\n```'),
        ("json", "not json", "```json\nnot json\n```"),
        ("code", "Here:\n```python\nx = 1\n```\nbye", "```python\nx = 1\n```"),
    ],
)
def test_formats(kind, text, inside):
    assert inside in bundle(text, kind, "f")["text/markdown"]


def test_html_is_html_and_its_footer_is_escaped():
    data = bundle("<b>hi</b>", "html", "<x>")
    assert data["text/html"].startswith("<b>hi</b>")
    assert "<x>" not in data["text/html"]
