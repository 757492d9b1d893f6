"""Collections of garbage leave out, while times are measured, what was there before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hybrid_nb.bench.traffic import heap


class Loop:
    """Something that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_there_is_left_alone_until_the_end() -> None:
    before = weakref.ref(Loop())
    with heap.settled():
        during = weakref.ref(Loop())
        gc.collect()
        assert before() is not None
        assert during() is None
    gc.collect()
    assert before() is None
    assert gc.get_freeze_count() == 0


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(KeyboardInterrupt), heap.settled():
        raise KeyboardInterrupt
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_so() -> None:
    gc.freeze()
    with heap.settled():
        pass
    assert gc.get_freeze_count() > 0
