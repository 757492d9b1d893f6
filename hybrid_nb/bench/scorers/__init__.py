"""Scorers of answers: what a benchmark run says of quality, each with an explanation.

>>> from hybrid_nb import scorers
>>> router.benchmark(data, models, scorers=["exact", scorers.numeric(0.01)])   # doctest: +SKIP
"""

from hybrid_nb.bench.records import Item, Sample, Score
from hybrid_nb.bench.scorers.choices import choice
from hybrid_nb.bench.scorers.code import unit_tests
from hybrid_nb.bench.scorers.functions import function
from hybrid_nb.bench.scorers.judges import judge
from hybrid_nb.bench.scorers.overlap import bleu, chrf
from hybrid_nb.bench.scorers.pairs import pairwise
from hybrid_nb.bench.scorers.patterns import regex
from hybrid_nb.bench.scorers.quantities import numeric
from hybrid_nb.bench.scorers.structure import json_schema
from hybrid_nb.bench.scorers.texts import exact, includes, similarity

__all__ = [
    "Item", "Sample", "Score", "bleu", "choice", "chrf", "exact", "function", "includes", "json_schema", "judge",
    "numeric", "pairwise", "regex", "similarity", "unit_tests",
]  # fmt: skip
