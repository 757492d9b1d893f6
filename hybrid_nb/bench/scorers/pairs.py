"""The scorer pairwise: a model that compares two answers, in both orders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from hybrid_nb.bench.grading.protocol import Context, PairScorer, Vote
from hybrid_nb.bench.grading.targets import shown
from hybrid_nb.bench.grading.verdicts import Orders, asked, last_verdict, option, quoted, reason
from hybrid_nb.bench.records import Sample
from hybrid_nb.bench.scorers.chair import CARE, RUBRIC, Chair, chair, failed, positive
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionValueError

COMPARE = f"""Compare two answers to the same question.

Rubric: {{rubric}}

{{question}}

{{reference}}

{{answer_a}}

{{answer_b}}

{CARE} The order of the answers means nothing.
Say in one or two sentences how they differ. Then end with one line, A or B for the better one, TIE for equally good:
VERDICT: A, B or TIE
"""


class Pairwise(PairScorer):
    def __init__(self, chair: Chair, pairs: str, sample: int | None, name: str, concurrency: int) -> None:
        self.chair, self.pairs, self.sample, self.name, self.concurrency = chair, pairs, sample, name, concurrency
        self.asks = (chair.model,)
        self._context: Context | None = None

    def begin(self, context: Context) -> None:
        self._context = context

    def notes(self, models: Sequence[str]) -> list[str]:
        return self.chair.notes(models)

    def questions(self, samples: int, models: int, epochs: int = 1) -> int:
        chosen = samples if self.sample is None else min(samples, self.sample)
        pairs = models * (models - 1) // 2 if self.pairs == "all" else models - 1
        return 2 * pairs * chosen * epochs

    def wrote(self, vote: Vote) -> bool:
        rater, mine = vote[7] or "", self.chair.model
        return rater == mine or rater.endswith(f"/{mine}")

    async def compare(self, first: Sample, second: Sample) -> Vote:
        if first.output.strip() == second.output.strip():
            return self._vote(first, second, "tie", self.chair.model, "the answers are the same")
        lengths = len(first.output), len(second.output)
        try:  # one after the other: when the first fails, the second need not be paid for
            a_first, why, rater = await self._side(first, second, {"A": "a", "B": "b", "TIE": "tie"})
            b_first, other_why, _ = await self._side(second, first, {"A": "b", "B": "a", "TIE": "tie"})
        except HybridNbError as error:
            told = f"{Orders(None, None, *lengths).told}; {failed(error)}"
            return self._vote(first, second, None, self.chair.model, told)
        orders = Orders(a_first, b_first, *lengths)
        return self._vote(first, second, orders.winner, rater, f"{orders.told}; {why} / {other_why}")

    async def _side(self, one: Sample, other: Sample, names: Mapping[str, str]) -> tuple[str | None, str, str]:
        """Who wins in this order, why, and who says so."""
        blocks = {"answer_a": quoted(one.output, "answer_a"), "answer_b": quoted(other.output, "answer_b")}
        text, rater = await self.chair.ask(self._context, self.chair.prompt(one.item, **blocks))
        won = option(last_verdict(text) or "", tuple(names))
        if won is None:
            return None, f"the judge gave no verdict: {shown(text, 300)!r}", rater
        return names[won], reason(text), rater

    @staticmethod
    def _vote(a: Sample, b: Sample, winner: str | None, rater: str | None, told: str) -> Vote:
        prompt = asked(a.item.input)
        return (time.time(), a.item.id, a.item.cluster, prompt, a.model, b.model, winner, rater, None, told)


def pairwise(
    model: str,
    rubric: str = RUBRIC,
    *,
    pairs: str = "all",
    sample: int | None = None,
    reference: bool = True,
    template: str | None = None,
    concurrency: int = 4,
    name: str = "pairwise",
    **options: Any,
) -> PairScorer:
    """A model that compares the answers of two models to the same sample, in both orders: two questions a pair.

    Where the orders disagree it is a tie. The votes are in Run.votes; Run.judge_report() tells how often the orders
    agree, and how often the longer answer wins. Same answers are a tie without asking.

    Args:
        pairs: "all" two models of a run, or "baseline": the first with every other.
        sample: how many samples are compared, drawn by the run's seed; default: all.
        template: with {answer_a} and {answer_b}; it must ask for a last line "VERDICT: A", B or TIE.
    The others are as for judge().
    """
    if pairs not in ("all", "baseline"):
        raise OptionValueError(f"pairwise: pairs must be 'all' or 'baseline', not {pairs!r}")
    if sample is not None and (not isinstance(sample, int) or sample < 1):
        raise OptionValueError(f"pairwise: sample must be a number of samples from 1, not {sample!r}")
    seat = chair("pairwise", model, rubric, reference, template or COMPARE, options, ("answer_a", "answer_b"))
    return Pairwise(seat, pairs, sample, name, positive("pairwise", concurrency))
