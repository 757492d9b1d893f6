"""Sums by day say what the calls say, whoever writes them and however they came to be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.ledger import costs, daily
from hybrid_nb.ledger.entries import CALL_COLUMNS
from hybrid_nb.ledger.store import SCHEMA_VERSION, Ledger

DAY = 86400
START = 20_725 * DAY  # two days before the end of a month
INSERT = f"INSERT INTO calls VALUES ({','.join('?' * len(CALL_COLUMNS))})"
NAMES = st.sampled_from([None, "a", "b"])
NUMBERS = st.one_of(st.none(), st.integers(0, 10**6))
CALLS = st.fixed_dictionaries(
    {
        "time": st.one_of(
            st.floats(START, START + 3 * DAY),
            st.sampled_from([START + n * DAY + off for n in (1, 2, 3) for off in (-0.001, 0.0)]),
        ),
        "provider": NAMES, "model": NAMES, "tier": NAMES,
        "status": st.sampled_from(["ok", "error"]), "attempts": st.integers(0, 2), "input_tokens": NUMBERS,
        "output_tokens": NUMBERS, "cost_usd": NUMBERS, "cost_source": NAMES, "cache_hit": st.integers(0, 1),
        "saved": st.one_of(st.none(), st.integers(0, 10**6)), "kept": st.booleans(),
    }
)  # fmt: skip


SAVINGS = "CREATE TABLE savings (request_id TEXT PRIMARY KEY, saved_usd INTEGER, saved_s REAL) WITHOUT ROWID"


def write(path: Path, calls: list[dict[str, Any]]) -> None:
    """From beside, as another process would."""
    db = sqlite3.connect(path)
    with db:
        put(db, calls)
    db.close()


def put(db: sqlite3.Connection, calls: list[dict[str, Any]]) -> None:
    for number, call in enumerate(calls):
        db.execute(INSERT, [{**call, "request_id": f"r{number}"}.get(name) for name in CALL_COLUMNS])
        if call["cache_hit"] and call["kept"]:
            db.execute("INSERT INTO savings VALUES (?, ?, NULL)", (f"r{number}", call["saved"]))


def same(ledger: Ledger, groups: Iterable[Sequence[str]], since: float | None) -> None:
    for by in groups:
        slow, fast = costs.summed(ledger, by, since), costs.costs(ledger, by, since)
        assert len(fast) == len(slow)
        for one, other in zip(fast, slow, strict=True):
            assert [value is None for value in one] == [value is None for value in other]
            assert one[:-3] == other[:-3]
            assert one[-2] == other[-2]
            assert [one[-3], one[-1]] == pytest.approx([other[-3], other[-1]])


GROUPS = [[], *([name] for name in daily.GROUPS), ["provider", "model", "day"], ["month", "tier"], list(daily.GROUPS)]


@settings(max_examples=40, deadline=None)
@given(st.lists(CALLS, max_size=25), st.booleans(), st.sampled_from([None, START, START + DAY, START + 5 * DAY]))
def test_the_sums_are_those_of_the_calls(calls, savings, since):
    ledger = Ledger("sqlite:///:memory:")
    if savings:
        ledger._db.execute(SAVINGS)
    put(ledger._db, calls if savings else [{**call, "kept": False} for call in calls])
    same(ledger, GROUPS, since)
    ledger.close()


CALL = {
    "time": START + 5.0,
    "provider": "a",
    "status": "ok",
    "attempts": 1,
    "cost_usd": 5,
    "cache_hit": 0,
    "kept": False,
}


@pytest.fixture
def path(tmp_path):
    Ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    return tmp_path / "ledger.db"


def test_a_ledger_of_the_schema_before_is_summed_when_it_is_opened(path):
    db = sqlite3.connect(path)
    with db:
        for trigger in ("calls_daily", "calls_replaced", "calls_UPDATEd", "calls_DELETEd"):
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute("DROP TABLE daily")
        db.execute("PRAGMA user_version = 3")
    db.close()
    write(path, [CALL, {**CALL, "time": START + DAY, "cost_usd": None}])
    ledger = Ledger(f"sqlite:///{path}")
    assert ledger.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert daily.costs(ledger, ["day"], None) is not None
    same(ledger, GROUPS, None)
    ledger.close()


def test_what_others_write_meanwhile_is_in_it(path):
    ledger = Ledger(f"sqlite:///{path}")
    write(path, [CALL])
    assert daily.costs(ledger, ["provider"], None) == [("a", 1, 0, None, None, 5 / 10**12, 0, 0.0)]
    ledger.close()


CHANGES = [
    "DELETE FROM calls WHERE request_id = 'r0'",
    "UPDATE calls SET cost_usd = 7",
    "INSERT OR REPLACE INTO calls SELECT * FROM calls WHERE request_id = 'r0'",
]


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_by_hand_the_calls_are_asked_themselves(path, change):
    write(path, [CALL, {**CALL, "provider": "b"}])
    db = sqlite3.connect(path)
    with db:
        db.execute(change)
    db.close()
    ledger = Ledger(f"sqlite:///{path}")
    assert daily.costs(ledger, ["provider"], None) is None
    same(ledger, GROUPS, None)
    ledger.close()


def test_a_part_of_a_day_and_other_groups_are_asked_of_the_calls(path):
    write(path, [CALL])
    ledger = Ledger(f"sqlite:///{path}")
    assert daily.costs(ledger, ["provider"], START + 1.5) is None
    assert daily.costs(ledger, ["week"], None) is None
    assert len(costs.costs(ledger, ["week"], START + 1.5)) == 1
    ledger.close()


def test_a_transaction_that_fails_leaves_no_sum(path):
    write(path, [CALL])
    db = sqlite3.connect(path)
    db.execute(INSERT, [{**CALL, "request_id": "new"}.get(name) for name in CALL_COLUMNS])
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(INSERT, [{**CALL, "request_id": "r0"}.get(name) for name in CALL_COLUMNS])
    db.rollback()
    db.close()
    ledger = Ledger(f"sqlite:///{path}")
    assert costs.costs(ledger, [], None)[0][0] == 1
    ledger.close()
