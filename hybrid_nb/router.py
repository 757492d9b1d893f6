"""Router: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hybrid_nb import changing, checks, frames, keys, leaving, listing, mending, rows, setup, trial
from hybrid_nb.compare import Comparison, Side
from hybrid_nb.core import config as configuration
from hybrid_nb.core import forks
from hybrid_nb.core.errors import ConfigError, HybridNbError
from hybrid_nb.core.inputs import OptionValueError, make_request
from hybrid_nb.core.news import Listener, News
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Reply, Request, RoutePlan, Trial
from hybrid_nb.engine.facts import Facts, Turns, fresh_for, gather, identity
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Health
from hybrid_nb.engine.latency import Latency
from hybrid_nb.engine.plan import Need, no_candidate, plan
from hybrid_nb.engine.recorded import Asked, Recorded
from hybrid_nb.engine.run import Engine, Sink
from hybrid_nb.file import File
from hybrid_nb.learning import Learned
from hybrid_nb.ledger import prices
from hybrid_nb.ledger.budget import Budget
from hybrid_nb.ledger.conversations import Conversations
from hybrid_nb.ledger.mapped import Mapped
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal
from hybrid_nb.recording import Recorder
from hybrid_nb.rounds import Rounds, Ward, weakly
from hybrid_nb.state import State, budget_of, make_state, policy_of, slots
from hybrid_nb.stream import Stream
from hybrid_nb.teaching import Teaching
from hybrid_nb.transports.http import HttpTransport
from hybrid_nb.views import Views

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.results import Run
    from hybrid_nb.bench.traffic.job import Job

FACTS_LAST = 0.02  # seconds; the gate looks again when the attempt begins
Clock = Callable[[], float]


class Prepared(NamedTuple):
    """A call that is ready to run. `model` is the name that the caller gave, before any default."""

    request: Request
    plan: RoutePlan
    state: State
    model: str | None

    @property
    def asked(self) -> Asked:
        return Asked(self.request, self.model, self.plan, self.state.providers, self.state.settings.cache)


class Router(Teaching, Views):
    """Calls to language models over local, LAN and cloud providers, each a row in the ledger.

    `config` is a path, a dict, or None: then HYBRID_NB_CONFIG, ./hybrid_nb.toml, the user's file; without any of
    them the environment's keys and the local servers that are found. Raises ConfigError.

    HYBRID_NB_CACHE (off, on, record, replay) and HYBRID_NB_CASSETTE (a path) go over [cache] of any of these, so that
    a committed notebook replays without being edited; a call's own `cache` goes over them.

    `lenient`: a file with mistakes is used as far as it goes; `broken` tells them, and save() does not write over it.

    >>> with Router({"provider": [{"name": "a", "type": "ollama"}]}) as router:   # doctest: +SKIP
    ...     print(router.chat("Say hi"))
    """

    _clock: Clock = staticmethod(time.monotonic)  # of the portal's loop
    _wall: Clock = staticmethod(time.time)
    _seed: int | None = None

    def __init__(self, config: mending.Config = None, *, lenient: bool = False) -> None:
        loaded, broken = mending.load(config, os.environ) if lenient else (setup.load(config, os.environ), None)
        settings, path, bare, self._borrowed = loaded
        self._named = config is not None
        found = [setup.build(item, os.environ) for item in settings.provider]
        replays = settings.cache.mode == "replay"  # which needs no provider, and reads no network
        if not replays and (bare if settings.router.discover is None else settings.router.discover):
            found += listing.discovered(found, os.environ)
        self.discovered = tuple(p.name for p in found[len(settings.provider) :])
        self._lock = threading.RLock()
        self._news = News()
        self._history = changing.History()
        self._file = File(path, setup.own(settings, self._borrowed), broken)
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
        self._budget = Budget(self._ledger, *budget_of(settings), self._wall)
        self._gate = Gate(prices.cost, self._budget, self._latency, self._clock)
        self._gate.policy = policy_of(settings)
        self._learned = Learned(self._ledger, functools.partial(_half_life, weakref.ref(self)), self._wall)
        recorder = Recorder(self._ledger, self._health, self._gate, self._clock, self._news, self._learned)
        chance = random.Random(self._seed)
        self._engine = Engine(self._transport, recorder, prices.cost, self._gate, rng=chance, wall=self._wall)
        self._engine.hedger.rate = settings.router.hedge_rate
        self._recorded = Recorded(self._ledger)
        self._closed = False
        self._rounds = Rounds(weakly(self._ward), self._transport, self._health, self._gate, self._news)
        self._parts = leaving.Parts(self._transport, self._ledger, self._budget, self._rounds)
        self._left = leaving.when_left(self, self._parts)
        self._listed: set[str] = set()
        self._list_unlisted()
        portal().submit(self._warm())
        self._rounds.go()
        forks.afresh(self)

    def forked(self) -> None:
        """In a forked child: draw other lots than the parent, and wait for no thread of its."""
        self._lock, self._turns.lock = threading.RLock(), threading.Lock()
        self._learned.forked()
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
        if self._state.catalogue.strategy == "measured":
            with contextlib.suppress(ConfigError):  # closed meanwhile, or the first call hears of it
                await asyncio.to_thread(self._learned.evidence)
        await self._count_slots()  # last: a server that is not there is waited for

    async def _count_slots(self) -> None:
        """Ask local servers that tell how many requests they run at once, where the settings do not say it."""
        if self._state.settings.cache.mode == "replay":
            return
        for known, count in await listing.slots(self._state, self._transport):
            self._put(replace(known, max_concurrency=count), known)

    def _put(self, provider: Provider, known: Provider) -> None:
        """A provider of which more is known now, unless it was changed meanwhile."""
        with self._lock:
            state = self._state
            if state.providers.get(provider.name) is known:
                others = (provider if p is known else p for p in state.providers.values())
                self._state = make_state(state.settings, others)

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
        named = await listing.models(bare, self._transport, self._health)
        if named:
            with self._lock:
                self._state = listing.filled(self._state, named)

    # --- asking ---------------------------------------------------------------------------------------------

    def chat(self, prompt: Any, **options: Any) -> Reply:
        """The reply to a prompt: a string or a list of messages. Blocks, and can be interrupted.

        Options: model ("provider/model", a model's name or a group), system, temperature, top_p, max_tokens, stop,
        seed, tools, tool_choice ("auto", "none", "required" or a name), schema (pydantic class or JSON schema),
        images, timeout (seconds), max_cost (dollars), max_ttft (seconds to the first token that are fast enough),
        tier, tags, cache ("off", "on", "record", "replay"), resume (whether a stream that breaks is finished by another
        attempt, or ends with StreamInterruptedError). With strategy "measured": min_quality (0 to 1, or {scorer: 0.8}),
        max_latency (seconds to the end of the answer), explore (False: the target must be certain).
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
        request, note = self._classified(request, state)
        return plan(
            request, state.catalogue, prices.upper_estimate, self._facts(request, state, asking=False, note=note)
        )

    def _facts(self, request: Request, state: State, asking: bool, note: str = "") -> Facts:
        """What is known now. A dry run takes no turn and draws no lot, so that it can be repeated."""
        turn = self._turns.take(request.model) if asking else self._turns.peek(request.model)
        facts = self._latest(state, asking)
        spent = None if asking else self._budget.used_up(self._wall())  # a call hears it from the gate
        view = None
        if state.catalogue.strategy == "measured":
            view = self._learned.view(request, state.settings.router.explore_usd, note)
        return Facts(facts.targets, facts.providers, self._rng if asking else None, turn, self._who, spent, view)

    def _classified(self, request: Request, state: State) -> tuple[Request, str]:
        """The request with its cluster as a tag, where a classifier tells it; and what is to be told of that."""
        if state.catalogue.strategy != "measured":
            return request, ""
        tags, note = self._learned.classified(request)
        return (request if tags is None else replace(request, tags=tags)), note

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

    def compare_streams(self, prompt: Any, models: Sequence[str] | None, **options: Any) -> list[tuple[str, Stream]]:
        """The calls of compare() as (model, stream under way) each; for what draws them while they come."""
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

    def benchmark(
        self,
        data: Any,
        models: Sequence[str] | str,
        scorers: Any = (),
        *,
        epochs: int = 1,
        concurrency: int | None = None,
        rate: float | Sequence[float] | None = None,
        warmup: int = 0,
        arrivals: str | Sequence[float] = "poisson",
        duration: float | None = None,
        prompt: str | None = None,
        timeout: float | None = None,
        max_cost: Any = None,
        unique: bool = False,
        seed: int = 0,
        save: str | os.PathLike[str] | None = None,
        resume: bool = True,
        progress: Any = True,
        limits: Mapping[str, float] | None = None,
        allow_code: bool = False,
        **options: Any,
    ) -> Run:
        """Ask every model every sample, measure each call, and score the answers. Blocks, and can be interrupted.

        Args:
            data: a DataFrame, a list of strings or dicts, a dict of columns, a Dataset, or the path of a .jsonl, .csv
                or .parquet file. Columns: `input` (a prompt or a list of messages), `target` (what is right), `id`
                (default: the row's number), `cluster` (what belongs together, for intervals); others are kept.
            models: names as for chat(): "provider/model", a model's name or a group.
            scorers: names ("exact", "includes" ...), hybrid_nb.scorers, or functions of (output, target).
            epochs: how often each sample is asked.
            concurrency: calls under way at once, over all models (default 4). With `rate`: a cap; default none.
            rate: calls begun a second, over all models, whatever became of those before: an open loop. Several make a
                sweep, one stage each, over which the calls are spread.
            warmup: so many calls more before the others, whose slots pass over without a pause. They do not count.
            arrivals: of the open loop: "poisson", "constant", "ramp" (with rate=(from, to)), or a list of seconds from
                the start, at which calls are begun.
            duration: seconds for which calls are begun (of each rate of a sweep), the data being asked again and again.
            prompt: makes each input from columns: "Translate: {text}".
            timeout: seconds for one call with its retries, a judge's too; default: the router's.
            max_cost: dollars for the whole run, judges included. Calls that might pass it are not asked, and no call is
                hedged; without max_tokens answers are cut at 8,192 tokens, so that there is a bound.
            unique: begin each prompt with letters of its own, so that no provider's cache helps.
            seed: of the order of calls, and of arrivals.
            save: a folder, into which each call is written as it ends, and the run at the end.
            resume: go on with the run in `save`: what it has answers to is not asked again. False: begin anew; the
                earlier journal is kept beside the new one.
            progress: a line with the calls, failures, dollars and time left; or a function of a Progress.
            limits: seconds that a good call keeps, such as {"ttft_any_s": 1, "latency_s": 5}, for goodput.
            allow_code: let a scorer run code that models wrote.
            options: of every call, as for chat(). `cache` is off unless asked for.

        Returns:
            The Run. One that ended early says why in run.info.stopped: "interrupt" (what is finished is kept), or
            "budget" (its own max_cost, or the router's budget). A call that failed is a row with its error.

        Raises:
            OptionValueError, OptionTypeError: what is wrong with data, models, scorers or settings; ConfigError: with
            `save`. All before anything is spent.

        >>> run = router.benchmark([{"input": "2+2?", "target": "4"}], ["a/m", "b/n"], ["includes"])  # doctest: +SKIP
        """
        from hybrid_nb import benchmarking

        return benchmarking.run(
            self, data, models, scorers, progress, epochs=epochs, concurrency=concurrency, rate=rate, warmup=warmup,
            arrivals=arrivals, duration=duration, prompt=prompt, timeout=timeout, max_cost=max_cost, unique=unique,
            seed=seed, save=save, resume=resume, limits=limits, allow_code=allow_code, **options,
        )  # fmt: skip

    def start_benchmark(self, data: Any, models: Sequence[str] | str, scorers: Any = (), **settings: Any) -> Job:
        """benchmark() in the background: returns at once a Job with .progress, .stop(), .done and .result().

        Settings and errors are those of benchmark(); `progress` is left to the Job.
        """
        from hybrid_nb import benchmarking

        settings.pop("progress", None)
        return benchmarking.start(self, data, models, scorers, **settings)

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigError("this router is closed; make a new one with hybrid_nb.Router()")

    def _request(self, prompt: Any, options: Mapping[str, Any]) -> tuple[Request, State]:
        self._check_open()
        state = self._state
        request = make_request(prompt, **options)
        if request.model is None and state.settings.router.default_model and "model" not in options:
            request = replace(request, model=state.settings.router.default_model)
        if (request.min_quality is not None or request.max_latency is not None) and (
            state.catalogue.strategy != "measured"
        ):
            raise OptionValueError(
                "min_quality and max_latency need evidence: router.learn(run), router.configure(strategy='measured')"
            )
        return request, state

    def _prepared(self, prompt: Any, options: Mapping[str, Any]) -> Prepared:
        request, _ = self._request(prompt, {k: v for k, v in options.items() if v is not None})
        return self._ready(request, options.get("model"))

    def _ready(self, request: Request, named: str | None) -> Prepared:
        """A request as a call. `named` is the model that the caller named, before any default."""
        state = self._state
        if (request.cache or state.settings.cache.mode) == "replay":
            return Prepared(request, RoutePlan(()), state, named)
        request, note = self._classified(request, state)
        return Prepared(request, self._planned(request, state, note), state, named)

    def _planned(self, request: Request, state: State, note: str = "") -> RoutePlan:
        """The plan for a call: the same need of the same facts has one plan, where chance and turns play no part."""
        if not state.catalogue.settled:
            facts = self._facts(request, state, asking=True, note=note)
            return plan(request, state.catalogue, prices.upper_estimate, lambda: facts)
        latest = self._latest(state)
        key = (request.model, Need.of(request, state.catalogue.max_ttft))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = plan(request, state.catalogue, prices.upper_estimate, lambda: latest)
        return found

    async def _run(self, ready: Prepared, sink: Sink | None) -> Reply:
        request, found, state, _ = ready

        async def live(sink: Sink | None) -> Reply:
            if found.trial is not None:
                return await self._explored(request, found, found.trial, state, sink)
            return await self._engine.run(request, found, slots(found, state.catalogue), state.conduct, sink)

        if (request.cache or state.settings.cache.mode) == "off":
            return await live(sink)
        try:
            return await self._recorded.run(ready.asked, live, sink)
        finally:
            self._news.tell("calls")  # an answer that was kept has no attempt that tells

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
        cost, and asks nothing but free models. `on_error="raise"` raises the first error
        of a row; errors that come again and again end a map in any case.
        An interrupt keeps what is finished. `client`: a dask.distributed Client whose workers ask; the frame may be a
        dask DataFrame then. Other options are those of chat().

        Raises ValueError or TypeError for bad options and columns, before anything is sent; BudgetExceededError for
        max_cost where no price is known.
        """
        from hybrid_nb import mapping

        given = (max_cost, concurrency, on_error, resume, progress)
        what = {"output": output, "model": model, "into": into, "options": options}
        answered: pd.DataFrame = mapping.run(self, frame, prompt, given, client, **what)
        return answered

    async def amap(self, frame: pd.DataFrame, prompt: Any, **options: Any) -> pd.DataFrame:
        """map() for async cells and programs: it works in a thread; cancelling the caller ends it, and keeps what is
        finished.
        """
        from hybrid_nb import mapping

        answered: pd.DataFrame = await mapping.arun(self, frame, prompt, options)
        return answered

    def forget_map(self, older_than: Any = None) -> int:
        """Drop answers that map() keeps in the ledger: all, or those last used before a time (a datetime, or a
        timedelta back from now); how many there were. Those of 30 days without use go by themselves.
        """
        self._check_open()
        before = time.time() + 1 if older_than is None else rows.unix(older_than)
        return portal().run(Mapped(self._ledger).forget(before or 0.0))

    async def _explored(
        self, request: Request, found: RoutePlan, trial: Trial, state: State, sink: Sink | None
    ) -> Reply:
        """A call that explores: what it costs over the usual choice is booked first, and corrected when it is known."""
        if not await self._learned.book(trial.extra, state.settings.router.explore_usd):
            found = self._planned(replace(request, explore=False), state)
            return await self._engine.run(request, found, slots(found, state.catalogue), state.conduct, sink)
        reply = await self._engine.run(request, found, slots(found, state.catalogue), state.conduct, sink)
        if reply.cost is not None:
            self._learned.correct(trial.extra, max(0.0, float(reply.cost) - trial.usual))
        return reply

    def test_provider(self, name: str, model: str | None = None) -> pd.DataFrame:
        """Connection, key and model of a provider in three steps: one row each with ok, detail and seconds.

        The third sends a prompt of a few tokens to `model` (default: its first), so it may cost a fraction of a cent.
        """
        steps = self._steps(self._provider(name), model)

        async def all_steps() -> list[trial.Step]:
            return [step async for step in steps]

        return frames.records(portal().run(all_steps()), trial.COLUMNS)

    async def test_steps(self, name: str, model: str | None = None) -> AsyncIterator[trial.Step]:
        """As test_provider, step by step as each ends: dicts of step, ok, detail and seconds. Runs on any loop."""
        steps = self._steps(self._provider(name), model)
        while (step := await portal().arun(trial.following(steps))) is not None:
            yield step

    def _steps(self, provider: Provider, model: str | None) -> AsyncIterator[trial.Step]:
        def ask(options: dict[str, Any]) -> Coroutine[Any, Any, Reply]:
            return self._run(self._prepared(trial.PROMPT, options), None)

        return trial.steps(provider, model, self._transport, ask)

    def listed_models(self, provider: str | Mapping[str, Any], key: keys.Key | None = None) -> list[str]:
        """The models that the server of a provider lists now: of one by its name, or of a dict as in [[provider]] that
        need not be added yet. `key` goes before its own. Costs nothing. Raises ConfigError and InferenceError.
        """
        self._check_open()
        asked = self._provider(provider) if isinstance(provider, str) else setup.temporary(provider, os.environ)
        place = asked.endpoints[0]
        if key is not None:
            place = replace(place, key=key)
        elif asked.missing_key:
            raise ConfigError(asked.missing_key)
        return [m.id for m in portal().run(checks.list_models(asked, place, self._transport)).models]

    def absent(self, model: str) -> str | None:
        """Why nobody has a model of this name, by the lists of the servers that it names; None: it may be asked.

        For "provider/model" that is not configured, which chat() sends all the same. Costs nothing. Raises
        ModelNotFoundError for a name that means nobody.
        """
        self._check_open()
        catalogue = self._state.catalogue
        named = [(option.provider, option.target.model) for option in catalogue.named(model) if option.blocked is None]
        return portal().run(listing.absent(named, self._transport))

    # --- changing -------------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Change [router] settings at once: strategy, mode, retries, timeouts ... Calls under way keep theirs.

        `budget` and `cache` take a dict of their own keys, `group` a dict of groups (None takes one out):

        >>> router.configure(retries=1, budget={"daily_usd": 2}, group={"fast": ["lan/qwen3"]})   # doctest: +SKIP
        """
        self._change(f"set {', '.join(changes)}", changing.configuring(changes))

    def rollout(self, model: str, to: str, percent: float, by: str = "user") -> None:
        """Send a share of those who ask for `model` (a group or a model's name; "*": none) to the target `to` first.

        The same users (or notebooks, with by="notebook") are in it at every call; a higher percentage adds some and
        takes none out. A call's tag of that name ("user", "notebook") counts before the environment.
        Raises ConfigError.

        >>> router.rollout("fast", to="openai/gpt-5-mini", percent=10)   # doctest: +SKIP
        >>> router.rollback("fast")                                      # doctest: +SKIP
        """
        item = {"to": to, "percent": percent, "by": by}
        self._change(f"rollout of {model}", lambda data: data.update(rollout={**data.get("rollout", {}), model: item}))

    def rollback(self, model: str | None = None) -> None:
        """End the rollout of `model` (None: all of them) at once; calls under way are finished where they are."""
        running = self._state.settings.rollout
        if model is not None and model not in running:
            raise ConfigError(f"no rollout of {model!r}{configuration.nearest(model, running)}")
        self._change(
            "rollback",
            lambda data: data.update(
                rollout={n: r for n, r in data.get("rollout", {}).items() if model and n != model}
            ),
        )

    def add_provider(self, provider: Mapping[str, Any]) -> None:
        """Add a provider: a dict as in [[provider]]. Raises ConfigError."""
        self._change(f"add {provider.get('name')}", lambda data: data["provider"].append(dict(provider)))

    def update_provider(self, name: str, **changes: Any) -> None:
        """Change a provider's settings; None takes one back to its default. One that was found is configured by it."""
        self._change(f"change {name}", changing.updating(self._provider(name), changes))

    def remove_provider(self, name: str, everywhere: bool = False) -> None:
        """Take a provider out; `everywhere`: out of groups, rollouts and the default model too, which else refuse."""
        self._provider(name)
        self._change(f"remove {name}", changing.removing(name, everywhere, self._state), gone=name)

    def order_providers(self, names: Sequence[str]) -> None:
        """Put all providers into this order, the first preferred; their priorities within each tier follow it."""
        self._check_open()
        self._change("order of providers", changing.ordering(names, self._state))

    def set_key(self, name: str, key: str | keys.Key, place: keys.Place | None = None) -> str:
        """Keep a provider's key, and use it at once; returns where it is ("keyring:NAME" or "env:NAME"), never the key.

        `place`: "keyring" (the system's, for good), "environment" (of this process, until it ends) or None: the
        keyring where there is one. Raises ConfigError.
        """
        provider = self._provider(name)
        chosen: keys.Place = place or ("keyring" if keys.has_keyring() else "environment")
        spec = keys.keep(name, setup.variable_for(name, provider.vendor), key, chosen, os.environ)
        self._change(f"key of {name}", changing.updating(provider, {"api_key": spec}))
        return spec

    def _provider(self, name: str) -> Provider:
        self._check_open()
        found = self._state.providers.get(name)
        if found is None:
            raise ConfigError(f"no provider {name!r}{configuration.nearest(name, self._state.providers)}")
        return found

    def _change(self, what: str, change: changing.Change, gone: str | None = None) -> None:
        self._check_open()
        with self._lock:
            before = self._state
            self._arrange(changing.changed(before, change, gone))
            self._history.add(what, before)
        self._changed()

    def _arrange(self, new: changing.Arranged) -> None:
        """Put other settings in force, all at once."""
        old, settings = self._state, new.settings
        built = [self._rebuilt(item, old) for item in settings.provider]
        self._state = make_state(settings, [*built, *new.found])
        self._gate.policy = policy_of(settings)
        self._engine.hedger.rate = settings.router.hedge_rate
        self._budget.limits, self._budget.queue = budget_of(settings)

    def _changed(self) -> None:
        self._list_unlisted()
        self._rounds.changed()
        portal().submit(self._count_slots())
        self._news.tell("config")

    def _rebuilt(self, item: configuration.ProviderSettings, old: State) -> Provider:
        provider = setup.build(item, os.environ)
        before = old.providers.get(item.name)
        same = before is not None and before.endpoints == provider.endpoints
        if not same:
            self._health.moved(item.name)
        if before is None or not same or provider.models:
            return provider
        return setup.with_contexts(replace(provider, models=before.models), item.context)

    def undo(self) -> str:
        """Take the last change back, at once; returns what it was. Raises ConfigError when there is none."""
        self._check_open()
        with self._lock:
            past = self._history.take()
            self._arrange(changing.Arranged(past.state.settings, changing.unconfigured(past.state)))
        self._changed()
        return past.what

    @property
    def undoable(self) -> str | None:
        """The last change, which undo() would take back; None: there is none."""
        return self._history.last

    # --- the file -------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | None = None, overwrite: bool = False) -> Path:
        """Write the configuration as TOML: to `path`, the file it came from, or the user's. Comments are kept.

        Keys that came from the environment are written as env:NAME; a key given in clear text is written as given.
        What the environment set of [router] and [cache] (MAX_RETRIES, HYBRID_NB_CACHE ...) is not written.
        Raises ConfigConflictError when the file was changed by somebody else since it was read, unless `overwrite`.
        """
        settings = setup.own(self._state.settings, self._borrowed)
        saved = self._file.save(settings, Path(path) if path else None, overwrite)
        self._news.tell("config")
        return saved

    def unsaved(self) -> list[str]:
        """What differs from the file, one short line each, without any key."""
        return changing.differences(self._file.settings, setup.own(self._state.settings, self._borrowed))

    def reload(self) -> list[str]:
        """Take what the file says now, at once (undo() takes it back); returns what changed. Raises ConfigError."""
        path = self._file.target
        before = self._state.settings
        loaded = setup.loaded(configuration.read_file(path), path, not self._named, os.environ)
        self._take(loaded, "reload")
        self._file = File(path, setup.own(loaded.settings, loaded.borrowed))
        self._news.tell("config")
        return changing.differences(before, self._state.settings)

    @property
    def broken(self) -> mending.Broken | None:
        """The file with mistakes that this router was made from what is left of; None: all is well."""
        return self._file.broken

    def mend(self, text: str, overwrite: bool = False) -> list[str]:
        """Write this text into the file and use it, at once; returns what changed. Raises ConfigError for a mistake in
        it, and ConfigConflictError when the file was changed by somebody else; then nothing is changed.
        """
        self._check_open()
        path = self._file.target
        loaded = setup.loaded(configuration.parse(text, str(path)), path, not self._named, os.environ)
        mending.usable(loaded.settings, os.environ, str(path))
        self._file.write(text, overwrite)
        return self.reload()

    def take(self, config: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Use another configuration, a path or a dict, from now on (undo() takes it back). The ledger stays.

        Raises ConfigError, and nothing is changed.
        """
        self._take(setup.load(config, os.environ), "another configuration")

    def _take(self, loaded: setup.Loaded, what: str) -> None:
        self._check_open()
        with self._lock:
            before = self._state
            settings = loaded.settings.model_copy(update={"ledger": before.settings.ledger})
            self._arrange(changing.Arranged(settings, ()))
            self._history.add(what, before)
            self._borrowed = loaded.borrowed
        self._changed()

    def to_toml(self) -> str:
        """The configuration as TOML, without any key in clear text."""
        from hybrid_nb.core.saving import text_of

        return text_of(setup.own(self._state.settings, self._borrowed))

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(topic)` when something happened; the function that is returned ends it.

        Topics: "calls" (a call ended), "health" (somebody was looked at), "config" (settings changed or were saved),
        "closed". It is called on the thread where it happened, and must return at once.
        """
        return self._news.watch(listener)

    @property
    def conversations(self) -> Conversations:
        """The conversations that are kept by name in the ledger's file."""
        self._check_open()
        return Conversations(self._ledger)

    @property
    def path(self) -> Path | None:
        """The file that the configuration came from or was saved to; None: it is in no file."""
        return self._file.path

    @property
    def closed(self) -> bool:
        """Whether it was closed, so that nothing can be asked any more."""
        return self._closed

    @property
    def settings(self) -> configuration.Settings:
        """The settings in force (frozen). A key in clear text is in them, but not in their repr."""
        return self._state.settings

    def close(self) -> None:
        """Close connections and the ledger. Calls under way are finished or fail; further ones raise ConfigError.

        A router that nobody closes is closed when it is collected, or at the end of the program.
        """
        if self._closed:
            return
        self._closed = True
        self._left.detach()
        portal().run(leaving.close(self._parts))
        self._news.tell("closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(self._state.providers) or "no providers"
        return f"Router({names}; {len(self._state.catalogue.options)} models{'; closed' if self._closed else ''})"


def _half_life(router: weakref.ref[Router]) -> float:
    """Days; the learned part must not keep its router."""
    found = router()
    return 14.0 if found is None else found._state.settings.router.half_life


def _ignore(text: str) -> None:
    """A sink for comparisons: they stream for the times, and read the reply at the end."""


def check_providers(router: Router) -> None:
    """Raises NoProviderAvailableError, with what to do, when a router has no provider and needs one."""
    if not router._state.providers and router._state.settings.cache.mode != "replay":
        raise no_candidate(RoutePlan(()), Request(()))


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
