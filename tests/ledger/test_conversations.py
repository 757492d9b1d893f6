"""Conversations by name in the ledger's file: nothing is lost when two kernels write the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from hybrid_nb.ledger.conversations import Conversations
from hybrid_nb.ledger.store import Ledger


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def kept(ledger) -> Conversations:
    return Conversations(ledger)


def test_reading_makes_no_table(kept, ledger):
    assert kept.names() == []
    assert kept.load("trip") is None
    assert ledger.rows("SELECT name FROM sqlite_master WHERE name LIKE 'conversation%'") == []


async def test_what_was_saved_is_read_again(kept):
    assert await kept.save("trip", 0, b"head", {0: b"a", 1: b"b"}, 1.0) == 1
    assert await kept.save("trip", 1, b"head 2", {1: b"B", 2: b"c"}, 2.0) == 2
    assert kept.load("trip") == (2, b"head 2", (b"a", b"B", b"c"))
    assert await kept.save("other", 0, b"", {}, 3.0) == 1
    assert kept.load("other") == (1, b"", ())
    assert kept.names() == ["other", "trip"]


async def test_who_goes_on_from_an_old_revision_changes_nothing_and_is_told(kept):
    await kept.save("trip", 0, b"head", {0: b"a"}, 1.0)
    assert await kept.save("trip", 0, b"mine", {0: b"x"}, 2.0) is None
    assert kept.load("trip") == (1, b"head", (b"a",))
    assert await kept.save_beside("trip", b"mine", {0: b"x"}, 2.0) == ("trip (2)", 1)
    assert await kept.save_beside("trip", b"mine", {0: b"x"}, 2.0) == ("trip (3)", 1)
    assert kept.load("trip (2)") == (1, b"mine", (b"x",))


async def test_of_two_writers_at_once_one_is_told(kept, ledger):
    with_other = Conversations(Ledger(f"sqlite:///{ledger.path}"))
    found = await asyncio.gather(
        kept.save("trip", 0, b"1", {0: b"a"}, 1.0), with_other.save("trip", 0, b"2", {0: b"b"}, 1.0)
    )
    assert sorted(found, key=str) == [1, None]
    with_other._ledger.close()


async def test_a_deleted_one_is_gone(kept):
    await kept.save("trip", 0, b"head", {0: b"a"}, 1.0)
    await kept.delete("trip")
    assert kept.names() == []
    assert await kept.save("trip", 0, b"new", {}, 1.0) == 1
    assert kept.load("trip") == (1, b"new", ())
