"""What has to be said below a run's table: whether its times are to be trusted, who is tied, what is missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hybrid_nb.bench.statistics.pairs import paired, pairs, unit_of
from hybrid_nb.bench.statistics.power import power
from hybrid_nb.bench.statistics.summary import summary
from hybrid_nb.bench.statistics.values import scorers
from hybrid_nb.bench.statistics.wording import known, percent
from hybrid_nb.core.types import money

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

TOLD_WHOLE = 3  # pairs: more are told in one sentence
LONGEST = 160  # characters of an error


def notes(run: Figures, table: pd.DataFrame, confidence: float, failures: str, seed: int) -> list[str]:
    """The sentences below the table, the gravest first."""
    names = scorers(run)
    compared = comparison(run, names[0], confidence, failures, seed) if names and len(run.models) > 1 else []
    shown = [f"Times: of answered calls, p50 and p95; intervals: {100 * confidence:g} %."]
    return [*_trouble(run), *_errors(run), *compared, *_gaps(run, table, names), *_failed(run, names, failures), *shown]


def comparison(run: Figures, name: str, confidence: float, failures: str, seed: int) -> list[str]:
    """Who is better by a scorer and who is tied: a sentence a pair, or one about the model that is ahead."""
    table = paired(run, name, confidence, failures, seed)
    seen = _seen(run, name, confidence, failures) if (table["verdict"] == "tied").any() else []
    if len(table) <= TOLD_WHOLE:
        return [*(f"{text}." for text in table["explanation"]), *seen]
    means = {row["model_a"]: row["mean_a"] for row in table.to_dict("records")}
    means |= {row["model_b"]: row["mean_b"] for row in table.to_dict("records")}
    levels = {model: -math.inf if known(mean) is None else float(mean) for model, mean in means.items()}
    first = max(levels, key=lambda model: levels[model])
    own = table[(table["model_a"] == first) | (table["model_b"] == first)]
    others = own["model_a"].where(own["model_b"] == first, own["model_b"])
    beaten, tied = others[own["verdict"] == f"{first} better"].tolist(), others[own["verdict"] == "tied"].tolist()
    parts = [*([f"better than {_listed(beaten)}"] if beaten else []), *([f"tied with {_listed(tied)}"] if tied else [])]
    told = "; ".join(parts) or "not compared: too few samples"
    return [f"By {name}, {first} is ahead: {told} (after Holm for {len(table)} pairs; run.paired() has each).", *seen]


def _seen(run: Figures, name: str, confidence: float, failures: str) -> list[str]:
    """What the ties leave open: the difference that a run of this size would have seen."""
    table = power(run, name, confidence=confidence, failures=failures)
    known_ones = table.dropna(subset=["detectable"])
    if known_ones.empty:
        return ["So few samples could not have shown any difference."]
    unit = unit_of(run, name, pairs(run, name, failures))
    low, high = (unit.difference(known_ones["detectable"].agg(end)) for end in ("min", "max"))
    span = high if low == high else f"{low.removesuffix(' points')} to {high}"
    samples = int(known_ones["n"].min())
    return [f"With these {samples} samples a difference of {span} is seen 80 % of the time (run.power() has each)."]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _trouble(run: Figures) -> list[str]:
    info, calls = run.info, run.calls
    told = [f"The times are not to be trusted: {reason}." for reason in (text.rstrip(".") for text in info.invalid)]
    told += [f"{note[:1].upper()}{note[1:]}." for note in info.notes]
    skipped = int(((calls["phase"] == "measured") & (calls["status"] == "skipped")).sum())
    if info.stopped or skipped:
        told.append(f"{count(skipped, 'call')} not asked{f' (stopped: {_stopped(run)})' if info.stopped else ''}.")
    return told


def _stopped(run: Figures) -> str:
    """Why it ended early; with a limit of dollars, what would have been enough."""
    limit, most = run.info.settings.get("max_cost"), run.info.estimate_usd
    if run.info.stopped != "budget" or limit is None or most is None or most <= float(limit):
        return str(run.info.stopped)
    return f"budget; max_cost was {money(float(limit))}, and {money(most)} would be enough for all"


def _unsent(run: Figures, model: str) -> int:
    """Failed calls without an attempt."""
    calls = run.measured[run.measured["model"] == model]
    return int(((calls["status"] != "ok") & (calls["attempts"] == 0)).sum())


def _gaps(run: Figures, table: pd.DataFrame, names: list[str]) -> list[str]:
    told = []
    for row in table.to_dict("records"):
        if row["unknown_cost"]:
            told.append(f"The cost of {count(row['unknown_cost'], 'call')} to {row['model']} is unknown.")
        unsent = _unsent(run, row["model"])
        if unsent:
            told.append(
                f"{count(unsent, 'failed call')} to {row['model']} never went out, as its breaker was open or its key "
                "had been refused: they say nothing more of it."
            )
        for name in names:
            if row[f"score_{name}_unscored"]:
                told_count = count(row[f"score_{name}_unscored"], "answer")
                why = _why_unscored(run, row["model"], name)
                told.append(f"{name} could not tell for {told_count} of {row['model']}, which are left out{why}.")
    return told


def _why_unscored(run: Figures, model: str, scorer: str) -> str:
    """What the scorer said of the most of them."""
    keys = run.measured.loc[(run.measured["model"] == model) & (run.measured["status"] == "ok"), "key"]
    scores = run.scores
    mine = scores[(scores["scorer"] == scorer) & scores["value"].isna() & scores["key"].isin(keys)]
    return _most_of(mine["explanation"])


def _errors(run: Figures) -> list[str]:
    """Why calls failed: a sentence a model, with the error of the most of them."""
    told = []
    for model in run.models:
        calls = run.measured[(run.measured["model"] == model) & (run.measured["status"] != "ok")]
        if not calls.empty:
            told.append(f"{count(len(calls), 'call')} to {model} failed{_most_of(calls['error'])}.")
    return told


def _most_of(texts: pd.Series[str]) -> str:
    """The commonest text, and of how many it is where there are others; empty where there is none."""
    counts = texts.dropna().value_counts()
    if counts.empty:
        return ""
    text, many = str(counts.index[0]).rstrip("."), int(counts.iloc[0])
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f": {short}" + (f" ({many} of them)" if many < int(counts.sum()) else "")


def _failed(run: Figures, names: list[str], failures: str) -> list[str]:
    """What failures did to the first score."""
    if not names or not (run.measured["status"] != "ok").any():
        return []
    if failures == "missing":
        return ["Failed calls are left out of the scores."]
    table, name = summary(run, failures="missing"), names[0]
    had = [
        f"{row['model']} {percent(row[f'score_{name}'])}"
        for row in table.to_dict("records")
        if row["failed"] and row["ok"]
    ]
    within = (run.measured[f"score_{name}"].dropna().between(0, 1)).all()
    return [f"Failed calls score 0{f'; of answered calls alone: {_listed(had)}' if within and had else ''}."]


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
