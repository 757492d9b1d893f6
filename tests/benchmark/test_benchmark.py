"""router.benchmark() over the wire: what is asked, what is kept, and what the vendors saw of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hybrid_nb as hnb
from hybrid_nb.bench.grading.protocol import Context, Scorer
from hybrid_nb.bench.grading.rating import Rating
from hybrid_nb.bench.records import Call, Item, Sample, Score
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.bench.traffic.spending import Purse
from hybrid_nb.bench.traffic.till import Till
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import MakeRouter, model_of

MODELS = [model_of("openai"), model_of("gemini")]


def test_every_model_is_asked_every_sample(router: Router, fleet: Fleet) -> None:
    run = router.benchmark(["What is 2+2?", "What is 3+4?"], MODELS, epochs=2, progress=False)
    calls = run.calls
    assert sorted(calls["key"]) == sorted(f"{m}|{i}|{e}" for m in MODELS for i in "01" for e in (0, 1))
    assert set(calls["status"]) == {"ok"}
    assert len(fleet["openai"].chats) == len(fleet["gemini"].chats) == 4
    first = calls.iloc[0]
    assert first["due_at"] <= first["started_at"] <= first["sent_at"] <= first["first_any_at"] <= first["end_at"]
    assert run.models == MODELS
    assert repr(run) == "Run(8 calls to 2 models)"


def test_a_job_runs_in_the_background(router: Router) -> None:
    job = router.start_benchmark(["What is 2+2?"], MODELS)
    run = job.result()
    assert job.done
    assert len(run.calls) == job.progress.done == job.progress.total == 2


@pytest.mark.parametrize(
    ("data", "models", "options", "told"),
    [
        ([], MODELS, {}, "no rows"),
        (["a"], [], {}, "at least one model"),
        (["a"], ["openai/simulated-openai", "opnai/simulated"], {}, "unknown model 'opnai/simulated'"),
        ([{"text": "a"}], MODELS, {}, "no column 'input'"),
        ([{"id": 1, "input": "a"}, {"id": "1", "input": "b"}], MODELS, {}, "twice: '1'"),
        (["a"], MODELS, {"temperature": 9}, "temperature"),
        (["a"], MODELS, {"tempratur": 1}, "did you mean 'temperature'"),
        (["a"], MODELS, {"epochs": 0}, "epochs must be"),
        (["a"], MODELS, {"arrivals": "constant"}, "arrivals='constant' needs rate="),
        (["a"], MODELS, {"save": ""}, "save must be the path of a folder"),
        (["a"], ["openai/nix"], {}, "openai lists no model 'nix'"),
    ],
)
def test_bad_input_is_told_before_anything_is_sent(
    router: Router, fleet: Fleet, data: list[object], models: list[str], options: dict[str, object], told: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        router.benchmark(data, models, progress=False, **options)
    assert not any(handle.chats for handle in fleet)


def _numbers(count: int) -> list[dict[str, str]]:
    return [{"input": f"What is {n}+1?", "target": str(n + 1)} for n in range(count)]


# --- what is sent -------------------------------------------------------------------------------------------


def test_settings_reach_every_call(router: Router, fleet: Fleet) -> None:
    router.benchmark([{"text": "2+2"}], MODELS[:1], prompt="What is {text}?", max_tokens=7, progress=False)
    (chat,) = fleet["openai"].chats
    assert chat.stream
    assert chat.body["messages"][-1]["content"] == "What is 2+2?"
    assert 7 in (chat.body.get("max_tokens"), chat.body.get("max_completion_tokens"))


@pytest.mark.parametrize("options", [{}, {"system": "Be short"}])
def test_unique_prompts_begin_with_letters_of_their_own(router: Router, fleet: Fleet, options: dict[str, Any]) -> None:
    run = router.benchmark(["What is 2+2?"], MODELS[:1], epochs=5, unique=True, progress=False, **options)
    first = [chat.body["messages"][0]["content"] for chat in fleet["openai"].chats]
    assert len({text[:14] for text in first}) == 5
    assert all(re.fullmatch(r"\[[a-z]{12}\] (What is 2\+2\?|Be short)", text) for text in first)
    assert set(run.calls["input"]) == {"What is 2+2?"}


def test_a_cache_that_is_on_is_not_measured_unless_asked_for(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router({**fleet.config(), "cache": {"mode": "on"}})
    router.benchmark(["What is 2+2?"], MODELS[:1], epochs=2, progress=False)
    assert len(fleet["openai"].chats) == 2
    run = router.benchmark(["What is 2+2?"], MODELS[:1], epochs=2, concurrency=1, cache="on", progress=False)
    assert len(fleet["openai"].chats) == 3
    assert run.calls["cost_source"].tolist() == ["config", "cache"]


def test_a_recorded_run_replays_without_a_vendor(fleet: Fleet, make_router: MakeRouter, tmp_path: Path) -> None:
    cache = {"path": str(tmp_path / "cassette")}
    recorder = make_router({**fleet.config(), "cache": {"mode": "record", **cache}})
    run = recorder.benchmark(_numbers(2), MODELS, ["includes"], progress=False)
    fleet["openai"].clear()
    player = make_router({"cache": {"mode": "replay", **cache}, "provider": []})
    again = player.benchmark(_numbers(2), MODELS, ["includes"], max_cost=1, progress=False)
    for name in ("output", "status", "cost_usd", "score_includes"):
        assert run.calls.set_index("key")[name].sort_index().equals(again.calls.set_index("key")[name].sort_index())
    assert not fleet["openai"].chats
    with pytest.raises(ValueError, match="unique"):
        player.benchmark(["a"], MODELS, unique=True, progress=False)


def test_an_open_loop_begins_calls_by_its_schedule(router: Router, fleet: Fleet) -> None:
    fleet["openai"].set(ttft=0.3, tokens_per_second=1000)
    run = router.benchmark(_numbers(12), MODELS[:1], rate=[40, 80], arrivals="constant", warmup=4, progress=False)
    calls = run.calls.sort_values("due_at")
    assert calls["phase"].tolist() == ["warmup"] * 4 + ["measured"] * 12
    assert calls["stage"].tolist() == [0] * 10 + [1] * 6
    due = [n / 40 for n in range(10)] + [0.25 + n / 80 for n in range(6)]
    assert calls["due_at"].tolist() == pytest.approx(due)
    received = sorted(chat.received for chat in fleet["openai"].chats)
    assert received[-1] - received[0] == pytest.approx(due[-1], abs=1.0)  # one after the other they would take five
    assert calls["in_flight"].max() > 8


def test_a_trace_has_its_own_times_and_data_are_asked_again(router: Router) -> None:
    run = router.benchmark(["a"], MODELS[:1], arrivals=[0, 0.05, 0.1], progress=False)
    assert sorted(run.calls["due_at"]) == [0, 0.05, 0.1]
    assert sorted(run.calls["key"]) == [f"{MODELS[0]}|0|{epoch}" for epoch in range(3)]


# --- how calls end --------------------------------------------------------------------------------------------


def test_what_fails_is_a_row_with_its_error(router: Router, fleet: Fleet) -> None:
    router.configure(retries=0, resume=False)
    fleet["openai"].fail(Fault("status", 400))
    fleet["gemini"].fail(Fault("cut", after_tokens=5))
    run = router.benchmark(["Tell me about tides"], MODELS, progress=False)
    calls = run.calls.set_index("model")
    assert calls["status"].to_dict() == {MODELS[0]: "error", MODELS[1]: "interrupted"}
    assert str(calls.loc[MODELS[0], "error"]).startswith("InvalidRequestError")
    broken = calls.loc[MODELS[1]]
    assert broken["output"]
    assert broken["first_any_at"] <= broken["last_at"] <= broken["end_at"]
    assert broken["estimated_tokens"] > 0


def test_a_call_that_takes_too_long_is_a_timeout(router: Router, fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("slow_first", seconds=30))
    run = router.benchmark(["a"], MODELS[:1], timeout=0.3, progress=False)
    (row,) = run.calls.to_dict("records")
    assert row["status"] == "timeout"
    assert 0.3 <= row["end_at"] < 3
    assert pd.isna(row["first_any_at"])
    assert pd.isna(row["cost_usd"])


def test_failing_over_is_noted(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet, group={"fast": MODELS}, retries=0)
    fleet["openai"].fail(Fault("status", 503))
    run = router.benchmark(["a", "b"], ["fast"], concurrency=1, progress=False)
    assert run.calls["failed_over"].tolist()[0] is True
    first = run.calls.iloc[0]
    assert (first["answered_by"], first["attempts"], first["status"]) == (MODELS[1], 2, "ok")


def test_the_keys_are_in_no_file(router: Router, tmp_path: Path) -> None:
    router.benchmark(_numbers(2), MODELS, ["includes"], save=tmp_path / "run", progress=False)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if b"sim-key" in path.read_bytes()]


# --- money ----------------------------------------------------------------------------------------------------


def _spent(fleet: Fleet) -> float:
    """What the vendors' own counts come to, at a dollar and two per million tokens."""
    return sum(2e-6 * chat.tokens_out for handle in fleet for chat in handle.chats)


