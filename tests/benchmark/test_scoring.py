"""How scorers are named, checked and run over the answers of a run."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybrid_nb as hnb
from hybrid_nb.bench.grading.protocol import Context, PairScorer, Scorer, Vote
from hybrid_nb.bench.grading.scoring import notes, pairs_of, prepared, score_calls
from hybrid_nb.bench.records import Call
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.types import Reply

scorers = hnb.scorers
Sample, Score, Item = scorers.Sample, scorers.Score, scorers.Item


async def nobody(prompt: Any, options: Any) -> Reply:
    raise AssertionError("no scorer of this test asks a model")


def context(*models: str, seed: int = 0) -> Context:
    return Context(nobody, models, random.Random(seed))


def call(model: str, ident: str, output: str | None = "yes", epoch: int = 0, **more: Any) -> Call:
    status = more.pop("status", "ok")
    return Call(f"{model}|{ident}|{epoch}", ident, None, epoch, model, "measured", status=status, output=output, **more)


def one(scorer: Any, output: str = "yes", target: Any = "yes") -> scorers.Score:
    found = prepared([scorer])[0]
    assert isinstance(found, Scorer)
    return asyncio.run(found.score(Sample(output, Item("1", "q", target), "a/m")))


# --- functions --------------------------------------------------------------------------------------------


async def slow(output: str, target: str) -> bool:
    await asyncio.sleep(0)
    return output == target


class Callable:
    def __call__(self, sample: scorers.Sample) -> float:
        return len(sample.output) / 10


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda output, target: output == target, 1.0),
        (lambda sample: sample.output == sample.target, 1.0),
        (lambda output: len(output), 3.0),
        (lambda answer, target=None: target == "yes", 1.0),
        (lambda s, limit=5: len(s.output) < limit, 1.0),
        (lambda *both: both == ("yes", "yes"), 1.0),
        (lambda output, target: None, None),
        (lambda output, target: float("nan"), None),
        (lambda output, target: float("inf"), None),
        (lambda output, target: np.float32(0.5), 0.5),
        (lambda output, target: Decimal("0.5"), 0.5),
        (lambda output, target: pd.NA, None),
        (lambda output, target: np.bool_(True), 1.0),
        (lambda output, target: Score(0.25, "a quarter"), 0.25),
        (lambda output, target: (0.5, "half"), 0.5),
        (slow, 1.0),
        (Callable(), 0.3),
    ],
)
def test_any_function_scores(function: Any, value: float | None) -> None:
    assert one(function).value == value


@pytest.mark.parametrize(
    "function", [lambda: 1, lambda a, b, c: 1, lambda output, target, *, needed: 1, lambda *, output: 1]
)
def test_a_function_of_another_signature_is_told_at_once(function: Any) -> None:
    with pytest.raises(OptionTypeError, match=r"a scorer is a function of \(output, target\) or of \(sample: Sample\)"):
        prepared([function])


def test_names_of_functions() -> None:
    assert [s.name for s in prepared([slow, lambda output: 1, Callable()])] == ["slow", "lambda", "Callable"]
    assert prepared([scorers.function(slow, name="mine")])[0].name == "mine"


# --- prepared ---------------------------------------------------------------------------------------------


def test_names_functions_and_scorers_stand_in_one_list() -> None:
    found = prepared(["exact", scorers.includes, scorers.numeric(0.1), slow])
    assert [scorer.name for scorer in found] == ["exact", "includes", "numeric", "slow"]
    assert [scorer.name for scorer in prepared("exact")] == ["exact"]
    assert prepared([]) == []


def test_a_run_has_its_own_copies() -> None:
    given = scorers.judge(model="a/m")
    assert prepared([given])[0] is not given


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["exakt"], "no scorer 'exakt': did you mean 'exact'"),
        (["xyz123"], "there are exact, includes"),
        (["judge"], "needs to be told more"),
        ([scorers.regex], "needs to be told more"),
        (["exact", "exact"], "two scorers are named 'exact'"),
        ([lambda output: 1, lambda output: 2], "two scorers are named 'lambda'"),
    ],
)
def test_mistakes_in_the_list_are_told(given: Any, told: str) -> None:
    with pytest.raises(OptionValueError, match=told):
        prepared(given)
    with pytest.raises(OptionTypeError, match="not int"):
        prepared([5])


def test_samples_without_a_target_are_told() -> None:
    items = [Item("a", "q", "x"), Item("b", "q"), Item("c", "q", float("nan")), Item("d", "q", [])]
    with pytest.raises(
        OptionValueError, match="exact needs a target for every sample; 3 samples have none: 'b', 'c', 'd'"
    ):
        prepared("exact")[0].check(items)


# --- running ----------------------------------------------------------------------------------------------


async def test_every_answer_is_scored_by_every_scorer_and_told() -> None:
    calls = [call("a/m", "1"), call("a/m", "2", "no"), call("b/m", "1", None, status="error", error="503")]
    warm = call("a/m", "w")
    warm.phase = "warmup"
    told: list[tuple[str, str, scorers.Score]] = []
    found = prepared(["exact", lambda output: len(output)])
    votes = await score_calls(
        [*calls, warm], [Item("1", "q", "yes"), Item("2", "q", "yes")], found, context(), lambda *row: told.append(row)
    )
    assert votes == []
    assert {(key, name): score.value for key, name, score in told} == {
        ("a/m|1|0", "exact"): 1, ("a/m|2|0", "exact"): 0, ("a/m|1|0", "lambda"): 3, ("a/m|2|0", "lambda"): 2,
    }  # fmt: skip
    assert calls[0].scores["exact"].value == 1
    assert calls[2].scores == {}
    assert warm.scores == {}


async def test_a_scorer_that_raises_is_kept_as_a_row() -> None:
    def breaks(output: str, target: str) -> float:
        raise ValueError("no\nway")

    def odd(output: str) -> Any:
        return {"score": 1}

    calls = [call("a/m", "1")]
    await score_calls(calls, [Item("1", "q", "yes")], prepared([breaks, odd, "exact"]), context())
    assert calls[0].scores["breaks"] == (None, "scorer raised ValueError: no way", None)
    assert calls[0].scores["odd"].explanation.startswith("scorer raised TypeError: a scorer returns a number")
    assert calls[0].scores["exact"].value == 1


async def test_what_was_scored_before_is_left_as_it_is() -> None:
    calls = [call("a/m", "1", scores={"exact": Score(0.5, "before")}), call("a/m", "2")]
    calls.append(call("a/m", "3", scores={"exact": Score(None, "the judge failed")}))
    told: list[str] = []
    items = [Item(ident, "q", "yes") for ident in "123"]
    await score_calls(calls, items, prepared("exact"), context(), lambda key, *_: told.append(key))
    assert sorted(told) == ["a/m|2|0", "a/m|3|0"]
    assert calls[0].scores["exact"].value == 0.5


async def test_functions_run_in_threads_and_not_on_this_loop() -> None:
    seen = set()

    def where(output: str) -> int:
        seen.add(threading.current_thread())
        return 1

    await score_calls([call("a/m", "1")], [Item("1", "q")], prepared(where), context())
    assert threading.current_thread() not in seen


async def test_so_many_at_once_and_no_more() -> None:
    now, most = 0, 0
    gate = asyncio.Event()

    class Busy(Scorer):
        name, concurrency = "busy", 3

        async def score(self, sample: scorers.Sample) -> scorers.Score:
            nonlocal now, most
            now += 1
            most = max(most, now)
            if most == 3:
                gate.set()
            async with asyncio.timeout(10):
                await gate.wait()
            now -= 1
            return Score(1.0)

    await score_calls([call("a/m", str(n)) for n in range(20)], [], [Busy()], context())
    assert most == 3


async def test_a_cancelled_scoring_keeps_what_is_done() -> None:
    reached = asyncio.Event()
    told: list[str] = []

    class Half(Scorer):
        name, concurrency = "half", 1

        async def score(self, sample: scorers.Sample) -> scorers.Score:
            if sample.item.id == "2":
                reached.set()
                await asyncio.Event().wait()
            return Score(1.0)

    calls = [call("a/m", str(n)) for n in range(5)]
    task = asyncio.create_task(score_calls(calls, [], [Half()], context(), lambda key, *_: told.append(key)))
    async with asyncio.timeout(10):
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["a/m|0|0", "a/m|1|0"]
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_the_callback_ends_it() -> None:
    def full(*_: Any) -> None:
        raise OSError("disk full")

    class Endless(Scorer):
        name = "endless"

        async def score(self, sample: scorers.Sample) -> scorers.Score:
            return await asyncio.get_running_loop().create_future()

    found = [*prepared("exact"), Endless()]
    with pytest.raises(OSError, match="disk full"):
        async with asyncio.timeout(10):
            await score_calls([call("a/m", "1")], [Item("1", "q", "x")], found, context(), full)


# --- pairs ------------------------------------------------------------------------------------------------


class Longer(PairScorer):
    """Prefers the longer answer; for some it cannot tell, once."""

    name = "longer"

    def __init__(self, sample: int | None = None, pairs: str = "all", failing: str = "") -> None:
        self.sample, self.pairs, self.failing = sample, pairs, failing

    async def compare(self, first: scorers.Sample, second: scorers.Sample) -> Vote:
        if first.item.id == self.failing:
            raise ValueError("cannot")
        winner = "a" if len(first.output) > len(second.output) else "b"
        return (0.0, first.item.id, None, "q", first.model, second.model, winner, "sim/longer", None, "")


def grid(models: str, samples: int, epochs: int = 1) -> list[Call]:
    return [call(m, str(n), m * (ord(m) - 96), e) for e in range(epochs) for n in range(samples) for m in models]


@given(st.integers(0, 5), st.integers(1, 3), st.integers(2, 4), st.randoms())
def test_all_pairs_are_every_two_models_of_a_sample_and_epoch(
    samples: int, epochs: int, models: int, rng: random.Random
) -> None:
    names = "abcd"[:models]
    calls = grid(names, samples, epochs)
    rng.shuffle(calls)
    found = pairs_of(Longer(), calls, context(*names))
    assert len(found) == samples * epochs * models * (models - 1) // 2
    assert all(a.id == b.id and a.epoch == b.epoch and a.model < b.model for a, b in found)
    assert len({(a.key, b.key) for a, b in found}) == len(found)


def test_pairs_against_the_first_and_of_some_samples() -> None:
    calls = grid("abc", 10)
    against = pairs_of(Longer(pairs="baseline"), calls, context("b", "a", "c"))
    assert {(a.model, b.model) for a, b in against} == {("b", "a"), ("b", "c")}
    some = [pairs_of(Longer(sample=3), calls, context("a", "b", "c", seed=seed)) for seed in (1, 1, 2)]
    assert len(some[0]) == 9
    assert some[0] == some[1]
    assert some[0] != some[2]


async def test_votes_are_told_and_one_that_raised_is_a_row() -> None:
    told: list[Vote] = []
    votes = await score_calls(grid("ab", 3), [], [Longer(failing="1")], context("a", "b"), voted=told.append)
    assert votes == told
    assert Counter(vote[6] for vote in votes) == {"b": 2, None: 1}
    failed = next(vote for vote in votes if vote[6] is None)
    assert (failed[1], failed[9]) == ("1", "scorer raised ValueError: cannot")


async def test_comparisons_of_before_are_not_made_again_but_failed_ones_are() -> None:
    calls = grid("ab", 3, epochs=2)
    before = await score_calls(calls[:-2], [], [Longer(failing="1")], context("a", "b"))
    told: list[Vote] = []
    votes = await score_calls(calls, [], [Longer()], context("a", "b"), voted=told.append, before=before)
    assert Counter(vote[1] for vote in told) == {"1": 2, "2": 1}
    assert Counter(vote[1] for vote in votes) == {"0": 2, "1": 2, "2": 2}


def test_notes_are_gathered() -> None:
    found = prepared([scorers.judge(model="x/gpt-5"), "exact"])
    assert len(notes(found, ["a/gpt-4o", "b/claude-sonnet-5"])) == 1
    assert notes(found, ["b/claude-sonnet-5"]) == []
