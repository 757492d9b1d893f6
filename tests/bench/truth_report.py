"""The figures of the truth check, as one Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from .matching import Held

TARGETS = {"ttft": (1.0, 5.0), "gap": (1.0, 5.0)}  # milliseconds at the median and at p99
COLUMNS = (
    "measured by", "starts", "streams", "chunks", "joined", "TTFT error, ms", "of it before the vendor read",
    "inter-chunk error, ms", "tokens exact", "loop lag, ms", "CPU", "CPU of the vendors",
)  # fmt: skip


class Spread(NamedTuple):
    """Of absolute values, in milliseconds; None: there was none."""

    p50: float | None
    p99: float | None
    most: float | None


def spread(values: Iterable[float | None]) -> dict[str, float | None]:
    """Seconds in, milliseconds out; by nearest rank."""
    found = sorted(abs(value) * 1000 for value in values if value is not None)
    if not found:
        return Spread(None, None, None)._asdict()
    last = len(found) - 1
    return Spread(found[round(last * 0.5)], found[round(last * 0.99)], found[last])._asdict()


def figures(both: Sequence[Held], streams: int) -> dict[str, Any]:
    """The errors of all answers together; milliseconds."""
    return {
        "streams": len(both),
        "asked": streams,
        "chunks": sum(one.writes for one in both),
        "joined": sum(one.joined for one in both),
        "ttft": spread(one.ttft for one in both),
        "before": spread(one.before for one in both),
        "after": spread(one.after for one in both),
        "delay": spread(value for one in both for value in one.delays),
        "gap": spread(value for one in both for value in one.gaps),
        "too_early": sum(value < 0 for one in both for value in one.delays),
        "exact": sum(bool(one.counted) for one in both) / streams,
    }


def line(row: dict[str, Any]) -> str:
    """A measurement, as it is made."""
    return " | ".join(cells(row))


def table(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """All of them: of several turns each figure is its median over the turns."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["by"], row["starts"]), []).append(row)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(merged(group))) + " |" for group in groups.values()]
    return "\n".join([*lines, "", about(machine, rows)])


def merged(group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure; of a share that must be 1, the least."""
    first = group[0]
    found = dict(first)
    for name, value in first.items():
        if isinstance(value, dict) and name != "setting":
            found[name] = {key: middle(row[name].get(key) for row in group) for key in value}
        elif isinstance(value, float):
            found[name] = middle(row[name] for row in group)
    return {**found, "exact": least(row["exact"] for row in group), "joined": max(row["joined"] for row in group)}


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def cells(row: dict[str, Any]) -> list[str]:
    lag = row["lag"] and {name: value * 1000 for name, value in row["lag"].items()}
    return [
        row["by"], row["starts"], f"{row['streams']} of {row['asked']}", f"{row['chunks']:,}", f"{row['joined']:,}",
        shown(row["ttft"]), shown(row["before"]), shown(row["gap"]), share(row["exact"]), shown(lag), share(row["cpu"]),
        share(row["vendor_cpu"]),
    ]  # fmt: skip


def shown(spread: dict[str, float | None] | None) -> str:
    """Median / p99 / most."""
    return " / ".join("–" if v is None else f"{v:.2f}" for v in spread.values()) if spread else "–"


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def about(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """What was run where."""
    setting, turns = rows[0]["setting"], 1 + max(row["turn"] for row in rows)
    what = f"{setting['streams']} streams of {setting['rate']:g} tokens/s for {setting['seconds']:g} s"
    where = f"{machine['system']}, {machine['cores']} cores, Python {machine['python']}, load {machine['load']:.1f}"
    how = f"errors are median / p99 / most of absolute values; median of {turns} turns" if turns > 1 else "one turn"
    bad = sorted({reason for row in rows for reason in row["invalid"]})
    return f"{what}; {how}; {where}, {machine['time']}." + "".join(f" INVALID: {reason}." for reason in bad)
