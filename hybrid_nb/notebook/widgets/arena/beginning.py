"""What an arena begins with: whom it compares, and what shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hybrid_nb.core.config import nearest
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.router import Router

FRONT_ENDS = ("anywidget", "core")


def compared(router: Router, models: Sequence[str] | None) -> tuple[str, ...]:
    """The models to compare. Raises OptionValueError for unknown, repeated or too few ones."""
    if isinstance(models, str):
        raise OptionValueError(f"models: a list of two or more names, not {models!r}")
    if models is None:
        accepted = router.plan("hi", model=None).accepted
        models = list({c.target.provider: str(c.target) for c in reversed(accepted)}.values())[::-1]
    names = router.model_names()
    unknown = [name for name in models if name not in names]
    if unknown:
        raise OptionValueError(f"there is no model {unknown[0]!r}{nearest(unknown[0], names)}")
    if len(set(models)) < max(2, len(models)):
        raise OptionValueError(f"an arena needs two or more different models, not {', '.join(models) or 'none'}")
    return tuple(models)


def front_end(wanted: str | None) -> Any:
    """As of the chat: by the argument or HYBRID_NB_FRONTEND; "core" where anywidget is missing."""
    choice = wanted or os.environ.get("HYBRID_NB_FRONTEND") or "anywidget"
    if choice not in FRONT_ENDS:
        raise OptionValueError(f"frontend must be one of {', '.join(FRONT_ENDS)}, not {choice!r}")
    if choice == "anywidget" and find_spec("anywidget") is not None:
        from hybrid_nb.notebook.widgets.arena.view import ArenaView

        return ArenaView()
    from hybrid_nb.notebook.widgets.arena.core_view import CoreView

    return CoreView()
