"""What went wrong once and must not again: numbers, disks, forks, rude endings, silent providers, keys."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb.core.errors import AuthenticationError, ConfigError, InferenceError, MalformedResponseError
from hybrid_nb.core.responses import redact
from hybrid_nb.router import Router
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import HANG, RESET, answer, chunked, delta, events, finish, head, said, spoken

KEY = "sk-" + "Kq7Zt2Xw9Lm4Rv8Yb3Nc6Ps1Jd5Hf0Ga"
Raw = Any


@pytest.mark.parametrize("usage", [(1e19, 1), (1, 1e300), (-5, 1)])
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_count_that_is_none_neither_hangs_nor_loses_the_answer(usage, way, raw: Raw, make_router: MakeRouter) -> None:
    body = said("hi", usage)
    told = {"choices": [], "usage": body["usage"]}
    script = answer(body) if way == "chat" else chunked(*events(delta("hi"), finish(), told, b"[DONE]"))
    router = make_router([at(raw(script))], retries=0)
    reply = router.chat("hi") if way == "chat" else router.stream("hi").reply
    assert reply.text == "hi"
    assert reply.usage.source == "estimate"
    assert len(router.calls()) == 1


def test_a_cost_beyond_all_measure_is_not_believed(raw: Raw, make_router: MakeRouter) -> None:
    body = said("hi")
    body["usage"]["cost"] = 1e12
    assert make_router([at(raw(answer(body)))]).chat("hi").cost_source == "config"


def test_a_row_that_cannot_be_written_does_not_take_the_answer_or_its_neighbours(
    raw: Raw, make_router: MakeRouter
) -> None:
    router = make_router([at(raw(answer(said("hi"))))])
    router.chat("hi")
    router._ledger.rows("DROP TABLE calls")
    assert router.chat("hi").text == "hi"
    assert len(router.attempts()) == 1


def test_a_ledger_locked_by_another_process_does_not_hold_up_an_answer_beyond_its_time(
    raw: Raw, make_router: MakeRouter, tmp_path: Path
) -> None:
    free = {"daily_usd": None, "monthly_usd": None}
    router = make_router({"provider": [at(raw(answer(said("hi"))))], "budget": free})
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert router.chat("hi", timeout=0.5).text == "hi"
    assert time.monotonic() - started < 4
    other.execute("ROLLBACK")
    other.close()
    give_up = time.monotonic() + 5
    while not len(router.calls()):
        assert time.monotonic() < give_up, "the row was lost"


def _child(router: Router, results: Any) -> None:
    results.put((router.chat("hi").text, len(router.calls())))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_parent_and_forked_child_both_go_on(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(answer(said("hi"))))])
    assert router.chat("hi").text == "hi"
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child, args=(router, results))
    child.start()
    try:
        assert results.get(timeout=10) == ("hi", 2)
    finally:
        child.join(10)
    assert router.chat("hi", timeout=5).text == "hi"
    assert len(router.calls()) == 3


WHOLE = [*events(delta("hello"), finish()), b"data: [DONE]\n\n"]


@pytest.mark.parametrize("end", [HANG, RESET])
def test_a_whole_answer_is_whole_however_rudely_the_server_ends(end, raw: Raw, make_router: MakeRouter) -> None:
    script = [*chunked(*WHOLE, end=False), end]
    stream = make_router([at(raw(script))], retries=0).stream("hi")
    assert "".join(stream) == stream.reply.text == "hello"
    assert stream.reply.finish == "stop"


def test_a_silent_provider_leaves_chat_time_for_the_next(raw: Raw, make_router: MakeRouter) -> None:
    silent, good = raw([HANG]), raw(answer(said("hi")))
    router = make_router([at(silent), at(good, "b")], ttft_timeout=0.1)
    reply = router.chat("hi", timeout=0.8)
    assert (reply.text, reply.provider) == ("hi", "b")
    assert "no answer after" in (reply.route.attempts[0].error or "")


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/nope"}, {"$ref": "#"}, {"type": "objekt"}, {"properties": 5}, {"enum": {1, 2}}],
    ids=["nowhere", "circle", "type", "properties", "not json"],
)
def test_a_schema_that_is_none_is_told_before_anything_is_sent(schema, raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said("{}")))
    with pytest.raises(ValueError, match="schema"):
        make_router([at(server)]).chat("hi", schema=schema)
    assert server.seen == []


def test_a_validator_that_breaks_is_a_typed_error_with_a_row(raw: Raw, make_router: MakeRouter) -> None:
    from pydantic import BaseModel, model_validator

    class Moody(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def refuse(cls, value: Any) -> Any:
            raise RuntimeError("not today")

    router = make_router([at(raw(answer(said("{}"))))], retries=0)
    with pytest.raises(MalformedResponseError, match="not today"):
        router.chat("hi", schema=Moody)
    row = router.calls().iloc[0]
    assert (row["status"], row["cost_usd"] > 0) == ("error", True)  # it was answered, and billed


def test_certificates_that_are_not_there_are_named(raw: Raw, make_router: MakeRouter, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at-all.pem")
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        make_router([at(raw(answer(said("hi"))))]).chat("hi")


def test_an_endless_answer_ends(raw: Raw, make_router: MakeRouter, monkeypatch) -> None:
    from hybrid_nb.engine import attempt

    monkeypatch.setattr(attempt, "MOST_TEXT", 10_000)
    stream = make_router([at(raw([head(200, "text/event-stream"), *events(delta("x" * 1000)) * 50, HANG]))]).stream(
        "hi"
    )
    with pytest.raises(InferenceError, match="more than"):
        list(stream)


def test_a_long_error_is_cut(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "no " * 500_000}}, 400))
    with pytest.raises(InferenceError) as caught:
        make_router([at(server)]).chat("hi")
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("before", [465, 470, 480, 495, 90, 110, 180, 190])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_piece_of_a_key_is_left_where_a_text_is_cut(before, status, raw: Raw, make_router: MakeRouter) -> None:
    body = b"x" * before + KEY.encode() + b" and more"
    router = make_router([at(raw(answer(body, status, "text/plain")), api_key=KEY)], retries=0)
    for ask in (router.chat, lambda p: router.stream(p).reply):
        with pytest.raises(InferenceError) as caught:
            ask("hi")
        shown = f"{caught.value!r} {caught.value} {caught.value.__cause__} {router.calls()['error'].iloc[-1]}"
        assert not any(KEY[i : i + 8] in shown for i in range(len(KEY) - 7))
        router.health()


def test_redact_leaves_what_is_no_secret() -> None:
    assert redact("a text without it", KEY) == "a text without it"
    assert redact(f"{KEY} {KEY[5:20]} sk-short", KEY) == "*** *** sk-short"


def test_a_refused_key_is_not_sent_again_until_it_changes(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "no"}}, 401), answer(said("hi")))
    router = make_router([at(server)])
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            router.chat("hi")
    assert len(server.seen) == 1
    router.update_provider("a", api_key="another-key")
    assert router.chat("hi").text == "hi"


def test_many_threads_share_one_router(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(spoken("hi")))])
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append("".join(router.stream("hi")))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert texts == ["hi"] * 20
