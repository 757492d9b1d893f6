# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""What the ledger keeps: every call, failed and cancelled ones too, exact money, several processes, a crash."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_nb.core.errors import BudgetExceededError, ConfigError, InferenceError, ServiceUnavailableError
from hybrid_nb.ledger.entries import ATTEMPT_COLUMNS, CALL_COLUMNS
from hybrid_nb.ledger.store import SCHEMA_VERSION, Ledger
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import MakeRouter, at, model_of
from tests.faults.raw_server import HANG, RawServer, answer, chunked, delta, events, finish, head, said, until

Raw = Callable[..., RawServer]
NUMBERS = {
    "attempts": "Int64", "ttft_s": "Float64", "latency_s": "Float64", "input_tokens": "Int64", "cached_tokens": "Int64",
    "output_tokens": "Int64", "reasoning_tokens": "Int64", "cost_usd": "Float64", "cache_hit": "boolean",
    "time": "datetime64[ns, UTC]", "tags": "object",
}  # fmt: skip


def test_columns_and_types_hold_even_without_rows(router: Router) -> None:
    for _ in range(2):
        calls, attempts = router.calls(), router.attempts()
        assert tuple(calls.columns) == CALL_COLUMNS
        assert tuple(attempts.columns) == ATTEMPT_COLUMNS
        assert {name: str(calls[name].dtype) for name in CALL_COLUMNS} == {
            name: NUMBERS.get(name, "string") for name in CALL_COLUMNS
        }
        router.chat("hi", model=model_of("openai"), tags={"project": "x"})


def test_an_answered_call(router: Router) -> None:
    before = pd.Timestamp.now("UTC")
    reply = router.stream("Tell me about tides.", model=model_of("openai"), tags={"project": "x", "n": 5}).reply
    row = router.calls().iloc[0]
    assert before - pd.Timedelta("1s") < row["time"] < pd.Timestamp.now("UTC") + pd.Timedelta("1s")
    assert (row["provider"], row["model"], row["tier"], row["status"], row["finish"], row["attempts"]) == (
        "openai", "simulated-openai", "cloud", "ok", "stop", 1,
    )  # fmt: skip
    assert (row["request_id"], row["input_tokens"], row["output_tokens"]) == (
        reply.request_id, reply.usage.input_tokens, reply.usage.output_tokens,
    )  # fmt: skip
    assert (row["usage_source"], row["cost_source"], row["tags"]) == ("provider", "config", {"project": "x", "n": "5"})
    assert 0 < row["ttft_s"] <= row["latency_s"] < 10
    assert pd.isna(row["error"])
    assert row["route_reason"] == "cloud tier, priority 1"
    assert not row["cache_hit"]
    (attempt,) = router.attempts().to_dict("records")
    assert (attempt["request_id"], attempt["number"], attempt["outcome"]) == (reply.request_id, 1, "ok")


def test_cost_is_tokens_times_price_exactly(raw: Raw, make_router: MakeRouter) -> None:
    prices = {"m": {"input": "0.15", "output": "0.60", "cached": "0.075"}}
    usage = {"prompt_tokens": 1_000_003, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}
    server = raw(answer({**said("hi"), "usage": usage}))
    router = make_router([at(server, prices=prices, cost_multiplier="1.1")])
    reply = router.chat("hi", model="a/m")
    exact = (
        (Decimal(1_000_000) * Decimal("0.15") + 3 * Decimal("0.075") + 7 * Decimal("0.60")) / 1_000_000 * Decimal("1.1")
    )
    assert reply.cost == exact
    assert router.calls()["cost_usd"].iloc[0] == pytest.approx(float(exact), rel=1e-12)
    rows = router._ledger.rows("SELECT cost_usd FROM calls")
    assert rows == [(int(exact * 10**12),)]


def test_the_providers_own_figure_wins(raw: Raw, make_router: MakeRouter) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.125}
    reply = make_router([at(raw(answer({**said("hi"), "usage": usage})))]).chat("hi", model="a/m")
    assert (reply.cost, reply.cost_source) == (Decimal("0.125"), "provider")


def test_what_was_refused_before_anything_was_sent_cost_nothing(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router({**fleet.config(), "budget": {"daily_usd": 0.0}})
    with pytest.raises(BudgetExceededError):
        router.chat("hi", model=model_of("openai"))
    costs = router.costs(by="status").iloc[0]
    assert (costs["calls"], costs["unknown_cost"], costs["cost_usd"]) == (1, 0, 0.0)


def test_unknown_is_missing_and_never_zero(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(answer(said("hi", None))), prices={})])
    reply = router.chat("hi", model="a/m")
    assert (reply.cost, reply.cost_source, reply.ttft) == (None, None, None)
    row = router.calls().iloc[0]
    assert row[["cost_usd", "cost_source", "ttft_s", "cached_tokens", "reasoning_tokens"]].isna().all()
    assert row["usage_source"] == "estimate"
    costs = router.costs(by="provider").iloc[0]
    assert (costs["calls"], costs["unknown_cost"]) == (1, 1)
    assert pd.isna(costs["cost_usd"])


