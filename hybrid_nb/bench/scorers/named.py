"""Scorers as people give them: names, functions and scorers in one list."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable
from typing import Any

from hybrid_nb.bench import scorers as door
from hybrid_nb.bench.grading.protocol import AnyScorer, PairScorer, Scorer
from hybrid_nb.bench.scorers.functions import Function
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError

BARE = ("exact", "includes", "numeric", "choice", "similarity", "bleu", "chrf", "unit_tests")
"""Scorers that work by their name alone."""
TOLD = {
    "regex": "regex('ANSWER: (.*)')",
    "json_schema": "json_schema(schema)",
    "judge": "judge(model='provider/model')",
    "pairwise": "pairwise(model='provider/model')",
    "function": "function(f)",
}


def prepared(scorers: Any, allow_code: bool = False) -> list[AnyScorer]:
    """The scorers of a run, from names, functions and scorers; each is the run's own copy.

    Raises OptionValueError for an unknown name, two of one name, and for what runs code without allow_code;
    OptionTypeError for a function of another signature.
    """
    many = scorers if isinstance(scorers, Iterable) and not isinstance(scorers, str) else [scorers]
    found = [_one(given) for given in many]
    _check_names(found)
    refused = [scorer.name for scorer in found if isinstance(scorer, Scorer) and scorer.runs_code]
    if refused and not allow_code:
        raise OptionValueError(
            f"the scorer {refused[0]} runs code that models wrote, on this machine: in a process of its own with "
            "limits of time and memory, but it can read files and use the network. Pass allow_code=True to allow it"
        )
    return found


def _one(given: Any) -> AnyScorer:
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, Scorer | PairScorer):
        return copy.copy(given)
    maker = getattr(given, "__name__", "")
    if maker in (*BARE, *TOLD) and given is getattr(door, maker):  # scorers.exact without its brackets
        return _named(maker)
    if callable(given) and not isinstance(given, type):
        return Function(given)
    raise OptionTypeError(f"a scorer is a name, a function or one of hybrid_nb.scorers, not {type(given).__name__}")


def _named(name: str) -> AnyScorer:
    if name in BARE:
        make: Callable[[], AnyScorer] = getattr(door, name)
        return make()
    if name in TOLD:
        raise OptionValueError(f"the scorer {name} needs to be told more: hybrid_nb.scorers.{TOLD[name]}")
    near = difflib.get_close_matches(name, (*BARE, *TOLD), 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(BARE)}"
    raise OptionValueError(f"no scorer {name!r}: {hint}")


def _check_names(found: list[AnyScorer]) -> None:
    names = [scorer.name for scorer in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionValueError(
            f"two scorers are named {twice!r}; give one another name: scorers.exact(name='strict'), "
            "or scorers.function(f, name='f2')"
        )
