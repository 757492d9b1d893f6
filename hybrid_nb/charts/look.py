"""How marks look, and how values are written. Pure.

The colours are those of Okabe and Ito, which people with any kind of colour blindness tell apart; shape and dash change
with the colour, so that none is needed to read a picture. A picture in a notebook stands on a white card: no single
colour of text has a contrast of 4.5:1 both on white and on the dark themes' backgrounds (on white its luminance must be
below 0.183, on #111 above 0.200), and a picture does not learn the notebook's theme.
"""

from __future__ import annotations

import datetime as dt
import math

from hybrid_nb.charts.chart import Unit

INK, PAPER, FAINT = "#1b1c1d", "#ffffff", "#62666b"  # text, card, lines of the grid and quiet words
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C66FA0", "#767676", "#B87F00", "#3D8EC6")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "star", "hexagon")
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (6, 2),
    (2, 2),
    (8, 2, 2, 2),
    (4, 4),
    (10, 3),
    (1, 2),
)  # in widths of a line

CIVIDIS = (
    "#00224e",
    "#083370",
    "#35456c",
    "#4f576c",
    "#666970",
    "#7d7c78",
    "#948e77",
    "#aea371",
    "#c8b866",
    "#e5cf52",
    "#fee838",
)  # fmt: skip - of a heat map: blue to yellow, even in lightness (Nuñez, Anderton, Renslow 2018)


def shade(share: float) -> str:
    """The colour of a heat map's cell, 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(CIVIDIS) - 1)
    below = min(int(place), len(CIVIDIS) - 2)
    parts = zip(_parts(CIVIDIS[below]), _parts(CIVIDIS[below + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - below)):02x}" for a, b in parts)


def on(background: str) -> str:
    """Black or white, whichever is read better on a colour: at least 4.5:1."""
    return "#000000" if luminance(background) > 0.18 else "#ffffff"


def luminance(found: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    linear = [part / 3294.6 if part <= 10.31475 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _parts(found)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _parts(found: str) -> tuple[int, int, int]:
    return int(found[1:3], 16), int(found[3:5], 16), int(found[5:7], 16)


def colour(tone: int | None) -> str:
    return INK if tone is None else COLOURS[tone % len(COLOURS)]


def shape(tone: int | None) -> str:
    return SHAPES[0 if tone is None else tone % len(SHAPES)]


def dash(tone: int | None) -> tuple[float, ...]:
    return () if tone is None else DASHES[tone % len(DASHES)]


def written(value: float, unit: Unit) -> str:
    """A value with its unit: "$0.00025", "1.2 s", "350 ms", "82 %", "12,000"."""
    if unit == "usd":
        return f"-${_figure(-value)}" if value < 0 else f"${_figure(value)}"
    if unit == "s":
        return f"{_short(value * 1000)} ms" if 0 < abs(value) < 0.1 else f"{_short(value)} s"
    if unit == "share":
        return f"{_short(value * 100)} %"
    return f"{value:,.0f}" if unit == "count" else _short(value)


def ticked(value: float, unit: Unit) -> str:
    """The same at a tick of an axis, where no figure may be lost: "$0.175"."""
    if unit == "usd" and abs(value) >= 0.1 and abs(round(value, 2) - value) > 1e-9:
        return f"{'-' if value < 0 else ''}${abs(value):,.4f}".rstrip("0")
    return written(value, unit).removesuffix(".00") if unit == "usd" else written(value, unit)


def _figure(value: float) -> str:
    """Dollars: cents whole, smaller ones with two figures that count."""
    if value == 0:
        return "0"
    if value >= 0.1:
        return f"{value:,.2f}"
    places = min(12, 1 - math.floor(math.log10(value)))
    return f"{value:.{places}f}".rstrip("0").rstrip(".") or "0"


def _short(value: float) -> str:
    """Three figures that count, without needless zeros."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 9)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(at: float) -> str:
    """A unix time in UTC."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M}"


def fewer(ticks: tuple[tuple[float, str], ...], most: int) -> tuple[tuple[float, str], ...]:
    """Evenly chosen names where there is no room for all; the first one stays."""
    every = max(1, math.ceil(len(ticks) / max(1, most)))
    return ticks[::every]


def log_ticks(low: float, high: float) -> list[float]:
    """Places at 1, 2 and 5 times powers of ten; over more than three powers at these alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    return [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]


def shortened(text: str, most: int) -> str:
    """One line of at most so many characters; of a long name its end is kept, which tells models apart."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"…{line[1 - most :]}"
