"""A chart as SVG, PNG or JPEG, by matplotlib: for saved notebooks, reports and files.

The figure is made and drawn without pyplot, so neither the user's backend nor the user's open figures are touched; the
user's rcParams, which say how everything looks, are put aside while it is drawn and are back afterwards.
"""

from __future__ import annotations

import io
import re
import textwrap
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Literal

from hybrid_nb.charts import look
from hybrid_nb.charts.chart import Axis, Chart, Grid, Line, Rule
from hybrid_nb.charts.static_marks import draw, name_ends, name_points
from hybrid_nb.core.late import late

OWN = {
    "font.size": 12, "font.family": ["sans-serif"], "text.color": look.INK, "axes.labelcolor": look.INK,
    "axes.edgecolor": look.FAINT, "xtick.color": look.FAINT, "ytick.color": look.FAINT, "xtick.labelcolor": look.INK,
    "ytick.labelcolor": look.INK, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False,
    "svg.fonttype": "none", "legend.frameon": False, "hatch.linewidth": 0.7, "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
}  # fmt: skip
Kind = Literal["png", "jpeg"]
LONGEST = 28  # characters of a tick's name
_one = threading.Lock()  # rcParams are the process's


def svg(chart: Chart, inline: bool = False) -> str:
    """The picture as SVG: on its card, or `inline` for a page, in the page's own text colour and without a card.

    Raises ImportError that names the extra when matplotlib is not there.
    """
    out = io.BytesIO()
    told = {"Date": None, "Creator": None, "Type": None, "Format": None}
    with _figure(chart, chart.title) as figure:
        figure.savefig(out, format="svg", transparent=inline, metadata=told)
    return _tidied(out.getvalue().decode("utf-8"), chart, inline)


def image(chart: Chart, kind: Kind = "png", scale: float = 2.0) -> bytes:
    """The picture on its card, with so many dots for a pixel of the page."""
    out = io.BytesIO()
    more: dict[str, Any] = {"metadata": {"Software": None, "Description": chart.alt}}
    if kind == "jpeg":
        more = {"pil_kwargs": {"quality": 90, "subsampling": 0, "optimize": True}}
    with _figure(chart, chart.title) as figure:
        figure.savefig(out, format=kind, dpi=72 * scale, **more)
    return out.getvalue()


@contextmanager
def _figure(chart: Chart, salt: str) -> Iterator[Any]:
    late("matplotlib", "benchmark")
    from matplotlib import style
    from matplotlib.figure import Figure

    with _one, warnings.catch_warnings(), style.context(["default", {**OWN, "svg.hashsalt": salt}]):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has it, where the text is text
        figure = Figure(figsize=(chart.width / 72, chart.height / 72), dpi=72, layout="constrained")
        figure.set_facecolor(look.PAPER)
        _drawn(figure, chart)
        yield figure


def _drawn(figure: Any, chart: Chart) -> None:
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    figure.suptitle(chart.title, x=0.012, ha="left", fontsize=14, fontweight="bold")
    if chart.notes:
        words = "\n".join(textwrap.fill(note, chart.width // 6) for note in chart.notes)
        figure.supxlabel(words, x=0.012, ha="left", fontsize=10.5)
    if not any(isinstance(mark, Grid) for mark in chart.marks):
        axes.grid(axis="both", color=look.FAINT, alpha=0.22, linewidth=0.8)
        axes.set_axisbelow(True)
    longest = max((min(len(name), LONGEST) for _, name in chart.x.ticks), default=1)
    _axis(axes.xaxis, axes.set_xscale, chart.x, int(chart.width * 0.75 / (8 * longest + 14)))
    _axis(axes.yaxis, axes.set_yscale, chart.y, 24)
    draw(axes, chart)
    _limits(axes, chart)
    _legend(axes, chart)
    figure.draw_without_rendering()  # which says where everything is, in pixels
    name_points(axes, chart)
    name_ends(axes, [mark for mark in chart.marks if isinstance(mark, Line) and mark.label])
    _name_rules(axes, chart)


def _axis(axis: Any, set_scale: Any, told: Axis, room: int) -> None:
    from matplotlib import dates, ticker

    axis.set_label_text(told.label, fontsize=12)
    if told.scale == "log":
        set_scale("log")
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=9))
        axis.set_minor_formatter(ticker.NullFormatter())
    if told.ticks:
        ticks = look.fewer(told.ticks, room)
        axis.set_major_locator(ticker.FixedLocator([at for at, _ in ticks]))
        axis.set_major_formatter(ticker.FixedFormatter([look.shortened(name, LONGEST) for _, name in ticks]))
    elif told.scale == "time":
        locator = dates.AutoDateLocator(tz="UTC", minticks=3, maxticks=10)
        axis.set_major_locator(locator)
        axis.set_major_formatter(dates.ConciseDateFormatter(locator, tz="UTC"))
    else:
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: look.ticked(value, told.unit)))


def place(value: float, axis: Axis) -> float:
    """Where matplotlib has a value: its times are days."""
    return value / 86400 if axis.scale == "time" else value


def _limits(axes: Any, chart: Chart) -> None:
    for axis, limits, set_limits in (
        (chart.x, axes.get_xlim(), axes.set_xlim),
        (chart.y, axes.get_ylim(), axes.set_ylim),
    ):
        low, high = sorted(limits)
        low = low if axis.low is None else place(axis.low, axis) if axis.low == 0 else min(low, place(axis.low, axis))
        high = high if axis.high is None else max(high, place(axis.high, axis))
        set_limits((high, low) if axis.down else (low, high))


def _name_rules(axes: Any, chart: Chart) -> None:
    for rule in (mark for mark in chart.marks if isinstance(mark, Rule)):
        at = place(rule.at, chart.x if rule.along == "x" else chart.y)
        where = (at, 0.99) if rule.along == "x" else (0.01, at)
        system = ("data", "axes fraction") if rule.along == "x" else ("axes fraction", "data")
        axes.annotate(rule.label, where, xycoords=system, xytext=(4, 3 if rule.along == "y" else -11),
                      textcoords="offset points", fontsize=10.5, in_layout=False)  # fmt: skip


def _legend(axes: Any, chart: Chart) -> None:
    handles, names = axes.get_legend_handles_labels()
    if chart.legend and handles:
        shown = [look.shortened(name, 36) for name in names]
        columns = max(1, min(len(shown), chart.width // (7 * max(map(len, shown)) + 60)))
        axes.legend(handles, shown, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0, ncols=columns,
                    fontsize=11, handlelength=2.4)  # fmt: skip


_HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
_SIZE = re.compile(r'(<svg [^>]*?) ?width="([\d.]+)pt" height="([\d.]+)pt"', re.DOTALL)
_META = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)


def _tidied(text: str, chart: Chart, inline: bool) -> str:
    """Named for those who do not see it, without ids that would clash in a page of several pictures."""
    text = _META.sub("", _HEAD.sub("", text, count=1), count=1)
    size = r'\1 width="\2" height="\3"' if not inline else r'\1 style="width: 100%; height: auto; max-width: \2px"'
    named = f' role="img" aria-label="{escape(chart.alt)}"'.replace("\\", r"\\")
    text = _SIZE.sub(size + named, text, count=1)
    text = re.sub(r'(<g\b[^>]*?) id="[^"]*"', r"\1", text)
    for own in (look.INK, look.FAINT) if inline else ():
        text = text.replace(own, "currentColor")
    return text
