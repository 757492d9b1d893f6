"""The pictures and the report of a run, as methods of Run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.figures import Figures

if TYPE_CHECKING:
    from hybrid_nb.charts.picture import Picture


class Drawn(Figures):
    """The part of Run that shows."""

    def plot(self, kind: str = "pareto", **options: Any) -> Picture:
        """A picture, which shows itself at the end of a cell; .save("x.svg", ".png" or ".html"), .figure is plotly's.

        "pareto": dollars a call against a score (scorer=, confidence=), with intervals and the front.
        "latency": the distribution of a time (measure="ttft_answer_s", or another in seconds) by model.
        "timeline": a bar a call: queue, first token, streaming, failures (most=150 calls).
        "spend": dollars so far, by model.
        "heatmap": a score by model and cluster (scorer=), with the number of calls in each cell.
        """
        from hybrid_nb.bench.drawing.plots import chart
        from hybrid_nb.charts.picture import Picture

        return Picture(chart(self, kind, **options))

    def to_html(self, path: str | os.PathLike[str], interactive: bool = False, answers: int = 3) -> Path:
        """Write a report into one file that needs no network and no script, for the screen and for paper: the summary,
        pairs, pictures, settings, versions, what was skipped, `answers` right and wrong ones of each model, failures.

        interactive: pictures to hover over and zoom, with plotly inside the file (5 MB). Returns the path.
        """
        from hybrid_nb.bench.drawing.page import page

        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(page(self, interactive, answers), "utf-8")
        return place
