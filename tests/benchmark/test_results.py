"""A run's frames, and that they come back from disk as they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from hybrid_nb.bench.measures import measures
from hybrid_nb.bench.records import Call
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.core.errors import ConfigError
from tests.benchmark.made import Truth, made_run


def test_a_saved_run_is_read_as_it_was(tmp_path: Path) -> None:
    run = made_run({"a/m": Truth(), "b/m": Truth(failing=0.3, cost=None)}, samples=12)
    again = Run.load(run.save(tmp_path / "run"))
    for name in ("calls", "chunks", "scores", "votes"):
        pd.testing.assert_frame_equal(getattr(run, name), getattr(again, name))
    assert dataclasses.asdict(again.info) == dataclasses.asdict(run.info)
    assert again.models == ["a/m", "b/m"]


def test_an_empty_run_has_all_its_columns() -> None:
    run = Run.of([], Info(scorers=("exact",)))
    assert "score_exact" in run.calls
    assert run.measured.empty
    assert repr(run) == "Run(0 calls to 0 models)"


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        Run.load(tmp_path)


def test_a_run_of_a_newer_version_is_told(tmp_path: Path) -> None:
    place = made_run({"a/m": Truth()}, samples=1).save(tmp_path)
    told = (place / "run.json").read_text().replace('"format": 1', '"format": 99')
    (place / "run.json").write_text(told)
    with pytest.raises(ConfigError, match="newer version"):
        Run.load(place)


def test_measures_are_what_they_are_defined_as() -> None:
    call = Call("k", "1", None, 0, "a/m", "measured", status="ok")
    call.due_at, call.started_at, call.sent_at, call.first_any_at, call.first_answer_at = 1.0, 1.5, 2.0, 3.0, 3.5
    call.last_at, call.end_at, call.output_tokens, call.usage_source, call.estimated_tokens = (
        5.0,
        6.0,
        11,
        "provider",
        9,
    )
    call.arrivals = [(3.0, 0, 5), (3.5, 5, 0), (4.0, 5, 0), (5.0, 3, 0)]
    found = measures(call)
    assert found.schedule_delay_s == 0.5
    assert found.queue_s == 1.0
    assert found.ttft_any_s == 1.0
    assert found.ttft_answer_s == 1.5
    assert found.tpot_s == pytest.approx(0.2)
    assert found.chunk_gap_s == pytest.approx(2 / 3)
    assert found.service_s == 4.0
    assert found.latency_s == 5.0
    assert found.tokens_per_s == pytest.approx(11 / 4)
    assert found.decode_tokens_per_s == pytest.approx(5.0)
    assert found.token_discrepancy == pytest.approx(9 / 11 - 1)


def test_what_did_not_come_has_no_measure() -> None:
    call = Call(
        "k", "1", None, 0, "a/m", "measured", status="error", due_at=1.0, started_at=1.0, sent_at=1.0, end_at=2.0
    )
    found = measures(call)
    assert (found.ttft_any_s, found.tpot_s, found.tokens_per_s) == (None, None, None)
    assert found.latency_s == 1.0


def test_a_count_that_the_provider_did_not_make_has_no_discrepancy() -> None:
    call = Call("k", "1", None, 0, "a/m", "measured", output_tokens=10, usage_source="estimate", estimated_tokens=10)
    assert measures(call).token_discrepancy is None
