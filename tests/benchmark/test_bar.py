"""The line that shows how far a run is: in a terminal, in a cell, and gone when it has ended."""

from __future__ import annotations

import functools
import io
from typing import Any

import pytest
from tqdm.std import tqdm

from hybrid_nb.bench.records import Call
from hybrid_nb.bench.traffic import bar
from hybrid_nb.bench.traffic.progress import Counts, Progress
from hybrid_nb.notebook import progressing

BEGIN = Progress(total=40, estimate_usd=0.034, likely_usd=0.01)
MIDDLE = Progress("calling", 12, 40, 2, 0, 0.0012, 0, 0.034, 6.0, 20.4)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (BEGIN, "40 calls, likely $0.01, $0.034 at most"),
        (Progress(total=40), "40 calls, at a cost that is not known"),
        (Progress(total=40, estimate_usd=0.0, likely_usd=0.0), "40 calls, likely $0, $0 at most"),
        (MIDDLE, "calls 12 of 40, 2 failed, $0.0012 of $0.034 at most, 0:20 left"),
        (MIDDLE._replace(unknown_cost=3, skipped=1, failed=0, left_s=3700), "calls 12 of 40, 1 not asked, $0.0012 and 3 of unknown cost of $0.034 at most, 1:01:40 left"),  # noqa: E501
        (Progress("calling", 5), "calls 5, $0"),
        (Progress("scoring", 5, 8), "scores 5 of 8, $0"),
        (Progress("ending"), "putting the run together"),
    ],
)  # fmt: skip
def test_the_line_says_all(now: Progress, told: str) -> None:
    assert bar.line(now) == told


def test_the_time_left_is_told_when_something_is_known() -> None:
    counts = Counts(10, kept=4)
    assert counts.left(5.0) is None
    for status in ("ok", "error", "skipped"):
        counts.took(Call("k", "", None, 0, "m", "measured", status=status))  # type: ignore[arg-type]
    assert (counts.done, counts.failed, counts.skipped) == (6, 1, 1)
    assert counts.left(6.0) == 3 * 6.0 / 2  # three are left, and two took six seconds
    assert Counts(None).left(5.0) is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("place", [Terminal(), io.StringIO()])
def test_a_terminal_shows_a_bar_that_goes_away(place: io.StringIO) -> None:
    shown = bar.Line(functools.partial(tqdm, file=place, mininterval=0))
    for now in (BEGIN, MIDDLE, MIDDLE._replace(stage="scoring", done=1, total=2)):
        shown.show(now)
    shown.close()
    text = place.getvalue()
    if not place.isatty():
        assert text == ""
        return
    assert "likely $0.01, $0.034 at most" in text
    assert "12/40" in text
    assert "2 failed, $0.0012 of $0.034 at most" in text
    assert "scores" in text
    assert text.endswith("\r")
    assert not text.split("\r")[-2].strip()


class Cell:
    """As IPython's display(): keeps what stands in the cell."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.draws: list[str] = []

    def __call__(self, data: dict[str, str], raw: bool, display_id: bool) -> Cell:
        assert raw
        assert display_id
        self.outputs.append(data)
        self.draws.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.outputs[-1] = data
        self.draws.append(data["text/plain"])


def test_a_cell_has_one_line_that_is_empty_at_the_end() -> None:
    cell, now = Cell(), [0.0]
    line = progressing.CellLine(cell, lambda: now[0])
    for number in range(100):
        now[0] += 0.05
        line.show(MIDDLE._replace(done=number))
    assert "<progress" in cell.outputs[0]["text/html"]
    assert 20 <= len(cell.draws) <= 26  # not a hundred
    line.close()
    assert cell.outputs == [{"text/plain": "", "text/html": ""}]


def test_nothing_is_shown_in_static_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progressing.line(), progressing.CellLine)
    monkeypatch.setenv("HYBRID_NB_DISPLAY", "static")
    assert isinstance(progressing.line(), bar.Told)


def test_where_progress_goes() -> None:
    seen: list[Any] = []
    place: Any = object()
    bar.shower(seen.append, lambda: place).show(BEGIN)
    assert seen == [BEGIN]
    assert bar.shower(True, lambda: place) is place
    assert isinstance(bar.shower(True, lambda: None), bar.Line)
    assert isinstance(bar.shower(False, lambda: place), bar.Told)


def test_the_line_of_a_map_tells_what_is_left_and_leaves_nothing():
    drawn, now = [], [0.0]

    class Handle:
        def update(self, data, raw):
            drawn.append(data)

    def cell(data, raw, display_id):
        drawn.append(data)
        return Handle()

    line = progressing.Counter(10, "map", "call", cell, lambda: now[0])
    now[0] = 10.0
    line.set_postfix_str("1 failed, $0.01", refresh=False)
    line.update(5)
    assert drawn[-1]["text/plain"] == "map: 5 of 10 calls, 1 failed, $0.01, 0:10 left"
    assert 'max="10" value="5"' in drawn[-1]["text/html"]
    line.close()
    assert drawn[-1] == {"text/plain": "", "text/html": ""}
