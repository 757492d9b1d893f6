"""The scorers bleu and chrf, of one sentence each (sacrebleu; the extra [bleu])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_nb.bench.grading.protocol import Scorer
from hybrid_nb.bench.grading.targets import texts
from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.core.late import late


class Overlap(Scorer):
    needs_target = True

    def __init__(self, metric: str, options: dict[str, Any], name: str) -> None:
        self.metric, self.options, self.name = metric, options, name

    def check(self, items: Sequence[Item]) -> None:
        late("sacrebleu", "bleu")
        super().check(items)

    def rate(self, sample: Sample) -> Score:
        found = getattr(late("sacrebleu", "bleu"), self.metric)(sample.output, texts(sample.target), **self.options)
        return Score(found.score / 100, str(found))


def bleu(*, lowercase: bool = False, tokenize: str = "13a", name: str = "bleu") -> Scorer:
    """BLEU of the answer against its targets as references, 0 to 1: of one sentence, with effective order (sacrebleu).

    The mean over sentences is not a corpus BLEU. `tokenize` is sacrebleu's: "13a", "intl", "zh", "char" ...
    """
    return Overlap("sentence_bleu", {"lowercase": lowercase, "tokenize": tokenize}, name)


def chrf(*, word_order: int = 0, name: str = "chrf") -> Scorer:
    """chrF of the answer against its targets as references, 0 to 1 (sacrebleu); word_order=2 is chrF++."""
    return Overlap("sentence_chrf", {"word_order": word_order}, name)
