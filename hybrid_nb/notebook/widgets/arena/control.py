"""What the arena does, whatever shows it: a state machine over matches, answers that come on threads, and votes.

Phases: ready (nothing was asked yet), asking (both answers are waited for), open (they are shown without names), voted
(with names), resting (the ranking is shown), over (nothing is left), halted (it cannot go on by itself).
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from hybrid_nb.bench.records import Item
from hybrid_nb.core.errors import BudgetExceededError, ConfigError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.widgets.arena import matches
from hybrid_nb.notebook.widgets.arena.answers import Answers
from hybrid_nb.notebook.widgets.arena.asking import Ask, Bout
from hybrid_nb.notebook.widgets.arena.kept import Votes, row_of
from hybrid_nb.notebook.widgets.arena.matches import OWN, Key

Phase = Literal["ready", "asking", "open", "voted", "resting", "over", "halted"]
Choice = Literal["left", "right", "tie"]
CHOICES = ("left", "right", "tie")
SLICE = 0.1  # seconds between looks for an interrupt while answers are waited for


class Vote(NamedTuple):
    """A vote with what it was about. `choice` is "left", "right" or "tie"."""

    choice: str
    left: str
    right: str

    @property
    def winner(self) -> str | None:
        """The model that was preferred; None: a tie."""
        return {"left": self.left, "right": self.right}.get(self.choice)


class Contest:
    """Everything that can be done in an arena. `changed` is called under `lock` whenever what is shown differs."""

    def __init__(
        self,
        models: Sequence[str],
        items: Sequence[Item],
        votes: Votes,
        ask: Ask,
        rater: str = "me",
        goal: int | None = None,
        seed: int = 0,
        changed: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.models, self.items, self.votes, self.rater, self.goal = tuple(models), list(items), votes, rater, goal
        self.lock = threading.RLock()
        self.phase: Phase = "ready"
        self.bout: Bout | None = None  # the one that is shown, or waited for
        self.vote_cast: Vote | None = None
        self.answers = Answers()
        self.problem = ""  # why it is halted
        self.estimate = ""  # what all answers may cost, in words
        self._ask, self._changed, self._wall = ask, changed, wall
        self._seed = seed
        self._ahead: Bout | None = None
        self._wishes: list[Item] = []  # own prompts that wait
        self._aside: set[Key] = set()  # skipped
        self._number = len(votes.rows)

    # --- what is known ------------------------------------------------------------------------------------------

    @property
    def cast(self) -> int:
        """Votes of this rater on these models."""
        return sum(self._mine().values())

    @property
    def total(self) -> int:
        """How many votes there are to be."""
        everything = len(self.pairs) * len(self.items)
        own = sum(count for (ident, _), count in self._mine().items() if ident.startswith(OWN))
        whole = min(everything, self.goal) if self.goal is not None else everything
        return max(self.cast, whole + own + len(self._wishes) + self._own_open())

    def _own_open(self) -> int:
        shown = self.phase in ("asking", "open") and self.bout is not None
        return int(shown and self.bout is not None and self.bout.match.item.id.startswith(OWN))

    @property
    def pairs(self) -> list[matches.Pair]:
        """Every two models."""
        return matches.pairs(self.models)

    def _mine(self) -> Counter[Key]:
        """This rater's votes on the prompts that there are, and on own ones."""
        idents = {item.id for item in self.items}
        found = self.votes.counted(self.pairs, self.rater)
        return Counter({key: count for key, count in found.items() if key[0] in idents or key[0].startswith(OWN)})

    # --- asking -------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next pair, as soon as its answers are there; the one that is open stays until it is voted on."""
        with self.lock:
            if self.phase in ("asking", "open"):
                return
            if self.problem:
                self.problem = ""
                self.answers.forgive()
            if self.bout is None or self.vote_cast is not None:
                self.bout, self.vote_cast = self._take(), None
            self._go()
            self._changed()

    def _take(self) -> Bout | None:
        """The bout that was asked for ahead, or another one; own prompts first."""
        if not self._wishes and self._ahead is not None:
            found, self._ahead = self._ahead, None
            return found
        return self._new()

    def _new(self) -> Bout | None:
        waiting = (self.bout is not None and self.vote_cast is None) + (self._ahead is not None)
        if self.goal is not None and not self._wishes and self.cast + waiting >= self.total:
            return None
        chance = random.Random(f"{self._seed} {self._number}")  # noqa: S311 - who stands left, not a secret
        found = self._chosen(chance)
        if found is None:
            return None
        match = matches.seated(self._number, *found, chance)
        self._number += 1
        return Bout(match, self.answers.known(match), self._ask, self._ended)

    def _chosen(self, chance: random.Random) -> tuple[Item, matches.Pair] | None:
        among = matches.pairs(name for name in self.models if name not in self.answers.left_out)
        waiting = (self.bout if self.vote_cast is None else None, self._ahead)
        under_way = {bout.match.key for bout in waiting if bout is not None}
        votes = self.votes.counted(self.pairs) + Counter(under_way)
        if self._wishes and among:
            wish = self._wishes.pop(0)
            return matches.choose([wish], among, votes, (), chance)
        gone = self._aside | self.answers.broken(self.pairs) | set(self._mine()) | under_way
        return matches.choose(self.items, among, votes, gone, chance)

    def _go(self) -> None:
        """Wait for the bout, show it, or say why there is none."""
        bout = self.bout
        if bout is None:
            self.phase = "over"
            if self.answers.left_out:
                self._halt("models whose answers did not come are left out; Go on asks them again")
        elif bout.done.is_set():
            self._settle(bout)
        else:
            self.phase = "asking"
            bout.start()

    def _ended(self, bout: Bout) -> None:
        """Both answers of a bout are there; on any thread."""
        with self.lock:
            if bout.cancelled:
                return
            for answer in bout.answers.values():
                self.answers.learn(bout.match.item, answer, self._wall())
            if bout is self.bout and self.phase == "asking":
                self._settle(bout)
                self._changed()

    def _settle(self, bout: Bout) -> None:
        """Show a bout whose answers are there; one of which an answer failed is put aside, and the next taken."""
        if not bout.failed:
            self.phase = "open"
            self._look_ahead()
            return
        self.bout = None
        errors = [answer.error for answer in bout.failed]
        if any(isinstance(error, BudgetExceededError) for error in errors):
            self._halt("the budget is used up; raise it (router.configure(budget=...)) or wait, and go on")
        elif any(isinstance(error, ConfigError) for error in errors):
            self._halt("the router cannot ask; arena.failures says why")
        else:
            self.bout = self._take()
            self._go()

    def _halt(self, why: str) -> None:
        self.phase, self.problem = "halted", why
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _look_ahead(self) -> None:
        """Ask for one pair more while this one is read; never for two, as nobody may want them."""
        if self._ahead is None and not self._wishes:
            self._ahead = self._new()
            if self._ahead is not None:
                self._ahead.start()

    # --- voting -------------------------------------------------------------------------------------------------

    def vote(self, choice: str, why: str | None = None) -> Vote:
        """Cast a vote on the pair that is open; it is kept before the names are shown."""
        if choice not in CHOICES:
            raise OptionValueError(f"a vote is one of {', '.join(CHOICES)}, not {choice!r}")
        with self.lock:
            if self.phase != "open" or self.bout is None:
                raise OptionValueError(f"no pair is open to be voted on ({self.phase}); next() shows one")
            match = self.bout.match
            vote = Vote(choice, match.left, match.right)
            self.votes.add(row_of(self._wall(), match, vote.winner, self.rater, why))
            self.vote_cast, self.phase = vote, "voted"
            self._changed()
            return vote

    def skip(self) -> None:
        """Put the pair aside, without a vote and without names, and go on."""
        with self.lock:
            if self.phase not in ("asking", "open") or self.bout is None:
                raise OptionValueError(f"no pair is open to be skipped ({self.phase})")
            self._aside.add(self.bout.match.key)
            if not self.bout.done.is_set():
                self.bout.cancel()
            self.bout = None
            self.bout = self._take()
            self._go()
            self._changed()

    def ask(self, text: str) -> None:
        """A prompt of the rater's own, answered by the pair with the fewest votes; it comes next."""
        if not text.strip():
            raise OptionValueError("write a prompt first")
        with self.lock:
            self._wishes.append(matches.own(text.strip()))
            if self.phase in ("asking", "open"):
                self._changed()
            else:
                self.next()

    def rest(self) -> None:
        """Show the ranking instead of a pair; next() goes on where it was."""
        with self.lock:
            if self.phase != "over":
                self.phase = "resting"
            self._changed()

    def wait(self, timeout: float | None = None) -> bool:
        """Until no answer is waited for; False when that took longer than `timeout` seconds."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while (bout := self._awaited()) is not None:
            bout.done.wait(SLICE)
            if give_up is not None and time.monotonic() > give_up:
                return False
        return True

    def _awaited(self) -> Bout | None:
        with self.lock:
            return self.bout if self.phase == "asking" else None

    def close(self) -> None:
        """End what is under way."""
        with self.lock:
            for bout in (self.bout, self._ahead):
                if bout is not None:
                    bout.cancel()
