"""A run as one HTML file that anybody can open: no network, no script. See Run.to_html().

Everything that comes from outside (names, prompts, answers, errors, settings) passes through `escape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.drawing.page_rows import Table, answers, failures, pairs, settings, skipped
from hybrid_nb.bench.drawing.page_style import SHEET
from hybrid_nb.bench.drawing.plots import chart
from hybrid_nb.bench.statistics.values import scorers
from hybrid_nb.charts.chart import Chart
from hybrid_nb.core.inputs import OptionValueError

if TYPE_CHECKING:
    from hybrid_nb.bench.figures import Figures

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{sheet}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{parts}
</main>
</body>
</html>
"""


def page(run: Figures, interactive: bool = False, examples: int = 3) -> str:
    """The HTML. `examples`: right and wrong answers of each model that are shown. Raises OptionValueError."""
    if examples < 0:
        raise OptionValueError(f"to_html(answers={examples}): 0 or more")
    summary = run.report()
    models = Table("Each model", summary.headings, summary.rows)
    parts = [
        _meta(run), _warnings(run),
        _section("Summary", table(models), _list(_others(run, summary.notes))),
        _section("Pairs of models", *(table(found) for found in pairs(run))),
        _section("Pictures", *_figures(run, interactive)),
        _section("Failures", *(table(found) for found in failures(run))),
        _section("Not asked", *(table(found) for found in skipped(run))),
        _section("Answers", *(table(found) for found in answers(run, examples))),
        _section("How it was run", *(table(found) for found in settings(run))),
    ]  # fmt: skip
    return _PAGE.format(title=escape(f"Benchmark: {summary.title}"), sheet=SHEET, parts="\n".join(filter(None, parts)))


def _meta(run: Figures) -> str:
    info = run.info
    judges = "unknown" if info.judge_cost_usd is None else f"${info.judge_cost_usd:.4f}"
    told = [f"Started {info.started}" if info.started else "", f"{info.seconds:,.1f} s"]
    told += [f"judges: {judges}"] if info.judge_cost_usd != 0 else []
    return f'<p class="quiet">{escape(", ".join(filter(None, told)))}</p>'


def _warnings(run: Figures) -> str:
    info = run.info
    told = [f"Its times are not to be trusted: {reason}" for reason in info.invalid]
    skipped = int((run.calls["status"] == "skipped").sum())
    told += [f"It ended early ({info.stopped}): {skipped:,} calls were not asked."] if info.stopped else []
    if not told:
        return ""
    return f'<section class="warning"><h2>About this run</h2>{_list(told)}</section>'


def _others(run: Figures, notes: Iterable[str]) -> list[str]:
    """The sentences that the warning does not say already."""
    said = [*run.info.invalid, *([f"stopped: {run.info.stopped}"] if run.info.stopped else [])]
    return [note for note in notes if not any(reason.rstrip(".") in note for reason in said)]


def _section(title: str, *parts: str) -> str:
    """A heading and what stands under it; nothing where there is nothing."""
    inside = "\n".join(filter(None, parts))
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def _list(items: Iterable[str]) -> str:
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def table(found: Table) -> str:
    """A table with its caption and scopes, in a region that scrolls by itself; nothing without rows."""
    if not found.rows:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in found.headings)
    body = "".join(_row(row, found.texts) for row in found.rows)
    around = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(found.caption)}">'
    return (
        f"{around}<table><caption>{escape(found.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Any], texts: Sequence[int]) -> str:
    cells = "".join(
        f'<td class="text">{_cell(value)}</td>' if place in texts else f"<td>{_cell(value)}</td>"
        for place, value in enumerate(row[1:], 1)
    )
    return f'<tr><th scope="row">{_cell(row[0])}</th>{cells}</tr>'


def _cell(value: Any) -> str:
    return '<span title="unknown">–</span>' if value is None else escape(str(value))


def charts(run: Figures) -> list[Chart]:
    """The pictures that this run has something for."""
    if run.measured.empty:
        return []
    kinds = ["latency", "timeline", "spend"]
    if scorers(run):
        kinds.insert(0, "pareto")
        kinds += ["heatmap"] if run.measured["cluster"].notna().any() else []
    return [chart(run, kind) for kind in kinds]


def _figures(run: Figures, interactive: bool) -> list[str]:
    found = charts(run)
    return [_live(one, first=place == 0) if interactive else _still(one) for place, one in enumerate(found)]


def _still(found: Chart) -> str:
    from hybrid_nb.charts.static import svg

    return f"<figure>{svg(found, inline=True)}<figcaption>{escape(found.told)}</figcaption></figure>"


def _live(found: Chart, first: bool) -> str:
    """With plotly's script before the first one; the others share it."""
    from hybrid_nb.charts.interactive import figure

    drawn = figure(found).to_html(full_html=False, include_plotlyjs=first, config={"displaylogo": False})
    label = escape(found.alt)
    return (f'<figure><div class="live" tabindex="0" role="region" aria-label="{label}">{drawn}</div>'
            f"<figcaption>{escape(found.told)}</figcaption></figure>")  # fmt: skip
