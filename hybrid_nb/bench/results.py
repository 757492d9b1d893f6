"""A finished run: its frames, what it was run with, and its place on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.drawn import Drawn
from hybrid_nb.bench.measures import measures
from hybrid_nb.bench.records import (
    CALL_COLUMNS,
    CHUNK_COLUMNS,
    MEASURE_COLUMNS,
    SCORE_COLUMNS,
    VOTE_COLUMNS,
    Call,
)
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.late import late

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of a saved run
_INTEGERS = (
    "epoch", "stage", "attempts", "in_flight", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
    "estimated_tokens", "text", "reasoning",
)  # fmt: skip
_FLOATS = (
    "stage_rate", "due_at", "started_at", "sent_at", "first_any_at", "first_answer_at", "last_at", "end_at", "cost_usd",
    "at", "value", *MEASURE_COLUMNS,
)  # fmt: skip
_KINDS = {**dict.fromkeys(_INTEGERS, "Int64"), **dict.fromkeys(_FLOATS, "Float64"), "failed_over": "boolean"}


@dataclass(frozen=True)
class Info:
    """What a run was run with, and how it went.

    Attributes:
        settings: models, epochs, seed, concurrency, rate, arrivals, warmup, options ... as they were in force.
        versions: of Python, the system, hybrid_nb and packages that matter.
        started: ISO 8601, UTC. `seconds`: how long it took.
        clock: time.monotonic() at its start, so that its times can be set beside those that another program of this
            machine noted. None: it was resumed, and has no single start.
        scorers: their names. `judge_cost_usd`: dollars for judges, beside the calls' own; None: unknown.
        estimate_usd: what was told before it began, at most; None: no price is known.
        stopped: why it ended early ("budget", "interrupt"); None: it ran to its end.
        loop_lag_s, schedule_delay_s: the client's own lateness: "p50", "p99", "max" in seconds.
        notes: what was warned of before anything was asked, such as a judge of the same family as a model.
        invalid: why its times are not to be trusted (the client was the bottleneck); empty: they are.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    clock: float | None = None
    scorers: tuple[str, ...] = ()
    judge_cost_usd: float | None = 0.0
    estimate_usd: float | None = None
    stopped: str | None = None
    loop_lag_s: Mapping[str, float] = field(default_factory=dict)
    schedule_delay_s: Mapping[str, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run(Drawn):
    """The result of router.benchmark().

    Attributes:
        calls: one row a call, with its measures (hybrid_nb.bench.measures says what each is) and a column
            `score_NAME` for each scorer.
        chunks: one row an arrival of output: key, at (seconds from the run's start), characters of text and reasoning.
        scores: one row a score: key, scorer, value, explanation, answer.
        votes: one row a comparison of two answers by a judge; empty without a pairwise one.
        info: what it was run with.
    """

    calls: pd.DataFrame
    chunks: pd.DataFrame
    scores: pd.DataFrame
    votes: pd.DataFrame
    info: Info

    @classmethod
    def of(cls, calls: Sequence[Call], info: Info, votes: Iterable[Sequence[Any]] = ()) -> Run:
        """A run from its records."""
        table = frame([[*_values(call), *measures(call)] for call in calls], (*CALL_COLUMNS, *MEASURE_COLUMNS))
        for name in info.scorers:
            values = [call.scores[name].value if name in call.scores else None for call in calls]
            table[f"score_{name}"] = late("pandas", "frames").array(values, dtype="Float64")
        chunks = [(call.key, *arrival) for call in calls for arrival in call.arrivals]
        scores = [(call.key, name, *score) for call in calls for name, score in call.scores.items()]
        return cls(table, frame(chunks, CHUNK_COLUMNS), frame(scores, SCORE_COLUMNS), frame(votes, VOTE_COLUMNS), info)

    def rescore(
        self, scorers: Any, data: Any = None, router: Any = None, *, allow_code: bool = False, progress: Any = True
    ) -> Run:
        """This run, finished or loaded, with other scorers; its models are not asked again.

        Scores of the same name are replaced, others stay, votes are added. An interrupt keeps what is scored.

        Args:
            scorers: as for router.benchmark().
            data: the samples with their ids, where scorers need more than the input and target that the run keeps.
            router: asks judges.
            allow_code: lets scorers run code that models wrote.
            progress: a line while it lasts, or a function that is told.

        Raises:
            OptionValueError: before anything is spent: a target is missing, a judge has no router, ...
        """
        from hybrid_nb.bench.grading.rescoring import rescored

        return rescored(self, scorers, data, router, allow_code, progress)

    def judge_report(self, confidence: float = 0.95) -> pd.DataFrame:
        """How far the run's judges can be trusted, one row a judge: do both orders agree, does the longer answer win.

        See hybrid_nb.bench.grading.judge.judge_report for the columns.
        """
        from hybrid_nb.bench.grading.judge import judge_report

        return judge_report(self.votes, self.calls, self.scores, confidence=confidence)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the run into a folder: calls, chunks, scores and votes as Parquet, and run.json. Returns the folder."""
        import orjson

        late("pyarrow", "benchmark")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        for name in _FRAMES:
            getattr(self, name).to_parquet(place / f"{name}.parquet", index=False)
        told = {"format": FORMAT, **asdict(self.info)}
        (place / "run.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2, default=str))
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Run:
        """A run that save() wrote. Raises ConfigError when there is none, or a newer one."""
        import orjson

        late("pyarrow", "benchmark")
        pandas, place = late("pandas", "frames"), Path(folder)
        try:
            told = orjson.loads((place / "run.json").read_bytes())
            if told.pop("format") > FORMAT:
                raise ConfigError(f"{place} was saved by a newer version of hybrid_nb; update it to read this run")
            frames = {name: _typed(pandas.read_parquet(place / f"{name}.parquet")) for name in _FRAMES}
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{place} holds no run that can be read ({type(error).__name__}: {error})") from None
        known: dict[str, Any] = {item.name: told[item.name] for item in fields(Info) if item.name in told}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**frames, info=Info(**known))

    def __repr__(self) -> str:
        # without times, so that a saved notebook compares equal when it is run again
        calls = self.measured
        failed = int((calls["status"] != "ok").sum())
        early = f"; stopped: {self.info.stopped}" if self.info.stopped else ""
        bad = f", {failed} failed" if failed else ""
        return f"Run({len(calls)} calls to {len(self.models)} models{bad}{early})"


_FRAMES = ("calls", "chunks", "scores", "votes")


def frame(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame of these columns, each with its type, empty ones too; unknown is missing."""
    return _typed(late("pandas", "frames").DataFrame(list(rows), columns=list(columns)))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    kinds = {str(name): _kind(str(name)) for name in table.columns if name != "time"}
    result = table.astype(kinds)
    if "time" in table.columns:
        times = late("pandas", "frames").to_datetime(result["time"], unit=_unit(table), utc=True)
        result["time"] = times.dt.round("ms").dt.as_unit("ms")  # as_unit alone cuts: a float of 0.024 s has less
    return result


def _unit(table: pd.DataFrame) -> Any:
    """Times are unix seconds when they are made, and times when they are read."""
    return None if table["time"].dtype.kind == "M" else "s"


def _kind(name: str) -> str:
    return "Float64" if name.startswith("score_") else _KINDS.get(name, "string")


def _values(call: Call) -> list[Any]:
    return [getattr(call, name) for name in CALL_COLUMNS]
