"""What a router does with a frame: its rows to answers, which are kept in the ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from hybrid_nb import rows
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.router import Router


class Maps:
    """The part of Router that maps frames. Router sets what is named here."""

    _ledger: Ledger

    @property
    def _whole(self) -> Router:
        return cast("Router", self)

    def _check_open(self) -> None:
        raise NotImplementedError

    def map(
        self,
        frame: pd.DataFrame,
        prompt: Any,
        *,
        output: Any = None,
        model: str | None = None,
        max_cost: Any = None,
        concurrency: int = 8,
        on_error: str = "keep",
        resume: bool = True,
        progress: bool = True,
        into: str | None = None,
        client: Any = None,
        **options: Any,
    ) -> pd.DataFrame:
        """A frame's rows to answers: a new frame with its index and columns, and the answers' columns.

        `prompt`: a template over columns ("Classify: {text}"; braces that are text are doubled), a column's name, a
        Series of prompts, or a function of a row. A row in which a named column is missing is not asked.
        `output`: None (text, in the column "output"), a type such as bool or Literal["good", "bad"] (likewise), a
        pydantic class or JSON schema (a column for each field; what is nested is an object). `into` names the single
        column, and is the prefix of all others. Beside them are answered_by, cost_usd (dollars; of an answer that
        several rows share in the first of them) and error (missing where all is well).

        Equal requests are asked once. Each answer is in the ledger as soon as it is there: the same map asks nothing
        twice, in another session and after a crash neither, unless resume=False. That differs from cache="on", which
        is for all calls, but looks at who answered, forgets after its own time and pushes out what is old.
        `max_cost` (dollars) holds for what this map asks now, retries too: rows that it does not reach have the error
        "not asked: ...", and so have those that the budget does not reach; with max_cost=0 it tells what the map may
        cost, and asks nothing but free models. `on_error="raise"` raises the first error of a row; errors that come
        again and again end a map in any case. When all that fit are shut after a failure, or rest as they asked, and
        somebody has answered before, the other rows wait for up to 15 minutes.
        An interrupt keeps what is finished. `client`: a dask.distributed Client whose workers ask; the frame may be a
        dask DataFrame then. Other options are those of chat().

        Raises ValueError or TypeError for bad options and columns, before anything is sent; BudgetExceededError for
        max_cost where no price is known.
        """
        from hybrid_nb import mapping

        given = (max_cost, concurrency, on_error, resume, progress)
        what = {"output": output, "model": model, "into": into, "options": options}
        answered: pd.DataFrame = mapping.run(self._whole, frame, prompt, given, client, **what)
        return answered

    async def amap(self, frame: pd.DataFrame, prompt: Any, **options: Any) -> pd.DataFrame:
        """map() for async cells and programs: it works in a thread; cancelling the caller ends it, and keeps what is
        finished.
        """
        from hybrid_nb import mapping

        answered: pd.DataFrame = await mapping.arun(self._whole, frame, prompt, options)
        return answered

    def forget_map(self, older_than: Any = None) -> int:
        """Drop answers that map() keeps in the ledger: all, or those last used before a time (a datetime, or a
        timedelta back from now); how many there were. Those of 30 days without use go by themselves.
        """
        self._check_open()
        before = time.time() + 1 if older_than is None else rows.unix(older_than)
        return portal().run(Mapped(self._ledger).forget(before or 0.0))
