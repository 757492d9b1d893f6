"""Sums of the calls by day, kept by the database itself, so that a look at the costs of a million calls takes
milliseconds.

A trigger adds each call in the transaction that writes it, whichever process or version of hybrid_nb writes. Calls are
never changed or deleted by us; where somebody does, the sums are marked as stale, and are not used any more. An empty
text stands for NULL, which a primary key does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.store import Ledger

_KEYS = ("provider", "model", "tier", "status", "cost_source")
GROUPS = {**{name: f"NULLIF({name}, '')" for name in _KEYS}, "day": "NULLIF(day, '')",
          "month": "NULLIF(substr(day, 1, 7), '')"}  # fmt: skip
_OF_CALL = {**{name: f"c.{name}" for name in _KEYS}, "day": "date(c.time, 'unixepoch')",
            "month": "strftime('%Y-%m', c.time, 'unixepoch')"}  # fmt: skip
DAY_SECONDS = 86400


def costs(ledger: Ledger, by: Sequence[str], since: float | None) -> list[tuple[Any, ...]] | None:
    """What ledger.costs.costs() gives, from the sums; None where they do not tell it: other groups, a part of a day."""
    if not set(by) <= set(GROUPS) or (since is not None and since % DAY_SECONDS):
        return None
    if ledger.sums("SELECT 1 FROM daily WHERE day = 'stale'"):
        return None
    rows = ledger.sums(*_query(by, since))
    if not rows or not rows[0][len(by)]:
        return None  # no calls, which is told quickly
    saved = _saved(ledger, by, since)
    return [(*row[:-1], _known(saved, row[: len(by)], row[len(by)] == row[-1])) for row in rows]


def _query(by: Sequence[str], since: float | None) -> tuple[str, tuple[Any, ...]]:
    keys, numbers = "".join(f"{GROUPS[name]} AS g{i}, " for i, name in enumerate(by)), [f"g{i}" for i in range(len(by))]
    return (
        f"""
        SELECT {keys} SUM(calls), SUM(errors), SUM(input_tokens), SUM(output_tokens), SUM(cost) / {float(PICO)},
               SUM(unknown), SUM(hits)
        FROM daily {"WHERE day >= date(?, 'unixepoch')" if since is not None else ""}
        {f"GROUP BY {', '.join(numbers)} ORDER BY {', '.join(numbers)}" if numbers else ""}
    """,
        (() if since is None else (since,)),
    )


Saved = dict[tuple[Any, ...], float | None]


def _saved(ledger: Ledger, by: Sequence[str], since: float | None) -> Saved | None:
    """By group: the dollars that answers which were given again had cost, where that is known of any."""
    if not ledger.rows("SELECT 1 FROM sqlite_master WHERE name = 'savings'"):
        return None
    keys = "".join(f"{_OF_CALL[name]} AS g{i}, " for i, name in enumerate(by))
    grouped = f"GROUP BY {', '.join(f'g{i}' for i in range(len(by)))}" if by else ""
    query = f"""
        SELECT {keys} SUM(s.saved_usd) / {float(PICO)}
        FROM savings s CROSS JOIN calls c ON c.request_id = s.request_id
        WHERE c.cache_hit {"AND c.time >= ?" if since is not None else ""} {grouped}
    """
    rows = ledger.sums(query, () if since is None else (since,))
    return {tuple(row[:-1]): row[-1] for row in rows}


def _known(saved: Saved | None, group: tuple[Any, ...], hits_only: bool) -> float | None:
    """Calls that were no hits saved 0; a group of hits alone, of which nothing is known, saved nobody knows what."""
    dollars = 0.0 if saved is None else saved.get(group)
    return dollars if dollars is not None or hits_only else 0.0
