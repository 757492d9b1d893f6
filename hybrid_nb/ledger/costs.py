"""Sums over the ledger. Days and months are in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.store import Ledger

GROUPS = {
    "provider": "provider",
    "model": "model",
    "tier": "tier",
    "status": "status",
    "cost_source": "cost_source",
    "day": "date(time, 'unixepoch')",
    "month": "strftime('%Y-%m', time, 'unixepoch')",
}


def group(name: str) -> str:
    """The SQL of a grouping: a column, or "tag:NAME". Raises OptionValueError with the nearest name."""
    if name in GROUPS:
        return GROUPS[name]
    if name.startswith("tag:") and name[4:].replace("_", "").replace("-", "").isalnum():
        return f"json_extract(tags, '$.\"{name[4:]}\"')"
    raise OptionValueError(f"costs(by=...): cannot group by {name!r}{nearest(name, [*GROUPS, 'tag:NAME'])}")


def costs(ledger: Ledger, by: Sequence[str], since: float | None) -> list[tuple[Any, ...]]:
    """Rows (groups ..., calls, errors, input_tokens, output_tokens, cost_usd, unknown_cost, saved_usd).

    `cost_usd` sums what is known; `unknown_cost` counts the calls whose cost is not (one that was refused
    before anything was sent cost nothing); `saved_usd` is what answers that were given again had cost, where that is
    known.
    """
    keys = ", ".join(f"{group(name)} AS g{i}" for i, name in enumerate(by))
    numbers = ", ".join(f"g{i}" for i in range(len(by)))
    nothing_sent = "(attempts = 0 AND cost_usd IS NULL)"
    query = f"""
        SELECT {keys + "," if keys else ""} COUNT(*), SUM(status != 'ok'), SUM(input_tokens), SUM(output_tokens),
               SUM(CASE WHEN {nothing_sent} THEN 0 ELSE cost_usd END) / {float(PICO)},
               SUM(cost_usd IS NULL AND NOT {nothing_sent}), {_saved(ledger)}
        FROM calls {"WHERE time >= ?" if since is not None else ""}
        {f"GROUP BY {numbers} ORDER BY {numbers}" if numbers else ""}
    """
    return ledger.sums(query, () if since is None else (since,))


def tags(ledger: Ledger, calls: int = 1000) -> list[str]:
    """The names of the tags that the latest calls had."""
    query = f"""
        SELECT DISTINCT key FROM (SELECT tags FROM calls ORDER BY request_id DESC LIMIT {calls}), json_each(tags)
        WHERE tags IS NOT NULL ORDER BY key
    """
    return [str(name) for (name,) in ledger.rows(query)]


def _saved(ledger: Ledger) -> str:
    """The SQL of what was saved; the table is made when first there is something to save."""
    if not ledger.rows("SELECT 1 FROM sqlite_master WHERE name = 'savings'"):
        return "0.0"
    one = "(SELECT saved_usd FROM savings WHERE savings.request_id = calls.request_id)"
    return f"SUM(CASE WHEN cache_hit THEN {one} ELSE 0 END) / {float(PICO)}"
