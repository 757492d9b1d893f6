"""What is written down of a run's options: the same in the next process, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hybrid_nb.bench.records import Item
from hybrid_nb.bench.traffic.described import _plain, fingerprint, versions


class City(BaseModel):
    name: str


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.5, 0.5),
        (City, "City"),
        ([City, "a"], ["City", "a"]),
        ({"a": b"pixels"}, {"a": "bytes:"}),
        (Path("a.png"), "a.png"),
        (Odd(), "<tests.benchmark.test_described.Odd object>"),
    ],
)
def test_options_as_they_are_written_down(value: Any, told: Any) -> None:
    found = _plain(value)
    if isinstance(told, dict):
        assert found["a"].startswith("bytes:")
        assert found == _plain({"a": b"pixels"}) != _plain({"a": b"other"})
    else:
        assert found == told


def test_data_are_named_by_what_is_asked() -> None:
    one = [Item("1", "a", "x"), Item("2", [{"role": "user", "content": "b"}])]
    assert fingerprint(one) == fingerprint([Item("1", "a", "another target"), one[1]])
    assert fingerprint(one) != fingerprint([Item("1", "b"), one[1]])
    assert fingerprint(one) != fingerprint(one[:1])


def test_versions_name_what_matters() -> None:
    assert {"hybrid_nb", "python", "system", "aiohttp", "pandas"} <= versions().keys()
