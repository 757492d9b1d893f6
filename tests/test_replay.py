"""Answers that are given again: from the cache, and from a cassette without any provider, key or network."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from pydantic import BaseModel, field_validator

import hybrid_nb as hnb
from hybrid_nb.core.errors import (
    ConfigError,
    HybridNbError,
    InvalidRequestError,
    MalformedResponseError,
    ReplayMissError,
)
from hybrid_nb.ledger.cassette import Cassette
from hybrid_nb.portal import portal
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import MakeRouter, at, model_of
from tests.faults.raw_server import RawServer, answer, chunked, delta, events, finish, head, said, spoken, until

Raw = Callable[..., RawServer]
ODD = ["line\n", "feed\r\n", "\u2028\u2029", "\u0085 é", "漢字 👩‍", "👩‍👧", " end "]
OPENAI = model_of("openai")
SECRET = "hunter2-PLANTED-secret"


def cached(make_router: MakeRouter, config: Any, **cache: Any) -> Router:
    providers = config if isinstance(config, list) else config.config()["provider"]
    return make_router({"provider": providers, "cache": {"mode": "on", **cache}})


def slowly(pieces: list[str]) -> list[Any]:
    """A stream of these pieces with pauses, so that they are not read at once."""
    return [
        head(200, "text/event-stream"),
        *[x for e in events(*map(delta, pieces)) for x in (e, 0.01)],
        *events(finish()),
    ]


def taken(router: Router) -> list[str]:
    """The very pieces of a stream; a Stream joins those for which its reader comes late."""
    pieces: list[str] = []
    portal().run(router._run(router._prepared("hi", {}), pieces.append))
    return pieces


# --- the cache --------------------------------------------------------------------------------------------


def test_a_hit_costs_nothing_and_says_so(fleet: Fleet, make_router: MakeRouter) -> None:
    router = cached(make_router, fleet)
    asked = len(fleet["openai"].chats)
    first = router.chat("What is 6 * 7?", model=OPENAI, tags={"n": "1"})
    again = router.chat("What is 6 * 7?", model=OPENAI, tags={"n": "2"}, timeout=9, max_cost=1, tier="cloud")
    assert len(fleet["openai"].chats) == asked + 1
    assert first.cost
    assert (again.text, again.usage, again.provider, again.model, again.tier, again.finish) == (
        first.text, first.usage, first.provider, first.model, first.tier, first.finish,
    )  # fmt: skip
    assert (again.cost, again.cost_source, again.ttft, again.route.attempts) == (0, "cache", None, ())
    assert again.route.reason.startswith("answered from the cache (saved $0.000018, ")
    assert again.route.reason in again.footer()
    assert again.request_id != first.request_id
    row = router.calls().iloc[1]
    assert (row["cache_hit"], row["cost_usd"], row["cost_source"], row["status"]) == (True, 0, "cache", "ok")
    assert (row["input_tokens"], row["attempts"], row["tags"]) == (first.usage.input_tokens, 0, {"n": "2"})
    assert row["request_id"] == again.request_id
    assert not router.calls().iloc[0]["cache_hit"]
    assert len(router.attempts()) == 1
    costs = router.costs(by="provider").iloc[0]
    assert (costs["calls"], costs["unknown_cost"]) == (2, 0)
    assert costs["cost_usd"] == costs["saved_usd"] == pytest.approx(float(first.cost))
    assert list(router.costs(by="tag:n")["saved_usd"]) == [0, pytest.approx(float(first.cost))]


def test_the_cache_outlives_the_router(fleet: Fleet, make_router: MakeRouter) -> None:
    first = cached(make_router, fleet).chat("What is 6 * 7?", model=OPENAI)
    assert cached(make_router, fleet).chat("What is 6 * 7?", model=OPENAI).text == first.text
    plain = make_router(fleet)
    assert plain.calls()["cache_hit"].sum() == 1
    assert plain.chat("What is 6 * 7?", model=OPENAI, cache="on").cost_source == "cache"
    assert plain.chat("What is 6 * 7?", model=OPENAI).cost_source == "config"  # off, by default


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 50}, {"stop": "x"}, {"seed": 1}, {"system": "Be brief."},
     {"model": model_of("gemini")}, {"cache": "off"}, {"schema": {"type": "object"}}, {"tools": [{"name": "f"}]}],
)  # fmt: skip
def test_another_request_is_no_hit(change: dict[str, Any], fleet: Fleet, make_router: MakeRouter) -> None:
    router = cached(make_router, fleet)
    router.chat("What is 6 * 7?", model=OPENAI)
    assert router.chat("What is 6 * 7?", **{"model": OPENAI, **change}).cost_source == "config"


def test_a_stream_is_given_again_piece_by_piece_and_serves_a_chat_too(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(slowly(ODD))
    router = cached(make_router, [at(server)])
    first, again = taken(router), taken(router)
    assert again == first
    assert "".join(first) == "".join(ODD)
    assert len(first) > 1
    stream = router.stream("hi")
    assert "".join(stream) == router.chat("hi").text == "".join(ODD)
    assert stream.reply.ttft is not None
    assert len(server.seen) == 1


def test_a_chat_serves_a_stream(router: Router) -> None:
    reply = router.chat("What is 6 * 7?", model=OPENAI, cache="on")
    assert list(router.stream("What is 6 * 7?", model=OPENAI, cache="on")) == [reply.text]


def test_tool_calls_are_given_again(fleet: Fleet, make_router: MakeRouter) -> None:
    router = cached(make_router, fleet)
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    ask = {"model": OPENAI, "tools": [{"name": "get_weather", "parameters": parameters}]}
    first, again = (router.chat("Use get_weather for Paris.", **ask) for _ in range(2))
    assert again.cost_source == "cache"
    assert again.tool_calls == first.tool_calls != ()
    assert again.finish == "tool_calls"


def test_old_answers_are_not_given(fleet: Fleet, make_router: MakeRouter) -> None:
    router = cached(make_router, fleet, ttl=60)
    now = [1e9]
    router._recorded._wall = lambda: now[0]
    sources = []
    for now[0] in (1e9, 1e9 + 59, 1e9 + 61, 1e9 + 62):
        sources.append(router.chat("What is 6 * 7?", model=OPENAI).cost_source)
    assert sources == ["config", "cache", "config", "cache"]


def test_the_size_is_bounded(fleet: Fleet, make_router: MakeRouter) -> None:
    router = cached(make_router, fleet, max_mb=0.003)
    for number in range(10):
        router.chat(f"What is {number} + 1?", model=OPENAI)
    assert 0 < router._ledger.rows("SELECT bytes FROM cache_total")[0][0] <= 3000
    assert router.chat("What is 9 + 1?", model=OPENAI).cost_source == "cache"
    assert router.chat("What is 0 + 1?", model=OPENAI).cost_source == "config"


def test_broken_filtered_and_failed_answers_are_not_kept(raw: Raw, make_router: MakeRouter) -> None:
    filtered = said("no")
    filtered["choices"][0]["finish_reason"] = "content_filter"
    cut = chunked(*events(delta("a")), end=False)
    server = raw(answer({"error": {"message": "busy"}}, 503), cut, answer(filtered), answer(said("good")))
    router = make_router({"provider": [at(server)], "cache": {"mode": "on"}}, retries=0)
    for _ in range(2):
        with pytest.raises(HybridNbError):
            router.stream("hi").reply  # noqa: B018 - what it raises is meant
    assert [router.chat("hi").text for _ in range(3)] == ["no", "good", "good"]


def test_after_a_failover_the_answer_is_kept_for_who_gave_it(raw: Raw, make_router: MakeRouter) -> None:
    down, up = raw(answer({"error": {"message": "busy"}}, 503), answer(said("from a"))), raw(answer(said("from b")))
    router = make_router({"provider": [at(down), at(up, "b", priority=2)], "cache": {"mode": "on"}}, retries=0)
    assert router.chat("hi").text == "from b"
    assert router.chat("hi", model="b/m").cost_source == "cache"
    assert router.chat("hi", model="a/m").text == "from a"


def test_a_place_of_the_same_name_elsewhere_is_another_place(raw: Raw, make_router: MakeRouter) -> None:
    for text in ("one", "two"):
        assert cached(make_router, [at(raw(answer(said(text))))]).chat("hi").text == text


class Even(BaseModel):
    n: int


class Positive(Even):
    @field_validator("n")
    @classmethod
    def _positive(cls, n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n


Positive.__name__ = "Even"
Positive.model_config["title"] = "Even"
Positive.model_rebuild(force=True)


def test_an_object_is_made_again_and_a_stricter_class_asks_again(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said('{"n": -1}')), answer(said('{"n": 1}')))
    router = cached(make_router, [at(server)])
    assert router.chat("hi", schema=Even).parsed == router.chat("hi", schema=Even).parsed == Even(n=-1)
    assert len(server.seen) == 1
    assert router.chat("hi", schema=Positive).parsed == Positive(n=1)


def test_an_answer_that_another_version_kept_is_no_hit(router: Router) -> None:
    router.chat("What is 6 * 7?", model=OPENAI, cache="on")
    router._ledger.rows("UPDATE cache SET answer = X'7B7D'")
    assert router.chat("What is 6 * 7?", model=OPENAI, cache="on").cost_source == "config"
    assert router.chat("What is 6 * 7?", model=OPENAI, cache="on").cost_source == "cache"


def test_a_request_that_is_no_json_is_told_as_ever(fleet: Fleet, make_router: MakeRouter, tmp_path: Path) -> None:
    router = cached(make_router, fleet, path=str(tmp_path / "c.jsonl"))
    for mode in ("on", "record", "replay"):
        with pytest.raises(InvalidRequestError, match="cannot be written as JSON"):
            router.chat("a \ud800", model=OPENAI, cache=mode)


def test_a_wrong_mode_is_told(fleet: Fleet, make_router: MakeRouter) -> None:
    with pytest.raises(ValueError, match="cache must be one of off, on, record, replay, not 'yes'"):
        make_router(fleet).chat("hi", cache="yes")
    for wrong in ({"mode": "yes"}, {"ttl": 0}, {"max_mb": 0}, {"path": ""}, {"mod": "on"}):
        with pytest.raises(ConfigError, match=r"cache\."):
            make_router({"cache": wrong})


def test_what_holds_a_key_is_not_kept(raw: Raw, make_router: MakeRouter, tmp_path: Path) -> None:
    router = cached(make_router, [at(raw(spoken(f"your key is {SECRET}")), api_key=SECRET)])
    for _ in range(2):
        assert router.stream("hi").reply.cost_source == "config"
    router.close()
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.glob("ledger.db*"))


def test_a_ledger_that_has_no_cache_yet_knows_of_no_savings(router: Router) -> None:
    router.chat("hi", model=OPENAI)
    assert list(router.costs(by="provider")["saved_usd"]) == [0]


# --- record and replay ------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "c.jsonl"


def recorder(make_router: MakeRouter, config: Any, path: Path, **more: Any) -> Router:
    providers = config if isinstance(config, list) else config.config()["provider"]
    return make_router({"provider": providers, "cache": {"mode": "record", "path": str(path)}, **more})


def replayer(make_router: MakeRouter, path: Path, **cache: Any) -> Router:
    return make_router({"cache": {"mode": "replay", "path": str(path), **cache}})


def test_what_was_recorded_is_replayed_without_any_provider(fleet: Fleet, make_router: MakeRouter, path: Path) -> None:
    record = recorder(make_router, fleet, path)
    asked = len(fleet["openai"].chats)
    first = [
        record.chat("What is 6 * 7?", model=OPENAI),
        record.stream("Tell me about tides.", model="simulated-gemini", temperature=0.3).reply,
        record.chat([{"role": "user", "content": "hi"}], schema={"type": "object"}, model=OPENAI),
    ]
    record.chat("What is 6 * 7?", model=OPENAI)  # recording asks again, always
    assert len(fleet["openai"].chats) == asked + 3
    fleet["openai"].kill()
    router = replayer(make_router, path)
    again = [
        router.chat("What is 6 * 7?", model=OPENAI),
        router.stream("Tell me about tides.", model="simulated-gemini", temperature=0.3).reply,
        asyncio.run(router.achat([{"role": "user", "content": "hi"}], schema={"type": "object"}, model=OPENAI)),
    ]
    for old, new in zip(first[1:], again[1:], strict=True):
        for name in ("text", "parsed", "usage", "cost", "cost_source", "ttft", "latency", "finish", "tier", "model"):
            assert getattr(new, name) == getattr(old, name), name
        assert new.footer() == old.footer()
        assert str(new.route) == str(old.route)
        assert repr(new) == repr(old)
    assert again[0].text == first[0].text
    rows = router.calls().tail(3)
    assert rows["cache_hit"].all()
    assert (rows["cost_usd"] == 0).all()
    assert (rows["attempts"] == 0).all()
    assert set(rows["route_reason"]) == {"replayed from c.jsonl"}
    assert list(rows["provider"]) == ["openai", "gemini", "openai"]
    assert (rows["latency_s"] < 0.1).all()
    assert router.costs(by=[])["saved_usd"][0] == pytest.approx(float(sum(r.cost or Decimal(0) for r in again)))


def test_what_was_asked_twice_is_replayed_in_that_order(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    server = raw(*(answer(said(text)) for text in ("one", "other", "two", "three")))
    record = recorder(make_router, [at(server)], path)
    assert [record.chat(prompt).text for prompt in ("hi", "ho", "hi", "hi")] == ["one", "other", "two", "three"]
    router = replayer(make_router, path)
    asked = ["hi", "ho", "hi", "ho", "hi", "hi"]
    assert [router.chat(prompt).text for prompt in asked] == ["one", "other", "two", "other", "three", "three"]
    assert replayer(make_router, path).chat("hi").text == "one"  # each run from the beginning
    again = raw(answer(said("new")))
    recorder(make_router, [at(again)], path).chat("hi")  # another recording takes the place of the last
    router = replayer(make_router, path)
    assert [router.chat("hi").text for _ in range(2)] == ["new", "new"]


def test_takes_that_come_at_once_are_written_in_order(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    server = raw(*(answer(said(str(number))) for number in range(20)))
    record = recorder(make_router, [at(server)], path)

    async def all_of_them() -> list[str]:
        return [reply.text for reply in await asyncio.gather(*(record.achat("hi") for _ in range(20)))]

    texts = asyncio.run(all_of_them())
    router = replayer(make_router, path)
    assert sorted(router.chat("hi").text for _ in range(20)) == sorted(texts)
    assert [orjson.loads(line).get("take", 0) for line in path.read_bytes().splitlines()] == list(range(20))


def test_the_environment_replays_without_any_edit(
    raw: Raw, make_router: MakeRouter, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = raw(answer(said("recorded")))
    config = [at(server)]
    monkeypatch.setenv("HYBRID_NB_CASSETTE", str(path))
    monkeypatch.setenv("HYBRID_NB_CACHE", "record")
    make_router(config).chat("hi")
    monkeypatch.setenv("HYBRID_NB_CACHE", " replay ")
    file = tmp_path / "team.toml"
    file.write_text('[cache]\nmode = "off"\npath = "elsewhere.jsonl"\n')
    assert make_router(config).chat("hi").text == "recorded"  # over a dict
    assert Router(file).chat("hi").text == "recorded"  # over a file
    assert Router().chat("hi").text == "recorded"  # and where nothing is configured
    assert len(server.seen) == 1
    assert make_router(config).chat("hi", cache="off").text == "recorded"  # a call's own option goes over it
    assert len(server.seen) == 2
    monkeypatch.setenv("HYBRID_NB_CACHE", "")
    make_router(config).chat("hi")
    assert len(server.seen) == 3
    monkeypatch.setenv("HYBRID_NB_CACHE", "reply")
    for given in (None, file, {"provider": config}):
        with pytest.raises(ConfigError, match="HYBRID_NB_CACHE must be one of off, on, record, replay, not 'reply'"):
            Router(given)


def test_a_replayed_stream_is_to_the_byte(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    first = taken(recorder(make_router, [at(raw(slowly(ODD)))], path))
    router = replayer(make_router, path)
    assert taken(router) == first
    assert len(first) > 1
    assert "".join(router.stream("hi")) == router.chat("hi").text == "".join(ODD)

    async def pieces() -> str:
        return "".join([piece async for piece in router.stream("hi")])

    assert asyncio.run(pieces()) == "".join(ODD)


def test_with_timing_the_pauses_are_replayed(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    one, *rest = events(delta("a"), delta("b"), finish())
    server = raw([head(200, "text/event-stream"), one, 0.2, *rest])
    recorder(make_router, [at(server)], path).stream("hi").reply  # noqa: B018 - waits for it
    times = []
    for timing in (False, True):
        router = replayer(make_router, path, timing=timing)
        started = time.monotonic()
        assert "".join(router.stream("hi")) == "ab"
        times.append(time.monotonic() - started)
    assert times[0] < 0.15
    assert 0.2 <= times[1] < 1


def test_a_timed_replay_can_be_stopped(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    recorder(make_router, [at(raw(spoken("hello")))], path).stream("hi").reply  # noqa: B018 - waits for it
    line = orjson.loads(path.read_bytes())
    line["pieces"] = [[0.0, "hel"], [60.0, "lo"]]
    path.write_bytes(orjson.dumps(line) + b"\n")
    router = replayer(make_router, path, timing=True)
    stream = router.stream("hi")
    assert next(stream) == "hel"
    stream.cancel()
    assert until(lambda: "cancelled" in list(router.calls()["status"]))
    row = router.calls().iloc[-1]
    assert (row["cache_hit"], row["cost_usd"]) == (True, 0)


def test_the_default_model_need_not_be_configured_for_a_replay(
    fleet: Fleet, make_router: MakeRouter, path: Path
) -> None:
    record = recorder(make_router, fleet, path, router={"default_model": OPENAI})
    text = record.chat("What is 6 * 7?").text
    assert record.chat("What is 6 * 7?").provider == "openai"
    assert replayer(make_router, path).chat("What is 6 * 7?").text == text
    again = make_router({"router": {"default_model": "other"}, "cache": {"mode": "replay", "path": str(path)}})
    assert again.chat("What is 6 * 7?").text == text


def test_a_comparison_is_replayed_with_the_models_it_had(fleet: Fleet, make_router: MakeRouter, path: Path) -> None:
    record = recorder(make_router, fleet, path)
    comparisons = [record.compare("What is 6 * 7?"), record.compare("hi", [OPENAI, "simulated-gemini"])]
    router = replayer(make_router, path)
    again = [router.compare("What is 6 * 7?"), router.compare("hi", [OPENAI, "simulated-gemini"])]
    for old, new in zip(comparisons, again, strict=True):
        assert len(new) > 1
        assert repr(new) == repr(old)
        assert new._repr_html_() == old._repr_html_()
        pd.testing.assert_frame_equal(new.frame, old.frame)
    with pytest.raises(ReplayMissError):
        router.compare("What is 6 * 8?")
    sides = router.compare("hi", [OPENAI, "nobody"])
    assert isinstance(sides.errors["nobody"], ReplayMissError)


def test_a_miss_names_the_prompt_and_what_differs(fleet: Fleet, make_router: MakeRouter, path: Path) -> None:
    record = recorder(make_router, fleet, path)
    record.chat("Tell me about tides.", model=OPENAI)
    record.chat("What is 6 * 8?", model=OPENAI, temperature=0.2)
    router = replayer(make_router, path)
    with pytest.raises(ReplayMissError) as caught:
        router.chat("What is 6 * 7?", model=OPENAI)
    assert str(caught.value) == (
        "c.jsonl has no recording of 'What is 6 * 7?'; the nearest of 2 is 'What is 6 * 8?', and differs in "
        "message 1 text: What is 6 * [-8-]{+7+}?; temperature: recorded 0.2, asked nothing; "
        "record it with cache='record' (--cache record)"
    )
    assert (caught.value.prompt, caught.value.nearest) == ("What is 6 * 7?", "What is 6 * 8?")
    assert len(caught.value.differs) == 2
    row = router.calls().iloc[-1]
    assert (row["status"], row["cost_usd"], row["cache_hit"]) == ("error", 0, False)
    assert row["error"] == f"ReplayMissError: {caught.value}"
    with pytest.raises(ReplayMissError, match=r"'x{59}…'") as caught:
        router.stream("x" * 1000).reply  # noqa: B018 - what it raises is meant
    assert len(str(caught.value)) < 500


def test_an_empty_cassette_says_where_it_was_looked_for(make_router: MakeRouter, path: Path) -> None:
    with pytest.raises(ReplayMissError, match=r"it is empty or not there \(.*c\.jsonl\)") as caught:
        replayer(make_router, path).chat("hi")
    assert caught.value.nearest is None


def test_a_cassette_that_cannot_be_written_is_told_before_anything_is_sent(
    fleet: Fleet, make_router: MakeRouter, tmp_path: Path
) -> None:
    asked = len(fleet["openai"].chats)
    with pytest.raises(ConfigError, match="cannot be written"):
        recorder(make_router, fleet, tmp_path).chat("hi", model=OPENAI)
    assert len(fleet["openai"].chats) == asked


def test_an_error_is_not_recorded(fleet: Fleet, make_router: MakeRouter, path: Path) -> None:
    fleet["openai"].fail(Fault("cut", after_tokens=2), times=None)
    with pytest.raises(HybridNbError):
        recorder(make_router, fleet, path).stream("Write 30 words about bees", model=OPENAI).reply  # noqa: B018
    assert Cassette(path).recordings == {}


def test_a_stricter_class_is_told_in_a_replay(raw: Raw, make_router: MakeRouter, path: Path) -> None:
    recorder(make_router, [at(raw(answer(said('{"n": -1}'))))], path).chat("hi", schema=Even)
    with pytest.raises(MalformedResponseError, match="negative"):
        replayer(make_router, path).chat("hi", schema=Positive)


def test_keys_and_headers_are_never_recorded(
    raw: Raw, make_router: MakeRouter, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", SECRET)
    echo = f"The key {SECRET} is yours."
    server = raw(
        answer(said(echo), 200, "application/json", f"X-Echo: {SECRET}", f"Set-Cookie: k={SECRET}"),
        answer(said("fine")),
        chunked(*events(delta("The key hunter2-PLAN"), delta("TED-secret!"), finish())),
    )
    router = recorder(make_router, [at(server, api_key="env:PLANTED")], path)
    replies = [router.chat("What is my key?"), router.chat(f"Is it {SECRET}?"), router.stream("Tell it.").reply]
    assert all(SECRET in value for value in (server.seen[0].headers["authorization"], replies[0].text))
    data = path.read_bytes()
    assert b"hunter2" not in data
    assert b"PLANTED" not in data
    assert b"uthorization" not in data
    assert b"127.0.0.1" not in data
    again = replayer(make_router, path)
    assert again.chat(f"Is it {SECRET}?").text == "fine"
    with pytest.raises(ReplayMissError) as caught:
        again.chat("What is the key?")
    assert SECRET not in repr(vars(caught.value)) + str(caught.value)


def test_a_key_at_work_can_be_overridden_in_one_call(fleet: Fleet, make_router: MakeRouter, path: Path) -> None:
    router = make_router({**fleet.config(), "cache": {"mode": "off", "path": str(path)}})
    text = router.chat("What is 6 * 7?", model=OPENAI, cache="record").text
    asked = len(fleet["openai"].chats)
    assert router.chat("What is 6 * 7?", model=OPENAI, cache="replay").text == text
    assert len(fleet["openai"].chats) == asked
    offline = make_router({**fleet.config(), "cache": {"mode": "replay", "path": str(path)}})
    assert offline.chat("What is 1 + 1?", model=OPENAI, cache="off").cost_source == "config"
    assert list(offline.test_provider("openai")["ok"]) == [True, True, True]


def test_a_replay_looks_for_nobody(make_router: MakeRouter, path: Path) -> None:
    absent = {"name": "a", "type": "custom", "base_url": "http://127.0.0.1:1/v1"}
    router = make_router({"provider": [absent], "cache": {"mode": "replay", "path": str(path)}}, discover=True)
    assert router.discovered == ()
    assert router.health(check=False)["calls"].sum() == 0
    assert f"cache: replay {path}" in router.describe()


def test_without_a_path_it_lies_in_the_working_folder(
    fleet: Fleet, make_router: MakeRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    router = make_router(fleet)
    router.chat("hi", model=OPENAI, cache="record")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")  # a notebook may change it; the cassette stays where it was
    router.chat("ho", model=OPENAI, cache="record")
    assert len((tmp_path / "hybrid_nb_cassette.jsonl").read_bytes().splitlines()) == 2


def test_an_old_ledger_gets_its_tables(fleet: Fleet, make_router: MakeRouter, tmp_path: Path) -> None:
    make_router(fleet).chat("What is 6 * 7?", model=OPENAI)
    router = cached(make_router, fleet)
    assert [router.chat("What is 6 * 7?", model=OPENAI).cost_source for _ in range(2)] == ["config", "cache"]
    db = sqlite3.connect(tmp_path / "ledger.db")
    assert db.execute("SELECT COUNT(*) FROM calls").fetchone() == (3,)
    assert db.execute("SELECT COUNT(*) FROM savings").fetchone() == (1,)
    db.close()


# --- a notebook -------------------------------------------------------------------------------------------

CELLS = [
    "%%llm\nWhat is 6 * 7?",
    "%%llm simulated-gemini --temperature 0.4 --to r\nTell me about tides.",
    "r",
    "print(r.footer(), r.cost, r.usage)",
    "%llm openai/simulated-openai What is the capital of France?",
    "%llm fast What is 2 + 2?",
    "%%llm fast --chat a --explain\nWhat is 1 + 1?",
    "%%llm fast --chat a --format text --no-stream\nWhat is 2 + 2?",
    "%%llm_compare openai/simulated-openai simulated-gemini\nWhat is 6 * 7?",
    "%%llm_compare\nWhat is 6 * 7?",
    "%llm_explain",
    "reply = await hnb.default_router().achat('What is 3 + 3?', model='fast'); reply",
    "''.join(hnb.default_router().stream('Tell me about tides.', model='fast'))",
]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], InteractiveShell]]:
    monkeypatch.setenv("HYBRID_NB_DISPLAY", "static")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))

    def stop() -> None:
        if InteractiveShell.initialized():
            InteractiveShell.instance().history_manager.end_session()
            InteractiveShell.clear_instance()

    def start() -> InteractiveShell:
        stop()
        shell = InteractiveShell.instance()
        shell.history_manager.enabled = False
        shell.run_line_magic("load_ext", "hybrid_nb")
        shell.user_ns["hnb"] = hnb
        return shell

    yield start
    stop()


def outputs(shell: InteractiveShell) -> list[tuple[str, str, list[Any]]]:
    """What every cell prints, returns and shows."""
    shown = []
    for code in CELLS:
        with capture_output() as captured:
            result = shell.run_cell(code, store_history=False)
        result.raise_error()
        shown.append((captured.stdout, repr(result.result), [output.data for output in captured.outputs]))
    return shown


def test_a_notebook_replays_to_the_byte(
    fleet: Fleet, make_router: MakeRouter, path: Path, shell: Callable[[], InteractiveShell]
) -> None:
    fleet["ollama"].set(ttft=0.02)
    group = {"fast": [OPENAI, "simulated-gemini"]}
    hnb.set_default_router(recorder(make_router, fleet, path, group=group))
    first = outputs(shell())
    assert any("42" in str(cell) for cell in first)
    for handle in fleet:
        handle.kill()
    hnb.set_default_router(replayer(make_router, path))  # no provider, no group, no key
    assert outputs(shell()) == first


def test_the_magics_take_the_mode(
    fleet: Fleet, make_router: MakeRouter, path: Path, shell: Callable[[], InteractiveShell]
) -> None:
    hnb.set_default_router(make_router({**fleet.config(), "cache": {"path": str(path)}}))
    one = shell()
    for code in ("%%llm --cache record\nhi", "%%llm --cache replay\nhi", "%%llm_compare --cache replay openai/m\nhi"):
        with capture_output():
            one.run_cell(code).raise_error()
    assert list(hnb.default_router().calls()["cache_hit"]) == [False, True, False]
    with capture_output() as captured, pytest.raises(ReplayMissError):
        one.run_cell("%%llm --cache replay\nho").raise_error()
    with capture_output() as captured:
        one.run_cell("%llm_explain")
    assert "what to do: run the cell with --cache record" in captured.stdout
