"""The scorer unit_tests: the code of an answer, run against tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from hybrid_nb.bench.grading.protocol import Scorer, told_missing
from hybrid_nb.bench.grading.sandbox import Limits, run_tests
from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.core.inputs import OptionValueError

_BLOCK = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("python", "py", "python3")


class UnitTests(Scorer):
    runs_code: ClassVar[bool] = True

    def __init__(self, limits: Limits, column: str | None, setup: str, partial: bool, size: int, name: str) -> None:
        self.limits, self.column, self.setup, self.partial = limits, column, setup, partial
        self.concurrency, self.name = size, name

    def tests(self, item: Item) -> str | None:
        found = item.target if self.column is None else item.extra.get(self.column)
        return found if isinstance(found, str) and found.strip() else None

    def check(self, items: Sequence[Item]) -> None:
        told_missing(self.name, [item._replace(target=self.tests(item)) for item in items], "the code of its tests")
        for item in items:
            try:
                compile(self.tests(item) or "", "tests", "exec")
            except (SyntaxError, ValueError) as error:
                raise OptionValueError(f"the scorer {self.name}: the tests of {item.id!r}: {error}") from None

    async def score(self, sample: Sample) -> Score:
        code, tests = code_of(sample.output), self.tests(sample.item)
        if tests is None:
            return Score(None, "the sample has no tests")
        if not code.strip():
            return Score(0.0, "no code in the answer")
        entry = sample.item.extra.get("entry_point")
        whole = f"{self.setup}\n{code}" if self.setup else code
        outcome = await run_tests(whole, tests, self.limits, entry if isinstance(entry, str) else None)
        value = outcome.share if self.partial else float(outcome.share == 1)
        return Score(value, outcome.told, code[:2000])


def unit_tests(
    *,
    column: str | None = None,
    setup: str = "",
    seconds: float = 10.0,
    memory_mb: int = 1024,
    partial: bool = False,
    concurrency: int = 2,
    name: str = "unit_tests",
) -> Scorer:
    """1 when the Python code of an answer passes its tests, else 0. Needs allow_code=True, as it runs that code.

    The tests are Python: asserts, functions test_*, cases of unittest, or check(candidate) with the function's name in
    the column `entry_point` (as in HumanEval). The code is that of the answer's Python blocks, else all of it. It runs
    in a process of its own, without the environment and its keys, in a folder of its own, and is killed with all that
    it started. It is not cut off from files and network: that bounds mistakes, not malice.

    Args:
        column: of the data, with the tests; default: the target.
        setup: code that is run before the answer's, such as imports.
        seconds: time for the code and all tests; memory_mb: megabytes (not bounded on macOS and Windows).
        partial: the share of the tests that pass, in place of all or nothing.
        concurrency: processes at once.
    """
    if seconds <= 0 or memory_mb <= 0 or concurrency < 1:
        raise OptionValueError("unit_tests: seconds, memory_mb and concurrency must be more than 0")
    return UnitTests(Limits(seconds, memory_mb << 20), column, setup, partial, concurrency, name)


def code_of(text: str) -> str:
    """The Python code of an answer: its blocks marked as such, else its other blocks, else all of it.

    Of several blocks those that compile count, in their order, so that a later version of a function is the one.
    """
    blocks = [(language.lower(), body) for _, language, body in _BLOCK.findall(text)]
    if not blocks:
        return text
    marked = [body for language, body in blocks if language in _PYTHON]
    found = marked or [body for language, body in blocks if not language] or [body for _, body in blocks]
    return "\n".join([body for body in map(_dedented, found) if _compiles(body)] or [_dedented(found[0])])


def _dedented(body: str) -> str:
    import textwrap

    return textwrap.dedent(body)


def _compiles(body: str) -> bool:
    try:
        compile(body, "answer", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
