"""The scorer judge: a model that grades answers by a rubric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_nb.bench.grading.protocol import Context, Scorer
from hybrid_nb.bench.grading.targets import shown
from hybrid_nb.bench.grading.verdicts import last_verdict, number, option, quoted, rated, reason
from hybrid_nb.bench.records import Sample, Score
from hybrid_nb.bench.scorers.chair import CARE, RUBRIC, Chair, chair, failed, positive
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionValueError

GRADE = f"""Grade an answer.

Rubric: {{rubric}}

{{question}}

{{reference}}

{{answer}}

{CARE}
Say in one or two sentences what is right and what is wrong. Then end with one line of this form:
VERDICT: {{verdicts}}
"""


class Scale(NamedTuple):
    """What a judge may say, and what that is worth from 0 to 1."""

    low: float = 0.0
    high: float = 1.0
    choices: tuple[tuple[str, float], ...] = ()

    @property
    def asked(self) -> str:
        if self.choices:
            *some, last = [name for name, _ in self.choices]
            return f"{', '.join(some)} or {last}"
        return f"a number from {self.low:g} to {self.high:g}"

    def value(self, said: str) -> float | None:
        if self.choices:
            name = option(said, [name for name, _ in self.choices])
            return None if name is None else dict(self.choices)[name]
        found = number(said, self.low, self.high)
        return None if found is None else (found - self.low) / (self.high - self.low)

    def told(self, said: str) -> str:
        return said if self.choices else f"{said} ({self.low:g} to {self.high:g})"


class Judge(Scorer):
    def __init__(self, chair: Chair, scale: Scale, name: str, concurrency: int) -> None:
        self.chair, self.scale, self.name, self.concurrency = chair, scale, name, concurrency
        self.asks = (chair.model,)
        self._context: Context | None = None

    def begin(self, context: Context) -> None:
        self._context = context

    def notes(self, models: Sequence[str]) -> list[str]:
        return self.chair.notes(models)

    def questions(self, samples: int, models: int, epochs: int = 1) -> int:
        return samples * models * epochs

    async def score(self, sample: Sample) -> Score:
        prompt = self.chair.prompt(sample.item, answer=quoted(sample.output, "answer"), verdicts=self.scale.asked)
        try:
            text, rater = await self.chair.ask(self._context, prompt)
        except HybridNbError as error:
            return Score(None, failed(error))
        said = last_verdict(text)
        if said is None:
            return Score(None, f"the judge {rater} gave no verdict: {shown(text, 300)!r}")
        value = self.scale.value(said)
        if value is None:
            return Score(None, f"the judge {rater} said {shown(said)!r}, which is not {self.scale.asked}")
        return Score(value, rated(rater, self.scale.told(said), reason(text)), said)


def judge(
    model: str,
    rubric: str = RUBRIC,
    *,
    scale: tuple[float, float] = (0, 1),
    choices: Mapping[str, float] | Sequence[str] | None = None,
    reference: bool = True,
    template: str | None = None,
    concurrency: int = 4,
    name: str = "judge",
    **options: Any,
) -> Scorer:
    """A model that grades each answer by a rubric, 0 to 1. A judge that fails or gives no verdict leaves no score.

    Take a judge of another family than the models that it judges: judges favour their kin. What an answer says cannot
    speak for the judge (hybrid_nb.bench.grading.verdicts). Run.judge_report() tells how far length moves it.

    Args:
        model: "provider/model", a model's name or a group.
        rubric: what makes an answer good, in words.
        scale: the numbers that it may say; Score.value is where that lies between them, from 0 to 1.
        choices: words in place of numbers, each with what it is worth ({"right": 1, "partly": 0.5, "wrong": 0}), or a
            list from the best (1) to the worst (0).
        reference: the target is shown to the judge as an answer that is known to be right.
        template: a prompt of your own with {answer}, and {question}, {reference}, {rubric} and {verdicts} as you like;
            it must ask for a last line "VERDICT: ...".
        concurrency: questions to the judge at once.
        options: of chat(), such as max_tokens or cache; the temperature is 0 unless given, where the model takes one.
    """
    seat = chair("judge", model, rubric, reference, template or GRADE, options, ("answer",))
    return Judge(seat, _scale(scale, choices), name, positive("judge", concurrency))


def _scale(scale: tuple[float, float], choices: Mapping[str, float] | Sequence[str] | None) -> Scale:
    if choices is None:
        low, high = scale
        if not low < high:
            raise OptionValueError(f"judge: scale must be (lowest, highest), not {scale!r}")
        return Scale(low, high)
    named = choices.items() if isinstance(choices, Mapping) else _spread(choices)
    found = tuple((str(name), float(worth)) for name, worth in named)
    if len({name.casefold() for name, _ in found}) < max(2, len(found)):
        raise OptionValueError("judge: choices must be two or more different words")
    return Scale(choices=found)


def _spread(choices: Sequence[str]) -> list[tuple[str, float]]:
    steps = max(1, len(choices) - 1)
    return [(name, 1 - place / steps) for place, name in enumerate(choices)]
