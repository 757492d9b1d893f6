"""What a benchmark measures, held against what the vendors sent: counts are exact, and no effect is before its cause.

How near the times are is measured apart (`python -m tests.bench truth`), since it depends on the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_nb.bench.results import Run
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.bench.matching import Came, Held, Sent, held
from tests.bench.truth import came, number_of
from tests.conftest import WIRES, MakeRouter, at, model_of
from tests.faults.raw_server import RESET, RawServer, answer, chunked, delta, events, finish

ROOT = Path(__file__).resolve().parents[2]
STREAMS = 8
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
every_wire = pytest.mark.parametrize("wire", WIRES)


def streams(router: Router, wire: str, number: int = STREAMS, **options: Any) -> Run:
    """So many at once, each with a number that both sides can read."""
    data = [{"id": str(n), "input": f"Write 30 words. [stream {n}]"} for n in range(number)]
    return router.benchmark(data, [model_of(wire)], concurrency=number, progress=False, **options)


def sent(fleet: Fleet, wire: str) -> dict[str, Sent]:
    return {
        f"{model_of(wire)} {number_of(log.body)}": Sent(log.received, log.spoken, log.tokens_out)
        for log in fleet[wire].chats
    }


def both(fleet: Fleet, wire: str, run: Run) -> list[Held]:
    here, there = came(run), sent(fleet, wire)
    assert here.keys() == there.keys()
    return [held(there[name], here[name]) for name in here]


# --- answers that come whole --------------------------------------------------------------------------------------


@every_wire
@pytest.mark.parametrize(("chunk_tokens", "reasoning"), [(1, 0), (5, 0), (1, 7), (3, 7)])
def test_counts_are_those_that_were_sent(
    router: Router, fleet: Fleet, wire: str, chunk_tokens: int, reasoning: int
) -> None:
    fleet[wire].set(ttft=0.01, tokens_per_second=500.0, chunk_tokens=chunk_tokens, reasoning=reasoning)
    run = streams(router, wire)
    for one in both(fleet, wire, run):
        assert one.counted
        assert one.writes > 30 / chunk_tokens
    assert set(run.calls["usage_source"]) == {"provider"}
    if reasoning:
        known = run.calls["reasoning_tokens"].dropna()
        assert set(known) == ({reasoning} if wire != "ollama" else set())  # whose wire does not count them


@every_wire
def test_no_effect_is_before_its_cause(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(ttft=0.01, tokens_per_second=500.0)
    run = streams(router, wire)
    for one in both(fleet, wire, run):
        assert one.before is not None
        assert one.ttft is not None
        assert one.before >= 0, "the request was read before it was written"
        assert min(one.delays) >= 0, "content came before it was sent"
        assert one.ttft >= 0, "the first output took the client less time than the vendor"


def test_measures_follow_from_the_raw_times(router: Router, fleet: Fleet) -> None:
    fleet["openai"].set(ttft=0.01, tokens_per_second=500.0)
    run = streams(router, "openai")
    for call in run.calls.itertuples():
        times = run.chunks.loc[run.chunks["key"] == call.key, "at"]
        gaps = times.diff().dropna()
        assert (gaps > 0).all(), "an arrival is what was read at once, so no two are at one time"
        assert gaps.sum() == pytest.approx(call.last_at - call.first_any_at)
        assert gaps.mean() == pytest.approx(call.chunk_gap_s)
        assert call.tpot_s * (call.output_tokens - 1) == pytest.approx(gaps.sum())
        assert call.first_any_at == times.min()
        assert call.ttft_any_s == pytest.approx(call.first_any_at - call.sent_at)


@every_wire
def test_reasoning_is_output_but_no_answer(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(ttft=0.01, tokens_per_second=200.0, reasoning=60)  # 0.3 s of it
    run = streams(router, wire, 4)
    there, start = sent(fleet, wire), run.info.clock
    assert start is not None
    for call in run.calls.itertuples():
        spoken = there[f"{call.model} {call.id}"].spoken
        answered = next(at for at, _, text, _ in spoken if text)
        assert spoken[0][0] <= start + call.first_any_at < answered <= start + call.first_answer_at
        assert call.ttft_any_s < call.ttft_answer_s
        chunks = run.chunks[run.chunks["key"] == call.key]
        assert chunks["reasoning"].sum() == sum(write[3] for write in spoken) > 0


# --- odd pieces ---------------------------------------------------------------------------------------------------


@every_wire
def test_events_cut_inside_a_token_and_inside_a_character(router: Router, fleet: Fleet, wire: str) -> None:
    fleet[wire].set(tokens_per_second=2000.0)
    fleet[wire].fail(Fault("split_bytes", after_tokens=3), times=None)
    run = streams(router, wire, 3)
    for one in both(fleet, wire, run):
        assert one.counted
        assert min(one.delays) >= 0, "a piece of an event is no content yet"
    assert run.calls["output"].str.contains("naïve Ω 日本語 🙂").all()


def test_content_is_there_when_its_event_is_whole(raw: Callable[..., RawServer], make_router: MakeRouter) -> None:
    first, second, *rest = events(delta("日本"), delta("語"), finish(), USAGE, b"[DONE]")
    middle = first.index("日".encode()) + 1
    start, a, b, end = chunked(first[:middle], first[middle:] + second, b"".join(rest), end=False)
    server = raw([start, a, 0.2, b, end, b"0\r\n\r\n"])
    run = make_router([at(server)]).benchmark(["x"], "a/m", progress=False)
    call = run.calls.iloc[0]
    assert (call["status"], call["output"], call["output_tokens"]) == ("ok", "日本語", 5)
    assert list(run.chunks["text"]) == [3], "two events that are read at once are one arrival"
    assert call["ttft_any_s"] >= 0.2
    assert pd.isna(call["tpot_s"]), "one arrival: nothing was seen to take time"
    assert pd.isna(call["chunk_gap_s"])


def test_what_is_read_at_once_is_one_arrival(raw: Callable[..., RawServer], make_router: MakeRouter) -> None:
    lines = b'{"message": {"content": "ab"}, "done": false}\n' * 3
    end = b'{"message": {"content": ""}, "done": true, "done_reason": "stop", "eval_count": 3}\n'
    server = raw(chunked(lines, end, kind="application/x-ndjson"))
    run = make_router([at(server, type="ollama")]).benchmark(["x"], "a/m", progress=False)
    assert list(run.calls["output"]) == ["ababab"]
    assert list(run.chunks["text"]) == [6]


def test_an_answer_that_comes_whole_is_one_arrival(raw: Callable[..., RawServer],
                                                   make_router: MakeRouter) -> None:  # fmt: skip
    body = {"choices": [{"index": 0, "message": {"content": "all of it"}, "finish_reason": "stop"}]}
    run = make_router([at(raw(answer(body)))]).benchmark(["x"], "a/m", progress=False)
    assert list(run.chunks["text"]) == [9]
    assert run.calls["usage_source"].iloc[0] != "provider"


# --- where nothing came -------------------------------------------------------------------------------------------

MISSING = ("first_any_at", "first_answer_at", "last_at", "ttft_any_s", "ttft_answer_s", "tpot_s", "chunk_gap_s",
           "tokens_per_s", "decode_tokens_per_s")  # fmt: skip
ALONE = {"retries": 0, "failover": False, "resume": False}


@every_wire
@pytest.mark.parametrize("fault", [Fault("reset"), Fault("status", 500), Fault("empty200"), Fault("silence")])
def test_what_did_not_come_has_no_time(fleet: Fleet, make_router: MakeRouter, wire: str, fault: Fault) -> None:
    fleet[wire].fail(fault, times=None)
    run = streams(make_router(fleet, ttft_timeout=0.3, **ALONE), wire, 2)
    assert run.chunks.empty
    for call in run.calls.to_dict("records"):
        assert call["status"] == ("timeout" if fault.kind == "silence" else "error")
        assert [name for name in MISSING if not pd.isna(call[name])] == []
        assert call["sent_at"] <= call["end_at"], "it was asked all the same"
        assert pd.isna(call["output_tokens"])


@every_wire
def test_a_stream_that_stalls_keeps_the_times_of_what_came(fleet: Fleet, make_router: MakeRouter, wire: str) -> None:
    fleet[wire].set(tokens_per_second=500.0)
    fleet[wire].fail(Fault("stall", after_tokens=4), times=None)
    run = streams(make_router(fleet, stall_timeout=0.3, **ALONE), wire, 2)
    assert set(run.calls["status"]) == {"interrupted"}
    for call in run.calls.itertuples():
        chunks = run.chunks[run.chunks["key"] == call.key]
        spoken = next(log.spoken for log in fleet[wire].chats if number_of(log.body) == call.id)
        assert chunks["text"].sum() == sum(write.text for write in spoken) > 0
        assert call.ttft_any_s > 0
        assert call.end_at - call.last_at >= 0.3
    assert run.calls[["tpot_s", "tokens_per_s"]].isna().all(axis=None), "no speed of an answer that is not whole"


def test_a_connection_that_resets_in_mid_answer_keeps_what_came(
    raw: Callable[..., RawServer], make_router: MakeRouter
) -> None:
    server = raw([*chunked(*events(delta("so far")), end=False), 0.1, RESET])
    run = make_router([at(server)], **ALONE).benchmark(["x"], "a/m", progress=False)
    call = run.calls.iloc[0]
    assert (call["status"], call["output"]) == ("interrupted", "so far")
    assert list(run.chunks["text"]) == [6]
    assert pd.isna(call["tpot_s"])


# --- the matching itself ------------------------------------------------------------------------------------------

WRITES = [(1.0, 1, 3, 0), (1.02, 1, 2, 0), (1.04, 1, 4, 0)]


def test_matching_compares_each_write_with_the_arrival_that_holds_it() -> None:
    one = held(Sent(0.5, WRITES, 3), Came(0.499, [(1.001, 3, 0), (1.05, 6, 0)], 3))
    assert one.delays == pytest.approx((0.001, 0.03, 0.01))
    assert one.gaps == pytest.approx((0.029, -0.02))
    assert one.ttft == pytest.approx(0.002)
    assert (one.writes, one.joined, one.counted) == (3, 1, True)


@pytest.mark.parametrize(
    ("arrivals", "tokens"),
    [
        ([(1.1, 9, 0)], 4),
        ([(1.1, 9, 0)], None),
        ([(1.1, 8, 0)], 3),
        ([(1.1, 10, 0)], 3),
        ([(1.1, 4, 0), (1.2, 5, 0)], 3),
        ([(1.1, 0, 9)], 3),
        ([], 3),
    ],
)
def test_matching_tells_every_wrong_count(arrivals: list[tuple[float, int, int]], tokens: int | None) -> None:
    assert not held(Sent(0.5, WRITES, 3), Came(0.4, arrivals, tokens)).counted


def test_matching_makes_up_no_time() -> None:
    one = held(Sent(0.5, [], 0), Came(0.4, [], None))
    assert (one.ttft, one.before, one.after, one.delays, one.gaps) == (None, None, None, (), ())


def test_the_command_prints_its_table_and_writes_its_figures(tmp_path: Path) -> None:
    few = ("--streams", "4", "--seconds", "0.4", "--wires", "openai,ollama", "--json", str(tmp_path / "truth.json"))
    command = [sys.executable, "-m", "tests.bench", "truth", *few]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    rows = json.loads((tmp_path / "truth.json").read_text())["rows"]
    assert [row["starts"] for row in rows] == ["spread", "once"]
    for row in rows:
        assert (row["streams"], row["exact"], row["too_early"], row["chunks"]) == (4, 1.0, 0, 80)
    assert made.stdout.count("| hybrid_nb |") == 2
