"""Router: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import atexit
import datetime as dt
import functools
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hybrid_nb import checks, frames, remaining, setup
from hybrid_nb.compare import Comparison, Side
from hybrid_nb.core import config as configuration
from hybrid_nb.core import forks
from hybrid_nb.core.errors import AuthenticationError, ConfigError, HybridNbError, InferenceError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, make_request
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Reply, Request, RoutePlan, Target
from hybrid_nb.discovery import discover
from hybrid_nb.engine import vitals
from hybrid_nb.engine.breaker import Policy
from hybrid_nb.engine.facts import Facts, Turns, fresh_for, gather, identity
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.engine.latency import Latency
from hybrid_nb.engine.plan import Catalogue, Need, no_candidate, plan
from hybrid_nb.engine.recorded import Asked, Recorded
from hybrid_nb.engine.rollout import Rollout
from hybrid_nb.engine.run import Conduct, Engine, Sink, Timing
from hybrid_nb.engine.schedule import Slot
from hybrid_nb.ledger import costs, prices
from hybrid_nb.ledger.budget import Budget, limits_of
from hybrid_nb.ledger.entries import entry
from hybrid_nb.ledger.money import Limits
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import Job, portal
from hybrid_nb.providers import vendors
from hybrid_nb.rounds import Rounds, Ward, weakly
from hybrid_nb.stream import Stream
from hybrid_nb.transports.http import HttpTransport

if TYPE_CHECKING:
    import pandas as pd

FACTS_LAST = 0.02  # seconds; the gate looks again when the attempt begins
Clock = Callable[[], float]
LISTING_PATIENCE = 2.0  # seconds that a start waits for the model lists of providers that name no models


@dataclass(frozen=True, slots=True)
class State:
    """A configuration in force. Replaced whole, so that calls under way finish on what they started with."""

    settings: configuration.Settings
    catalogue: Catalogue
    conduct: Conduct

    @property
    def providers(self) -> dict[str, Provider]:
        return self.catalogue.providers


def make_state(settings: configuration.Settings, providers: Iterable[Provider]) -> State:
    router = settings.router
    timing = Timing(router.timeout, router.connect_timeout, router.ttft_timeout, router.stall_timeout)
    return State(
        settings,
        Catalogue(
            providers,
            settings.group,
            router.strategy,
            router.mode,
            rates=_rates,
            max_ttft=router.max_ttft,
            explore=router.explore,
            regions=router.regions,
            rollouts=[Rollout(name, r.to, r.percent, r.by) for name, r in settings.rollout.items()],
        ),
        Conduct(
            router.retries,
            router.retry_delay,
            router.failover,
            timing,
            router.resume,
            router.content_filter_failover,
            router.hedge,
            router.when_limited == "reject",
        ),
    )


def _policy_of(settings: configuration.Settings) -> Policy:
    return Policy(threshold=settings.router.breaker_threshold, seconds=settings.router.breaker_seconds)


def _budget_of(settings: configuration.Settings) -> tuple[Limits, bool]:
    budget = settings.budget
    return limits_of(budget.daily_usd, budget.monthly_usd), budget.when_exceeded == "queue"


class Prepared(NamedTuple):
    """A call that is ready to run. `model` is the name that the caller gave, before any default."""

    request: Request
    plan: RoutePlan
    state: State
    model: str | None

    @property
    def asked(self) -> Asked:
        return Asked(self.request, self.model, self.plan, self.state.providers, self.state.settings.cache)


class _Recorder:
    """Finished calls go to the ledger, to the health records and to the times to first token."""

    def __init__(self, ledger: Ledger, health: Health, gate: Gate, clock: Clock) -> None:
        self.ledger = ledger
        self.health = health
        self.latency = gate.latency
        self.gate = gate
        self.clock = clock

    async def finished(self, started: float, request: Request, reply: Reply, status: str, error: str | None) -> None:
        self._health(reply)
        await self.ledger.record(entry(started, request, reply, status, error))

    def abandoned(self, started: float, request: Request, reply: Reply, error: str) -> None:
        self._health(reply)
        self.ledger.record_soon(entry(started, request, reply, "cancelled", error))

    def _health(self, reply: Reply) -> None:
        for attempt in reply.route.attempts:
            wrong_request = attempt.status_code in (400, 404, 413, 422)
            ok, ended = attempt.outcome == "ok", attempt.started + attempt.seconds
            if not ok and self.gate.naps.spanned(attempt.started, ended):
                continue  # we slept: that says nothing about the provider
            if attempt.outcome != "cancelled" and not wrong_request:
                self.health.attempt(attempt.provider, ok, attempt.error, ended, attempt.model, attempt.seconds)
            waited = attempt.ttft
            timed_out = attempt.error is not None and attempt.error.startswith("ProviderTimeoutError")
            if waited is None and (timed_out or attempt.part == "overtaken"):
                waited = attempt.seconds  # a wait that ended without a token counts as long as it was
            if waited is not None:
                self.latency.observe(Target(attempt.provider, attempt.model), waited, self.clock())


class Router:
    """Calls to language models over local, LAN and cloud providers, each a row in the ledger.

    `config` is a path, a dict, or None: then HYBRID_NB_CONFIG, ./hybrid_nb.toml, the user's file; without any of
    them the environment's keys and the local servers that are found. Raises ConfigError.

    HYBRID_NB_CACHE (off, on, record, replay) and HYBRID_NB_CASSETTE (a path) go over [cache] of any of these, so that
    a committed notebook replays without being edited; a call's own `cache` goes over them.

    >>> with Router({"provider": [{"name": "a", "type": "ollama"}]}) as router:   # doctest: +SKIP
    ...     print(router.chat("Say hi"))
    """

    _clock: Clock = staticmethod(time.monotonic)  # of the portal's loop
    _wall: Clock = staticmethod(time.time)
    _seed: int | None = None

    def __init__(self, config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> None:
        settings, self.path, bare, self._borrowed = setup.load(config, os.environ)
        found = [setup.build(item, os.environ) for item in settings.provider]
        replays = settings.cache.mode == "replay"  # which needs no provider, and reads no network
        if not replays and (bare if settings.router.discover is None else settings.router.discover):
            found += self._discovered(found)
        self.discovered = tuple(p.name for p in found[len(settings.provider) :])
        self._lock = threading.RLock()
        self._state = make_state(settings, found)
        self._health = Health()
        self._latency = Latency()
        self._known: tuple[float, State, Facts] | None = None
        self._plans: dict[tuple[str | None, Need], RoutePlan] = {}  # of those facts
        self._turns = Turns()
        self._who = identity(os.environ)
        self._rng = random.Random(self._seed)
        self._ledger = Ledger(settings.ledger.url)
        self._transport = HttpTransport()
        self._budget = Budget(self._ledger, *_budget_of(settings), self._wall)
        self._gate = Gate(prices.cost, self._budget, self._latency, self._clock)
        self._gate.policy = _policy_of(settings)
        recorder = _Recorder(self._ledger, self._health, self._gate, self._clock)
        chance = random.Random(self._seed)
        self._engine = Engine(self._transport, recorder, prices.cost, self._gate, rng=chance, wall=self._wall)
        self._engine.hedger.rate = settings.router.hedge_rate
        self._recorded = Recorded(self._ledger)
        self._closed = False
        self._rounds = Rounds(weakly(self._ward), self._transport, self._health, self._gate)
        self._parts = Parts(self._transport, self._ledger, self._budget, self._rounds)
        self._left = weakref.finalize(self, _closing, self._parts, os.getpid())
        self._left.atexit = False  # _close_left waits too
        _unclosed.add(self)
        self._listed: set[str] = set()
        self._list_unlisted()
        portal().submit(self._warm())
        self._rounds.go()
        forks.afresh(self)

    def forked(self) -> None:
        """In a forked child: draw other lots than the parent, and wait for no thread of its."""
        self._lock, self._turns.lock = threading.RLock(), threading.Lock()
        self._rng.seed()
        self._engine.rng.seed()
        self._known = None

    def _ward(self) -> Ward | None:
        """Whom to look at from time to time; nobody in a replay, which reads no network."""
        settings = self._state.settings
        if self._closed or settings.cache.mode == "replay":
            return None
        return Ward(tuple(self._state.providers.values()), settings.router.health_interval)

    async def _warm(self) -> None:
        """What the first call would wait for: the TLS context, and the price list where it is needed."""
        await self._transport.warm()
        if any(
            p.vendor.price_id and p.enabled and not p.missing_key and not p.prices
            for p in self._state.providers.values()
        ):
            await asyncio.to_thread(prices.preload)
        await self._count_slots()  # last: a server that is not there is waited for

    async def _count_slots(self) -> None:
        """Ask local servers that tell how many requests they run at once, where the settings do not say it."""
        state = self._state
        if state.settings.cache.mode == "replay":
            return
        given = {item.name for item in state.settings.provider if item.max_concurrency is not None}
        asked = [p for p in state.providers.values() if p.vendor.properties and p.enabled and p.name not in given]
        slots = await asyncio.gather(*(checks.slots(p, self._transport) for p in asked))
        for provider, count in zip(asked, slots, strict=True):
            if count is not None and count != provider.max_concurrency:
                self._put(replace(provider, max_concurrency=count), provider)

    def _put(self, provider: Provider, known: Provider) -> None:
        """A provider of which more is known now, unless it was changed meanwhile."""
        with self._lock:
            state = self._state
            if state.providers.get(provider.name) is known:
                others = (provider if p is known else p for p in state.providers.values())
                self._state = make_state(state.settings, others)

    @staticmethod
    def _discovered(known: Sequence[Provider]) -> list[Provider]:
        taken = {provider.vendor.type for provider in known}
        wanted = [vendor for vendor in vendors() if vendor.ports and vendor.type not in taken]
        found = portal().run(discover(wanted, environ=os.environ))
        return [replace(p, max_concurrency=setup.at_once(p.vendor, p.tier, os.environ)) for p in found]

    def _list_unlisted(self) -> None:
        """Ask providers that name no models for their lists, all at once; the ones that fail keep none."""
        state = self._state
        if state.settings.cache.mode == "replay":
            return
        bare = [
            p
            for p in state.providers.values()
            if not p.models and p.enabled and not p.missing_key and p.name not in self._listed
        ]
        if not bare:
            return
        self._listed |= {p.name for p in bare}
        portal().run(self._fill(bare))

    async def _fill(self, bare: Sequence[Provider]) -> None:
        lists = await asyncio.gather(*(self._list(p) for p in bare))
        named = {p.name: replace(p, models=models) for p, models in zip(bare, lists, strict=True) if models}
        if named:
            with self._lock:
                state = self._state
                told = {item.name: item.context for item in state.settings.provider}
                named = {name: setup.with_contexts(p, told.get(name, {})) for name, p in named.items()}
                self._state = make_state(state.settings, [named.get(p.name, p) for p in state.providers.values()])

    async def _list(self, provider: Provider) -> tuple[Any, ...]:
        found: dict[str, Any] = {}
        for endpoint in provider.endpoints:
            try:
                listing = await checks.list_models(provider, endpoint, self._transport, LISTING_PATIENCE)
            except InferenceError as error:
                told, refused = f"{type(error).__name__}: {error.message}", isinstance(error, AuthenticationError)
                self._health.checked(Check(provider.name, time.time(), 0, 1, None, told, refused=refused))
                continue
            found |= {info.id: info for info in listing.models if info.id not in found}
        return tuple(found.values())

    # --- asking ---------------------------------------------------------------------------------------------

    def chat(self, prompt: Any, **options: Any) -> Reply:
        """The reply to a prompt: a string or a list of messages. Blocks, and can be interrupted.

        Options: model ("provider/model", a model's name or a group), system, temperature, top_p, max_tokens, stop,
        seed, tools, tool_choice ("auto", "none", "required" or a name), schema (pydantic class or JSON schema),
        images, timeout (seconds), max_cost (dollars), max_ttft (seconds to the first token that are fast enough),
        tier, tags, cache ("off", "on", "record", "replay"), resume (whether a stream that breaks is finished by another
        attempt, or ends with StreamInterruptedError).
        Raises InferenceError, NoProviderAvailableError, BudgetExceededError, ReplayMissError; TypeError or ValueError
        for bad options.
        """
        return portal().run(self._run(self._prepared(prompt, options), None))

    async def achat(self, prompt: Any, **options: Any) -> Reply:
        """chat() for async cells and programs; cancelling the caller cancels the request."""
        return await portal().arun(self._run(self._prepared(prompt, options), None))

    def stream(self, prompt: Any, **options: Any) -> Stream:
        """The reply as it comes; the request starts at once. See Stream."""
        prepared = self._prepared(prompt, options)
        return Stream(lambda sink: self._run(prepared, sink))

    def plan(self, prompt: Any, **options: Any) -> RoutePlan:
        """Where a call would go and why, with an estimate of its cost; nothing is sent."""
        request, state = self._request(prompt, {k: v for k, v in options.items() if v is not None})
        return plan(request, state.catalogue, prices.upper_estimate, self._facts(request, state, asking=False))

    def _facts(self, request: Request, state: State, asking: bool) -> Facts:
        """What is known now. A dry run takes no turn and draws no lot, so that it can be repeated."""
        turn = self._turns.take(request.model) if asking else self._turns.peek(request.model)
        facts = self._latest(state, asking)
        spent = None if asking else self._budget.used_up(self._wall())  # a call hears it from the gate
        return Facts(facts.targets, facts.providers, self._rng if asking else None, turn, self._who, spent)

    def _latest(self, state: State, asking: bool = True) -> Facts:
        """What was gathered a moment ago, or is now."""
        now = self._clock()
        known = self._known
        if known is None or now >= known[0] or known[1] is not state or not asking or state.catalogue.counts_calls:
            opens = self._gate.opens(state.catalogue.options)
            self._rounds.go()  # which a forked child has none of yet
            lasts = fresh_for(state.settings.router.health_interval)
            found = gather(self._health, self._latency, opens, now=now, unix=self._wall(), fresh=lasts)
            known = self._known = (now + FACTS_LAST, state, found)
            self._plans = {}
        return known[2]

    def compare(self, prompt: Any, models: Sequence[str] | None = None, **options: Any) -> Comparison:
        """One prompt to several models at once, streamed so that times to first token are known.

        Without `models`, the first model of every provider that can take the prompt. A model that fails is a row
        with its error; an unknown one raises before anything is sent.
        """
        names, prepared = self._contest(prompt, models, options)
        sides = portal().run(self._all(names, prepared))
        return Comparison(prompt if isinstance(prompt, str) else prepared[0][0].messages[-1].text, sides)

    def _contest(
        self, prompt: Any, models: Sequence[str] | None, options: Mapping[str, Any]
    ) -> tuple[list[str], list[Prepared]]:
        names = list(models) if models is not None else self._every(prompt, options)
        if not names:
            raise OptionValueError("compare needs at least one model: models=['provider/model', ...]")
        return names, [self._prepared(prompt, {**options, "model": name}) for name in names]

    def _contest_streams(self, prompt: Any, models: Sequence[str] | None, **options: Any) -> list[tuple[str, Stream]]:
        """A comparison's calls as streams under way, for %%llm_compare to draw."""
        names, prepared = self._contest(prompt, models, options)
        return [(n, Stream(functools.partial(self._run, p))) for n, p in zip(names, prepared, strict=True)]

    def _every(self, prompt: Any, options: Mapping[str, Any]) -> list[str]:
        """The models of a comparison that names none; in a replay those of the recorded one."""
        request, state = self._request(prompt, {**options, "model": None})
        asked = Prepared(request, RoutePlan(()), state, None).asked
        if asked.mode == "replay":
            return portal().run(self._recorded.compared(asked))
        names = self._one_each(request, state)
        if asked.mode == "record":
            portal().run(self._recorded.compare(asked, names))
        return names

    @staticmethod
    def _one_each(request: Request, state: State) -> list[str]:
        found = plan(replace(request, model=None), state.catalogue)
        everything = found.accepted
        if not everything:
            raise no_candidate(found, request)
        return [str(c.target) for c in {c.target.provider: c for c in reversed(everything)}.values()][::-1]

    async def _all(self, names: Sequence[str], prepared: Sequence[Prepared]) -> tuple[Side, ...]:
        async def one(name: str, ready: Prepared) -> Side:
            try:
                return Side(name, await self._run(ready, _ignore))
            except HybridNbError as error:
                return Side(name, None, error)

        return tuple(await asyncio.gather(*(one(n, p) for n, p in zip(names, prepared, strict=True))))

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError("this router is closed; make a new one with hybrid_nb.Router()")

    def _request(self, prompt: Any, options: Mapping[str, Any]) -> tuple[Request, State]:
        self._check_open()
        state = self._state
        request = make_request(prompt, **options)
        if request.model is None and state.settings.router.default_model and "model" not in options:
            request = replace(request, model=state.settings.router.default_model)
        return request, state

    def _prepared(self, prompt: Any, options: Mapping[str, Any]) -> Prepared:
        request, state = self._request(prompt, {k: v for k, v in options.items() if v is not None})
        if (request.cache or state.settings.cache.mode) == "replay":
            return Prepared(request, RoutePlan(()), state, options.get("model"))
        return Prepared(request, self._planned(request, state), state, options.get("model"))

    def _planned(self, request: Request, state: State) -> RoutePlan:
        """The plan for a call: the same need of the same facts has one plan, where chance and turns play no part."""
        if not state.catalogue.settled:
            facts = self._facts(request, state, asking=True)
            return plan(request, state.catalogue, prices.upper_estimate, lambda: facts)
        latest = self._latest(state)
        key = (request.model, Need.of(request, state.catalogue.max_ttft))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = plan(request, state.catalogue, prices.upper_estimate, lambda: latest)
        return found

    async def _run(self, ready: Prepared, sink: Sink | None) -> Reply:
        request, found, state, _ = ready

        def live(sink: Sink | None) -> Coroutine[Any, Any, Reply]:
            return self._engine.run(request, found, slots(found, state.catalogue), state.conduct, sink)

        if (request.cache or state.settings.cache.mode) == "off":
            return await live(sink)
        return await self._recorded.run(ready.asked, live, sink)

    # --- looking --------------------------------------------------------------------------------------------

    def calls(self, since: Any = None) -> pd.DataFrame:
        """Every call, one row each, oldest first. `since`: a datetime, a timedelta back from now, or unix time."""
        self._check_open()
        return frames.calls(self._ledger.calls(_unix(since)))

    def attempts(self, since: Any = None) -> pd.DataFrame:
        """Every attempt, failed ones too, with what each cost."""
        self._check_open()
        return frames.attempts(self._ledger.attempts(_unix(since)))

    def costs(self, by: str | Sequence[str] | None = ("provider", "model", "day"), since: Any = None) -> pd.DataFrame:
        """Calls, tokens and dollars summed by provider, model, tier, day, month, status, cost_source or tag:NAME; with
        None all in one row.

        `cost_usd` sums what is known, `unknown_cost` counts the calls whose cost is not.
        """
        self._check_open()
        names = [by] if isinstance(by, str) else list(by or ())
        return frames.costs(costs.costs(self._ledger, names, _unix(since)), names)

    def budget(self) -> pd.DataFrame:
        """One row a limit ("day", "month"; days and months in UTC), over all processes that share the ledger.

        Dollars: limit_usd (missing: none), spent_usd (settled), reserved_usd (at most, by calls under way) and
        remaining_usd. `share` is spent / limit, `alert` whether it has reached [budget] alert_at, `resets_at` a time
        in UTC. What no price is known for is in none of these: `unpriced_calls` counts it, `unpriced_models` names it.
        """
        self._check_open()
        now = time.time()
        return remaining.budget(self._budget.periods(now), self._state.settings.budget.alert_at, now)

    def limits(self) -> pd.DataFrame:
        """One row a provider's key and address: what is left of its rate limits, now.

        requests_left and tokens_left are of rpm and tpm (a sliding minute), at_once_left of max_concurrency, as this
        router counts; vendor_requests_left and vendor_tokens_left are what the vendor's headers told last, until
        their reset. `blocked_until`: nothing is sent before, as the vendor asked. Missing: no limit, or not known.
        """
        self._check_open()
        rows = portal().run(remaining.limits(self._state.providers.values(), self._gate))
        return frames.records(rows, remaining.LIMIT_COLUMNS)

    def health(self, check: bool = True, by: str = "provider") -> pd.DataFrame:
        """One row a provider, or one a model with by="model". With `check` each provider is asked now, all at once;
        this costs nothing.

        Providers are also looked at every `health_interval` seconds while they are idle: those near by always, those
        in the cloud for some time after a call. A check that finds a provider well lets a call probe it at once.
        """
        self._check_open()
        if by not in vitals.COLUMNS:
            raise OptionValueError(f"by must be 'provider' or 'model', not {by!r}")
        state = self._state
        if check:
            live = [p for p in state.providers.values() if p.enabled]
            for result in portal().run(self._check(live)):
                self._health.checked(result)
                self._gate.well(result.up, result.missing, asked=True)
        found = vitals.rows(state.providers.values(), self._health, self._gate, by)
        return frames.records(found, vitals.COLUMNS[by])

    async def _check(self, providers: Sequence[Provider]) -> list[Check]:
        return list(await asyncio.gather(*(checks.check(p, self._transport) for p in providers)))

    def models(self) -> pd.DataFrame:
        """One row a model that can be asked for, in the order of preference, with prices per million tokens."""
        return frames.records([_model_row(option) for option in self._state.catalogue.options], MODEL_COLUMNS)

    def model_names(self) -> list[str]:
        """Every name that `model` may be: groups, "provider/model" and bare names."""
        catalogue = self._state.catalogue
        cache = self._state.settings.cache
        recorded = self._recorded.models(cache) if cache.mode == "replay" else []
        known = [*catalogue.groups, *(str(option.target) for option in catalogue.options), *catalogue.by_model]
        return list(dict.fromkeys((*known, *recorded))) if recorded else known

    def provider_names(self) -> list[str]:
        """The names of the providers, in the order of the configuration."""
        return list(self._state.providers)

    def describe(self) -> str:
        """The settings in force and where they come from, as text without any secret."""
        router = self._state.settings.router
        lines = [f"configuration: {self.path or 'not from a file'}", f"ledger: {self._ledger.path}"]
        lines += [f"{name} = {value}" for name, value in router.model_dump().items()]
        lines += self._cache_line()
        return "\n".join([*lines, f"providers: {', '.join(self.provider_names()) or 'none'}"])

    def _cache_line(self) -> list[str]:
        cache = self._state.settings.cache
        if cache.mode in ("record", "replay"):
            return [f"cache: {cache.mode} {self._recorded.cassette(cache).path}"]
        return [] if cache.mode == "off" else [f"cache: on, for {cache.ttl:g} s, up to {cache.max_mb:g} MB"]

    def providers(self) -> pd.DataFrame:
        """One row a provider: its type, tier, address, and where its key comes from (never the key)."""
        return frames.records([_provider_row(p) for p in self._state.providers.values()], PROVIDER_COLUMNS)

    def test_provider(self, name: str, model: str | None = None) -> pd.DataFrame:
        """Connection, key and model of a provider in three steps: one row each with ok, detail and seconds.

        The third sends a prompt of a few tokens to `model` (default: its first), so it may cost a fraction of a cent.
        """
        return frames.records(
            portal().run(self._test(self._provider(name), model)), ("step", "ok", "detail", "seconds")
        )

    async def _test(self, provider: Provider, model: str | None) -> list[dict[str, Any]]:
        if provider.missing_key:
            return [_step("connection"), _step("key", provider.missing_key), _step("model")]
        result = await checks.check(provider, self._transport)
        if not result.reached:
            return [_step("connection", result.error), _step("key"), _step("model")]
        where = ", ".join(e.base_url for e in provider.endpoints)
        connected = _step("connection", where, True, result.latency)
        if not result.ok:
            return [connected, _step("key", result.error), _step("model")]
        return [connected, _step("key", "accepted", True), await self._test_model(provider, model)]

    async def _test_model(self, provider: Provider, model: str | None) -> dict[str, Any]:
        chosen = model or next((info.id for info in provider.models), None)
        if chosen is None:
            return _step("model", "no model is known; name one")
        try:
            options = {"model": f"{provider.name}/{chosen}", "max_tokens": 16, "cache": "off"}
            reply = await self._run(self._prepared("Reply with: ok", options), None)
        except HybridNbError as error:
            return _step("model", str(error))
        return _step("model", f"{chosen} answered", True, reply.latency)

    # --- changing -------------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Change [router] settings at once: strategy, mode, retries, timeouts ... Calls under way keep theirs."""
        self._change(lambda data: data["router"].update(changes))

    def rollout(self, model: str, to: str, percent: float, by: str = "user") -> None:
        """Send a share of those who ask for `model` (a group or a model's name; "*": none) to the target `to` first.

        The same users (or notebooks, with by="notebook") are in it at every call; a higher percentage adds some and
        takes none out. A call's tag of that name ("user", "notebook") counts before the environment.
        Raises ConfigError.

        >>> router.rollout("fast", to="openai/gpt-5-mini", percent=10)   # doctest: +SKIP
        >>> router.rollback("fast")                                      # doctest: +SKIP
        """
        item = {"to": to, "percent": percent, "by": by}
        self._change(lambda data: data.update(rollout={**data.get("rollout", {}), model: item}))

    def rollback(self, model: str | None = None) -> None:
        """End the rollout of `model` (None: all of them) at once; calls under way are finished where they are."""
        running = self._state.settings.rollout
        if model is not None and model not in running:
            raise ConfigError(f"no rollout of {model!r}{configuration.nearest(model, running)}")
        self._change(
            lambda data: data.update(rollout={n: r for n, r in data.get("rollout", {}).items() if model and n != model})
        )

    def add_provider(self, provider: Mapping[str, Any]) -> None:
        """Add a provider: a dict as in [[provider]]. Raises ConfigError."""
        self._change(lambda data: data["provider"].append(dict(provider)))

    def update_provider(self, name: str, **changes: Any) -> None:
        """Change a provider's settings."""
        self._provider(name)

        def change(data: dict[str, Any]) -> None:
            next(item for item in data["provider"] if item["name"] == name).update(changes)

        self._change(change)

    def remove_provider(self, name: str) -> None:
        """Take a provider out."""
        self._provider(name)
        self._change(
            lambda data: data["provider"].__setitem__(slice(None), [i for i in data["provider"] if i["name"] != name]),
            gone=name,
        )

    def _provider(self, name: str) -> Provider:
        self._check_open()
        found = self._state.providers.get(name)
        if found is None:
            raise ConfigError(f"no provider {name!r}{configuration.nearest(name, self._state.providers)}")
        return found

    def _change(self, change: Any, gone: str | None = None) -> None:
        self._check_open()
        with self._lock:
            old = self._state
            data = old.settings.model_dump(exclude_unset=True)
            data = {
                **data,
                "router": dict(data.get("router", {})),
                "provider": [dict(i) for i in data.get("provider", ())],
            }
            configured = {item["name"] for item in data["provider"]}
            kept = [p for p in old.providers.values() if p.name not in configured and p.name != gone]
            change(data)
            settings = setup.check(configuration.validate(data, "the change"), "the change", {p.name for p in kept})
            built = [self._rebuilt(item, old) for item in settings.provider]
            named = {p.name for p in built}  # one that was found may since have been configured
            self._state = make_state(settings, [*built, *(p for p in kept if p.name not in named)])
            self._gate.policy = _policy_of(settings)
            self._engine.hedger.rate = settings.router.hedge_rate
            self._budget.limits, self._budget.queue = _budget_of(settings)
        self._list_unlisted()
        self._rounds.changed()
        portal().submit(self._count_slots())

    def _rebuilt(self, item: configuration.ProviderSettings, old: State) -> Provider:
        provider = setup.build(item, os.environ)
        before = old.providers.get(item.name)
        same = before is not None and before.endpoints == provider.endpoints
        if not same:
            self._health.moved(item.name)
        if before is None or not same or provider.models:
            return provider
        return setup.with_contexts(replace(provider, models=before.models), item.context)

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the configuration as TOML: to `path`, the file it came from, or the user's. Comments are kept.

        Keys that came from the environment are written as env:NAME; a key given in clear text is written as given.
        What the environment set of [router] and [cache] (MAX_RETRIES, HYBRID_NB_CACHE ...) is not written.
        """
        from hybrid_nb.core.saving import save

        return save(
            setup.own(self._state.settings, self._borrowed),
            Path(path) if path else self.path or configuration.user_file(),
        )

    def close(self) -> None:
        """Close connections and the ledger. Calls under way are finished or fail; further ones raise ConfigError.

        A router that nobody closes is closed when it is collected, or at the end of the program.
        """
        if self._closed:
            return
        self._closed = True
        self._left.detach()
        portal().run(_close(self._parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(self._state.providers) or "no providers"
        return f"Router({names}; {len(self._state.catalogue.options)} models{'; closed' if self._closed else ''})"


MODEL_COLUMNS = (
    "provider", "model", "tier", "priority", "context", "max_output", "tools", "vision", "json_schema", "loaded",
    "input_usd_per_mtok", "output_usd_per_mtok", "price_source", "available",
)  # fmt: skip
PROVIDER_COLUMNS = ("provider", "type", "tier", "priority", "enabled", "base_url", "key", "models", "rpm")


def _step(name: str, detail: str | None = "not tried", ok: bool = False, took: float | None = None) -> dict[str, Any]:
    return {"step": name, "ok": ok, "detail": detail, "seconds": took}


def _ignore(text: str) -> None:
    """A sink for comparisons: they stream for the times, and read the reply at the end."""


def slots(found: RoutePlan, catalogue: Catalogue) -> Iterator[Slot]:
    """Every accepted target at each of its addresses, in order; made as they are needed."""
    for candidate in found.candidates:
        if not (candidate.accepted or candidate.kind == "open"):  # the gate has the last word on what is open
            continue
        provider = catalogue.providers[candidate.target.provider]
        for endpoint in provider.endpoints_for(candidate.target.model):
            yield Slot(candidate.target, provider, endpoint, candidate.tier, candidate.reason)


def _rates(provider: Provider, model: str) -> tuple[float | None, float | None]:
    """Dollars per million tokens of input and output, for comparing providers."""
    return prices.per_million(provider, model, "input")[0], prices.per_million(provider, model, "output")[0]


def _model_row(option: Any) -> dict[str, Any]:
    info, provider = option.info, option.provider
    into, source = prices.per_million(provider, info.id, "input")
    out, _ = prices.per_million(provider, info.id, "output")
    return {
        "provider": provider.name, "model": info.id, "tier": provider.tier, "priority": provider.priority,
        "context": info.context, "max_output": info.max_output, "tools": info.tools, "vision": info.vision,
        "json_schema": info.json_schema, "loaded": info.loaded, "input_usd_per_mtok": into,
        "output_usd_per_mtok": out, "price_source": source, "available": option.blocked[1] if option.blocked else "yes",
    }  # fmt: skip


def _provider_row(p: Provider) -> dict[str, Any]:
    sources = list(dict.fromkeys(e.key.source for e in p.endpoints if e.key))
    return {
        "provider": p.name, "type": p.vendor.type, "tier": p.tier, "priority": p.priority, "enabled": p.enabled,
        "base_url": ", ".join(e.base_url for e in p.endpoints), "models": len(p.models), "rpm": p.rpm,
        "key": ", ".join(sources) or ("missing" if p.missing_key else "not needed"),
    }  # fmt: skip


def _unix(since: Any) -> float | None:
    """Unix time of a datetime, a date text, a timedelta back from now, or a number."""
    if since is None or isinstance(since, int | float):
        return since
    if isinstance(since, dt.timedelta):
        return time.time() - since.total_seconds()
    if isinstance(since, str):
        try:
            since = dt.datetime.fromisoformat(since)
        except ValueError:
            raise OptionValueError(f"since must be a date such as 2026-11-01, not {since!r}") from None
    if isinstance(since, dt.datetime):
        return since.timestamp()
    if isinstance(since, dt.date):
        return dt.datetime.combine(since, dt.time()).timestamp()
    raise OptionTypeError(f"since must be a datetime, timedelta, ISO date or unix time, not {type(since).__name__}")


def check_providers(router: Router) -> None:
    """Raises NoProviderAvailableError, with what to do, when a router has no provider and needs one."""
    if not router._state.providers and router._state.settings.cache.mode != "replay":
        raise no_candidate(RoutePlan(()), Request(()))


# --- routers that nobody closes ---------------------------------------------------------------------------

_unclosed: weakref.WeakSet[Router] = weakref.WeakSet()
EXIT_PATIENCE = 1.0  # seconds that the end of a program waits for connections to close


class Parts(NamedTuple):
    """What a router has to close."""

    transport: HttpTransport
    ledger: Ledger
    budget: Budget
    rounds: Rounds


async def _close(parts: Parts) -> None:
    transport, ledger, budget, rounds = parts
    await rounds.stop()
    await transport.aclose()
    await asyncio.sleep(0)  # calls that the closing ends hand back what they hold
    budget.close()
    await ledger.drain()
    ledger.close()


def _closing(parts: Parts, pid: int) -> Job[None] | None:
    """Begin to close what a router leaves. A forked child leaves its parent's connections alone."""
    return portal().submit(_close(parts)) if os.getpid() == pid else None


@atexit.register
def _close_left() -> None:
    for router in list(_unclosed):
        left, over = router._left.detach(), threading.Event()  # a call does nothing once weakref's own exit has run
        job = left[1](*left[2]) if left else None
        if job is not None and job.when_done(over.set):
            over.wait(EXIT_PATIENCE)


# --- the default router -------------------------------------------------------------------------------------

_default: Router | None = None
_default_lock = threading.Lock()


def default_router() -> Router:
    """The router that the magics use; made from the configuration at the first call."""
    global _default
    with _default_lock:
        if _default is None or _default._closed:
            _default = Router()
        return _default


def set_default_router(router: Router | None) -> None:
    """Make this the router of the magics; None: a fresh one from the configuration at the next use."""
    global _default
    with _default_lock:
        _default = router
