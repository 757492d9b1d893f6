"""Figures as words for tables: durations, ages, shares, dollars, shortened texts. Pure; unknown stays None."""

from __future__ import annotations

import datetime as dt
from html import escape

from hybrid_nb.core.types import money
from hybrid_nb.notebook.widgets.style import Raw

_STEPS = ((86400.0, "days", "day"), (3600.0, "h", "h"), (60.0, "min", "min"), (1.0, "s", "s"))


def duration(seconds: float) -> str:
    """ "42 s", "3 min", "2 h", "1 day": the largest unit, rounded down."""
    for size, many, one in _STEPS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {one if count == 1 else many}"
    return "0 s"


def ago(at: float | None, now: float) -> str | None:
    """How long ago a unix time was."""
    if at is None:
        return None
    return "now" if now - at < 1 else f"{duration(now - at)} ago"


def moment(at: float | None) -> str | None:
    """A unix time as people write it, in UTC: what a saved table says, which is read at any time."""
    return None if at is None else f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def latency(seconds: float | None) -> str | None:
    """ "0.42 s"; "12 ms" for what is shorter than a tenth."""
    if seconds is None:
        return None
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def percent(share: float | None) -> str | None:
    """ "97 %"; only what is whole is 100 %, and only nothing is 0 %."""
    if share is None:
        return None
    whole = round(share * 100)
    if (whole == 100 and share < 1) or (whole == 0 and share > 0):
        return f"{share * 100:.1f} %" if 0.0005 <= share < 0.9995 else "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return f"{whole} %"


def count(number: int | None) -> str | None:
    """ "12,345"."""
    return None if number is None else f"{number:,}"


def calls(number: int) -> str:
    """ "1 call", "12,345 calls"."""
    return f"{number:,} call{'' if number == 1 else 's'}"


def dollars(amount: float | None) -> str | None:
    """ "$1.25", "$0.000123"; "$0" for nothing."""
    return None if amount is None else "$0" if amount == 0 else money(amount)


def short(text: str, most: int) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def shortened(text: str | None, most: int) -> Raw | str | None:
    """The same for a cell, the whole text in its title."""
    if text is None or short(text, most) == text:
        return text
    return Raw(f'<span title="{escape(text)}">{escape(short(text, most))}</span>')
