"""The rows of the provider manager's table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from hybrid_nb.core.types import money
from hybrid_nb.notebook.widgets.providers.key import key_words
from hybrid_nb.notebook.widgets.style import dot

HEADS = ("Name", "Type", "Status", "Where", "Priority", "Enabled", "Models", "Key", "Spent today")
NUMBERS = (4, 6, 8)
CAPTION = "Providers"


class Row(NamedTuple):
    """One provider. `spent` is dollars, None where no call's cost is known; `unpriced` counts the calls of unknown
    cost.
    """

    name: str
    kind: str
    status: str
    tier: str
    priority: int
    enabled: bool
    models: int
    key: str
    spent: float | None
    unpriced: int
    found: bool


def rows(
    providers: Iterable[Mapping[str, Any]],
    health: Iterable[Mapping[str, Any]],
    costs: Iterable[Mapping[str, Any]],
    configured: Collection[str],
) -> list[Row]:
    """A row for each provider, from those of the router's frames (NA as None)."""
    status = {row["provider"]: row["status"] for row in health}
    spent = {row["provider"]: row for row in costs}
    return [
        Row(
            p["provider"], p["type"], status.get(p["provider"], "unknown"), p["tier"], int(p["priority"]),
            bool(p["enabled"]), int(p["models"] or 0), p["key"], *_spent(spent.get(p["provider"])),
            p["provider"] not in configured,
        )
        for p in providers
    ]  # fmt: skip


def _spent(row: Mapping[str, Any] | None) -> tuple[float | None, int]:
    if row is None:
        return 0.0, 0
    unknown = int(row["unknown_cost"] or 0)
    cost = row["cost_usd"]
    return (float(cost) if cost is not None else None if unknown else 0.0), unknown


def cells(row: Row, plain: bool = False) -> list[Any]:
    """The cells of a row: for HTML, or as plain text."""
    return [
        row.name,
        f"{row.kind} (found)" if row.found else row.kind,
        row.status if plain else dot(row.status),
        {"edge": "LAN"}.get(row.tier, row.tier),
        row.priority,
        "yes" if row.enabled else "no",
        row.models or None,
        key_words(row.key),
        _money(row),
    ]


def _money(row: Row) -> str | None:
    if row.spent is None:
        return None
    known = "$0" if row.spent == 0 else money(row.spent)
    calls = "call" if row.unpriced == 1 else "calls"
    return f"{known} and {row.unpriced} {calls} of unknown price" if row.unpriced else known
