"""What is asked of llama.cpp's own server, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from hybrid_nb import Router
from hybrid_nb.errors import AuthenticationError, ContextLengthError

from .server import SLOT_CONTEXT, SLOTS, Server

pytestmark = [pytest.mark.llamacpp, pytest.mark.timeout(60)]

# as long as the byte-level vocabulary needs for one token a letter, so longer than a slot by any count
TOO_LONG = "xyz " * SLOT_CONTEXT


class Verdict(BaseModel):
    colour: Literal["red", "blue"]
    sure: bool
    words: list[Literal["a", "b"]] = Field(min_length=1, max_length=3)


def test_chat(router: Router) -> None:
    reply = router.chat("Say hi", max_tokens=24)
    assert reply.text
    assert (reply.provider, reply.model, reply.tier) == ("llama", "tiny", "local")
    assert reply.usage.source == "provider"
    assert reply.usage.output_tokens == 24
    assert len("Say hi") <= reply.usage.input_tokens < 60  # the words and the template, almost a token a byte
    assert (reply.cost, reply.cost_source) == (0, "free")
    assert reply.ttft is None
    assert reply.latency > 0


def test_a_conversation_is_longer_than_its_last_turn(router: Router) -> None:
    alone = router.chat("And now?", max_tokens=4)
    turns = [{"role": "user", "content": "Say hi"}, {"role": "assistant", "content": "hi"}]
    told = router.chat([*turns, {"role": "user", "content": "And now?"}], max_tokens=4, system="Be brief")
    assert told.usage.input_tokens > alone.usage.input_tokens


def test_the_same_prompt_again_is_read_from_its_cache(router: Router) -> None:
    prompt = "The same words once more, long enough to be worth keeping"
    router.chat(prompt, max_tokens=4)
    again = router.chat(prompt, max_tokens=4)
    assert 0 < again.usage.cached_tokens <= again.usage.input_tokens


def test_stream_with_usage_after_the_finish(router: Router) -> None:
    stream = router.stream("Say hi", max_tokens=200)
    pieces = list(stream)
    reply = stream.reply
    assert len(pieces) > 1
    assert "".join(pieces) == reply.text
    assert reply.usage.source == "provider"
    assert reply.usage.output_tokens == 200
    assert reply.finish == "length"
    assert 0 < reply.ttft < reply.latency


async def test_stream_in_an_async_cell(router: Router) -> None:
    stream = router.stream("Say hi", max_tokens=50)
    pieces = [piece async for piece in stream]
    assert "".join(pieces) == (await stream.areply()).text


def test_a_seed_repeats_the_answer(router: Router) -> None:
    first, again, other = (router.chat("Say hi", max_tokens=40, seed=seed).text for seed in (7, 7, 8))
    assert first == again != other


def test_temperature_zero_is_greedy(router: Router) -> None:
    answers = {router.chat("Say hi", max_tokens=40, temperature=0, seed=seed).text for seed in range(3)}
    assert len(answers) == 1


def test_max_tokens_cuts_and_says_so(router: Router) -> None:
    reply = router.chat("Say hi", max_tokens=3)
    assert (reply.finish, reply.usage.output_tokens) == ("length", 3)


def test_stop_sequence(router: Router) -> None:
    whole = router.chat("Say hi", max_tokens=60, temperature=0).text
    word = whole[20:22]
    reply = router.chat("Say hi", max_tokens=60, temperature=0, stop=[word])
    assert reply.finish == "stop"
    assert reply.text == whole[: whole.index(word)]


def test_json_schema_as_a_dict(router: Router) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "name": {"type": "string", "maxLength": 8}},
        "required": ["n", "name"],
    }
    reply = router.chat("Count", schema=schema, max_tokens=200)
    assert reply.finish == "stop"
    assert isinstance(reply.parsed["n"], int)
    assert isinstance(reply.parsed["name"], str)


@pytest.mark.parametrize("streamed", [False, True])
def test_json_schema_as_a_pydantic_class(router: Router, streamed: bool) -> None:
    options: dict[str, Any] = {"schema": Verdict, "max_tokens": 200}
    reply = router.stream("Judge", **options).reply if streamed else router.chat("Judge", **options)
    assert isinstance(reply.parsed, Verdict)
    assert 1 <= len(reply.parsed.words) <= 3


def test_a_schema_cut_by_max_tokens_is_not_parsed(router: Router) -> None:
    reply = router.chat("Judge", schema=Verdict, max_tokens=3)
    assert (reply.finish, reply.parsed) == ("length", None)


@pytest.mark.parametrize("streamed", [False, True])
def test_wrong_key(server: Server, route: Callable[..., Router], streamed: bool) -> None:
    router = route(server, api_key="sk-another-key-altogether", models=["tiny"])
    with pytest.raises(AuthenticationError) as caught:
        _ = router.stream("Say hi").reply if streamed else router.chat("Say hi")
    assert (caught.value.status_code, caught.value.provider, caught.value.retryable) == (401, "llama", False)
    assert "Invalid API Key" in caught.value.message
    assert "another-key" not in str(caught.value)
    assert len(caught.value.attempts) == 1
    [row] = router.health().to_dict("records")
    assert "AuthenticationError" in row["last_error"]


@pytest.mark.parametrize("streamed", [False, True])
def test_context_overflow(server: Server, route: Callable[..., Router], streamed: bool) -> None:
    router = route(server, models=["tiny"])  # a model that is named in the settings has no known context
    with pytest.raises(ContextLengthError, match="exceeds the available context size") as caught:
        _ = router.stream(TOO_LONG).reply if streamed else router.chat(TOO_LONG)
    assert (caught.value.status_code, caught.value.retryable) == (400, False)
    assert len(caught.value.attempts) == 1


def test_context_overflow_is_seen_before_anything_is_sent(router: Router) -> None:
    with pytest.raises(ContextLengthError, match=f"context of {SLOT_CONTEXT}") as caught:
        router.chat(TOO_LONG)
    assert caught.value.attempts == ()


async def test_more_calls_than_slots(router: Router) -> None:
    calls = [router.achat(f"Say {n}", max_tokens=40) for n in range(SLOTS * 3)]
    replies = await asyncio.gather(*calls)
    assert {reply.usage.output_tokens for reply in replies} == {40}
    assert len({reply.request_id for reply in replies}) == len(calls)


def test_every_call_is_a_row_in_the_ledger(router: Router) -> None:
    reply = router.chat("Say hi", max_tokens=5, tags={"project": "x"})
    [row] = router.calls().to_dict("records")
    assert (row["request_id"], row["status"], row["finish"]) == (reply.request_id, "ok", "length")
    assert (row["input_tokens"], row["output_tokens"]) == (reply.usage.input_tokens, 5)
    assert (row["usage_source"], row["cost_usd"]) == ("provider", 0)
