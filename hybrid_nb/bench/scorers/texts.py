"""Scorers that compare an answer's text with its target."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar, NamedTuple

from hybrid_nb.bench.grading.protocol import Scorer
from hybrid_nb.bench.grading.targets import shown, texts
from hybrid_nb.bench.records import Sample, Score


class Normal(NamedTuple):
    """What makes no difference between two texts."""

    case: bool = False
    space: bool = True
    punctuation: bool = False

    def of(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        if self.case:
            text = unicodedata.normalize("NFC", text.casefold())
        if self.punctuation:
            text = "".join(" " if unicodedata.category(char).startswith("P") else char for char in text)
        return " ".join(text.split()) if self.space or self.punctuation else text


class Exact(Scorer):
    needs_target = True

    def __init__(self, normal: Normal, name: str) -> None:
        self.normal, self.name = normal, name

    def rate(self, sample: Sample) -> Score:
        said, wanted = self.normal.of(sample.output), texts(sample.target)
        right = any(self.normal.of(target) == said for target in wanted)
        return verdict(right, sample.output.strip(), wanted)


def exact(
    *, ignore_case: bool = False, ignore_space: bool = True, ignore_punctuation: bool = False, name: str = "exact"
) -> Scorer:
    """1 when the answer is the target, else 0. A list of targets has alternatives.

    Args:
        ignore_case: "Paris" is "paris".
        ignore_space: runs of white space are one space, none at the ends.
        ignore_punctuation: "Paris." is "Paris", "well-known" is "well known".
    """
    return Exact(Normal(ignore_case, ignore_space, ignore_punctuation), name)


class Includes(Scorer):
    needs_target = True

    def __init__(self, normal: Normal, every: bool, words: bool, name: str) -> None:
        self.normal, self.every, self.words, self.name = normal, every, words, name

    def rate(self, sample: Sample) -> Score:
        text, wanted = self.normal.of(sample.output), texts(sample.target)
        found = [target for target in wanted if contains(text, self.normal.of(target), self.words)]
        if self.every and len(found) < len(wanted):
            lacking = [target for target in wanted if target not in found]
            return Score(0.0, f"the answer lacks {_listed(lacking)}", _listed(found) or None)
        if found:
            told = _listed(found) if self.every else repr(shown(found[0]))
            return Score(1.0, f"the answer has {told}", found[0])
        return Score(0.0, f"the answer has no {_either(wanted)}")


def includes(*, ignore_case: bool = True, every: bool = False, words: bool = True, name: str = "includes") -> Scorer:
    """1 when the target stands in the answer, else 0.

    Args:
        ignore_case: "Paris" is found in "PARIS".
        every: of a list of targets all must be there; else one is enough.
        words: not inside a longer word or number: "4" is not found in "14" or "4.5". Scripts that are written
            without spaces are searched anywhere.
    """
    return Includes(Normal(case=ignore_case), every, words, name)


def contains(text: str, part: str, words: bool) -> bool:
    """Whether a text has this part, as whole words where `words`."""
    if not part:
        return False
    at = text.find(part)
    while at >= 0:
        if not words or (_edge(text, at - 1, part[0], -1) and _edge(text, at + len(part), part[-1], 1)):
            return True
        at = text.find(part, at + 1)
    return False


_SPACELESS = "\u0e00"  # from Thai on, scripts mostly put no space between words, or join particles to them


def _edge(text: str, at: int, inner: str, step: int) -> bool:
    """Whether a word ends between the character `inner` and the one at `at`."""
    if not 0 <= at < len(text) or not (inner.isalnum() and inner < _SPACELESS):
        return True
    outer, beyond = text[at], text[at + step] if 0 <= at + step < len(text) else ""
    if inner.isdigit() and outer in ".," and beyond.isdigit():
        return False  # inside 4.5 or 1,591
    return not (outer.isalnum() and outer < _SPACELESS) and outer != "_"


class Similarity(Scorer):
    needs_target = True
    package: ClassVar[str] = "rapidfuzz"

    def __init__(self, threshold: float | None, normal: Normal, by: str, name: str) -> None:
        self.threshold, self.normal, self.by, self.name = threshold, normal, by, name

    def check(self, items: Any) -> None:
        self._ratio()
        super().check(items)

    def _ratio(self) -> Any:
        from hybrid_nb.core.late import late

        fuzz = late("rapidfuzz.fuzz", "benchmark")
        return fuzz.ratio if self.by == "characters" else fuzz.token_sort_ratio

    def rate(self, sample: Sample) -> Score:
        ratio, said = self._ratio(), self.normal.of(sample.output)
        alike = {target: ratio(said, self.normal.of(target)) / 100 for target in texts(sample.target)}
        best = max(alike, key=lambda target: alike[target])
        told = f"{alike[best]:.0%} alike with {shown(best)!r}"
        if self.threshold is None:
            return Score(alike[best], told)
        return Score(float(alike[best] >= self.threshold), f"{told}; {self.threshold:.0%} is enough")


def similarity(
    threshold: float | None = None, *, by: str = "characters", ignore_case: bool = True, name: str = "similarity"
) -> Scorer:
    """How alike the answer and the target are, 0 to 1 (rapidfuzz): the best of several targets.

    Args:
        threshold: makes it 1 from there on, else 0.
        by: "characters" (share that an edit keeps), or "words": the same after both texts' words are sorted.
    """
    from hybrid_nb.core.inputs import OptionValueError

    if by not in ("characters", "words"):
        raise OptionValueError(f"similarity: by must be 'characters' or 'words', not {by!r}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionValueError(f"similarity: threshold must be between 0 and 1, not {threshold!r}")
    return Similarity(threshold, Normal(case=ignore_case), by, name)


def verdict(right: bool, said: str, wanted: list[str]) -> Score:
    """1 or 0 with "found X, the target is Y"."""
    told = f"found {shown(said)!r}, the target is {_either(wanted)}" if said else "the answer is empty"
    return Score(float(right), told, said[:500] or None)


def _either(wanted: list[str]) -> str:
    return " or ".join(repr(shown(one)) for one in wanted[:4]) + (" or another" if len(wanted) > 4 else "")


def _listed(found: list[str]) -> str:
    return ", ".join(repr(shown(one)) for one in found)
