"""`import hybrid_nb.pandas` gives every DataFrame `df.llm.map(...)`.

%load_ext hybrid_nb does so too, where pandas is there already. `import hybrid_nb` alone does not import pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_nb.core.late import late
from hybrid_nb.router import default_router

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.router import Router

_pandas = late("pandas", "frames")


class LLM:
    """What language models can do with a frame: `df.llm`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def map(self, prompt: Any, *, router: Router | None = None, **options: Any) -> pd.DataFrame:
        """Router.map of this frame, by `router` or the default one (hnb.default_router()).

        >>> df.llm.map("Is this a complaint? {text}", output=bool, max_cost=0.5)   # doctest: +SKIP
        """
        return (router or default_router()).map(self._frame, prompt, **options)

    def __repr__(self) -> str:
        return f"df.llm of {len(self._frame):,} rows: .map(prompt, output=..., max_cost=...)"


_pandas.api.extensions.register_dataframe_accessor("llm")(LLM)
