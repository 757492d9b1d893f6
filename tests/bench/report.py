"""The figures of a run as a table, and held against the targets of DESIGN.md part 3."""

from __future__ import annotations

from typing import Any

RATIOS = (("plain", 2.5), ("stream", 1.5))  # of hybrid_nb's CPU to the floor's, 16 at once
AT_ONCE = 16
IMPORT_S = 0.15
PLAN_S = {10: 50e-6, 1000: 2e-3}
RECORD_S = 0.08e-3


def targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target with its figure; `met` is None where the run did not measure it."""
    found = []
    for mode, limit in RATIOS:
        ratio = figure(result, mode, AT_ONCE, "hybrid_nb").get("ratio")
        found.append(target(f"{mode}: CPU to the floor's, {AT_ONCE} at once", ratio and ratio["median"], limit, "x"))
    imported = result.get("imports", {}).get("hybrid_nb", {})
    found.append(target("import hybrid_nb", imported.get("seconds"), IMPORT_S, "s"))
    busy = imported and int(imported["threads"] + len(imported["network"]) + imported["pandas"])
    found.append(target("import: threads, sockets and pandas", busy if imported else None, 0, ""))
    part = result.get("parts", {}).get("hybrid_nb", {})
    for size, limit in PLAN_S.items():
        found.append(target(f"plan() over {size:,} targets", part.get("plan_s", {}).get(f"plan_{size}"), limit, "s"))
    found.append(target("ledger: one call recorded alone", part.get("ledger_cpu_s", {}).get("record_1"), RECORD_S, "s"))
    return found


def target(name: str, value: float | None, limit: float, unit: str) -> dict[str, Any]:
    met = None if value is None else value <= limit
    return {"name": name, "value": value, "limit": limit, "unit": unit, "met": met}


def figure(result: dict[str, Any], mode: str, at_once: int, label: str) -> dict[str, Any]:
    for cell in result.get("cells", ()):
        if cell["mode"] == mode and cell["at_once"] == at_once:
            return cell["clients"].get(label, {})
    return {}


def text(result: dict[str, Any]) -> str:
    blocks = [head(result), race(result)]
    if "imports" in result:
        blocks += [imports(result), parts(result)]
    return "\n\n".join([*blocks, verdicts(result), f"{result['seconds']:.0f} s in all"])


def head(result: dict[str, Any]) -> str:
    facts = result["machine"]
    lines = [f"{facts['system']}, {facts['cores']} cores, load {facts['load']}, {facts['time']}"]
    for label, client in result["clients"].items():
        found = ", ".join(f"{name} {number}" for name, number in client["versions"].items())
        lines.append(f"{label}: Python {client['python']}, {found}")
    if result["absent"]:
        lines.append(f"not installed: {', '.join(result['absent'])}")
    return "\n".join(lines)


def race(result: dict[str, Any]) -> str:
    """CPU a call, ratios, times."""
    rows = [("", "at once", "client", "CPU ms", "x floor", "min-max", "p50 ms", "p99 ms", "calls/s", "calls")]
    for cell in result["cells"]:
        for number, (label, f) in enumerate(cell["clients"].items()):
            ratio = f["ratio"]
            rows.append((
                "" if number else cell["mode"], "" if number else str(cell["at_once"]), label,
                f"{f['cpu_ms']['median']:.3f}", f"{ratio['median']:.2f}" if ratio else "-",
                f"{ratio['min']:.2f}-{ratio['max']:.2f}" if ratio else "-",
                f"{f['p50_ms']:.2f}", f"{f['p99_ms']:.2f}", f"{f['calls_per_s']:,.0f}", f"{f['calls']:,}",
            ))  # fmt: skip
    return aligned(rows)


def imports(result: dict[str, Any]) -> str:
    rows = [("import", "s", "peak MB", "modules", "threads", "sockets", "pandas")]
    for label, f in result["imports"].items():
        peak = "?" if f["peak_mb"] is None else f"{f['peak_mb']:.0f}"
        sockets, pandas = ", ".join(f["network"]) or "none", "yes" if f["pandas"] else "no"
        rows.append((label, f"{f['seconds']:.3f}", peak, str(f["modules"]), str(f["threads"]), sockets, pandas))
    return aligned(rows)


def parts(result: dict[str, Any]) -> str:
    rows = [("part", *result["parts"])]
    for group in ("plan_s", "ledger_cpu_s"):
        names = list(next(iter(result["parts"].values()))[group]) if result["parts"] else []
        rows += [(name, *(f"{1e6 * one[group][name]:.1f} us" for one in result["parts"].values())) for name in names]
    return aligned(rows)


def verdicts(result: dict[str, Any]) -> str:
    words = {True: "PASS", False: "MISS", None: "not measured"}
    rows = [("target", "figure", "limit", "")]
    for each in result["targets"]:
        figures = (shown(each[which], each["unit"]) for which in ("value", "limit"))
        rows.append((each["name"], *figures, words[each["met"]]))
    return aligned(rows)


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return "?"
    if unit == "s" and value < 0.01:
        return f"{1e6 * value:,.0f} us"
    return f"{value:.3f} s" if unit == "s" else f"{value:.2f}{unit}" if unit else f"{value:g}"


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Columns of equal width; words to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = [all(not row[i][:1].isdigit() for row in rows[1:]) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if words else cell.rjust(width)
            for cell, width, words in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    )