def test_a_run_stops_before_its_dollars_are_passed(router: Router, fleet: Fleet) -> None:
    limit = 0.0005  # of at most 100 tokens at $2 per million each, so two calls are sure
    run = router.benchmark(["Tell me about tides"], MODELS, epochs=200, max_tokens=100, max_cost=limit, progress=False)
    assert run.info.stopped == "budget"
    done = run.calls[run.calls["status"] == "ok"]
    assert limit / 4 < done["cost_usd"].sum() <= limit
    assert _spent(fleet) <= limit
    skipped = run.calls[run.calls["status"] == "skipped"]
    assert len(done) + len(skipped) == 400
    assert set(skipped["error"]) <= {"budget", "budget: not asked"}
    assert run.info.estimate_usd > limit


def test_no_failure_carries_a_run_beyond_its_dollars(router: Router, fleet: Fleet) -> None:
    router.configure(retries=2)
    for name, fault in (("openai", Fault("cut", after_tokens=4)), ("gemini", Fault("status", 503))):
        fleet[name].fail(fault, times=None, match=lambda log: len(str(log.body)) % 3 == 0)
    data = [f"Tell me about {'the ' * (n % 5)}tides" for n in range(60)]
    limit = 0.003
    run = router.benchmark(data, [*MODELS, model_of("anthropic")], max_tokens=60, max_cost=limit, progress=False)
    attempts = router.attempts()
    assert len(attempts) > len(run.calls[run.calls["status"] == "ok"])
    assert limit / 2 < attempts["cost_usd"].sum() <= limit
    assert run.calls["cost_usd"].sum() == pytest.approx(attempts["cost_usd"].sum())


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        ({"prices": {}}, {"max_cost": 1}, "the price of openai/simulated-openai is not known"),
        ({}, {"max_cost": 1e-9}, "a single call may cost"),
        ({"enabled": False}, {}, "cannot be asked: provider openai is disabled"),
    ],
)
def test_what_cannot_be_paid_or_asked_is_told_before(
    router: Router, fleet: Fleet, change: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    if change:
        router.update_provider("openai", type="custom", **change)
    with pytest.raises(ValueError, match=told):
        router.benchmark(["a"], MODELS[:1], progress=False, **options)
    assert not fleet["openai"].chats


def test_the_routers_budget_stops_a_run(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router({**fleet.config(), "budget": {"daily_usd": 0.0004}})
    run = router.benchmark(["Tell me about tides"], MODELS, epochs=100, max_tokens=100, progress=False)
    assert run.info.stopped == "budget"
    assert 0 < run.calls["cost_usd"].sum() <= 0.0004
    assert len(run.calls) == 200


# --- scores ---------------------------------------------------------------------------------------------------


def test_scores_stand_beside_the_calls(router: Router) -> None:
    async def length(output: str, target: Any) -> float:
        return float(len(output))

    def broken(sample: Any) -> float:
        raise RuntimeError("no luck")

    run = router.benchmark(_numbers(3), MODELS, ["includes", length, broken], warmup=2, progress=False)
    measured = run.calls[run.calls["phase"] == "measured"]
    assert (measured["score_includes"] == 1).all()
    assert (measured["score_length"] == measured["output"].str.len()).all()
    assert run.info.scorers == ("includes", "length", "broken")
    told = run.scores[run.scores["scorer"] == "broken"]
    assert set(told["explanation"]) == {"scorer raised RuntimeError: no luck"}
    assert measured["score_broken"].isna().all()


class Odd(BaseException):
    """Nobody's usual error."""


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError, Odd])
@pytest.mark.parametrize("waits", [False, True])
def test_whatever_a_scorer_raises_is_its_row_and_hybrid_nb_lives_on(
    router: Router, error: type[BaseException], waits: bool
) -> None:
    def plain(output: str) -> float:
        raise error

    async def waiting(output: str) -> float:
        raise error

    job = router.start_benchmark(_numbers(2), MODELS, [waiting if waits else plain, "includes"])
    run = job.result(30)
    told = run.scores.loc[run.scores["scorer"] != "includes", "explanation"]
    assert len(told) == 4
    assert told.str.startswith("scorer raised ").all()
    assert told.str.contains(error.__name__).all()
    assert (run.calls["score_includes"] == 1).all()
    assert router.chat("What is 2+2?", model=MODELS[0]).text


