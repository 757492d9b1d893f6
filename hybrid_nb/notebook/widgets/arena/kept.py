"""Votes, as they are cast: in memory, and in a file that has each before the next is asked for.

JSON Lines and CSV are appended to; Parquet, which cannot be, is written anew beside the old one and put in its place.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.records import VOTE_COLUMNS
from hybrid_nb.bench.results import frame
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.late import late
from hybrid_nb.notebook.widgets.arena.matches import Key, Match, Pair, text_of

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".jsonl", ".csv", ".parquet")
Row = tuple[Any, ...]


class Votes:
    """Rows of VOTE_COLUMNS; `time` is unix time. With a path, those that the file has come first.

    Raises OptionValueError for another kind of file, ConfigError for one that cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.lost = 0  # lines that could not be read: the end of one that was being written in a crash
        self.rows: list[Row] = []
        self._torn = False
        if self.path is None:
            return
        if self.path.suffix not in KINDS:
            raise OptionValueError(f"save: a file that ends in {', '.join(KINDS)}, not {self.path.name!r}")
        if self.path.exists():
            self.rows = self._read(self.path)

    def add(self, row: Sequence[Any]) -> None:
        """One more vote, which is in the file when this returns. Raises OSError, and has not counted it then."""
        new = tuple(row)
        if self.path is not None:
            self._write(self.path, new)
        self.rows.append(new)

    @property
    def frame(self) -> pd.DataFrame:
        return frame(self.rows, VOTE_COLUMNS)

    def counted(self, pairs: Iterable[Pair], rater: str | None = None) -> Counter[Key]:
        """How many votes there are on each of these pairs and each prompt (None: by anybody)."""
        found, known = Counter[Key](), set(pairs)
        for _, ident, _, _, one, other, winner, who, *_ in self.rows:
            pair = frozenset((one, other))
            if winner is not None and pair in known and rater in (None, who):
                found[str(ident), pair] += 1
        return found

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, path: Path, row: Row) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            _replace(path, [*self.rows, row])
            return
        fresh = not path.exists() or path.stat().st_size == 0
        line = _json_line(row) if path.suffix == ".jsonl" else _csv_lines([VOTE_COLUMNS, row] if fresh else [row])
        with path.open("ab") as file:
            file.write((b"\n" if self._torn else b"") + line)
            file.flush()
            os.fsync(file.fileno())
        self._torn = False

    # --- reading ------------------------------------------------------------------------------------------------

    def _read(self, path: Path) -> list[Row]:
        try:
            if path.suffix == ".parquet":
                return _from_frame(late("pandas", "frames").read_parquet(late("pyarrow", "benchmark") and path))
            data = path.read_bytes()
            self._torn = bool(data) and not data.endswith(b"\n")
            return self._json(data) if path.suffix == ".jsonl" else self._csv(data)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path} holds no votes that can be read ({type(error).__name__}: {error})") from None

    def _json(self, data: bytes) -> list[Row]:
        import orjson

        found = []
        for line in data.splitlines():
            try:
                told = orjson.loads(line) if line.strip() else None
                if told is not None:
                    found.append(tuple(told[name] for name in VOTE_COLUMNS))
            except (ValueError, KeyError, TypeError):
                self.lost += 1
        return found

    def _csv(self, data: bytes) -> list[Row]:
        whole = data[: data.rfind(b"\n") + 1]  # a row is counted when its line ended
        self.lost = int(self._torn)
        found = []
        for told in csv.DictReader(io.StringIO(whole.decode())):
            if None in told.values() or None in told:
                self.lost += 1
                continue
            values = [told[name] or None for name in VOTE_COLUMNS]
            found.append((float(values[0] or 0), *values[1:]))
        return found


def row_of(now: float, match: Match, winner: str | None, rater: str, why: str | None) -> Row:
    """A vote as a row: the models in the order of their names, whoever stood left; winner None: a tie."""
    first, second = sorted(match.pair)
    word = {first: "a", second: "b", None: "tie"}[winner]
    item = match.item
    return (now, item.id, item.cluster, text_of(item), first, second, word, rater, match.left, why)


def _json_line(row: Row) -> bytes:
    import orjson

    return orjson.dumps(dict(zip(VOTE_COLUMNS, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _replace(path: Path, rows: Sequence[Row]) -> None:
    late("pyarrow", "benchmark")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    frame(rows, VOTE_COLUMNS).to_parquet(beside, index=False)
    beside.replace(path)


def _from_frame(table: pd.DataFrame) -> list[Row]:
    pandas = late("pandas", "frames")
    found = []
    for row in table[list(VOTE_COLUMNS)].to_dict("records"):
        moment, *others = row.values()
        found.append((moment.timestamp(), *(None if pandas.isna(value) else value for value in others)))
    return found
