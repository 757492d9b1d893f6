"""What a map is likely to cost, told before anything is sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Candidate, Request, money
from hybrid_nb.engine.allowance import Rates, rates_of
from hybrid_nb.ledger import prices
from hybrid_nb.ledger.entries import PICO

if TYPE_CHECKING:
    from hybrid_nb.mapping.job import Job
    from hybrid_nb.mapping.work import Work
    from hybrid_nb.router import Router

TYPICAL = 256  # tokens of an answer, where none of the same kind is known


class Estimate(NamedTuple):
    """Dollars for the rows that are still to be asked; None is unknown.

    `most` is an upper bound of one attempt each, known where max_tokens bounds the answers.
    """

    target: str | None
    likely: Decimal | None
    most: Decimal | None
    room: Decimal | None = None  # what the budgets leave; None: they limit nothing

    def words(self, max_cost: Decimal | None) -> str:
        """For people, after "asking 25"."""
        whom = f" of {self.target}" if self.target else ""
        bounds = [f"at most {money(self.most)} without retries"] if self.most else []
        bounds += [f"max_cost {money(max_cost) if max_cost else '$0'}"] if max_cost is not None else []
        if self.room is not None and self.likely is not None and self.likely > self.room:
            bounds.append(f"the budget leaves {money(self.room) if self.room else '$0'}")
        cost = "likely " + ("an unknown amount" if self.likely is None else money(self.likely))
        return f"{whom}: {cost}" + (f" ({', '.join(bounds)})" if bounds else "")


class Tokens(NamedTuple):
    """Sums over the requests that are to be asked."""

    requests: int
    likely_input: int
    most_input: int


def tokens(work: Work, numbers: Iterable[int]) -> Tokens:
    """The prompts of these requests together."""
    chosen = list(numbers)
    return Tokens(len(chosen), sum(work.sizes[n] for n in chosen), sum(work.bounds[n] for n in chosen))


def estimate(todo: Tokens, rates: Rates | None, target: str | None, answer: float, max_tokens: int | None) -> Estimate:
    """What it may cost; `answer` is the likely length of one in tokens."""
    if rates is None:
        return Estimate(target, None, None)
    output = min(answer, max_tokens or answer)
    likely = todo.likely_input * rates.input + int(todo.requests * output) * rates.output
    most = None
    if max_tokens is not None:
        most = Decimal(todo.most_input * rates.input + todo.requests * max_tokens * rates.output) / PICO
    return Estimate(target, Decimal(likely) / PICO, most)


def rates_at(provider: Provider, model: str) -> Rates | None:
    """The price of a token there; None where nobody knows."""
    return rates_of(lambda usage: prices.cost(provider, model, usage, None)[0])


def foreseen(router: Router, job: Job, request: Request, todo: Tokens, answer: float | None, bounded: bool) -> Estimate:
    """The estimate for the target that would be asked first. `bounded`: max_cost is given.

    Raises what the plan raises, and BudgetExceededError when max_cost cannot be held as no price is known.
    """
    ready = router._ready(request, job.named)
    accepted, providers = ready.plan.accepted, ready.state.providers
    if not accepted:
        return Estimate(None, None, None)  # a replay; or nobody can take it, which the call says better
    known = [rates_at(providers[c.target.provider], c.target.model) for c in accepted]
    if bounded and all(rates is None for rates in known):
        raise BudgetExceededError(unpriced(accepted))
    most = job.base.max_tokens
    guess = estimate(todo, known[0], str(accepted[0].target), TYPICAL if answer is None else answer, most)
    return guess._replace(room=_room(router))


def _room(router: Router) -> Decimal | None:
    """Dollars that the budgets leave."""
    periods = router._budget.periods(time.time())
    left = [max(0, p.limit - p.spent - p.reserved) for p in periods if p.limit is not None]
    return Decimal(min(left)) / PICO if left else None


def unpriced(candidates: Sequence[Candidate]) -> str:
    """Why max_cost cannot be held."""
    names = ", ".join(str(candidate.target) for candidate in candidates[:3])
    return (
        f"the price of {names} is unknown, so max_cost cannot be held: give its provider prices = "
        "{ MODEL = { input = ..., output = ... } } in dollars per million tokens, or leave max_cost out"
    )