def test_a_local_model_is_free_and_known_to_be(fleet: Fleet, make_router: MakeRouter) -> None:
    (config,) = [p for p in fleet.config()["provider"] if p["name"] == "ollama"]
    router = make_router([{**config, "prices": {}, "tier": "local"}])
    reply = router.chat("hi")
    assert (reply.cost, reply.cost_source) == (0, "free")
    assert router.calls()["cost_usd"].iloc[0] == 0


def test_failed_attempts_are_rows_with_what_they_cost(raw: Raw, make_router: MakeRouter) -> None:
    refused = raw(answer({"error": {"message": "busy"}}, 503))
    garbage = raw(answer(b"<html>no</html>", 200, "text/html"))
    good = raw(answer(said("hi", (1_000_000, 0))))
    router = make_router([at(refused), at(garbage, "b"), at(good, "c")], retries=0)
    reply = router.chat("hi")
    rows = router.attempts()
    assert list(rows["outcome"]) == ["error", "error", "ok"]
    assert list(rows["number"]) == [1, 2, 3]
    assert list(rows["status_code"].fillna(0)) == [503, 0, 0]
    assert rows["error"].iloc[0].startswith("ServiceUnavailableError: HTTP 503: busy")
    assert rows["cost_usd"].iloc[0] == 0  # a refusal is not charged
    assert pd.isna(rows["cost_usd"].iloc[1])  # garbage may have been
    assert rows["cost_usd"].iloc[2] == 1
    assert reply.cost is None  # since a part of it is unknown
    assert router.calls()["attempts"].iloc[0] == 3


def test_a_failed_call(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet, retries=0)
    fleet["openai"].fail(Fault("status", status=503))
    with pytest.raises(ServiceUnavailableError) as caught:
        router.chat("hi", model=model_of("openai"))
    row = router.calls().iloc[0]
    assert (row["status"], row["provider"], row["attempts"]) == ("error", "openai", 1)
    assert row["error"] == f"ServiceUnavailableError: {caught.value}"
    assert pd.isna(row["finish"])


def test_a_call_that_nobody_can_take(make_router: MakeRouter) -> None:
    router = make_router([{"name": "a", "type": "openai", "models": ["m"]}])
    with pytest.raises(InferenceError, match="OPENAI_API_KEY"):
        router.chat("hi")
    row = router.calls().iloc[0]
    assert (row["status"], row["attempts"]) == ("error", 0)
    assert row[["provider", "model", "tier", "cost_usd"]].isna().all()


