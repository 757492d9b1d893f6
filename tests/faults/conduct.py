"""How a case of the conduct suite is played, judged and told: the runner, and the scorecard.

A case is played through the public door (`achat`, `stream`) of a router with the settings that it is shipped with,
against loopback servers, in virtual time. Then nothing may be left, and when the servers are well again the engine is.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_nb.core.errors import HybridNbError, NoProviderAvailableError, StreamInterruptedError
from hybrid_nb.core.types import Attempt
from hybrid_nb.portal import portal
from tests.faults import certificates
from tests.faults.raw_server import Play, RawServer, Script, Seen, answer, chunked, delta, events, finish, said
from tests.faults.virtual import VirtualLoop, virtual_router

WORDS = ("One", " two", " three", " four", " five", " six.")
ANSWER = "".join(WORDS)
SEED = 7
EXACT = 0.02  # seconds: the clock stands still while work is done, but commits may wait for company
DELAY, LONGEST = 0.5, 8.0  # the shipped retry_delay, and the longest backoff
ROOTS = {
    "custom": "/v1",
    "openai": "/v1",
    "anthropic": "",
    "gemini": "/v1beta",
    "ollama": "",
    "mistral": "/v1",
}  # of their addresses
PRICES = {"input": 1.0, "output": 2.0}
NOT_REACHED = re.compile("no connection to|no such host|TLS to")
LIST: Script = answer({"object": "list", "data": [{"id": "m", "object": "model"}]})
DOWN: Play = [b"down"]  # nobody listens: for all of a case, or until `turn`


class Way(NamedTuple):
    """What differs between the two ways to ask."""

    chat: Any
    stream: Any


def of(value: Any, way: str) -> Any:
    return getattr(value, way) if isinstance(value, Way) else value


def streamed(seen: Seen) -> bool:
    return bool(seen.json.get("stream"))


def frames(words: Sequence[str]) -> list[bytes]:
    """The events of a streamed answer: a word each, finish, usage, end."""
    counted = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(words)}}
    return [*events(*(delta(word) for word in words)), *events(finish(), counted, b"[DONE]")]


def says(*words: str) -> Play:
    """A whole answer of these words."""
    return lambda seen: chunked(*frames(words)) if streamed(seen) else answer(said("".join(words), (3, len(words))))


good = says(*WORDS)


@dataclass(frozen=True)
class Case:
    """What the servers do, and what must happen. Times are virtual seconds.

    `a`, `b`, `c` are played request by request, the last play for ever. `ends` is the text or the type of error (or
    type and text shown), `asked` a pattern of the providers of the attempts in order. `gaps` bounds the times between
    two attempts as the servers saw them (None: at once to a fresh target, within the backoff's bound to one that was
    asked before), `within` the call's time, or is the time itself (None: the sum of the gaps). `heals` is the time
    after which every target must be well again, None: after a health check.
    """

    name: str
    a: Sequence[Play] = (good,)
    b: Sequence[Play] | None = None
    c: Sequence[Play] | None = None
    ends: Any = ANSWER
    says: Any = ""  # a pattern that the error's text has
    asked: Any = "a"
    parts: Any = None  # of the attempts in the answer, None: not looked at
    gaps: Any = None
    within: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    a_has: Mapping[str, Any] = field(default_factory=dict)
    b_has: Mapping[str, Any] = field(default_factory=dict)
    c_has: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    certificate: str = ""  # that `a` shows at first
    ways: Sequence[str] = ("chat", "stream")
    heals: float | None = 61.0
    after: str = "abc"  # the providers that must be well afterwards
    scenario: Callable[[Stage], Awaitable[Told]] | None = None
    well: Play = good  # what all servers play when they are well again
    bound: str = ""  # of a scenario, in words
    xfail: str = ""  # what is wrong in the engine

    @property
    def providers(self) -> dict[str, Sequence[Play]]:
        return {name: plays for name in "abc" if (plays := getattr(self, name)) is not None}


class Told(NamedTuple):
    """What happened in a scenario, and what was wrong with it."""

    outcome: str
    attempts: str
    spacing: str
    seconds: float
    wrong: Sequence[str] = ()
    calls: int = 1


class Row(NamedTuple):
    """A line of the scorecard."""

    case: str
    way: str
    outcome: str
    attempts: str
    spacing: str
    time: str
    bound: str
    verdict: str


class Stand(RawServer):
    """A server of the suite: lists of models are answered beside the script."""

    def _script(self, seen: Seen) -> Script:
        if seen.method == "GET":
            self.seen.remove(seen)
            return LIST
        return super()._script(seen)

    async def turn(self, *plays: Play) -> None:
        """Play these from now on; DOWN: listen no more."""
        down = plays[0] is DOWN
        self.play(*plays)
        if down:
            await self.stop()
        elif self._server is None or not self._server.is_serving():
            await self.start()


class Ended(NamedTuple):
    """How one call ended."""

    text: str
    error: HybridNbError | None
    attempts: Sequence[Attempt]
    seconds: float

    @property
    def outcome(self) -> str:
        if self.error is None:
            return "text"
        return type(self.error).__name__.removesuffix("Error")

    @property
    def asked(self) -> str:
        return "".join(a.provider for a in self.attempts)


class Stage:
    """The servers and the router of one case."""

    def __init__(self, loop: VirtualLoop, folder: Path, case: Case, way: str) -> None:
        self.loop = loop
        self.case = case
        self.way = way
        self.folder = folder
        self.servers: dict[str, Stand] = {}
        self.asked = 0  # calls
        self.attempts = 0  # that their routes tell of
        self.rows_may_lack = 0  # of calls that were cancelled before they began
        self.threads = running_threads()

    # --- what scenarios use ---

    async def ask(self, way: str | None = None, **options: Any) -> Ended:
        """One call, to its end."""
        self.asked += 1
        started, parts = self.loop.time(), []
        error: HybridNbError | None = None
        attempts: Sequence[Attempt] = ()
        try:
            if (way or self.way) == "chat":
                reply = await self.router.achat("Count.", **options)
                parts = [reply.text]
            else:
                stream = self.router.stream("Count.", **options)
                async for piece in stream:
                    parts.append(piece)
                reply = await stream.areply()
                assert reply.text == "".join(parts), "the pieces are not the reply"
            attempts = reply.route.attempts
        except HybridNbError as caught:
            error, attempts = caught, getattr(caught, "attempts", ())
        self.attempts += len(attempts)
        return Ended("".join(parts), error, attempts, self.loop.time() - started)

    def arrivals(self) -> list[tuple[float, str]]:
        """When each server got its requests."""
        return sorted((seen.at, name) for name, server in self.servers.items() for seen in server.seen)

    # --- up and down ---

    async def _up(self) -> None:
        if self.case.certificate:
            os.environ["SSL_CERT_FILE"] = str(certificates.write(self.folder))
        for name, plays in self.case.providers.items():
            wrong = self.case.certificate if name == "a" else ""
            tls = certificates.context(self.folder, wrong) if wrong else None
            self.servers[name] = server = Stand(list(plays), tls=tls)
            await server.start()
            if plays[0] is DOWN:
                await server.stop()

    def _has(self, name: str) -> Mapping[str, Any]:
        return getattr(self.case, f"{name}_has")

    def _provider(self, name: str, number: int) -> dict[str, Any]:
        has = dict(self._has(name))
        url = self.servers[name].url.removesuffix("/v1") + ROOTS[has.get("type", "custom")]
        if "endpoints" in has:
            has["endpoints"] = [{"base_url": url} if e["base_url"] == "itself" else e for e in has["endpoints"]]
        return {
            "name": name, "type": "custom", "base_url": url, "models": ["m"], "tier": "cloud",
            "prices": {"m": PRICES}, "api_key": f"key-of-{name}", "priority": number, **has,
        }  # fmt: skip

    def _config(self) -> dict[str, Any]:
        return {
            "router": {"strategy": "priority", **self.case.settings},
            "budget": dict(self.case.budget),
            "ledger": {"url": f"sqlite:///{self.folder}/ledger.db"},
            "provider": [self._provider(name, number) for number, name in enumerate(self.servers)],
        }

    def run(self) -> Row:
        """Play the case and judge it."""
        portal().run(self._up())
        self.router = virtual_router(self.loop, self._config(), SEED)
        try:
            with self.loop.jumping():
                told = portal().run(self._play())
                left = portal().run(self._left())
            well = self._well()
        finally:
            self.router.close()
            portal().run(asyncio.sleep(0.001))
            wrong_at_end = self._open()
            portal().run(self._down())
            if self.case.certificate:
                os.environ.pop("SSL_CERT_FILE", None)
        wrong = [*told.wrong, *left, *well, *wrong_at_end]
        bound = self.case.bound or bound_of(self.case, self.way, told.attempts)
        return Row(
            self.case.name, self.way, told.outcome, told.attempts, told.spacing, f"{told.seconds:.1f}", bound,
            "; ".join(wrong) or "ok",
        )  # fmt: skip

    async def _down(self) -> None:
        for server in self.servers.values():
            await server.stop()

    async def _play(self) -> Told:
        if self.case.scenario is not None:
            began = self.loop.time()
            try:
                return await self.case.scenario(self)
            except Exception as error:
                return Told("broke", "", "-", self.loop.time() - began, [f"the scenario broke: {error!r}"])
        ended = await self.ask(**self.case.options)
        gaps = [later.started - one.started for one, later in zip(ended.attempts, ended.attempts[1:], strict=False)]
        wrong = [*judge(self.case, self.way, ended, gaps), *self._as_seen(ended, gaps)]
        return Told(ended.outcome, ended.asked, spaced(gaps), ended.seconds, wrong)

    def _as_seen(self, ended: Ended, gaps: Sequence[float]) -> list[str]:
        """The servers must have seen what the attempts tell, where they could be reached."""
        arrivals = self.arrivals()
        seen = "".join(name for _, name in arrivals)
        reached = "".join(one.provider for one in ended.attempts if not NOT_REACHED.search(one.error or ""))
        if sorted(seen) != sorted(reached):
            return [f"the servers saw {seen!r}, told was {reached!r}"]
        between = [b - a for (a, _), (b, _) in itertools.pairwise(arrivals)]
        if len(between) == len(gaps) and any(abs(a - b) > EXACT for a, b in zip(gaps, between, strict=True)):
            return [f"the servers saw gaps of {spaced(between)}, told was {spaced(gaps)}"]
        return []

    # --- what may not be left ---

    async def _left(self) -> list[str]:
        await asyncio.sleep(0.1)
        await self.router._ledger.drain()
        mine = asyncio.current_task()
        serving = {task for server in self.servers.values() for task in server._tasks}
        tasks = [t.get_coro() for t in asyncio.all_tasks() if t is not mine and t not in serving]
        gate = self.router._gate
        wrong = [f"tasks are left: {tasks}"] if tasks else []
        held = [(lane.limits.running, lane.waiting) for lane in gate._lanes.values()]
        wrong += [
            f"a limit is held: {running} running, {waiting} waiting" for running, waiting in held if running or waiting
        ]
        if any(b.probing for b in (*gate._keys.values(), *gate._targets.values())):
            wrong.append("a probe is held")
        if gate.latency.flying:
            wrong.append(f"counted as in flight: {gate.latency.flying}")
        if self.router._ledger.rows("SELECT id FROM reservations"):
            wrong.append("a reservation is held")
        rows = self.router._ledger.rows("SELECT status, COUNT(*) FROM calls GROUP BY 1")
        if not self.asked - self.rows_may_lack <= sum(count for _, count in rows) <= self.asked:
            wrong.append(f"{self.asked} calls, but rows {rows}")
        wrong += self._money()
        unclosed = [name for name, server in self.servers.items() for seen in server.seen if seen.closed is None]
        return [*wrong, *([f"connections still busy: {unclosed}"] if unclosed else [])]

    def _money(self) -> list[str]:
        """What was spent is what the attempts cost; more where nobody knows what one cost."""
        spent = self.router._ledger.rows("SELECT COALESCE(SUM(amount), 0) FROM spend")[0][0]
        cost, unknown, rows = self.router._ledger.rows(
            "SELECT COALESCE(SUM(cost_usd), 0), COUNT(*) - COUNT(cost_usd), COUNT(*) FROM attempts"
        )[0]
        wrong = [] if spent == cost or (unknown and spent > cost) else [f"spent {spent}, the attempts cost {cost}"]
        if rows < self.attempts:
            wrong.append(f"{rows} rows of attempts, told were {self.attempts}")
        return wrong

    def _well(self) -> list[str]:
        """With good servers and after the time to heal, every target answers at its first try."""
        portal().run(self._heal())
        if self.case.heals is None:
            self.router.health()
        with self.loop.jumping():
            return portal().run(self._good())

    async def _heal(self) -> None:
        for server in self.servers.values():
            await server.turn(self.case.well)
            server.seen.clear()
            if server.tls is not None:
                server.tls.load_cert_chain(self.folder / "good.pem")
        await self.loop.leap(self.case.heals or 0.0)

    async def _good(self) -> list[str]:
        wrong = []
        for name in (name for name in self.servers if name in self.case.after):
            ended = await self.ask(model=f"{name}/m", cache="off")
            if ended.text != ANSWER or ended.asked != name:
                wrong.append(f"{name} is not well afterwards: {ended.error or ended.asked}")
        return wrong

    def _open(self) -> list[str]:
        left = [f"{name} has {server.open}" for name, server in self.servers.items() if server.open]
        wrong = [f"connections are open after the end: {', '.join(left)}"] if left else []
        more = running_threads() - self.threads
        return [*wrong, *([f"threads are left: {more}"] if more else [])]


def running_threads() -> set[str]:
    """Threads by name, without the ones that the loop keeps for look-ups."""
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


# --- judging ------------------------------------------------------------------------------------------------


def judge(case: Case, way: str, ended: Ended, gaps: Sequence[float]) -> list[str]:
    """What is wrong with how a call ended."""
    wrong = judge_outcome(of(case.ends, way), of(case.says, way), ended)
    asked = of(case.asked, way)
    if not re.fullmatch(asked, ended.asked):
        wrong.append(f"asked {ended.asked!r}, not {asked!r}")
    parts = of(case.parts, way)
    if parts is not None and parts != ",".join(one.part for one in ended.attempts):
        wrong.append(f"parts were {[one.part for one in ended.attempts]}, not {parts!r}")
    for number, (gap, (least, most)) in enumerate(zip(gaps, gap_bounds(case, way, ended.asked), strict=False)):
        if not least - EXACT <= gap <= most + EXACT:
            wrong.append(f"gap {number + 1} is {gap:.3f} s, not {least:g} to {most:g}")
    least, most = time_bounds(case, way, ended.asked)
    if not least - EXACT <= ended.seconds <= most + EXACT:
        wrong.append(f"it took {ended.seconds:.3f} s, not {least:g} to {most:g}")
    return wrong


def judge_outcome(ends: Any, pattern: str, ended: Ended) -> list[str]:
    if isinstance(ends, str):
        right = ended.error is None and ended.text == ends
        return [] if right else [f"ended with {ended.error!r} after {ended.text!r}, not with the text"]
    kind, partial = ends if isinstance(ends, tuple) else (ends, None)
    if type(ended.error) is not kind:
        return [f"ended with {ended.error!r} after {ended.text!r}, not with {kind.__name__}"]
    wrong = [] if re.search(pattern, str(ended.error)) else [f"the error says {ended.error}, not {pattern!r}"]
    if isinstance(ended.error, StreamInterruptedError) and ended.error.partial_text != ended.text:
        wrong.append(f"partial_text is {ended.error.partial_text!r}, shown was {ended.text!r}")
    if partial is not None and ended.text != partial:
        wrong.append(f"shown was {ended.text!r}, not {partial!r}")
    if isinstance(ended.error, NoProviderAvailableError) and not ended.error.attempts and not pattern:
        wrong.append("the error tells of no attempts")
    return wrong


def gap_bounds(case: Case, way: str, asked: str) -> list[tuple[float, float]]:
    """Of the time between two attempts: as the case says, else at once to a fresh target, and the backoff's bound."""
    told = of(case.gaps, way)
    if told is not None:
        return list(told)
    delay = case.settings.get("retry_delay", DELAY)
    return [
        (0.0, min(LONGEST, delay * 2 ** (number - 1)) if asked[number] in asked[:number] else 0.0)
        for number in range(1, len(asked))
    ]


