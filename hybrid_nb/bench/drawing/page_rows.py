"""The tables of a run's report as plain rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.bench.statistics.values import scorers
from hybrid_nb.bench.statistics.wording import Unit
from hybrid_nb.charts.chart import known, number, values
from hybrid_nb.charts.look import written

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

LONGEST = 600  # characters of a text that is shown
MOST_PAIRS = 60
LATENESS = ("p50", "p99", "max")


class Table(NamedTuple):
    """`texts` are the columns of running text, which keep their lines."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    texts: Sequence[int] = ()


def pairs(run: Figures) -> list[Table]:
    """Every pair by each scorer, and by latency."""
    if len(run.models) < 2 or run.measured.empty:
        return []
    heads = ("a", "b", "verdict", "a - b, with its interval", "p (Holm)", "samples")
    tables = []
    for measure in (*scorers(run), "latency_s"):
        found = run.paired(measure).head(MOST_PAIRS).to_dict("records")
        unit = _unit(run, measure)
        alone = "; each interval is of its pair alone, the verdict of all pairs (Holm)" if len(found) > 1 else ""
        tables.append(Table(f"By {measure}, on the same samples{alone}", heads, [_pair(row, unit) for row in found]))
    return tables


def _unit(run: Figures, measure: str) -> Unit:
    scored = measure in scorers(run)
    found = known(values(run.measured[f"score_{measure}"])) if scored else []
    return Unit(measure, all(0 <= value <= 1 for value in found), scored)


def _pair(row: Mapping[Any, Any], unit: Unit) -> list[Any]:
    difference, low, high, p = (number(row[name]) for name in ("difference", "low", "high", "p_holm"))
    told = None if difference is None else unit.difference(difference)
    told = told if low is None or high is None else f"{told} ({unit.difference(low)} to {unit.difference(high)})"
    chance = None if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [row["model_a"], row["model_b"], row["verdict"], told, chance, row["n"]]


def failures(run: Figures) -> list[Table]:
    """What failed, by model and kind of error, with one example."""
    failed = run.measured[run.measured["status"] != "ok"]
    kinds: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], Any] = {}
    for row in failed.to_dict("records"):
        key = (str(row["model"]), f"{row['status']}: {_class(row['error'])}")
        kinds[key] += 1
        example.setdefault(key, _text(row["error"]))
    rows = [[*key, count, example[key]] for key, count in sorted(kinds.items(), key=lambda item: -item[1])]
    return [Table(f"{len(failed):,} failed calls", ("model", "how", "calls", "the first"), rows, (3,))]


def skipped(run: Figures) -> list[Table]:
    """What was not asked, and why."""
    found = run.calls[run.calls["status"] == "skipped"]
    why = Counter((str(row["model"]), _text(row["error"])) for row in found.to_dict("records"))
    rows = [[model, count, reason] for (model, reason), count in why.most_common()]
    return [Table(f"{len(found):,} calls were not asked", ("model", "calls", "why"), rows, (2,))]


def answers(run: Figures, most: int) -> list[Table]:
    """Of each model the best and the worst answers by the first scorer, drawn by the run's seed among equals."""
    names = scorers(run)
    if not names or not most:
        return []
    rng = random.Random(str(run.info.settings.get("seed", 0)))
    heads = ("sample", names[0], "asked", "target", "answered", "why this score")
    tables = []
    for model in run.models:
        own = run.measured[(run.measured["model"] == model) & run.measured[f"score_{names[0]}"].notna()]
        for title, picked in _best_and_worst(own, f"score_{names[0]}", most, rng):
            rows = [_answer(run, row, names[0]) for row in picked]
            tables.append(Table(f"{model}: {title}", heads, rows, (2, 3, 4, 5)))
    return tables


def _best_and_worst(
    own: pd.DataFrame, column: str, most: int, rng: random.Random
) -> list[tuple[str, list[dict[Any, Any]]]]:
    rows = own[own["status"] == "ok"].to_dict("records")
    rng.shuffle(rows)
    found = [float(row[column]) for row in rows]
    if not rows:
        return []
    if set(found) <= {0.0, 1.0}:
        kinds = (("right answers", 1), ("wrong answers", 0))
        return [(title, [row for row in rows if row[column] == score][:most]) for title, score in kinds]
    ordered = sorted(rows, key=lambda row: -float(row[column]))
    return [("highest scores", ordered[:most]), ("lowest scores", ordered[most:][-most:])]


def _answer(run: Figures, row: Mapping[Any, Any], scorer: str) -> list[Any]:
    scores = run.scores[(run.scores["key"] == row["key"]) & (run.scores["scorer"] == scorer)]
    why = scores["explanation"].iloc[0] if len(scores) else None
    score = written(float(row[f"score_{scorer}"]), "")
    return [row["id"], score, *map(_text, (row["input"], row["target"], row["output"], why))]


def settings(run: Figures) -> list[Table]:
    """Settings, versions, and how late the client itself was."""
    info = run.info
    measured = (("event loop", info.loop_lag_s), ("schedule", info.schedule_delay_s))
    late = [[name, *(_seconds(found.get(end)) for end in LATENESS)] for name, found in measured if found]
    return [
        Table("Settings", ("setting", "value"), [[name, _text(value)] for name, value in info.settings.items()], (1,)),
        Table("Versions", ("of", "version"), [list(item) for item in info.versions.items()]),
        Table("How late the client was", ("of", *LATENESS), late),
    ]


def _seconds(value: float | None) -> str | None:
    return None if value is None else written(value, "s")


def _class(error: Any) -> str:
    return error.partition(":")[0] if isinstance(error, str) else "unknown"


def _text(value: Any) -> str | None:
    """A text that is not too long; of a longer one its beginning and its length."""
    if value is None or (number(value) is None and not isinstance(value, str | list | tuple | Mapping)):
        return None
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