def test_a_judge_that_hangs_is_waited_for_no_longer_than_a_call(router: Router, fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("slow_first", seconds=60), times=None)
    began = time.monotonic()
    judge = hnb.scorers.judge(MODELS[0])
    run = router.benchmark(_numbers(2), MODELS[1:], [judge], timeout=1.0, progress=False)
    assert time.monotonic() - began < 20
    assert (run.calls["status"] == "ok").all()
    assert run.scores["explanation"].str.contains("ProviderTimeoutError").all()


def test_calls_that_never_went_out_are_told(router: Router, fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("status", 500), times=None)
    run = router.benchmark(_numbers(30), MODELS, ["includes"], progress=False)
    dead = run.calls[run.calls["model"] == MODELS[0]]
    unsent = int((dead["attempts"] == 0).sum())
    assert unsent > 10
    assert any(f"{unsent} failed calls to {MODELS[0]} never went out" in note for note in run.report().notes)
    assert not any(f"to {MODELS[1]} never" in note for note in run.report().notes)


def test_a_scorer_without_targets_is_told_before(router: Router, fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="needs a target"):
        router.benchmark(["a"], MODELS, ["exact"], progress=False)
    assert not fleet["openai"].chats


class Asking(Scorer):
    """A judge that is not clever."""

    name = "asking"

    def begin(self, context: Context) -> None:
        self.context = context

    async def score(self, sample: Sample) -> Score:
        reply = await self.context.question("What is 1+1?", {"model": MODELS[0], "max_tokens": 50})
        return Score(float("2" in reply.text))


