"""hybrid_nb.errors: see hybrid_nb.core.errors."""

from hybrid_nb.core.errors import *  # noqa: F403
