"""Every call, score and vote of a run, appended to a file as soon as it is there; so a run goes on after a crash.

One JSON document a line: first the run's settings, then what came. Each line is written whole at once, so that what
the process wrote outlives it, however it ends; a last line that was torn by the machine's end is cut off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from hybrid_nb.bench.records import VOTE_COLUMNS, Call, Score
from hybrid_nb.core.errors import ConfigError

FORMAT = 1
BLOCK = 65_536  # bytes
NAME = "journal.jsonl"
VOTED = VOTE_COLUMNS.index("id")
_FIELDS = tuple(item.name for item in fields(Call) if item.name != "scores")


@dataclass
class Past:
    """What a journal has of earlier parts of a run.

    Attributes:
        calls: those with an answer, by key; only the others are asked (again).
        spent: dollars that count as spent, failed calls, judges and what a crash cut off included; known: of them.
        seconds: how long it took so far. judged: what judges cost, call by call (None: unknown).
    """

    calls: dict[str, Call] = field(default_factory=dict)
    votes: list[tuple[Any, ...]] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    known: Decimal = Decimal(0)
    unknown: int = 0
    seconds: float = 0.0
    judged: list[float | None] = field(default_factory=list)

    def correct(self, key: str, target: str | None) -> None:
        """A sample's target is another one since then: what was scored and voted by the old one says nothing."""
        call = self.calls.get(key)
        if call is not None:
            call.target, call.scores = target, {}
            self.votes = [vote for vote in self.votes if vote[VOTED] != call.id]


class Journal:
    """The journal of one run, open for writing; nobody else may write it meanwhile."""

    def __init__(self, folder: Path, head: Mapping[str, Any], resume: bool = True) -> None:
        """Open the one in the folder, or begin one. `head` is what must not differ between the parts of a run.

        Raises ConfigError when it is another run's or in use, OSError when it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._lock = FileLock(str(folder / f".{NAME}.lock"), timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise ConfigError(f"another run writes into {folder} at this moment; give it another folder") from None
        try:
            self.past = self._opened(orjson.loads(_line(head)), resume)
        except BaseException:
            self._lock.release()
            raise

    def _opened(self, head: dict[str, Any], resume: bool) -> Past:
        if self.path.exists() and not resume:
            _put_aside(self.path)
        past = Past()
        if self.path.exists():
            _cut_torn(self.path)
            past = _read(self.path, head)
        begun = self.path.exists() and self.path.stat().st_size > 0
        self._file = self.path.open("ab", buffering=0)
        if not begun:
            self._write({"format": FORMAT, "head": head})
        return past

    def _write(self, what: Any) -> None:
        self._file.write(_line(what) + b"\n")

    def hold(self, key: str, most: Decimal) -> None:
        """A call is about to be sent, for which so many dollars are held; a crash leaves them spent."""
        self._write({"hold": [key, str(most)]})

    def call(self, call: Call, spent: Decimal) -> None:
        """A call has ended, which counts as so many dollars."""
        self._write({"call": {name: getattr(call, name) for name in _FIELDS}, "spent": str(spent)})

    def target(self, key: str, target: str | None) -> None:
        """A sample's target was corrected since its call."""
        self._write({"target": [key, target]})

    def score(self, key: str, scorer: str, score: Score) -> None:
        self._write({"score": [key, scorer, *score]})

    def vote(self, vote: Sequence[Any]) -> None:
        self._write({"vote": list(vote)})

    def judged(self, key: str, cost: float | None, spent: Decimal) -> None:
        """A judge has answered, or failed, at so many dollars (None: unknown); `spent` counts. `key`: of its hold."""
        self._write({"judge": [key, cost], "spent": str(spent)})

    def close(self) -> None:
        """Let others write into the folder."""
        try:
            self._file.close()
        finally:
            self._lock.release()


def _line(what: Any) -> bytes:
    return orjson.dumps(what, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _put_aside(path: Path) -> None:
    """What was paid for is never written over."""
    number = 1
    while (aside := path.with_name(f"journal.{number}.jsonl")).exists():
        number += 1
    path.rename(aside)


def _cut_torn(path: Path) -> None:
    """Cut off what stands behind the last end of a line."""
    with path.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            end = begin if found < 0 else begin + found + 1
            if found >= 0:
                break
        if end < size:
            file.truncate(end)


def _read(path: Path, head: dict[str, Any]) -> Past:
    reader = _Reader()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = orjson.loads(line)
                if number == 1:
                    _check_head(path, entry, head)
                else:
                    reader.take(entry)
            except ConfigError:
                raise
            except (ValueError, LookupError, TypeError, ArithmeticError) as error:
                raise ConfigError(
                    f"{path}, line {number} cannot be read ({type(error).__name__}: {error}); give the run another "
                    "folder, or begin it anew with resume=False"
                ) from None
    return reader.ended()


def _check_head(path: Path, entry: Mapping[str, Any], head: dict[str, Any]) -> None:
    if entry["format"] > FORMAT:
        raise ConfigError(f"{path} was written by a newer version of hybrid_nb; update it to go on with this run")
    before = entry["head"]
    differ = [name for name in {**before, **head} if before.get(name) != head.get(name)]
    if differ:
        told = "; ".join(f"{n} was {_short(before.get(n))}, now {_short(head.get(n))}" for n in differ[:3])
        raise ConfigError(
            f"{path.parent} holds a run of other settings: {told}. Give this one another folder, or begin anew with "
            "resume=False"
        )


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Reader:
    """Takes the lines of a journal."""

    def __init__(self) -> None:
        self.past = Past()
        self._held: dict[str, Decimal] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        past = self.past
        if "call" in entry:
            self._call(Call(**entry["call"]), Decimal(entry["spent"]))
        elif "score" in entry:
            self._score(*entry["score"])
        elif "target" in entry:
            past.correct(*entry["target"])
        elif "vote" in entry:
            past.votes.append(tuple(entry["vote"]))
        elif "judge" in entry:
            key, cost = entry["judge"]
            past.judged.append(cost)
            self._spent(key, Decimal(entry["spent"]), cost is None, cost)
        elif "hold" in entry:
            self._hold(*entry["hold"])

    def _score(self, key: str, scorer: str, value: float | None, explanation: str, answer: str | None) -> None:
        if key in self.past.calls and value is not None:  # one that could not tell is asked again
            self.past.calls[key].scores[scorer] = Score(value, explanation, answer)

    def _hold(self, key: str, most: str) -> None:
        lost = self._held.pop(key, None)
        if lost is not None:  # it was under way when an earlier part crashed
            self.past.spent += lost
            self.past.unknown += 1
        self._held[key] = Decimal(most)

    def _call(self, call: Call, spent: Decimal) -> None:
        past = self.past
        call.arrivals = [(at, text, reasoning) for at, text, reasoning in call.arrivals]
        if call.status == "ok":
            past.calls[call.key] = call
        past.seconds = max(past.seconds, call.end_at or 0.0)
        self._spent(call.key, spent, call.cost_usd is None and call.attempts > 0, call.cost_usd)

    def _spent(self, key: str, spent: Decimal, unknown: bool, cost: float | None) -> None:
        self._held.pop(key, None)
        self.past.spent += spent
        self.past.known += Decimal(str(cost or 0))
        self.past.unknown += unknown

    def ended(self) -> Past:
        past = self.past
        past.spent += sum(self._held.values(), Decimal(0))
        past.unknown += len(self._held)
        return past
