"""Answers that were given before, in front of the engine: a cache by exact match, and cassettes that replay.

on      an answer to the same request, from the same model at the same place, is given again from the ledger's cache
record  every answer comes from a provider, and is written to the cassette
replay  every answer comes from the cassette; no provider, no key and no network is needed. A request that was asked
        several times while a router recorded gets those answers in their order, and then the last one again

A hit is a row in the ledger with `cache_hit` and cost 0. A cached Reply says so too; a replayed one is to the byte
what was recorded, with its times and its cost, so that a notebook which is run again compares equal.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from hybrid_nb import keys
from hybrid_nb.core.config import CacheSettings
from hybrid_nb.core.errors import HybridNbError, InvalidRequestError, MalformedResponseError, ReplayMissError
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.schema import parse_answer
from hybrid_nb.core.types import Reply, Request, Route, RoutePlan, Target, money
from hybrid_nb.engine.run import Sink, new_id
from hybrid_nb.ledger.cache import Cache
from hybrid_nb.ledger.cassette import Cassette, Pieces, Recording, decoded, encoded
from hybrid_nb.ledger.entries import entry
from hybrid_nb.ledger.identity import Canonical, canonical, key_of, prompt_of
from hybrid_nb.ledger.nearest import differences, nearest, shortened
from hybrid_nb.ledger.store import Ledger

CACHED = ("stop", "length", "tool_calls")  # ways to end that make an answer worth keeping
MEGABYTE = 1_000_000

Live = Callable[[Sink | None], Awaitable[Reply]]


class Asked(NamedTuple):
    """A call that may be answered from what is kept. `model` is the name that the caller gave, before any default."""

    request: Request
    model: str | None
    plan: RoutePlan
    providers: Mapping[str, Provider]
    settings: CacheSettings

    @property
    def mode(self) -> str:
        return self.request.cache or self.settings.mode


class Tape:
    """A sink that notes the pieces of a stream and when they came, and passes them on."""

    def __init__(self, sink: Sink | None) -> None:
        self.clock = asyncio.get_running_loop().time
        self.started = self.clock()
        self.pieces: list[tuple[float, str]] | None = None if sink is None else []
        self._sink = sink

    @property
    def sink(self) -> Sink | None:
        return None if self._sink is None else self._take

    def _take(self, text: str) -> None:
        self.pieces.append((self.clock() - self.started, text))  # type: ignore[union-attr]  # as there is a sink
        self._sink(text)  # type: ignore[misc]

    def recorded(self) -> Pieces | None:
        return None if self.pieces is None else tuple(self.pieces)


class Recorded:
    """The cache and the cassettes of one router. Belongs to the portal's loop; clock and sleep come in."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._cache = Cache(ledger)
        self._cassettes: dict[str, Cassette] = {}
        self._recorded: Counter[tuple[str, str]] = Counter()  # by cassette and key
        self._replayed: Counter[tuple[str, str]] = Counter()
        self._writing = asyncio.Lock()  # takes are written in their order
        self._wall = wall
        self._sleep = sleep

    def cassette(self, settings: CacheSettings) -> Cassette:
        """The cassette that the settings name; a relative path is one from the folder of the first use."""
        return self._cassettes.setdefault(settings.path, Cassette(settings.path))

    def models(self, settings: CacheSettings) -> list[str]:
        """The names by which the recorded answers were asked for."""
        named = (r.request.get("model") for r in self.cassette(settings).recordings.values())
        return list(dict.fromkeys(str(name) for name in named if name is not None))

    async def run(self, asked: Asked, live: Live, sink: Sink | None) -> Reply:
        """The reply, from what is kept or from `live`, as the mode says.

        Raises ReplayMissError for a request that was not recorded, and what `live` raises.
        """
        if asked.mode == "replay":
            return await self._replay(asked, sink)
        if asked.mode == "record":
            return await self._record(asked, live, sink)
        return await self._cached(asked, live, sink)

    async def compared(self, asked: Asked) -> list[str]:
        """The models that a comparison which named none was recorded with. Raises ReplayMissError."""
        form, key = await _comparison(asked)
        cassette = self.cassette(asked.settings)
        names = cassette.compared.get(key)
        if names is None:
            raise await asyncio.to_thread(_miss, prompt_of(asked.request), form, cassette)
        return list(names)

    async def compare(self, asked: Asked, names: Sequence[str]) -> None:
        """Record the models of a comparison that named none."""
        _, key = await _comparison(asked)
        await asyncio.to_thread(self.cassette(asked.settings).add_comparison, key, prompt_of(asked.request), names)

    # --- on -------------------------------------------------------------------------------------------------

    async def _cached(self, asked: Asked, live: Live, sink: Sink | None) -> Reply:
        chosen, settings = asked.plan.chosen, asked.settings
        key = None if chosen is None else await _place_key(asked, chosen)
        if chosen is None or key is None:
            return await live(sink)
        body = await self._cache.get(key, self._wall(), settings.ttl)
        if body is None:
            return await self._fresh(asked, live, sink)
        try:
            found = decoded(orjson.loads(body))
            parsed = _parsed(found.reply, asked.request)
        except (LookupError, TypeError, ValueError, MalformedResponseError):
            # another version wrote it, or a class that asks for more than its JSON schema tells has changed
            return await self._fresh(asked, live, sink)
        return await self._hit(asked, found, key, parsed, sink)

    async def _fresh(self, asked: Asked, live: Live, sink: Sink | None) -> Reply:
        """Ask, and keep the answer under the name of who gave it: after a failover that is not who was chosen."""
        tape = Tape(sink)
        reply = await live(tape.sink)
        key = await _place_key(asked, Target(reply.provider, reply.model))
        if reply.finish in CACHED and reply.route.cut_at is None and key is not None:  # a later budget gives it whole
            recording = Recording(key, "", {}, replace(reply, route=Route(None, (), ())), tape.recorded())
            if recording.without(_secrets(asked)) is recording:
                settings = asked.settings
                limit = settings.max_mb * MEGABYTE
                await self._cache.put(key, orjson.dumps(encoded(recording)), self._wall(), settings.ttl, limit)
        return reply

    async def _hit(self, asked: Asked, found: Recording, key: str, parsed: Any, sink: Sink | None) -> Reply:
        old = found.reply
        amounts = [money(old.cost)] if old.cost else []
        amounts += [f"{old.latency:.1f} s"] if old.latency is not None else []
        reason = f"answered from the cache (saved {', '.join(amounts)})" if amounts else "answered from the cache"
        target = Target(old.provider, old.model)
        reply = replace(
            old,
            parsed=parsed,
            cost=Decimal(0),
            cost_source="cache",
            route=Route(target, asked.plan.candidates, (), reason),
            request_id=new_id(),
        )
        return await self._given(asked, found, reply, key, sink, timing=False)

    # --- record and replay ------------------------------------------------------------------------------------

    async def _record(self, asked: Asked, live: Live, sink: Sink | None) -> Reply:
        cassette = self.cassette(asked.settings)
        await asyncio.to_thread(cassette.make)
        tape = Tape(sink)
        reply = await live(tape.sink)
        form, key = await _identified(asked)
        async with self._writing:
            place = (asked.settings.path, key)
            take = self._recorded[place]
            recording = Recording(key, prompt_of(asked.request), form, reply, tape.recorded(), take)
            await asyncio.to_thread(cassette.add, recording.without(_secrets(asked)))
            self._recorded[place] += 1
        return reply

    async def _replay(self, asked: Asked, sink: Sink | None) -> Reply:
        started, wall, request_id = asyncio.get_running_loop().time(), self._wall(), new_id()
        cassette = self.cassette(asked.settings)
        try:
            found = await self._found(asked, cassette)
            parsed = _parsed(found.reply, asked.request)
        except HybridNbError as error:
            latency = asyncio.get_running_loop().time() - started
            failed = Reply("", cost=Decimal(0), cost_source="cache", latency=latency, request_id=request_id)
            await self._ledger.record(entry(wall, asked.request, failed, "error", f"{type(error).__name__}: {error}"))
            raise
        reply = replace(found.reply, parsed=parsed, request_id=request_id)
        if sink is None:
            reply = replace(reply, ttft=None)
        where = Route(reply.route.chosen, (), (), f"replayed from {cassette.path.name}")
        row = replace(reply, cost=Decimal(0), cost_source="cache", route=where)
        await self._given(asked, found, row, None, sink, timing=asked.settings.timing)
        return reply

    async def _found(self, asked: Asked, cassette: Cassette) -> Recording:
        """The recording of a request: the next of its takes. Raises ReplayMissError."""
        form, key = await _identified(asked)
        takes = cassette.takes.get(key)
        if takes is None:
            raise await asyncio.to_thread(_miss, prompt_of(asked.request), form, cassette)
        place = (asked.settings.path, key)
        self._replayed[place] += 1
        return takes[min(self._replayed[place], len(takes)) - 1]

    async def _given(
        self, asked: Asked, found: Recording, row: Reply, key: str | None, sink: Sink | None, timing: bool
    ) -> Reply:
        """Play the answer, and write `row` with the times that this took; returns it as it was written."""
        clock, wall = asyncio.get_running_loop().time, self._wall()
        started = clock()
        first: float | None = None
        try:
            for at, text in _pieces(found) if sink is not None else ():
                await self._sleep(max(0.0, started + at - clock()) if timing else 0)
                first = clock() - started if first is None else first
                sink(text)  # type: ignore[misc]  # as there is one
            if timing and found.reply.latency is not None:
                await self._sleep(max(0.0, started + found.reply.latency - clock()))
        except asyncio.CancelledError:
            gone = replace(row, ttft=first, latency=clock() - started)
            self._ledger.record_soon(entry(wall, asked.request, gone, "cancelled", "cancelled", hit=True))
            raise
        row = replace(row, ttft=first, latency=clock() - started)
        await self._cache.hit(key, row.request_id, found.reply.cost, found.reply.latency, wall)
        await self._ledger.record(entry(wall, asked.request, row, "ok", None, hit=True))
        return row


