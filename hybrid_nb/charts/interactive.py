"""A chart as a plotly figure: to hover over, zoom into and change."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Literal

from hybrid_nb.charts import look, sides
from hybrid_nb.charts.chart import Axis, Bars, Chart, Grid, Line, Mark, Points, Rule, Spans, Values, alone, listed
from hybrid_nb.core.late import late

PATTERNS = ("", "/", ".", "x", "-", "\\", "|")
FORMATS = {"usd": "$,.4~r", "s": ",.4~r", "share": ".3~p", "count": ",d", "": ",.4~r"}  # as d3 writes numbers
MARGIN = {"l": 90, "r": 40, "t": 80, "b": 60}


def figure(chart: Chart) -> Any:
    """A plotly.graph_objects.Figure. Raises ImportError that names the extra when plotly is not there."""
    go = late("plotly.graph_objects", "benchmark")
    found = go.Figure()
    places = sides.sides(chart)
    for mark in chart.marks:
        if isinstance(mark, Points):
            found.add_trace(_points(go, mark, chart, places[id(mark)]))
        else:
            _DRAWN[type(mark)](go, found, mark, chart)
    found.update_layout(_layout(chart))
    return found


def bundle(found: Any) -> dict[str, Any]:
    """What notebooks know as application/vnd.plotly.v1+json."""
    import json

    shown: dict[str, Any] = json.loads(found.to_json())
    return {**shown, "config": {"displaylogo": False}}


def words(text: str) -> str:
    """Text from outside: plotly reads some HTML."""
    return escape(text, quote=False).replace("\n", "<br>")


def _layout(chart: Chart) -> dict[str, Any]:
    notes = "<br>".join("<br>".join(textwrap.wrap(words(note), 120)) for note in chart.notes)
    stacked = "overlay" if any(isinstance(mark, Spans) for mark in chart.marks) else None
    return {
        "template": "none",
        "title": {"text": f"<b>{words(chart.title)}</b>", "subtitle": {"text": notes, "font": {"size": 12}},
                  "x": 0.01, "xanchor": "left", "automargin": True, "yref": "container", "pad": {"t": 14, "b": 8}},
        "font": {"size": 12, "color": look.INK}, "paper_bgcolor": look.PAPER, "plot_bgcolor": look.PAPER,
        # both sizes: else JupyterLab has it take the height of a cell that is hidden while the theme changes
        "width": chart.width, "height": chart.height + 20 * len(chart.notes), "hovermode": "closest", "margin": MARGIN,
        "barmode": stacked or ("group" if chart.bars == "grouped" else "stack"), "bargap": 0.2,
        "showlegend": chart.legend or any(isinstance(mark, Line) and mark.label for mark in chart.marks),
        "xaxis": _axis(chart, "x"), "yaxis": _axis(chart, "y"),
    }  # fmt: skip


def _axis(chart: Chart, along: Literal["x", "y"]) -> dict[str, Any]:
    axis: Axis = getattr(chart, along)
    kind = {"time": "date", "log": "log", "linear": "linear"}[axis.scale]
    grid = not any(isinstance(mark, Grid) for mark in chart.marks)
    found: dict[str, Any] = {
        "title": {"text": words(axis.label), "standoff": 10}, "type": kind, "showgrid": grid, "zeroline": False,
        "gridcolor": "rgba(98,102,107,0.22)", "linecolor": look.FAINT, "showline": grid, "automargin": True,
        "ticks": "outside" if grid else "",
    }  # fmt: skip
    if axis.scale == "log":
        ends = [place for place in sides.reach(chart, along) if place > 0]
        found |= {"tickvals": look.log_ticks(min(ends), max(ends))} if ends else {}
    if axis.ticks:
        found["tickmode"], ticks = "array", look.fewer(axis.ticks, 24)
        found |= {"tickvals": [at for at, _ in ticks], "ticktext": [words(name) for _, name in ticks]}
    elif axis.scale != "time":
        found |= {"tickformat": FORMATS[axis.unit], "ticksuffix": " s" if axis.unit == "s" else ""}
    if axis.low is not None and axis.high is not None and axis.scale == "linear":
        top = max([axis.high, *sides.reach(chart, along)])
        found["range"] = [axis.low, top + (top - axis.low) * 0.03]
    elif axis.low == 0 and axis.scale == "linear":
        found["rangemode"] = "tozero"
    return found | ({"autorange": "reversed"} if axis.down else {})


def _at(values: Values, axis: Axis) -> list[Any]:
    if axis.scale != "time":
        return list(values)
    return [None if at is None else dt.datetime.fromtimestamp(at, dt.UTC).isoformat() for at in values]


def _said(value: float | None, axis: Axis) -> str:
    if value is None:
        return "unknown"
    named = dict(axis.ticks).get(value)
    return words(named) if named else look.moment(value) if axis.scale == "time" else look.written(value, axis.unit)


def _hover(name: str, x: Values, y: Values, chart: Chart) -> list[str]:
    return [
        f"{words(name)}<br>{words(chart.x.label or 'x')}: {_said(a, chart.x)}"
        f"<br>{words(chart.y.label or 'y')}: {_said(b, chart.y)}"
        for a, b in zip(x, y, strict=True)
    ]


def _points(go: Any, mark: Points, chart: Chart, places: Sequence[str]) -> Any:
    colour = look.colour(mark.tone)
    shape = {"symbol": "x-thin" if mark.cross else look.shape(mark.tone), "size": 10, "color": colour,
             "line": {"color": colour if mark.cross else look.INK, "width": 2.5 if mark.cross else 1}}  # fmt: skip
    return go.Scatter(
        x=_at(mark.x, chart.x), y=_at(mark.y, chart.y), name=words(mark.name), marker=shape, cliponaxis=False,
        mode="markers+text" if any(mark.labels) else "markers", text=[words(label) for label in mark.labels] or None,
        textposition=list(places) or None, hovertext=_hover(mark.name, mark.x, mark.y, chart), hoverinfo="text",
        error_x=_errors(mark.x, mark.x_low, mark.x_high, colour),
        error_y=_errors(mark.y, mark.y_low, mark.y_high, colour), showlegend=chart.legend and listed(mark, chart),
        legendgroup=words(mark.name),
    )  # fmt: skip


def _errors(middle: Values, low: Values, high: Values, colour: str) -> dict[str, Any] | None:
    if not low or not high:
        return None

    def away(one: Values, other: Values) -> list[float | None]:
        return [None if a is None or b is None else max(0.0, b - a) for a, b in zip(one, other, strict=True)]

    return {"type": "data", "symmetric": False, "array": away(middle, high), "arrayminus": away(low, middle),
            "color": colour, "thickness": 1.5, "width": 4}  # fmt: skip


def _line(go: Any, found: Any, mark: Line, chart: Chart) -> None:
    x, colour = _at(mark.x, chart.x), look.colour(mark.tone)
    width = 1.2 if mark.thin else 2.2
    dashes = (4.0, 3.0) if mark.thin else look.dash(mark.tone)
    dash = ",".join(f"{part * width:g}px" for part in dashes) if dashes else "solid"
    line = {"color": colour, "width": width, "dash": dash, "shape": "hv" if mark.steps else "linear"}
    if mark.low:
        band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
        found.add_trace(go.Scatter(x=x, y=list(mark.low), **band))
        found.add_trace(go.Scatter(x=x, y=list(mark.high), fill="tonexty", **band,
                                   fillcolor=f"rgba({red},{green},{blue},0.2)"))  # fmt: skip
    shown = not mark.thin and bool(mark.label or chart.legend)
    found.add_trace(go.Scatter(x=x, y=_at(mark.y, chart.y), name=words(mark.label or mark.name),
                               mode="lines+markers" if alone(mark) else "lines", line=line,
                               hovertext=_hover(mark.name, mark.x, mark.y, chart), hoverinfo="text",
                               legendgroup=words(mark.name), showlegend=shown))  # fmt: skip


def _bars(go: Any, found: Any, mark: Bars, chart: Chart) -> None:
    pattern = {"shape": PATTERNS[(mark.tone or 0) % len(PATTERNS)], "fgcolor": look.INK, "size": 7, "solidity": 0.15}
    looks = {"color": look.colour(mark.tone), "line": {"color": look.INK, "width": 0.6},
             "pattern": {**pattern, "fillmode": "overlay"}}  # fmt: skip
    found.add_trace(go.Bar(x=_at(mark.x, chart.x), y=_at(mark.y, chart.y), name=words(mark.name), marker=looks,
                           hovertext=_hover(mark.name, mark.x, mark.y, chart), hoverinfo="text"))  # fmt: skip


def _spans(go: Any, found: Any, mark: Spans, chart: Chart) -> None:
    triples = zip(mark.start, mark.end, mark.row, strict=True)
    drawn = [(a, b, row) for a, b, row in triples if a is not None and b is not None and row is not None]
    told = [f"{words(mark.name)}: {look.written(b - a, 's')}" for a, b, _ in drawn]
    looks = {"color": look.PAPER if mark.faint else look.colour(mark.tone), "line": {"color": look.INK, "width": 0.4},
             "pattern": {"shape": "/" if mark.faint else "", "fgcolor": look.INK, "size": 5}}  # fmt: skip
    found.add_trace(go.Bar(orientation="h", base=[a for a, _, _ in drawn], x=[b - a for a, b, _ in drawn], width=0.86,
                           y=[row for _, _, row in drawn], name=words(mark.name), marker=looks, hovertext=told,
                           hoverinfo="text"))  # fmt: skip


def _grid(go: Any, found: Any, mark: Grid, chart: Chart) -> None:
    low, high = mark.reach
    scale = [[place / (len(look.CIVIDIS) - 1), colour] for place, colour in enumerate(look.CIVIDIS)]
    texts = [[words(text) for text in row] for row in mark.texts]
    found.add_trace(go.Heatmap(z=[list(row) for row in mark.values], colorscale=scale, zmin=low, zmax=high, text=texts,
                               showscale=False, xgap=2, ygap=2, hoverinfo="text", hoverongaps=False))  # fmt: skip
    for y, row in enumerate(mark.values):
        for x, value in enumerate(row):
            if value is not None:  # each text in black or white, as its cell asks for
                ink = look.on(look.shade((value - low) / (high - low)))
                found.add_annotation(x=x, y=y, text=texts[y][x], showarrow=False, font={"color": ink})


def _rule(_: Any, found: Any, mark: Rule, chart: Chart) -> None:
    at = _at((mark.at,), chart.x if mark.along == "x" else chart.y)[0]
    across = {"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "y domain"} if mark.along == "x" else {
        "y0": at, "y1": at, "x0": 0, "x1": 1, "xref": "x domain"}  # fmt: skip
    found.add_shape(type="line", line={"color": look.INK, "width": 1, "dash": "dash"}, **across)
    where = {"x": at, "y": 1, "yref": "y domain"} if mark.along == "x" else {"y": at, "x": 0, "xref": "x domain"}
    found.add_annotation(text=words(mark.label), showarrow=False, xanchor="left", yanchor="bottom", **where)


_DRAWN: dict[type[Mark], Callable[[Any, Any, Any, Chart], None]] = {
    Line: _line, Bars: _bars, Spans: _spans, Grid: _grid, Rule: _rule,
}  # fmt: skip
