"""Who is asked, in words; and an answer that is followed to its end."""

from __future__ import annotations

import pytest

from hybrid_nb.core.asking import Asking
from hybrid_nb.core.types import Target
from hybrid_nb.notebook.display import DRAWS_PER_SECOND, LiveAnswer
from hybrid_nb.notebook.following import told
from tests.notebook.test_display import Clock, Screen

A, B = Target("sim-ollama", "simulated-llama"), Target("sim-openai", "simulated-gpt")


@pytest.mark.parametrize(
    ("asking", "note"),
    [
        (None, "…"),
        (Asking(A, 7.0), "asking sim-ollama/simulated-llama … 3 s"),
        (Asking(A, 9.9), "asking sim-ollama/simulated-llama …"),
        (Asking(A, 12.0), "asking sim-ollama/simulated-llama …"),
        (
            Asking(B, 9.0, ((A, "ServiceUnavailableError: 503 overloaded"),)),
            "sim-ollama failed (ServiceUnavailableError: 503 overloaded), asking sim-openai/simulated-gpt … 1 s",
        ),
        (Asking(B, 8.0, (), "its rate limit"), "waiting to ask sim-openai/simulated-gpt (its rate limit) … 2 s"),
    ],
)
def test_notes(asking, note):
    assert told(asking, 10.0) == note


def test_a_long_error_is_one_short_line():
    note = told(Asking(B, 0.0, ((A, "MalformedResponseError: " + "<p>\n" * 100),)), 0.0)
    assert len(note) < 200
    assert "\n" not in note


def test_notes_are_drawn_at_most_15_times_a_second_and_only_when_they_change():
    screen, clock = Screen(), Clock()
    answer = LiveAnswer("markdown", screen.show, clock)
    answer.start("asking a …")
    for step in range(1000):  # ten seconds
        clock.now += 0.01
        answer.note(f"asking a … {step // 100} s")
        answer.tick()
    assert answer.draws == 1 + 10
    for step in range(1000):
        clock.now += 0.001
        answer.note(str(step))
        answer.tick()
    assert answer.draws <= 11 + DRAWS_PER_SECOND + 1


def test_a_note_is_escaped_and_gives_way_to_the_text():
    screen = Screen()
    answer = LiveAnswer("markdown", screen.show, Clock())
    answer.start("a failed (<script>)")
    assert "<script>" not in screen.shown[-1]["text/markdown"]
    answer.add("text")
    answer.note("too late")
    answer.finish("text", "f")
    assert screen.shown[-1]["text/plain"] == "text\n\n— f"
