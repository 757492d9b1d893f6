"""Sums over the ledger. Days and months are in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.ledger import daily
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
MORE = {  # which the table's widget does not offer
    "finish": "finish",
    "error": "CASE instr(error, ':') WHEN 0 THEN error ELSE substr(error, 1, instr(error, ':') - 1) END",
    "usage_source": "usage_source",
    "cache_hit": "cache_hit",
    "attempts": "attempts",
    "route_reason": "route_reason",
    "week": "date(time, 'unixepoch', '-6 days', 'weekday 1')",
    "hour": "strftime('%Y-%m-%d %H:00', time, 'unixepoch')",
    "weekday": "substr('7 Sun1 Mon2 Tue3 Wed4 Thu5 Fri6 Sat', 1 + 5 * strftime('%w', time, 'unixepoch'), 5)",
}


class Tokens(NamedTuple):
    """The calls of a group that sent something: how many; and of those `counted`, whose cost and tokens are known,
    their sums. Dollars are integers of 1e-12; `largest` is the tokens, in and out, of the largest call."""

    groups: tuple[Any, ...]
    calls: int
    counted: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: int
    largest: int


def group(name: str) -> str:
    """The SQL of a grouping: a column, or "tag:NAME". Raises OptionValueError with the nearest name."""
    if name in GROUPS or name in MORE:
        return GROUPS.get(name) or MORE[name]
    if name.startswith("tag:") and name[4:].replace("_", "").replace("-", "").isalnum():
        return f"json_extract(tags, '$.\"{name[4:]}\"')"
    raise OptionValueError(f"costs(by=...): cannot group by {name!r}{nearest(name, [*GROUPS, *MORE, 'tag:NAME'])}")


def costs(ledger: Ledger, by: Sequence[str], since: float | None) -> list[tuple[Any, ...]]:
    """Rows (groups ..., calls, errors, input_tokens, output_tokens, cost_usd, unknown_cost, saved_usd).

    `cost_usd` sums what is known; `unknown_cost` counts the calls whose cost is not (one that was refused
    before anything was sent cost nothing); `saved_usd` is what answers that were given again had cost, where that is
    known.
    """
    for name in by:
        group(name)
    told = daily.costs(ledger, by, since)
    return summed(ledger, by, since) if told is None else told


def summed(ledger: Ledger, by: Sequence[str], since: float | None) -> list[tuple[Any, ...]]:
    """The same from the calls themselves, one by one."""
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


_COUNTED = "(input_tokens IS NOT NULL AND output_tokens IS NOT NULL AND cost_usd IS NOT NULL)"


def tokens(
    ledger: Ledger, by: Sequence[str], since: float | None, tiers: Sequence[str] = (), each: bool = False
) -> list[Tokens]:
    """What was sent, by group, for pricing it anew; calls that sent nothing (refused, or from a cache) are not in it.

    `tiers`: of these only. `each`: one row for each size of call, for prices that change with it.
    """
    sizes = ("input_tokens", "cached_tokens", "output_tokens") if each else ()
    grouped = [*(f"g{i}" for i in range(len(by))), *sizes]
    query = f"""
        SELECT {"".join(f"{group(name)} AS g{i}, " for i, name in enumerate(by))} COUNT(*), SUM({_COUNTED}),
               {", ".join(f"SUM(CASE WHEN {_COUNTED} THEN COALESCE({name}, 0) ELSE 0 END)"
                          for name in ("input_tokens", "cached_tokens", "output_tokens", "cost_usd"))},
               MAX(COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0))
        FROM calls WHERE attempts > 0 {"AND time >= ?" if since is not None else ""}
        {f"AND tier IN ({', '.join('?' * len(tiers))})" if tiers else ""}
        {f"GROUP BY {', '.join(grouped)} ORDER BY {', '.join(grouped)}" if grouped else ""}
    """  # fmt: skip
    rows = ledger.sums(query, (*(() if since is None else (since,)), *tiers))
    return [Tokens(tuple(row[: len(by)]), *row[len(by) :]) for row in rows if row[len(by)]]


def cached(ledger: Ledger, since: float | None) -> tuple[int, int, float]:
    """Answers that were given again: how many, of how many is known what they had cost, and those dollars."""
    hits = "FROM calls WHERE cache_hit AND time >= ?"
    start = -1e300 if since is None else since
    if not ledger.rows("SELECT 1 FROM sqlite_master WHERE name = 'savings'"):
        return int(ledger.rows(f"SELECT COUNT(*) {hits}", (start,))[0][0]), 0, 0.0
    joined = hits.replace("calls", "calls LEFT JOIN savings USING (request_id)", 1)
    found = ledger.sums(f"SELECT COUNT(*), COUNT(saved_usd), COALESCE(SUM(saved_usd), 0) {joined}", (start,))[0]
    return int(found[0]), int(found[1]), found[2] / PICO


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
