"""Simulated models that think in the open: the same thoughts streamed and whole, counted, and before the answer."""

from __future__ import annotations

import pytest

from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet
from tests.conftest import WIRES, model_of

every_wire = pytest.mark.parametrize("wire", WIRES)


@every_wire
def test_thoughts_are_the_same_streamed_and_whole(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(reasoning=12)
    whole = router.chat("Tell me about tides", model=model_of(wire))
    with router.stream("Tell me about tides", model=model_of(wire)) as stream:
        pieces = list(stream)
    assert whole.reasoning == stream.reply.reasoning != ""
    assert whole.text == stream.reply.text == "".join(pieces)
    assert whole.usage.output_tokens == stream.reply.usage.output_tokens == fleet[wire].chats[-1].tokens_out
    assert whole.usage.reasoning_tokens == stream.reply.usage.reasoning_tokens
    assert whole.usage.reasoning_tokens == (12 if wire != "ollama" else None)


@every_wire
def test_thoughts_count_against_the_limit(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(reasoning=12)
    reply = router.chat("Tell me about tides", model=model_of(wire), max_tokens=15)
    assert (reply.usage.output_tokens, reply.finish) == (15, "length")
    assert reply.reasoning
    assert reply.text


@every_wire
def test_thoughts_come_before_a_tool_call(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(reasoning=12)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    for reply in (
        router.chat("weather, please", model=model_of(wire), tools=[tool]),
        router.stream("weather, please", model=model_of(wire), tools=[tool]).reply,
    ):
        assert [call.name for call in reply.tool_calls] == ["weather"]
        assert reply.reasoning


@every_wire
def test_the_log_tells_what_each_write_completed(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(reasoning=12, chunk_tokens=4)
    reply = router.stream("Tell me about tides", model=model_of(wire)).reply
    log = fleet[wire].chats[-1]
    assert sum(write.text for write in log.spoken) == len(reply.text)
    assert sum(write.reasoning for write in log.spoken) == len(reply.reasoning)
    assert sum(write.tokens for write in log.spoken) == log.tokens_out
    assert [bool(write.reasoning) for write in log.spoken[:4]] == [True, True, True, False]
    times = [log.received, *(write.at for write in log.spoken)]
    assert times == sorted(times)