class Default(Asking):
    """Asks whoever is the default."""

    async def score(self, sample: Sample) -> Score:
        reply = await self.context.question("What is 1+1?", {})
        return Score(float("2" in reply.text))


def test_a_judge_of_no_name_is_the_default_model(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet, default_model=MODELS[0])
    run = router.benchmark(_numbers(2), MODELS[1:], [Default()], max_cost=1, progress=False)
    assert (run.calls["score_asking"] == 1).all()
    assert len(fleet["openai"].chats) == 2


def test_judges_are_paid_from_the_same_purse(router: Router, fleet: Fleet) -> None:
    run = router.benchmark(_numbers(3), MODELS[1:], [Asking()], progress=False)
    ledger = router.costs(by=None)["cost_usd"].sum()
    assert run.info.judge_cost_usd == pytest.approx(ledger - run.calls["cost_usd"].sum())
    assert run.info.judge_cost_usd > 1e-5
    assert (run.calls["score_asking"] == 1).all()
    limit = 3 * (16 + 16 + 2 * 10) * 1e-6 + 60e-6  # the calls, and not even one judge's 100 millionths more
    run = router.benchmark(_numbers(3), MODELS[1:], [Asking()], max_tokens=10, max_cost=limit, progress=False)
    assert run.info.stopped == "budget"
    assert run.scores["value"].isna().any()
    assert run.scores["explanation"].dropna().str.contains("would pass its max_cost").any()
    assert (run.info.judge_cost_usd or 0) + run.calls["cost_usd"].sum() <= limit


# --- progress and interrupts ------------------------------------------------------------------------------------


def test_progress_is_told_from_the_estimate_to_the_end(router: Router, fleet: Fleet) -> None:
    fleet["openai"].set(ttft=0.2, tokens_per_second=1000)
    seen: list[Progress] = []
    router.benchmark(_numbers(8), MODELS[:1], ["includes"], max_tokens=20, concurrency=2, progress=seen.append)
    assert (seen[0].stage, seen[0].done, seen[0].total, seen[0].spent_usd) == ("preparing", 0, 8, 0)
    assert seen[0].estimate_usd is not None
    assert (seen[-1].stage, seen[-1].failed) == ("done", 0)
    assert seen[-1].done == 8
    assert 0 < seen[-1].spent_usd <= seen[0].estimate_usd
    assert any(now.left_s for now in seen)