# --- which recording --------------------------------------------------------------------------------------


async def _identified(asked: Asked, model: str | None = None) -> tuple[Canonical, str]:
    """The canonical request and its key. Hashing pictures takes its time, so a thread does it."""

    def identify() -> tuple[Canonical, str]:
        form = canonical(asked.request, asked.model if model is None else model)
        return form, key_of(form)

    try:
        return await asyncio.to_thread(identify) if asked.request.has_images else identify()
    except TypeError as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None


async def _comparison(asked: Asked) -> tuple[Canonical, str]:
    form, _ = await _identified(asked)
    return form, key_of({**form, "model": "every"})


async def _place_key(asked: Asked, target: Target) -> str | None:
    """The key of a request to a target: two providers of one name at different addresses are different places.

    None for a request that is not JSON; the engine says what is wrong with it.
    """
    provider = asked.providers.get(target.provider)
    if provider is None:
        return None
    try:
        form, _ = await _identified(asked, str(target))
    except InvalidRequestError:
        return None
    place = [provider.vendor.type, *sorted(endpoint.base_url for endpoint in provider.endpoints)]
    return key_of({**form, "place": place})


def _miss(prompt: str, form: Canonical, cassette: Cassette) -> ReplayMissError:
    recordings = cassette.recordings
    close = nearest(prompt, form, recordings.values())
    told = f"{cassette.path.name} has no recording of {shortened(prompt)!r}"
    remedy = "; record it with cache='record' (--cache record)"
    if close is None:
        return ReplayMissError(f"{told}: it is empty or not there ({cassette.path}){remedy}", prompt)
    differs = differences(close.request, form)
    text = f"{told}; the nearest of {len(recordings)} is {shortened(close.prompt)!r}, and differs in "
    return ReplayMissError(f"{text}{'; '.join(differs)}{remedy}", prompt, close.prompt, differs)


def _pieces(found: Recording) -> Pieces:
    if found.pieces is not None:
        return found.pieces
    return ((found.reply.latency or 0.0, found.reply.text),) if found.reply.text else ()


def _parsed(reply: Reply, request: Request) -> Any:
    return parse_answer(reply.text, request) if request.schema is not None and reply.finish == "stop" else None


def _secrets(asked: Asked) -> tuple[str, ...]:
    return keys.values(endpoint.key for provider in asked.providers.values() for endpoint in provider.endpoints)