def test_an_interrupted_stream_is_charged_as_far_as_it_came(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(chunked(*events(delta("twelve chars")), end=False))
    router = make_router([at(server)], retries=0)
    with pytest.raises(InferenceError):
        list(router.stream("12345678", model="a/m"))
    (row,) = router.attempts().to_dict("records")
    assert (row["outcome"], row["output_tokens"], row["usage_source"]) == ("interrupted", 3, "estimate")
    assert row["cost_usd"] == pytest.approx((row["input_tokens"] * 1 + 3 * 2) / 1e6)


def test_a_cancelled_call(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([head(200, "text/event-stream"), *events(delta("abcd")), HANG])
    router = make_router([at(server)])
    with router.stream("hi", model="a/m", tags={"k": "v"}) as stream:
        next(stream)
    assert until(lambda: len(router.calls()) == 1)
    row = router.calls().iloc[0]
    assert (row["status"], row["error"], row["tags"]) == ("cancelled", "cancelled", {"k": "v"})
    assert row["cost_usd"] > 0


def test_costs_by_everything(router: Router) -> None:
    for wire, project in (("openai", "x"), ("openai", "y"), ("gemini", "x")):
        router.chat("Tell me about tides.", model=model_of(wire), tags={"project": project, "sub-tag": "1"})
    by_tag = router.costs(by=["tag:project"]).set_index("tag:project")
    assert dict(by_tag["calls"]) == {"x": 2, "y": 1}
    assert list(router.costs(by=["provider", "tag:sub-tag"])["calls"]) == [1, 2]
    everything = router.costs(by=[]).iloc[0]
    assert (everything["calls"], everything["errors"], everything["unknown_cost"]) == (3, 0, 0)
    assert everything["cost_usd"] == pytest.approx(router.calls()["cost_usd"].sum())
    today = dt.datetime.now(dt.UTC)
    assert list(router.costs(by="day")["day"]) == [f"{today:%Y-%m-%d}"]
    assert list(router.costs(by="month")["month"]) == [f"{today:%Y-%m}"]
    table = router.costs()
    assert list(table.columns[:3]) == ["provider", "model", "day"]
    assert str(table["unknown_cost"].dtype) == str(table["calls"].dtype) == "Int64"
    assert str(table["cost_usd"].dtype) == "Float64"


@pytest.mark.parametrize(("name", "near"), [("provder", "provider"), ("modl", "model"), ("tag", "tag:NAME"), ("tag:", "tag:NAME"), ("tag:x'y", ""), ('tag:x")', ""), ("1; DROP TABLE calls", "")])  # fmt: skip
def test_an_unknown_group_names_the_nearest(name: str, near: str, router: Router) -> None:
    with pytest.raises(ValueError, match="cannot group by") as caught:
        router.costs(by=name)
    assert near in str(caught.value)


def test_since_in_every_form(router: Router) -> None:
    router.chat("hi", model=model_of("openai"))
    now = dt.datetime.now().astimezone()
    hour = dt.timedelta(hours=1)
    for past in (
        None,
        hour,
        now - hour,
        (now - hour).replace(tzinfo=None),
        (now - hour).isoformat(),
        (now - dt.timedelta(days=1)).date(),
        time.time() - 60,
        0,
    ):
        assert len(router.calls(past)) == len(router.attempts(past)) == len(router.costs(since=past)) == 1, past
    for future in (now + hour, (now + hour).isoformat(), time.time() + 60, -hour, now.date() + dt.timedelta(days=1)):
        assert len(router.calls(future)) == len(router.attempts(future)) == 0, future
    with pytest.raises(TypeError, match="since"):
        router.calls(["yesterday"])
    with pytest.raises(ValueError, match="such as 2026-11-01"):
        router.calls("yesterday")


def test_rows_come_oldest_first(router: Router) -> None:
    for number in range(5):
        router.chat(f"What is {number} + 1?", model=model_of("openai"))
    assert router.calls()["time"].is_monotonic_increasing


WRITER = """
import sys, hybrid_nb as hnb
url, base, count = sys.argv[1:4]
config = {"ledger": {"url": url}, "provider": [{"name": "a", "type": "custom", "base_url": base, "models": ["m"]}]}
with hnb.Router(config) as router:
    for _ in range(int(count)):
        router.chat("hi", model="a/m")
    if len(sys.argv) > 4:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def start(ledger: Path, server: RawServer, count: int, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, f"sqlite:///{ledger}", server.url, str(count), *more])


def test_two_processes_writing_at_once_lose_nothing(raw: Raw, tmp_path: Path) -> None:
    server = raw(answer(said("hi")))
    ledger = tmp_path / "shared.db"
    workers = [start(ledger, server, 40) for _ in range(2)]
    assert [worker.wait(30) for worker in workers] == [0, 0]
    one = Ledger(f"sqlite:///{ledger}")
    assert len(one.calls(None)) == len(one.attempts(None)) == 80
    one.close()


def test_a_killed_process_loses_no_finished_call(raw: Raw, tmp_path: Path) -> None:
    server = raw(answer(said("hi")))
    ledger = tmp_path / "killed.db"
    assert start(ledger, server, 3, "die").wait(30) == -9
    one = Ledger(f"sqlite:///{ledger}")
    assert len(one.calls(None)) == 3
    one.close()


def test_a_lock_held_by_another_process_does_not_stall_streams(
    raw: Raw, make_router: MakeRouter, tmp_path: Path
) -> None:
    slow = [head(200, "text/event-stream"), *[piece for _ in range(10) for piece in (*events(delta("x")), 0.02)]]
    server = raw(answer(said("hi")), [*slow, *events(finish())])
    router = make_router({"provider": [at(server)], "budget": {"daily_usd": None, "monthly_usd": None}})
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    quick: list[float] = []

    def ask() -> None:
        router.chat("hi", model="a/m")
        quick.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    assert until(lambda: server.seen)
    stream = router.stream("hi", model="a/m")
    times = [time.monotonic() for _ in stream_pieces(stream, 10)]
    assert len(times) == 10
    assert max(b - a for a, b in pairwise(times)) < 0.3
    assert quick == []  # it is not handed over before it is written
    released = time.monotonic()
    other.execute("ROLLBACK")
    other.close()
    thread.join(5)
    assert quick[0] >= released
    assert stream.reply.text == "x" * 10
    assert len(router.calls()) == 2


def stream_pieces(stream: Any, count: int) -> Any:
    for _ in range(count):
        yield next(stream)


def test_a_newer_schema_is_refused_clearly(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(ConfigError, match=f"newer hybrid_nb \\(schema {SCHEMA_VERSION + 1}\\)"):
        Router({"ledger": {"url": f"sqlite:///{path}"}})


@pytest.mark.parametrize("content", [b"this is no database at all, but text that is long enough" * 20, None])
def test_a_ledger_that_cannot_be_opened_is_a_config_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.db: cannot be opened"):
        Router({"ledger": {"url": f"sqlite:///{path}"}})


def test_without_a_url_it_lies_in_the_users_data_folder(tmp_path: Path) -> None:
    with Router({"provider": []}) as router:
        assert Path(router._ledger.path) == tmp_path / "xdg-data" / "hybrid_nb" / "ledger.db"


def test_in_memory_and_reopened(tmp_path: Path, fleet: Fleet) -> None:
    with Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}}) as router:
        router.chat("hi", model=model_of("openai"))
        assert len(router.calls()) == 1
    url = f"sqlite:///{tmp_path}/again.db"
    for count in (1, 2):
        with Router({**fleet.config(), "ledger": {"url": url}}) as router:
            router.chat("hi", model=model_of("openai"))
            assert len(router.calls()) == count