def time_bounds(case: Case, way: str, asked: str) -> tuple[float, float]:
    """Of the whole call: as the case says, else what the waits between its attempts may take."""
    told = of(case.within, way)
    if told is None:
        return 0.0, sum(bound for _, bound in gap_bounds(case, way, asked))
    return told if isinstance(told, tuple) else (told, told)


def bound_of(case: Case, way: str, asked: str) -> str:
    least, most = time_bounds(case, way, asked)
    gaps = " ".join(f"{a:g}-{b:g}" if a != b else f"{a:g}" for a, b in gap_bounds(case, way, asked))
    when = f"{least:g}-{most:g}" if least != most else f"{most:g}"
    return f"{of(case.asked, way)} in {when} s" + (f", gaps {gaps}" if gaps else "")


def spaced(gaps: Sequence[float]) -> str:
    return " ".join(f"{gap:.1f}" for gap in gaps) or "-"


# --- the scorecard ------------------------------------------------------------------------------------------


CARD: list[Row] = []


def play(loop: VirtualLoop, folder: Path, case: Case, way: str) -> Row:
    """Play a case one way; its row is kept for the scorecard."""
    row = Stage(loop, folder, case, way).run()
    CARD.append(row)
    return row


def scorecard(rows: Sequence[Row]) -> str:
    """The rows as a table; both ways, and all wires, in one line where they are alike."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        base, _, wire = row.case.partition(" @")
        shown = row.verdict if len(row.verdict) < 60 else row.verdict[:57] + "..."
        lines.setdefault((base, *row[2:-1], shown), []).append(f"{wire} {row.way}".strip())
    table = [tuple(Row._fields), *((key[0], _ways(ways), *key[1:]) for key, ways in lines.items())]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    bad = sum(row.verdict != "ok" for row in rows)
    return "\n".join([*told, f"{len(rows)} plays, {len(rows) - bad} as they must be, {bad} not"])


def _ways(ways: Sequence[str]) -> str:
    """ "chat", "stream" or "both", and of how many wires when there are several."""
    wires = list(dict.fromkeys(way.rpartition(" ")[0] for way in ways))
    kinds = list(dict.fromkeys(way.rpartition(" ")[2] for way in ways))
    told = "both" if len(kinds) == 2 else kinds[0]
    if wires == [""]:
        return told
    whole = len(ways) == len(wires) * len(kinds)
    return f"{told}, {'/'.join(wires) if len(wires) < 4 else '4 wires'}" if whole else ", ".join(ways)
