"""What stands in the form of a benchmark, as a run's arguments; and at which line a mistake belongs. No widgets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybrid_nb import benchmarking
from hybrid_nb.bench.traffic.data import items_of
from hybrid_nb.bench.traffic.progress import Progress
from hybrid_nb.core.config import nearest
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.router import Router

NO_MODELS = "choose one model or more"
ARROW = "=>"  # between a typed prompt and what is right
MISTAKES = (OptionValueError, OptionTypeError, HybridNbError, ImportError)


def typed(text: str) -> list[dict[str, Any]]:
    """One sample a line: a prompt, and after "=>" its target."""
    lines = [line.partition(ARROW) for line in text.splitlines() if line.strip()]
    return [{"input": prompt.strip(), "target": target.strip() or None} for prompt, _, target in lines]


@dataclass(frozen=True)
class Wanted:
    """A benchmark that is asked for. `settings` are those of router.benchmark(), max_cost among them."""

    data: Any
    models: Sequence[str]
    scorers: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def without(self, name: str) -> Wanted:
        """The same without one of its settings."""
        return replace(self, settings={key: value for key, value in self.settings.items() if key != name})


@dataclass(frozen=True)
class Look:
    """What came of looking at it: how large it is and what it may cost, mistakes by line, and notes of its scorers."""

    size: Progress | None
    wrong: Mapping[str, str]
    notes: tuple[str, ...] = ()


def known_models(router: Router, models: Sequence[str]) -> tuple[str, ...]:
    """The same, if the router knows them. Raises OptionValueError."""
    names = router.model_names()
    for name in models:
        if name not in names:
            raise OptionValueError(f"there is no model {name!r}{nearest(name, names)}")
    return tuple(models)


def look_at_data(_: Router, wanted: Wanted) -> Look:
    """What is wrong with the data alone, before a model is chosen."""
    try:
        items_of(wanted.data, wanted.settings.get("prompt"))
    except MISTAKES as error:
        return Look(None, {"prompts": str(error)})
    return Look(None, {})


def look(router: Router, wanted: Wanted) -> Look:
    """Check it and estimate its cost. Nothing is asked, and nothing written."""
    if not wanted.models:
        return Look(None, {"models": NO_MODELS})
    dry = wanted.without("save").without("resume")
    try:
        size, notes = _tried(router, dry)
    except MISTAKES as error:
        return Look(None, {blamed(router, dry, error): str(error)})
    return Look(size, {}, notes)


def _tried(router: Router, wanted: Wanted) -> tuple[Progress, tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        bench = benchmarking.prepared(router, wanted.data, wanted.models, wanted.scorers, **wanted.settings)
    bench.abandon()
    return bench.progress, tuple(str(each.message) for each in told)


def blamed(router: Router, wanted: Wanted, error: BaseException) -> str:
    """The line without which it would be right; "" for none."""
    first = str(error).partition(" ")[0]
    if first in ("epochs", "concurrency"):
        return first
    if not _works(lambda: items_of(wanted.data, wanted.settings.get("prompt"))):
        return "prompts"
    rest = replace(wanted, scorers=())
    ways = {"max_cost": wanted.without("max_cost"), "scorers": rest}
    for name, way in ways.items():
        if _works(lambda way=way: _tried(router, way)):  # type: ignore[misc]  # bound now
            return name
    known = set(router.model_names())
    return "models" if any(name not in known for name in wanted.models) else ""


def _works(work: Callable[[], Any]) -> bool:
    try:
        work()
    except MISTAKES:
        return False
    return True
