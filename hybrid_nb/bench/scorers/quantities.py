"""The scorer numeric: the number that an answer ends in, against the target's."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_nb.bench.grading.numbers import Number, answer, numbers
from hybrid_nb.bench.grading.protocol import Scorer
from hybrid_nb.bench.grading.targets import shown, texts
from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.core.inputs import OptionValueError

_NOISE = 1e-9  # of a float that was written and read again


class Numeric(Scorer):
    needs_target = True

    def __init__(self, tolerance: float, relative: float, first: bool, name: str) -> None:
        self.tolerance, self.relative, self.first, self.name = tolerance, relative, first, name

    def check(self, items: Sequence[Item]) -> None:
        super().check(items)
        for item in items:
            bad = next((text for text in texts(item.target) if answer(text) is None), None)
            if bad is not None:
                raise OptionValueError(f"the scorer {self.name} needs numbers: the target of {item.id!r} is {bad!r}")

    def rate(self, sample: Sample) -> Score:
        said = next(iter(numbers(sample.output)), None) if self.first else answer(sample.output)
        wanted = [number for text in texts(sample.target) if (number := answer(text)) is not None]
        told = " or ".join(number.text for number in wanted)
        if not wanted:
            return Score(None, f"the target is no number: {shown(str(sample.target))!r}")
        if said is None:
            return Score(0.0, f"no number in the answer, the target is {told}")
        nearest = min(wanted, key=said.distance)
        right = said.distance(nearest) <= self._allowed(nearest)
        return Score(float(right), f"found {said.text}, the target is {told}{self._apart(said, nearest)}", said.text)

    def _allowed(self, wanted: Number) -> float:
        return max(self.tolerance, abs(wanted.value) * max(self.relative, _NOISE))

    def _apart(self, said: Number, wanted: Number) -> str:
        apart = said.distance(wanted)
        if apart <= abs(wanted.value) * _NOISE or not (self.tolerance or self.relative):
            return ""
        return f": {apart:.6g} apart, {self._allowed(wanted):.6g} allowed"


def numeric(tolerance: float = 0.0, relative: float = 0.0, *, pick: str = "last", name: str = "numeric") -> Scorer:
    r"""1 when the number that an answer ends in is the target's, else 0. Score.answer has it as it was written.

    It is the one in the last \boxed{}, else after ####, else the last of the text. Numbers are read as people write
    them: 1,591, 1.5e3, 50% (as 50 or 0.5), −3, \frac{3}{4}, 2 million.

    Args:
        tolerance: how far from the target is right; `relative`: the same as a share of the target. The wider counts.
        pick: "last", or "first" of the text.
    """
    if tolerance < 0 or relative < 0:
        raise OptionValueError("numeric: a tolerance is 0 or more")
    if pick not in ("first", "last"):
        raise OptionValueError(f"numeric: pick must be 'first' or 'last', not {pick!r}")
    return Numeric(tolerance, relative, pick == "first", name)
