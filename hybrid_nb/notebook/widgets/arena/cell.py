"""Arena: two answers to one prompt without names, votes by keyboard, and a ranking by them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hybrid_nb.bench.statistics.preference import Preference
from hybrid_nb.bench.traffic import bar
from hybrid_nb.bench.traffic.data import items_of
from hybrid_nb.core.inputs import OptionValueError, make_request
from hybrid_nb.core.late import late
from hybrid_nb.notebook.widgets.arena import matches, page, saved
from hybrid_nb.notebook.widgets.arena.answers import FAILURE_COLUMNS
from hybrid_nb.notebook.widgets.arena.beginning import compared, front_end
from hybrid_nb.notebook.widgets.arena.control import Contest, Vote
from hybrid_nb.notebook.widgets.arena.kept import Votes
from hybrid_nb.notebook.widgets.benchmark.wanted import Wanted, look
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.router import Router

if TYPE_CHECKING:
    import pandas as pd

ESTIMATED = 2000  # answers of which the cost is told before the start


class Pair(NamedTuple):
    """Two answers to a prompt, without names."""

    prompt: str
    left: str
    right: str


class Arena(Panel):
    """Blind comparison: which of two answers is better, without knowing whose they are.

    Args:
        router: that asks (None: the default one).
        models: two or more names to compare (None: the first model of each provider).
        prompts: a list of strings, or data as router.benchmark() takes it; input, id and cluster are used. None: only
            prompts that are typed in.
        rater: who votes; each rater votes on each pair and prompt once.
        save: a file (.jsonl, .csv, .parquet) that has every vote before the names are shown. If it is there, its votes
            count, and what this rater has voted on is not asked again.
        goal: votes after which it ends (None: every pair on every prompt). seed: of the order and the places.
        frontend: "anywidget" or "core" (ipywidgets; without keys).
        options: of router.stream(), for every answer: system, temperature, max_tokens, timeout, max_cost ...

    Keys: Left or 1, Right or 2, T or 0 (tie), S (skip), Enter (start, next). `votes` are rows of VOTE_COLUMNS.

    Both answers are shown when both are there, not as they stream: speed would give away who it is. After the vote
    names, times and costs are shown. Each model answers a prompt once, and one pair is asked for ahead. An answer that
    says who wrote it ("As ..., I ...") is not blind: nothing here takes such words out.

    >>> arena = hnb.Arena(router, prompts=["Explain tides."])      # doctest: +SKIP
    >>> arena                                                      # doctest: +SKIP
    >>> arena.ranking()                                            # doctest: +SKIP
    """

    topics: ClassVar[frozenset[str]] = frozenset({"config"})

    def __init__(
        self,
        router: Router | None = None,
        models: Sequence[str] | None = None,
        prompts: Any = None,
        *,
        rater: str = "me",
        save: str | os.PathLike[str] | None = None,
        goal: int | None = None,
        seed: int = 0,
        frontend: str | None = None,
        **options: Any,
    ) -> None:
        for package in ("markdown_it", "latex2mathml", "pygments"):
            late(package, "lab")
        if goal is not None and goal < 1:
            raise OptionValueError(f"goal must be 1 or more, not {goal}")
        if "model" in options:
            raise OptionValueError("an arena compares several: models=['a/m', 'b/n']")
        make_request("?", **options)  # says which option is wrong
        items, kept = [] if prompts is None else items_of(prompts), Votes(save)
        self._made: dict[str, Any] = {"items": items, "votes": kept, "rater": rater, "goal": goal, "seed": seed}
        self._models, self._frontend, self._options = models, frontend, options
        self._ranking: tuple[int, Preference] | None = None  # by so many votes
        self._working = threading.Lock()
        super().__init__(router)
        if kept.lost:
            self.say(f"{kept.lost} line of {kept.path} was not whole and is left out", problem=True)

    def compose(self) -> Sequence[Any]:
        """The front end, connected to the contest behind it."""
        models = compared(self.router, self._models)
        self.contest = Contest(models, ask=self._ask, changed=self._tell, **self._made)
        self.contest.estimate = self._estimate()
        self._view = front_end(self._frontend)
        self._view.connect(self.guarded(self._hear))
        self._view.tell(page.page(self.contest))
        return [getattr(self._view, "widget", self._view)]

    def _ask(self, model: str, prompt: Any) -> Any:
        return self.router.stream(prompt, **{**self._options, "model": model})

    def _estimate(self) -> str:
        """What every model's answer to every prompt costs; "" where that takes long to find out, or is not known."""
        items = self._made["items"]
        if not items or len(items) * len(self.contest.models) > ESTIMATED:
            return ""
        wanted = Wanted(items, self.contest.models, settings=self._options).without("max_cost")  # of each call here
        size = look(self.router, wanted).size
        return "" if size is None or size.estimate_usd is None else bar.costs(size)

    def _tell(self) -> None:
        """Something differs: show it; a ranking is worked out aside, as the first one loads scipy."""
        known = self._known()
        self._view.tell(page.page(self.contest, known))
        if page.ranks(self.contest) and known is None:
            self.in_background(self._rank)
        else:
            self.changed()

    def _known(self) -> Preference | None:
        found = self._ranking
        return found[1] if found is not None and found[0] == len(self.contest.votes.rows) else None

    def _rank(self) -> None:
        known = self.preference()
        with self.contest.lock:
            self._view.tell(page.page(self.contest, known))
            self.changed()

    def _hear(self, wish: Any) -> None:
        kind = wish.get("ask") if isinstance(wish, dict) else None
        if kind in ("vote", "skip") and wish.get("number") != self._shown:
            return  # of a page that shows another pair
        if kind == "vote":
            self.contest.vote(str(wish.get("choice")))
        elif kind == "own":
            self.contest.ask(str(wish.get("text", "")))
        elif kind in ("next", "skip", "rest"):
            {"next": self.contest.next, "skip": self.contest.skip, "rest": self.contest.rest}[kind]()

    @property
    def _shown(self) -> int | None:
        bout = self.contest.bout
        return None if bout is None else bout.match.number

    def saved(self) -> Saved:
        """No name while a pair is open; else the last vote, or the ranking."""
        found = self.preference() if page.ranks(self.contest) else None
        with self.contest.lock:
            return Saved(saved.html(self.contest, found), saved.text(self.contest, found))

    # --- voting from code ---------------------------------------------------------------------------------------

    @property
    def pair(self) -> Pair | None:
        """The pair that is open, without names; None when none is."""
        with self.contest.lock:
            bout = self.contest.bout
            if self.contest.phase != "open" or bout is None:
                return None
            return Pair(matches.text_of(bout.match.item), bout.left.text, bout.right.text)

    def next(self, timeout: float | None = None) -> Pair | None:
        """Go to the next pair, wait for its answers, and give it; None when nothing is left, it cannot go on (its line
        says why) or `timeout` seconds went by. A pair that is open stays until it is voted on or skipped.
        """
        self.contest.next()
        self.contest.wait(timeout)
        return self.pair

    def vote(self, choice: str, why: str | None = None) -> Vote:
        """Vote on the open pair: "left", "right" or "tie"; `why` is kept as the explanation. Gives the names.

        Raises ValueError when no pair is open, OSError when the vote could not be saved (it does not count then).
        """
        return self.contest.vote(choice, why)

    def skip(self) -> None:
        """Put the open pair aside without a vote, and go on to the next."""
        self.contest.skip()

    def ask(self, prompt: str) -> None:
        """A prompt of one's own, answered by the pair with the fewest votes; it comes next."""
        self.contest.ask(prompt)

    def rest(self) -> None:
        """Show the ranking; next() goes on."""
        self.contest.rest()

    # --- what came of it ----------------------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are compared."""
        return self.contest.models

    @property
    def votes(self) -> pd.DataFrame:
        """One row a vote, those of `save` too: VOTE_COLUMNS of hybrid_nb.bench.records."""
        return self.contest.votes.frame

    @property
    def failures(self) -> pd.DataFrame:
        """One row an answer that did not come: time, id, prompt, model, error. It names models."""
        rows = self.contest.answers.failures
        table: pd.DataFrame = late("pandas", "frames").DataFrame(rows, columns=list(FAILURE_COLUMNS))
        table["time"] = late("pandas", "frames").to_datetime(table["time"], unit="s", utc=True)
        return table

    def ranking(self) -> pd.DataFrame:
        """One row a model, the best first: rating with its interval, rank, votes, `tied_with`.

        See hybrid_nb.bench.statistics.preference. Needs the extra [benchmark].
        """
        return self.preference().table()

    def preference(self) -> Preference:
        """The whole of it: `.table()`, `.pairs()`, `.matrix()`, `.left` (position bias), `.notes`."""
        with self._working:
            found = self._known()
            if found is None:
                count = len(self.contest.votes.rows)
                found = page.ranking(self.contest)
                self._ranking = (count, found)
            return found

    def close(self) -> None:
        """Take it from the page, and end what it asks."""
        if hasattr(self, "contest"):  # one that could not be made is closed when it is collected
            self.contest.close()
        super().close()

    def __repr__(self) -> str:
        return f"Arena({page.progress(self.contest)})" if hasattr(self, "contest") else "Arena(not made)"
