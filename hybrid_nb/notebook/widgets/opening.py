"""The router of a panel that somebody opens by a file's name, or without any; a file with mistakes opens too."""

from __future__ import annotations

import os

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.router import Router, default_router, set_default_router

Source = Router | str | os.PathLike[str] | None


def opened(source: Source) -> Router:
    """The router itself, one of a file, or the default one.

    A file with mistakes gives what is left of it (`router.broken` tells them); as the default router, the magics use
    that too until it is mended. Raises ConfigError for mistakes that are not in a file.
    """
    if isinstance(source, Router):
        return source
    if source is not None:
        return Router(source, lenient=True)
    try:
        return default_router()
    except ConfigError:
        router = Router(lenient=True)
        set_default_router(router)
        return router
