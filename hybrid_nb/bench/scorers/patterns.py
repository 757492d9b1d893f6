"""The scorer regex: an answer is taken out of the text, and compared."""

from __future__ import annotations

import re

from hybrid_nb.bench.grading.protocol import Scorer, missing
from hybrid_nb.bench.grading.targets import shown, texts
from hybrid_nb.bench.records import Sample, Score
from hybrid_nb.bench.scorers.texts import Normal, verdict
from hybrid_nb.core.inputs import OptionValueError


class Regex(Scorer):
    def __init__(self, pattern: re.Pattern[str], group: int | str, last: bool, normal: Normal, name: str) -> None:
        self.pattern, self.group, self.last, self.normal, self.name = pattern, group, last, normal, name

    def rate(self, sample: Sample) -> Score:
        found = [match for match in self.pattern.finditer(sample.output) if match[self.group] is not None]
        if not found:
            return Score(0.0, f"nothing matches {self.pattern.pattern!r}")
        said = found[-1 if self.last else 0][self.group]
        if missing(sample.target):
            return Score(1.0, f"found {shown(said)!r}", said[:500])
        wanted = texts(sample.target)
        right = any(self.normal.of(target) == self.normal.of(said) for target in wanted)
        return verdict(right, said, wanted)


def regex(
    pattern: str | re.Pattern[str],
    *,
    group: int | str | None = None,
    last: bool = True,
    ignore_case: bool = False,
    name: str = "regex",
) -> Scorer:
    r"""Takes the answer out of the text with a regular expression, and compares it with the target.

    Without a target it is 1 when the pattern matches. Score.answer has what was found. A pattern that repeats what is
    repeated, such as (a+)+$, can take for ever on some answer, which nothing can stop but the process's end: write
    (?>a+)+$, or a++, which try no second way.

    Args:
        pattern: such as r"ANSWER:\s*(\w+)". A string is searched over several lines (^ and $ at each line).
        group: number or name of the group that is the answer; default: the one named `answer`, else the first, else
            the whole match.
        last: the last match counts, as models correct themselves; else the first.
        ignore_case: for the pattern and for the comparison.
    """
    flags = re.MULTILINE | (re.IGNORECASE if ignore_case else re.NOFLAG)
    try:
        found = re.compile(pattern, flags) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise OptionValueError(f"regex: {pattern!r} is not a regular expression ({error})") from None
    return Regex(found, _group(found, group), last, Normal(case=ignore_case), name)


def _group(pattern: re.Pattern[str], group: int | str | None) -> int | str:
    if group is None:
        return "answer" if "answer" in pattern.groupindex else min(1, pattern.groups)
    known = group in pattern.groupindex if isinstance(group, str) else 0 <= group <= pattern.groups
    if not known:
        raise OptionValueError(f"regex: the pattern {pattern.pattern!r} has no group {group!r}")
    return group
