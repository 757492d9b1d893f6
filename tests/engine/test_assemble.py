"""Chunks -> one answer: nothing lost, nothing doubled."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Chunk, Message, ToolDelta, Usage
from hybrid_nb.engine.assemble import Assembler, estimate_input, estimate_tokens, merged

SEEDED = settings(derandomize=True, max_examples=150, deadline=None)
COUNTS = st.none() | st.integers(0, 100)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.just("provider"))


@SEEDED
@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4), st.none() | USAGES)))
def test_text_and_reasoning_are_joined_in_order(pieces: list[tuple[str, str, Usage | None]]) -> None:
    answer = Assembler()
    for text, thought, usage in pieces:
        answer.add(Chunk(text, thought, usage=usage))
    assert answer.text == "".join(text for text, _, _ in pieces)
    assert answer.reasoning == "".join(thought for _, thought, _ in pieces)
    assert answer.started == bool(answer.text or answer.reasoning)


@SEEDED
@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=5)), max_size=20))
def test_pieces_of_parallel_calls_find_their_own(pieces: list[tuple[int, str]]) -> None:
    answer = Assembler()
    begun = set()
    for place, text in pieces:
        first = place not in begun
        begun.add(place)
        answer.add(Chunk(tools=(ToolDelta(place, f"id{place}" if first else None, f"f{place}", text),)))
    calls = {call.id: call for call in answer.tool_calls("x")}
    assert set(calls) == {f"id{place}" for place in begun}
    for place in begun:
        assert calls[f"id{place}"].name == f"f{place}"
        assert calls[f"id{place}"].arguments == ("".join(text for p, text in pieces if p == place) or "{}")


@SEEDED
@given(st.lists(USAGES, min_size=1, max_size=5))
def test_the_last_figure_that_was_told_stays(usages: list[Usage]) -> None:
    whole = None
    for usage in usages:
        whole = merged(whole, usage)
    assert whole is not None
    for field in ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"):
        told = [getattr(usage, field) for usage in usages if getattr(usage, field) is not None]
        assert getattr(whole, field) == (told[-1] if told else None)


@SEEDED
@given(st.none() | USAGES, st.text(max_size=50))
def test_an_estimate_fills_only_what_was_not_told_and_says_so(usage: Usage | None, text: str) -> None:
    answer = Assembler()
    answer.add(Chunk(text, usage=usage))
    final = answer.final_usage(17)
    told_in, told_out = (usage.input_tokens, usage.output_tokens) if usage else (None, None)
    assert final.input_tokens == (17 if told_in is None else told_in)
    assert final.output_tokens == (estimate_tokens(text) if told_out is None else told_out)
    assert final.source == ("estimate" if None in (told_in, told_out) else "provider")


def test_the_last_finish_model_and_cost_win_and_none_changes_nothing() -> None:
    answer = Assembler()
    for chunk in (
        Chunk(finish="stop", model="a", cost=Decimal(1)),
        Chunk("x"),
        Chunk(finish="length", model="b", cost=Decimal(0)),
        Chunk(usage=Usage(1)),
    ):
        answer.add(chunk)
    assert (answer.finish, answer.model, answer.cost) == ("length", "b", 0)


def test_estimates_round_up_and_count_frames_and_images() -> None:
    from hybrid_nb.core.types import Image

    assert [estimate_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
    assert estimate_input((Message("user", "abcd"), Message("user", "", (Image(url="x"),)))) == 1 + 4 + 4 + 1000
