"""router.map: a frame's rows to a column of answers, or of the fields of a pydantic class."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hybrid_nb.mapping.mapping import how, map_frame

if TYPE_CHECKING:
    from hybrid_nb.router import Router

Given = tuple[Any, Any, Any, bool, bool]  # max_cost, concurrency, on_error, resume, progress


def run(
    router: Router,
    frame: Any,
    prompt: Any,
    given: Given,
    client: Any = None,
    stopped: Callable[[], str | None] = lambda: None,
    **what: Any,
) -> Any:
    """See Router.map. `stopped` tells why somebody has stopped it."""
    way = how(*given, stopped=stopped)
    router._check_open()
    if client is None:
        return map_frame(router, frame, prompt, way, **what)
    from hybrid_nb.mapping.cluster import map_on

    return map_on(client, router, frame, prompt, way, **what)


async def arun(router: Router, frame: Any, prompt: Any, options: Mapping[str, Any]) -> Any:
    """run() in a thread, which ends when the caller is cancelled."""
    left = threading.Event()
    defaults = {"max_cost": None, "concurrency": 8, "on_error": "keep", "resume": True, "progress": True}
    given: Any = tuple(options.get(name, default) for name, default in defaults.items())
    rest = {name: value for name, value in options.items() if name not in defaults}
    what = {name: rest.pop(name, None) for name in ("client", "output", "model", "into")}

    def stopped() -> None:
        if left.is_set():
            raise asyncio.CancelledError

    try:
        return await asyncio.to_thread(run, router, frame, prompt, given, stopped=stopped, options=rest, **what)
    except asyncio.CancelledError:
        left.set()
        raise
