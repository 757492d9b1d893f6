"""A picture in a notebook: looked into where plotly's renderer is there, seen everywhere else."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hybrid_nb.charts import interactive, static
from hybrid_nb.charts.chart import Chart
from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError

PLOTLY = "application/vnd.plotly.v1+json"
KINDS = (".html", ".png", ".svg")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head><body><main aria-label="{alt}">{drawn}</main></body></html>
"""


@dataclass(frozen=True)
class Picture:
    """What plot() gives: shown by itself at the end of a cell.

    A saved notebook holds it twice: for plotly, which draws it so that one can hover and zoom, and as an image, which
    GitHub, an untrusted notebook and an editor without plotly's extension show. Not as SVG, which JupyterLab refuses in
    a notebook that is not trusted and of which GitHub loses the text. Beside plotly it is JPEG: of a PNG there plotly's
    renderer for JupyterLab makes a preview, in its number of dots and so twice as large and cut off, until the mouse
    comes.

    Attributes:
        chart: what it shows, as plain data.
    """

    chart: Chart

    @cached_property
    def figure(self) -> Any:
        """The plotly figure, to change: picture.figure.update_layout(...). ImportError names the extra."""
        return interactive.figure(self.chart)

    @property
    def alt(self) -> str:
        """What it shows, in one line."""
        return self.chart.alt

    def svg(self, inline: bool = False) -> str:
        """As SVG text; `inline` is for a page of one's own, in whose text colour it is drawn, without a card."""
        return static.svg(self.chart, inline)

    def png(self, scale: float = 2.0) -> bytes:
        """As PNG, with so many dots for a pixel of the page."""
        return static.image(self.chart, "png", scale)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file: .svg, .png, or .html to hover and zoom, with plotly inside (5 MB; no network is needed).

        Raises OptionValueError for another ending.
        """
        place = Path(path)
        kind = place.suffix.lower()
        if kind not in KINDS:
            raise OptionValueError(f"save({str(path)!r}): a picture is saved as .svg, .png or .html{near(kind)}")
        if kind == ".png":
            place.write_bytes(self.png())
        else:
            place.write_text(self.svg() if kind == ".svg" else self._page(), "utf-8")
        return place

    def _page(self) -> str:
        from html import escape

        drawn = self.figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
        return _PAGE.format(title=escape(self.chart.title), alt=escape(self.alt), drawn=drawn)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        shown: dict[str, Any] = {"text/plain": self.alt}
        if find_spec("plotly") is not None:
            shown[PLOTLY] = interactive.bundle(self.figure)
        if find_spec("matplotlib") is not None:
            kind: static.Kind = "jpeg" if PLOTLY in shown else "png"
            shown[f"image/{kind}"] = base64.b64encode(static.image(self.chart, kind)).decode("ascii")
        if len(shown) == 1:
            shown["text/plain"] += " (pip install 'hybrid-nb[benchmark]' draws it.)"
        size = {"width": self.chart.width, "height": self.chart.height, "alt": self.alt}
        return shown, {name: size for name in shown if name.startswith("image/")}

    def __repr__(self) -> str:
        return f"Picture({self.chart.title!r})"


def near(kind: str) -> str:
    return nearest(kind, KINDS) if kind else ""
