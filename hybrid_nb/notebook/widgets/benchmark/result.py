"""A finished run as a panel shows it: its summary, and a picture of it."""

from __future__ import annotations

import base64
from html import escape
from typing import NamedTuple

from hybrid_nb.bench.results import Run
from hybrid_nb.charts.chart import blank
from hybrid_nb.charts.picture import Picture
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.widgets.style import paragraph

PICTURES = (
    ("first one that fits", ""), ("cost and quality", "pareto"), ("latency", "latency"), ("time-line", "timeline"),
    ("spend", "spend"), ("score by cluster", "heatmap"),
)  # fmt: skip


class Shown(NamedTuple):
    """A run in the page, in a saved notebook, and as text."""

    run: Run
    live: str
    saved: str
    text: str


def shown(run: Run, kind: str = "") -> Shown:
    """The summary and a picture; one that cannot be drawn of this run says why."""
    if not len(run.measured):
        told = "Nothing was measured: no call was asked."
        return Shown(run, paragraph(told), paragraph(told), told)
    report = run.report()
    table, text = f'<div class="hnb-body">{report.to_html()}</div>', repr(report)
    picture = drawn(run, kind)
    if isinstance(picture, str):
        return Shown(run, table + paragraph(picture), table + paragraph(picture), f"{text}\n\n{picture}")
    image = base64.b64encode(picture.png()).decode("ascii")
    still = f'<img alt="{escape(picture.alt)}" style="max-width:100%" src="data:image/png;base64,{image}">'
    return Shown(run, table + picture.svg(inline=True), table + still, f"{text}\n\n{picture.alt}")


def drawn(run: Run, kind: str) -> Picture | str:
    """The picture, or why there is none."""
    kinds = [kind] if kind else (["pareto", "latency"] if run.info.scorers else ["latency"])
    told = ""
    for each in kinds:
        try:
            found = run.plot(each)
        except (OptionValueError, ImportError) as error:
            told = f"No picture: {error}"
            continue
        if not blank(found.chart):
            return found
        told = " ".join(["No picture: nothing is known that could be drawn.", *found.chart.notes[-1:]])
    return told
