"""Figures as people read them: shares in %, dollars, seconds, with what is unknown as a dash."""

from __future__ import annotations

from typing import Any

from hybrid_nb.core.types import money

UNKNOWN = "–"


def known(value: Any) -> float | None:
    """A cell of a frame as a float, or None where it is missing."""
    return None if value is None or str(value) in ("<NA>", "nan") else float(value)


def percent(value: Any) -> str:
    """0.834 as 83 %; 1.0 and 0.0 only when it is all or none."""
    share = known(value)
    if share is None:
        return UNKNOWN
    if 0.99 < share < 1 or 0 < share < 0.01:
        return f"{100 * share:.1f} %" if 0.001 <= share <= 0.999 else ("> 99.9 %" if share > 0.5 else "< 0.1 %")
    return f"{100 * share:.0f} %"


def seconds(value: Any) -> str:
    """0.0042 as 4.2 ms, 0.231 as 231 ms, 1.204 as 1.20 s."""
    time = known(value)
    if time is None:
        return UNKNOWN
    if abs(time) < 0.9995:
        return f"{1000 * time:.3g} ms" if abs(time) < 0.1 else f"{1000 * time:.0f} ms"
    return f"{time:.2f} s" if abs(time) < 9.995 else f"{time:.1f} s" if abs(time) < 99.95 else f"{time:.0f} s"


def dollars(value: Any) -> str:
    amount = known(value)
    if amount is None:
        return UNKNOWN
    return f"-{money(-amount)}" if amount < 0 else money(amount)


def chance(value: Any) -> str:
    """p = 0.03, p < 0.001."""
    p = known(value)
    if p is None:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


class Unit:
    """How values of one measure are written: its value, and a difference of two."""

    def __init__(self, name: str, share: bool, scored: bool) -> None:
        self.share = scored and share
        self._scored, self._name = scored, name

    def value(self, value: Any) -> str:
        if self.share:
            return percent(value)
        if self._name.endswith("_usd"):
            return dollars(value)
        if self._name.endswith("_s") and "per_s" not in self._name:
            return seconds(value)
        number = known(value)
        return UNKNOWN if number is None else f"{number:.3g}"

    def difference(self, value: Any) -> str:
        number = known(value)
        if not self.share or number is None:
            return self.value(value)
        digits = f"{100 * number:.1f}".removesuffix(".0") if abs(number) < 0.0995 else f"{100 * number:.0f}"
        return f"{digits} points"

    def better(self, smaller: bool) -> str:
        """The word for the better of two."""
        if self._name.endswith("_usd"):
            return "cheaper"
        return "faster" if smaller else "better"

    @property
    def name(self) -> str:
        return self._name
