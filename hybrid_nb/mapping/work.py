"""What a map has to do: each row's request by its key, so that equal ones are asked once. Holds no prompt."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.core.types import Request
from hybrid_nb.engine.allowance import input_bound
from hybrid_nb.engine.assemble import estimate_input
from hybrid_nb.mapping.columns import Result
from hybrid_nb.mapping.job import Job
from hybrid_nb.mapping.template import Missing, Prompt, Source


class Work:
    """The distinct requests of a frame, in the order of their first rows.

    Rows and requests are counted from 0. `sizes` are the likely tokens of their prompts, `bounds` the most.
    """

    def __init__(self) -> None:
        self.rows = array("q")  # the request of each row; -1: it has none
        self.keys: list[bytes] = []
        self.first = array("q")  # the first row of each request
        self.sizes = array("q")
        self.bounds = array("q")
        self.missing: dict[int, str] = {}
        self._known: dict[bytes, int] = {}

    def add(self, job: Job, prompt: Prompt | Missing) -> None:
        """One more row."""
        row = len(self.rows)
        found = asked(job, prompt)
        if isinstance(found, Missing):
            self.missing[row] = found.why
            self.rows.append(-1)
            return
        request, key = found
        if key not in self._known:
            self.put(key, estimate_input(request.messages), input_bound(request))
            self.first.append(row)
        self.rows.append(self._known[key])

    def put(self, key: bytes, size: int, bound: int) -> int | None:
        """A request; its number, None where it is known already."""
        if key in self._known:
            return None
        number = self._known[key] = len(self.keys)
        self.keys.append(key)
        self.sizes.append(size)
        self.bounds.append(bound)
        return number

    def number(self, key: bytes) -> int:
        """The request of a key."""
        return self._known[key]

    def results(self, found: Sequence[Result | None], left: str) -> Iterator[Result]:
        """The result of every row. `left` is the error of those that were not asked.

        The cost of an answer is told in the first row that has it; the further ones cost nothing.
        """
        for row, number in enumerate(self.rows):
            if number < 0:
                yield Result(error=self.missing[row], cost_usd=0.0)
                continue
            result = found[number]
            if result is None:
                yield Result(error=left, cost_usd=0.0)
            else:
                yield result if self.first[number] == row else result._replace(cost_usd=0.0)


def asked(job: Job, prompt: Prompt | Missing) -> tuple[Request, bytes] | Missing:
    """The request of a prompt and its key; Missing where it makes none."""
    if isinstance(prompt, Missing):
        return prompt
    try:
        request = job.request(prompt)
        return request, job.key(request)
    except (TypeError, ValueError) as error:
        return Missing(str(error))


def read(source: Iterable[Any], job: Job) -> Work:
    """Look at every row once."""
    work = Work()
    for prompt in source:
        work.add(job, prompt)
    return work


def items(source: Source, job: Job, work: Work, numbers: Iterable[int]) -> Iterator[tuple[int, Request, bytes]]:
    """These requests again, made as they are needed. Raises OptionValueError when one is another than before."""
    for number in numbers:
        found = asked(job, source.at(work.first[number]))
        if isinstance(found, Missing) or found[1] != work.keys[number]:
            raise OptionValueError(
                f"row {work.first[number]}: {source.name} gives another prompt each time; make the prompts first, and "
                "pass them as a column"
            )
        yield number, *found
