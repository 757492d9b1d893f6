"""Ledger rows and router facts as pandas DataFrames with the right types: times are datetimes in UTC, counts are
nullable integers, words are strings. Unknown is missing (NA), never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybrid_nb.core.late import late
from hybrid_nb.ledger.entries import ATTEMPT_COLUMNS, CALL_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {
    **dict.fromkeys(
        (
            "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "status_code", "calls", "errors",
            "context", "max_output", "models", "priority", "attempts", "number", "rpm", "unknown_cost",
            "requests_left", "tpm", "tokens_left", "max_concurrency", "at_once_left", "vendor_requests_left",
            "vendor_tokens_left", "unpriced_calls",
            "succeeded", "compared", "unpriced", "unknown", "days_used", "scores",
        ),
        "Int64",
    ),
    **dict.fromkeys(
        (
            "ttft_s", "latency_s", "mean_latency_s", "seconds", "cost_usd", "saved_usd", "success_rate", "uptime",
            "input_usd_per_mtok", "output_usd_per_mtok", "limit_usd", "spent_usd", "reserved_usd", "remaining_usd",
            "share", "mean_7d_usd", "change_7d", "days_left", "expected_usd", "low_usd", "high_usd", "confidence",
            "chance_over", "actual_usd", "would_be_usd", "difference_usd", "effective_calls", "effective_scores",
            "quality", "quality_low", "quality_high", "ttft_p95_low_s", "ttft_p95_high_s", "latency_p95_low_s",
            "latency_p95_high_s", "failure_rate", "output_tokens_mean", "age_days",
        ),
        "Float64",
    ),
    **dict.fromkeys(
        (
            "cache_hit", "tools", "vision", "json_schema", "loaded", "enabled", "ok", "accepted", "alert", "complete",
            "changed",
        ),
        "boolean",
    ),
}  # fmt: skip

TIMES = ("time", "last_check", "last_call", "last_error_at", "resets_at", "blocked_until")

COST_COLUMNS = ("calls", "errors", "input_tokens", "output_tokens", "cost_usd", "unknown_cost", "saved_usd")


def frame(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """A frame of these columns, each with its type, empty ones too."""
    pandas = late("pandas", "frames")
    table = pandas.DataFrame(list(rows), columns=list(columns))
    kinds = {name: _KINDS.get(name, "string") for name in columns if name not in ("tags", *TIMES)}
    table = table.astype(kinds)
    for name in TIMES:
        if name in columns:
            table[name] = pandas.to_datetime(table[name], unit="s", utc=True).dt.as_unit("ns")
    result: pd.DataFrame = table
    return result


def calls(rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """One row a call, in the columns of the contract; tags are dicts."""
    table = frame(rows, CALL_COLUMNS)
    tags: Any = [_tags(value) for value in table["tags"]]
    return table.assign(tags=tags).astype({"tags": object})


def _tags(value: Any) -> dict[str, str]:
    import orjson

    return dict(orjson.loads(value)) if isinstance(value, str) else {}


def attempts(rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """One row an attempt, failed ones too."""
    return frame(rows, ATTEMPT_COLUMNS)


def costs(rows: Iterable[Sequence[Any]], by: Sequence[str]) -> pd.DataFrame:
    """Sums by group, as the query gives them: calls, errors, tokens, dollars, calls of unknown cost, and dollars
    that answers from a cache or cassette saved."""
    return frame(rows, (*by, *COST_COLUMNS))


def records(items: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame of dicts."""
    return frame([[item.get(name) for name in columns] for item in items], columns)
