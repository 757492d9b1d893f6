"""Which cell shows which panels: a cell that is run again closes those that it made before, which nobody can see."""

from __future__ import annotations

import weakref
from typing import Any

_cells: dict[str, tuple[int, weakref.WeakSet[Any]]] = {}
_elsewhere: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def this_cell() -> tuple[str, int] | None:
    """The cell that runs, by its id, and the number of its run; None where the front end does not tell (a terminal)."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    try:
        parent = shell.get_parent()
    except AttributeError:
        return None
    cell = (parent or {}).get("metadata", {}).get("cellId")
    return (str(cell), int(shell.execution_count)) if cell else None


def shown(panel: Any) -> None:
    """A panel is being shown in the cell that runs."""
    here = this_cell()
    if here is None:
        return
    cell, run = here
    before, panels = _cells.get(cell, (run, weakref.WeakSet()))
    if before != run:
        for old in [old for old in panels if old is not panel]:
            seen = _elsewhere.get(old, set())
            seen.discard(cell)
            if not seen:
                old.close()
        panels = weakref.WeakSet()
    panels.add(panel)
    _cells[cell] = (run, panels)
    _elsewhere.setdefault(panel, set()).add(cell)
