"""What a run says of each target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybrid_nb.bench import lessons
from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.core.types import Target
from hybrid_nb.engine.batch import Batch
from hybrid_nb.engine.bounds import bucket
from tests.benchmark.made import Truth, made_run

A, B = Target("a", "m"), Target("b", "m")


def call(number: int, **more: object) -> Call:
    made = Call(f"k{number}", f"s{number}", "maths", 0, "a/m", "measured", status="ok", answered_by="a/m")
    made.due_at, made.sent_at, made.first_any_at, made.end_at = 0.0, 1.0, 1.5, 3.0
    made.output_tokens, made.cost_usd, made.scores = 40, 0.001, {"exact": Score(1.0)}
    for name, value in more.items():
        setattr(made, name, value)
    return made


def learned(*calls: Call) -> dict[tuple[Target, str | None], Batch]:
    run = Run.of(calls, Info(scorers=("exact",)))
    known = {"a/m": A, "b/m": B}
    return {(b.target, b.cluster): b for b in lessons.batches(run, "exact", known.get, 100.0)}


def test_the_time_is_that_of_the_target_without_our_own_queue() -> None:
    batch = learned(call(1))[A, "maths"]
    assert batch == Batch(
        A, "maths", 100.0, 1, 0, {bucket(0.5): 1}, {bucket(2.0): 1}, (1, 40), (1, 0.001), {"exact": (1, 1, 1)}
    )


def test_several_answers_to_one_sample_are_one_score() -> None:
    again = [call(1, key=f"k1-{n}", epoch=n, scores={"exact": Score(float(n < 3))}) for n in range(4)]
    assert learned(*again, call(2))[A, "maths"].scores["exact"] == pytest.approx((2, 1.75, 1 + 0.75**2))


def test_unknown_is_not_zero() -> None:
    bare = call(1, output_tokens=None, cost_usd=None, first_any_at=None, scores={"exact": Score(None)})
    batch = learned(bare)[A, "maths"]
    assert (batch.calls, batch.output, batch.cost, batch.ttft, batch.scores) == (1, (0, 0), (0, 0), {}, {})


def test_a_failure_counts_against_the_model_that_was_asked_and_a_wrong_request_against_nobody() -> None:
    failed = {"status": "error", "answered_by": None, "scores": {}, "first_any_at": None}
    found = learned(
        call(1, **failed, error="ServiceUnavailableError: 503"),
        call(2, **failed, error="ContextLengthError: too long"),
        call(3, **failed, error="BudgetExceededError: the run's"),
        call(4, status="timeout", answered_by=None, scores={}, error="ProviderTimeoutError: 30 s"),
        call(5, **failed, model="some group", error="ServiceUnavailableError: 503"),
    )
    assert {key: (b.calls, b.failed) for key, b in found.items()} == {(A, "maths"): (2, 2)}


def test_an_answer_by_another_one_tells_of_its_quality_only() -> None:
    batch = learned(call(1, answered_by="b/m", failed_over=True))[B, "maths"]
    assert (batch.calls, batch.ttft, batch.cost) == (0, {}, (0, 0))
    assert batch.scores["exact"] == (1, 1, 1)


def test_the_warm_up_and_what_was_not_asked_are_left_out() -> None:
    assert learned(call(1, phase="warmup"), call(2, status="skipped")) == {}


def test_a_saved_run_is_the_same_run(tmp_path) -> None:
    run = made_run({"a/m": Truth()}, samples=6)
    assert lessons.identity(Run.load(run.save(tmp_path / "run"))) == lessons.identity(run)
    assert lessons.identity(made_run({"a/m": Truth()}, samples=7)) != lessons.identity(run)


def test_the_end_of_a_run() -> None:
    run = made_run({"a/m": Truth()}, samples=6)
    now = 1_900_000_000.0

    def ended(started: str) -> float:
        return lessons.ended(replace(run, info=replace(run.info, started=started, seconds=10.0)), now)

    assert ended("2026-11-21T00:00:00Z") == 1_795_219_210.0
    assert ended("2026-11-21T00:00:00") == 1_795_219_210.0
    assert ended("") == ended("2091-01-01T00:00:00Z") == now