def test_scores_that_are_made_again_are_in_the_total() -> None:
    calls = [Call(f"a/m|{n}|0", str(n), None, 0, "a/m", "measured", status="ok", output="4") for n in range(3)]
    for call in calls[:2]:
        call.scores["exact"] = Score(None, "the judge failed")  # will be tried again

    class Nowhere:
        def score(self, key: str, scorer: str, score: Score) -> None: ...
        def vote(self, vote: Any) -> None: ...
        def judged(self, key: str, cost: float | None, spent: Decimal) -> None: ...

    items = [Item(str(n), "2+2", "4") for n in range(3)]
    scorers = hnb.scorers.exact()
    rating = Rating([scorers], items, ["a/m"], 0, None, lambda *_: None, Till(Purse()))  # type: ignore[arg-type]
    asyncio.run(rating.score(calls, Nowhere()))
    assert rating.done == rating.total == 3


def test_progress_that_raises_does_not_end_the_run(router: Router) -> None:
    def tell(now: Progress) -> None:
        raise KeyError("nobody")

    with pytest.warns(UserWarning, match="progress= raised KeyError: 'nobody'; the run goes on"):
        run = router.benchmark(_numbers(2), MODELS, progress=tell)
    assert len(run.calls) == 4


@contextmanager
def _interrupted(when: Callable[[], bool], times: int = 1) -> Iterator[None]:
    """As by Ctrl-C, as soon as `when` is true, and again after a while."""
    over = threading.Event()

    def press() -> None:
        until = time.monotonic() + 30
        while not when() and time.monotonic() < until:
            if over.wait(0.01):
                return
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            if over.wait(0.8):
                return

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press)
    presser.start()
    try:
        yield
    finally:
        over.set()
        presser.join()
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_returns_what_is_finished_with_its_scores(router: Router, fleet: Fleet) -> None:
    fleet["openai"].set(ttft=0.15, tokens_per_second=2000)
    with _interrupted(lambda: len(fleet["openai"].chats) > 8):
        run = router.benchmark(_numbers(400), MODELS[:1], ["includes"], progress=False)
    assert run.info.stopped == "interrupt"
    done = run.calls[run.calls["status"] == "ok"]
    assert 4 <= len(done) < 200
    assert (done["score_includes"] == 1).all()
    assert len(run.calls) == 400
    assert set(run.calls["status"]) == {"ok", "skipped"}
    assert repr(run).endswith("stopped: interrupt)")
    asked = len(fleet["openai"].chats)
    time.sleep(0.3)
    assert len(fleet["openai"].chats) == asked  # nothing goes on behind one's back
    assert router.chat("What is 2+2?", model=MODELS[0]).text  # and the router lives


class Slow(Scorer):
    name = "slow"
    begun = threading.Event()

    async def score(self, sample: Sample) -> Score:
        self.begun.set()
        await asyncio.sleep(60)
        return Score(1.0)


def test_a_second_interrupt_leaves_the_scoring_out(router: Router) -> None:
    began = time.monotonic()
    with _interrupted(Slow.begun.is_set, times=2):
        run = router.benchmark(_numbers(2), MODELS, [Slow()], progress=False)
    assert time.monotonic() - began < 30  # and not the minute that the scorer takes
    assert run.info.stopped == "interrupt"
    assert (run.calls["status"] == "ok").all()
    assert run.calls["score_slow"].isna().all()


def test_a_job_is_stopped_from_any_thread(router: Router, fleet: Fleet) -> None:
    fleet["openai"].set(ttft=0.2, tokens_per_second=1000)
    job = router.start_benchmark(_numbers(200), MODELS[:1], progress=True)
    with pytest.raises(TimeoutError):
        job.result(0.3)
    stopper = threading.Thread(target=job.stop, args=("enough",))
    stopper.start()
    run = job.result(20)
    stopper.join()
    assert run.info.stopped == "enough"
    over = threading.Event()
    job.when_done(over.set)
    assert over.is_set()
    assert repr(job).startswith("Job(done: ")
