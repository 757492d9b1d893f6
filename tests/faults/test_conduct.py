"""Every case of the conduct suite, both ways. The scorecard is printed at the end; `python -m tests.faults` too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cases import CASES
from tests.faults.conduct import Case, play
from tests.faults.virtual import VirtualLoop, virtual_portal


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    with virtual_portal() as loop:
        yield loop


PLAYS = [
    pytest.param(
        case,
        way,
        id=f"{case.name}-{way}",
        marks=pytest.mark.xfail(strict=True, reason=case.xfail) if case.xfail else (),
    )
    for case in CASES
    for way in case.ways
]


@pytest.mark.parametrize(("case", "way"), PLAYS)
def test_conduct(case: Case, way: str, loop: VirtualLoop, tmp_path: Path) -> None:
    assert play(loop, tmp_path, case, way).verdict == "ok"
