"""Evidence in the ledger's file: nothing counts twice, several kernels learn at once, what exploring costs is held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.types import Attempt, Reply, Route, Target, Usage
from hybrid_nb.ledger.entries import entry
from hybrid_nb.ledger.evidence import Evidences, Row
from hybrid_nb.ledger.store import Ledger


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def kept(ledger) -> Evidences:
    return Evidences(ledger)


def row(key: str, at: float = 100.0, model: str = "m", body: bytes = b"{}") -> Row:
    return Row(key, at, "a", model, "maths", "task", "exact", 0, body)


def live(number: int, at: float) -> object:
    name = f"{number:032x}"
    attempt = Attempt("a", "m", "ok", None, 0.5, None, ttft=0.1, started=at, usage=Usage(1, None, None, 9))
    return entry(
        at,
        make_request("hi", tags={"task": "x"}),
        Reply("", route=Route(Target("a", "m"), (), (attempt,)), request_id=name),
        "ok",
        None,
    )


async def test_reading_makes_no_table(kept, ledger):
    assert kept.state() == (0, 0)
    assert kept.rows(0) == []
    assert kept.explored(0.0) == 0
    assert kept.live(0.0, 10) == []
    assert ledger.rows("SELECT name FROM sqlite_master WHERE name LIKE 'e%'") == []


async def test_rows_are_added_and_what_is_learned_again_replaces_its_row(kept):
    await kept.put([row("one"), row("two")])
    assert kept.state() == (0, 2)
    assert [(number, found.key) for number, found in kept.rows(0)] == [(1, "one"), (2, "two")]
    assert [found.key for _, found in kept.rows(1)] == ["two"]
    await kept.put([row("one", body=b"new")])
    generation, latest = kept.state()
    assert generation == 1  # whoever read the old row must read all anew
    assert [found.key for _, found in kept.rows(0)] == ["two", "one"]
    assert kept.rows(latest - 1)[0][1].body == b"new"


async def test_another_kernel_learns_at_the_same_time(tmp_path, kept):
    other = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    try:
        theirs = Evidences(other)
        await asyncio.gather(
            *(store.put([row(f"{who}{n}")]) for n in range(20) for who, store in (("a", kept), ("b", theirs)))
        )
        assert len(kept.rows(0)) == len(theirs.rows(0)) == 40
        assert kept.state() == theirs.state() == (0, 40)
    finally:
        other.close()


async def test_forgetting_by_target_and_time(kept):
    await kept.put([row("old", 10.0), row("new", 50.0), row("other", 10.0, "n")])
    assert await kept.forget("a", "m", 20.0) == 1
    assert {found.key for _, found in kept.rows(0)} == {"new", "other"}
    assert kept.state()[0] == 1
    assert await kept.forget(None, None, 1000.0) == 2
    assert kept.rows(0) == []


async def test_live_calls_are_read_without_those_of_learned_runs_and_what_was_forgotten(kept, ledger):
    for number, at in enumerate((10.0, 20.0, 30.0, 40.0)):
        await ledger.record(live(number, at))
    assert [found[0] for found in kept.live(15.0, 10)] == [20.0, 30.0, 40.0]
    assert [found[0] for found in kept.live(0.0, 2)] == [30.0, 40.0]  # the latest
    assert kept.live(0.0, 10)[0][1:] == ("a", "m", "ok", None, 0.1, 0.5, 9, None, None, '{"task": "x"}', None)
    await kept.put([row("run")], [f"{1:032x}"])
    assert kept.state()[0] == 1
    assert [found[0] for found in kept.live(0.0, 10)] == [10.0, 30.0, 40.0]
    await kept.forget("a", "m", 35.0)
    assert [found[0] for found in kept.live(0.0, 10)] == [40.0]
    await kept.put([row("again")], [f"{1:032x}"])
    assert kept.state()[0] == 2  # nothing new among the calls


async def test_exploring_is_booked_within_the_day_s_limit_by_all_kernels_together(tmp_path, kept):
    other = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    try:
        stores = (kept, Evidences(other))
        done = await asyncio.gather(*(stores[n % 2].book(30, 100, 0.0) for n in range(10)))
        assert sum(done) == 3
        assert kept.explored(0.0) == 90
        assert await kept.book(10, 100, 0.0)
        assert not await kept.book(1, 100, 0.0)
        assert await kept.book(100, 100, 86_400.0)  # the next day
        assert not await kept.book(101, 100, 2 * 86_400.0)
        kept.correct(-40, 0.0)
        kept.correct(-500, 86_400.0)
        await kept.put([])
        assert (kept.explored(0.0), kept.explored(86_400.0)) == (60, 0)
    finally:
        other.close()


async def test_five_thousand_live_calls_are_read_quickly(kept, ledger):
    await asyncio.gather(*(ledger.record(live(number, number + 1.0)) for number in range(6000)))
    start = time.thread_time()
    assert len(kept.live(0.0, 5000)) == 5000
    assert time.thread_time() - start < 0.5
