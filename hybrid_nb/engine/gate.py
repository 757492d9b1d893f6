"""What every attempt passes before its first byte: breaker, limits, budget; and hands back when it has ended.

The parts are pure (breaker.py, limits.py, allowance.py, ledger/budget.py); this is where they wait and are woken.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from hybrid_nb.core import forks
from hybrid_nb.core.asking import waits_for
from hybrid_nb.core.errors import AuthenticationError, InferenceError, RateLimitError
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.core.purse import PURSE, Purse
from hybrid_nb.core.responses import reset_of, retry_after
from hybrid_nb.core.types import Request, Target, Usage
from hybrid_nb.engine.allowance import (
    PICO,
    TYPICAL_OUTPUT,
    Allowance,
    Rates,
    allowance,
    input_bound,
    most_output,
    rates_of,
)
from hybrid_nb.engine.breaker import FOREVER, Breaker, Pass, Policy, Verdict
from hybrid_nb.engine.catalogue import Option
from hybrid_nb.engine.latency import Latency
from hybrid_nb.engine.limits import Hold, Limits
from hybrid_nb.engine.naps import BEAT, Naps
from hybrid_nb.engine.schedule import Slot

Pricer = Callable[[Provider, str, Usage | None, Decimal | None], tuple[Decimal | None, str | None]]


# (what is left, when that ends, of what): the kinds of each vendor; wire_formats 17.4
_RATE_HEADERS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset", "requests"),  # OpenRouter
)
_ANTHROPIC_HEADERS = (
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", "requests"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", "tokens"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset", "input tokens"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset", "output tokens"),
)


_COUNT = re.compile(r"\d{1,15}")
MOST_POSTS = 10_000


class Money(Protocol):
    """The budget as the gate sees it; amounts are integers of 1e-12 dollars."""

    @property
    def limited(self) -> bool:
        """Whether there is any limit to hold."""

    async def reserve(
        self, identifier: str, amounts: Sequence[int], estimate: int, patience: float, roomy: int | None = None
    ) -> int:
        """Reserve the first amount that fits and return its place; one behind the first `roomy` only where waiting
        brings no more. Raises BudgetExceededError.
        """

    def settle(self, identifier: str, cost: int | None) -> None:
        """The attempt ended: what it cost, 0 when nothing was billed, None when nobody knows."""

    def charge(self, cost: int) -> None:
        """Count what was billed to an attempt that held no reservation: its price was not known before."""


class Shut(Exception):  # noqa: N818 - a signal to the run, never seen outside
    """The slot's breaker lets nothing through; `until` is loop time, `reason` for people."""

    def __init__(self, reason: str, until: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.until = until


class Full(Exception):  # noqa: N818 - likewise
    """The slot's limit is reached; `wait` is seconds until it may go, inf while nobody knows."""

    def __init__(self, wait: float) -> None:
        when = "until another call ends" if wait == FOREVER else f"for {wait:.0f} s more"
        super().__init__(f"its limit is reached {when}")
        self.wait = wait


@dataclass(slots=True)
class Lane:
    """The limits of one provider's key, and those who wait for them in order."""

    limits: Limits
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0  # a lock that is handed on looks free for a moment, and nobody may slip in then
    freed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Post:
    """Everything that guards one model at one address: found once for each configuration, since hashing an address
    and its key for each call costs more than the checks."""

    endpoint: Endpoint
    provider: Provider
    key: Breaker
    target: Breaker
    lane: Lane
    rates: Rates | None
    most_output: int | None  # tokens of an answer that nobody limits

    @property
    def calm(self) -> bool:
        """Both breakers are closed, as nearly always."""
        return self.key.calm and self.target.calm

    def passes(self) -> tuple[tuple[Breaker, Pass], ...]:
        return ((self.key, Pass.NORMAL), (self.target, Pass.NORMAL))


@dataclass(slots=True)
class Ticket:
    """What one attempt holds until it hands it back."""

    slot: Slot
    post: Post
    breakers: tuple[tuple[Breaker, Pass], ...]
    hold: Hold | None
    since: float  # unix time
    generation: int  # of the gate: a forked child hands nothing back for its parent
    reservation: str | None = None
    cap: int | None = None  # max_tokens that the budget allows
    purse: Purse | None = None  # that `held` was taken out of
    held: str = ""


class Gate:
    """The gate of one router. Its state outlives configurations: a changed key or address is a new endpoint."""

    def __init__(
        self,
        price: Pricer,
        money: Money | None,
        latency: Latency | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.price = price
        self.money = money
        self.latency = latency or Latency()
        self.clock = clock
        self._policy = Policy()
        self._posts: dict[tuple[int, str], Post] = {}
        self._keys: dict[Endpoint, Breaker] = {}
        self._targets: dict[tuple[Endpoint, str], Breaker] = {}
        self._lanes: dict[Endpoint, Lane] = {}
        self.naps = Naps()
        self._wall = wall
        self._inside = 0  # attempts
        self._beating: asyncio.TimerHandle | None = None
        self._generation = 0
        forks.afresh(self)

    def forked(self) -> None:
        """In a forked child: no attempt is under way, nobody waits, no probe is out. What is known stays known."""
        forks.keep(self._beating, *((lane.turn, lane.freed) for lane in self._lanes.values()))
        self._generation += 1
        self._inside, self._beating, self.naps = 0, None, Naps()
        self.latency.flying.clear()
        for lane in self._lanes.values():
            lane.turn, lane.freed, lane.waiting, lane.limits.running = asyncio.Lock(), asyncio.Event(), 0, 0
        for breaker in (*self._keys.values(), *self._targets.values()):
            breaker.probing = False

    @property
    def policy(self) -> Policy:
        """When breakers open, and for how long; a new one holds for all of them at once."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        for breaker in (*self._keys.values(), *self._targets.values()):
            breaker.policy = policy

    # --- going in -------------------------------------------------------------------------------------------

    async def enter(
        self, identifier: str, slot: Slot, request: Request, tokens: int, deadline: float, patient: bool
    ) -> Ticket:
        """Let an attempt through. `tokens` is its estimated size, `patient` whether it may wait for the limit.

        Raises Shut, Full or BudgetExceededError; whatever was taken is given back then.
        """
        post = self._post(slot)
        breakers, wall = post.passes() if post.calm else self._pass(post), self._wall()
        ticket = Ticket(slot, post, breakers, None, wall, self._generation)
        if self._beating is None or not self._inside:
            self._awake(wall)
        self._inside += 1
        self.latency.begin(slot.target)
        try:
            ticket.hold = await self._place(post.lane, tokens, deadline, patient)
            await self._reserve(identifier, ticket, request, tokens, deadline)
        except BaseException:
            self.leave(ticket, Verdict.NOTHING, sent=False)
            raise
        return ticket

    def _awake(self, wall: float) -> None:
        """From now on beats tell whether we slept while an attempt was under way."""
        now = self.clock()
        self.naps.start(now, wall, now + BEAT)
        if self._beating is None:
            self._beating = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _beat(self) -> None:
        self._beating = None
        if self._inside:
            now = self.clock()
            self.naps.beat(now, self._wall(), now + BEAT)
            self._beating = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _slept(self, since: float) -> bool:
        """Whether we slept since that unix time, while attempts were under way."""
        wall = self._wall()
        self.naps.look(self.clock(), wall)
        return self.naps.spanned(since, wall)

    def _post(self, slot: Slot) -> Post:
        place = (id(slot.endpoint), slot.target.model)
        post = self._posts.get(place)
        if post is None or post.endpoint is not slot.endpoint or post.provider is not slot.provider:
            if len(self._posts) > MOST_POSTS:
                self._posts.clear()
                self._targets = {place: breaker for place, breaker in self._targets.items() if not breaker.calm}
            post = self._posts[place] = self._new_post(slot)
        return post

    def _new_post(self, slot: Slot) -> Post:
        endpoint, provider, model = slot.endpoint, slot.provider, slot.target.model
        key = self._keys.setdefault(endpoint, Breaker(self._policy))
        target = self._targets.setdefault((endpoint, model), Breaker(self._policy))
        lane = self._lanes.setdefault(endpoint, Lane(Limits()))
        lane.limits.rpm, lane.limits.tpm = provider.rpm, provider.tpm
        lane.limits.max_concurrency = provider.max_concurrency
        rates = rates_of(lambda usage: self.price(provider, model, usage, None)[0])
        by_wire = getattr(provider.vendor.wire, "default_output", None)
        output = most_output(model, provider.model_info(model).max_output, by_wire)
        return Post(endpoint, provider, key, target, lane, rates, output)

    def upper(self, slot: Slot, tokens: int, output: int) -> Decimal | None:
        """Dollars that so many tokens may cost at most; None where no price is known."""
        rates = self._post(slot).rates
        return None if rates is None else Decimal(tokens * rates.input + output * rates.output) / PICO

    def _pass(self, post: Post) -> tuple[tuple[Breaker, Pass], ...]:
        now = self.clock()
        for breaker in (post.key, post.target):
            if not breaker.admits(now):
                raise Shut(breaker.describe(now), max(now, breaker.opens_at))
        return tuple((b, let) for b in (post.key, post.target) if (let := b.enter(now)) is not None)

    async def _place(self, lane: Lane, tokens: int, deadline: float, patient: bool) -> Hold | None:
        limits = lane.limits
        if limits.unlimited and limits.blocked_until <= self.clock():
            return None
        if not lane.waiting:
            hold = limits.take(tokens, self.clock())
            if hold is not None:
                return hold
        wait = limits.wait(tokens, self.clock())
        if not patient or (wait != float("inf") and self.clock() + wait > deadline):
            raise Full(wait)
        return await self._in_turn(lane, tokens, deadline)

    async def _in_turn(self, lane: Lane, tokens: int, deadline: float) -> Hold:
        """Wait in the order of arrival, behind others too no longer than the call has."""
        lane.waiting += 1
        waits_for("its rate limit")
        try:
            async with asyncio.timeout(deadline - self.clock()), lane.turn:
                return await self._first_in_line(lane, tokens)
        except TimeoutError:
            raise Full(lane.limits.wait(tokens, self.clock())) from None
        finally:
            lane.waiting -= 1

    async def _first_in_line(self, lane: Lane, tokens: int) -> Hold:
        while True:
            lane.freed.clear()
            hold = lane.limits.take(tokens, self.clock())
            if hold is not None:
                return hold
            wait = lane.limits.wait(tokens, self.clock())
            with contextlib.suppress(TimeoutError):  # not wait_for, which may lose a cancellation before 3.12
                async with asyncio.timeout(None if wait == float("inf") else wait):
                    await lane.freed.wait()

    async def _reserve(self, identifier: str, ticket: Ticket, request: Request, tokens: int, deadline: float) -> None:
        purse, limited = PURSE.get(), self.money is not None and self.money.limited
        if purse is None and not limited:
            return
        rates = ticket.post.rates
        if rates is None and purse is not None:
            raise purse.unpriced()
        if rates is None or not (rates.input or rates.output):
            return
        vendor, model = ticket.slot.provider.vendor, ticket.slot.target.model
        likely = tokens - (request.max_tokens or TYPICAL_OUTPUT)
        bound = input_bound(request, vendor.type, model)
        asked = allowance(rates, bound, likely, request.max_tokens, ticket.post.most_output)
        if purse is not None:
            asked = await self._hold(purse, identifier, ticket, asked, deadline)
        if self.money is None or not limited:
            return
        amounts = [grant.amount for grant in asked.grants]
        patience = max(0.0, deadline - self.clock())
        place = await self.money.reserve(identifier, amounts, asked.estimate, patience, asked.roomy)
        ticket.reservation, ticket.cap = identifier, asked.grants[place].cap

    async def _hold(
        self, purse: Purse, identifier: str, ticket: Ticket, asked: Allowance, deadline: float
    ) -> Allowance:
        """Take the attempt's money out of the purse of the work that it is a part of; what may be reserved then."""
        grants = asked.usable
        patience = max(0.0, deadline - self.clock())
        place = await purse.hold(
            identifier, [grant.amount for grant in grants], min(asked.roomy, len(grants)), patience
        )
        ticket.purse, ticket.held, ticket.cap = purse, identifier, grants[place].cap
        return asked._replace(grants=asked.grants[place:])

    # --- coming out -----------------------------------------------------------------------------------------

    def leave(
        self,
        ticket: Ticket,
        outcome: Verdict,
        *,
        sent: bool = True,
        wait: float | None = None,
        tokens: int | None = None,
        cost: Decimal | None = Decimal(0),
    ) -> None:
        """Hand everything back. `cost` None: nobody knows, so the reservation's estimate is charged."""
        if ticket.generation != self._generation:
            return  # a parent's attempt, collected in its forked child
        self._inside -= 1
        self.latency.end(ticket.slot.target)
        if outcome in (Verdict.BAD, Verdict.GONE) and wait is None and self._slept(ticket.since):
            outcome = Verdict.NOTHING
        if ticket.hold is not None:
            limits = ticket.post.lane.limits
            limits.settle(ticket.hold, tokens) if sent else limits.refund(ticket.hold)
            ticket.post.lane.freed.set()
        if ticket.reservation is not None and self.money is not None:
            self.money.settle(ticket.reservation, None if cost is None else int((cost * PICO).to_integral_value()))
        elif cost and self.money is not None:
            self.money.charge(int((cost * PICO).to_integral_value()))
        if ticket.purse is not None:
            ticket.purse.settle(ticket.held, None if cost is None else int((cost * PICO).to_integral_value()))
        if outcome is Verdict.GOOD and ticket.post.calm:
            ticket.post.target.went_well()
            return
        now = self.clock()
        account = outcome in (Verdict.LOCKED, Verdict.SPENT)
        for number, (breaker, let) in enumerate(ticket.breakers):
            told = outcome if outcome is Verdict.GOOD or account == (number == 0) else Verdict.NOTHING
            breaker.leave(let, told, now, wait if told is not Verdict.GOOD else None)

    def heard(self, slot: Slot, headers: Mapping[str, str]) -> None:
        """The vendor's rate headers, of an answer or a refusal."""
        names = _ANTHROPIC_HEADERS if slot.provider.vendor.type == "anthropic" else _RATE_HEADERS
        for remaining, reset, what in names:
            told = headers.get(remaining)
            if told is None or _COUNT.fullmatch(told) is None:  # "-1": Azure, where it does not count
                continue
            wall, left = time.time(), int(told)
            wait = reset_of(headers.get(reset, ""), wall)
            if wait is None and left == 0:
                wait = retry_after(headers, None, wall)
            self._post(slot).lane.limits.told(left, wait, self.clock(), what)

    # --- looking --------------------------------------------------------------------------------------------

    def shut(self, provider: Provider, model: str) -> str | None:
        """Why a target is not asked now; None when any of its addresses is."""
        now, reason = self.clock(), None
        for endpoint in provider.endpoints_for(model):
            found = [
                b for b in (self._keys.get(endpoint), self._targets.get((endpoint, model))) if b and not b.admits(now)
            ]
            if not found:
                return None
            reason = found[0].describe(now)
        return reason

    def opens(self, options: Iterable[Option]) -> dict[Target, str]:
        """The targets that nothing may go to now, each with the reason."""
        now = self.clock()
        if all(b.admits(now) for b in self._keys.values()) and all(b.admits(now) for b in self._targets.values()):
            return {}
        found = ((option.target, self.shut(option.provider, option.target.model)) for option in options)
        return {target: reason for target, reason in found if reason is not None}

    def _breakers(self, provider: Provider, model: str | None = None) -> list[Breaker]:
        keys = [self._keys.get(e) for e in (provider.endpoints if model is None else provider.endpoints_for(model))]
        return [b for b in (*keys, *(self._targets[place] for place in self._places(provider, model))) if b]

    def _places(self, provider: Provider, model: str | None = None) -> list[tuple[Endpoint, str]]:
        """Where somebody went, of a provider or of one model there."""
        if model is not None:
            return [(e, model) for e in provider.endpoints_for(model) if (e, model) in self._targets]
        endpoints = set(provider.endpoints)
        return [place for place in list(self._targets) if place[0] in endpoints]

    def opens_in(self, provider: Provider, model: str | None = None) -> float | None:
        """Seconds until something that is shut at a provider, or for one model there, is tried again: the soonest.

        It is shut by a breaker, or because the provider asked for time; inf: until its key changes. None: nothing is.
        """
        now = self.clock()
        shut = [self._free_at(*place) for place in self._places(provider, model)]
        return min((at - now for at in shut if at > now), default=None)

    def _free_at(self, endpoint: Endpoint, model: str) -> float:
        lane, key = self._lanes[endpoint], self._keys[endpoint]
        return max(key.opens_at, self._targets[endpoint, model].opens_at, lane.limits.blocked_until)

    def state(self, provider: Provider, model: str | None = None) -> str:
        """The worst breaker of a provider, or of one model there: open, half-open or closed."""
        now = self.clock()
        states = {b.state(now).value for b in self._breakers(provider, model)}
        return next((state for state in ("open", "half-open") if state in states), "closed")

    def resting(self, endpoint: Endpoint) -> float:
        """Loop time until which nobody should come, not even to look: as it asked, or inf for a refused key."""
        key, lane = self._keys.get(endpoint), self._lanes.get(endpoint)
        if key is not None and key.until == FOREVER:
            return FOREVER
        cooling = [b.cooling for (e, _), b in list(self._targets.items()) if e == endpoint]
        return max([*cooling, lane.limits.blocked_until if lane else 0.0])

    def limits(self, provider: Provider, endpoint: Endpoint) -> Limits:
        """The limits of one of a provider's keys, for looking."""
        lane = self._lanes.get(endpoint)
        limits = lane.limits if lane else Limits()
        limits.rpm, limits.tpm, limits.max_concurrency = provider.rpm, provider.tpm, provider.max_concurrency
        return limits

    def well(self, endpoints: Iterable[Endpoint], missing: Iterable[str] = (), *, asked: bool = False) -> None:
        """A check found these addresses well, without the `missing` models; `asked`: a person wanted to know."""
        now, found, absent = self.clock(), set(endpoints), set(missing)
        for endpoint, breaker in list(self._keys.items()):
            if endpoint in found:
                breaker.well(now, asked)
        for (endpoint, model), breaker in list(self._targets.items()):
            if endpoint in found and model not in absent:
                breaker.well(now, asked)


def shut_error(slot: Slot, shut: Shut) -> InferenceError | None:
    """The error of a call whose only target is locked by a refused key; None for any other breaker."""
    if shut.until != FOREVER:
        return None
    error = AuthenticationError(shut.reason, slot.target.provider, 401)
    error.model = slot.target.model
    return error


def full_error(slot: Slot, wait: float) -> RateLimitError:
    """The error of a call that may not wait for its limit."""
    known = wait != float("inf")
    when = f"free in {wait:.0f} s" if known else "free when another call ends"
    error = RateLimitError(
        f"our own limit for it is reached, {when}", slot.target.provider, retry_after=wait if known else None
    )
    error.model = slot.target.model
    return error
