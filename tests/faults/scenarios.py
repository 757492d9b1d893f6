"""Cases of the conduct suite that are more than one call: what is done, and what must not be seen."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hybrid_nb.core.errors import HybridNbError, NoProviderAvailableError, StreamInterruptedError
from tests.faults.conduct import ANSWER, WORDS, Ended, Stage, Told, frames, good, streamed
from tests.faults.raw_server import HANG, RESET, Play, Script, Seen, answer, chunked, delta, events, head

Scenario = Callable[[Stage], Awaitable[Told]]


def now() -> float:
    return asyncio.get_running_loop().time()


def told(stage: Stage, ended: list[Ended], wrong: list[str], began: float, outcome: str = "") -> Told:
    """What is told of many calls."""
    kinds = Counter(one.outcome for one in ended)
    asked = Counter(name for _, name in stage.arrivals())
    attempts = " ".join(f"{name}*{count}" for name, count in sorted(asked.items()))
    shown = outcome or ", ".join(f"{kind}*{count}" for kind, count in sorted(kinds.items()))
    return Told(shown, attempts, "-", now() - began, wrong)


def refused(status: int, *headers: str) -> Script:
    return answer({"error": {"message": "not now"}}, status, "application/json", *headers)


# --- cool-downs and breakers --------------------------------------------------------------------------------


async def calls_while_cooling(stage: Stage) -> Told:
    """A call every second: the one that asked to be left alone for 30 s is left alone for 30 s."""
    began, ended = now(), []
    for _ in range(40):
        ended.append(await stage.ask())
        await asyncio.sleep(1)
    at = [when - began for when, name in stage.arrivals() if name == "a"]
    wrong = [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    if len(at) != 2 or at[0] > 0 or not 30 <= at[1] <= 31.1:
        wrong.append(f"a was asked at {at}")
    return told(stage, ended, wrong, began)


async def many_calls_to_one_that_is_down(stage: Stage) -> Told:
    """After five failures nothing is sent for a minute, and the error says when to come back."""
    began = now()
    ended = [await stage.ask() for _ in range(10)]
    wrong = [] if len(stage.servers["a"].seen) == 5 else [f"a got {len(stage.servers['a'].seen)} requests, not 5"]
    last = ended[-1].error
    if not isinstance(last, NoProviderAvailableError) or last.retry_at is None:
        wrong.append(f"the last call ended with {last!r}")
    elif not 55 <= last.retry_at - stage.loop.wall() <= 60.1:
        wrong.append(f"it says to come back in {last.retry_at - stage.loop.wall():.1f} s")
    return told(stage, ended, wrong, began)


async def jitter(stage: Stage) -> Told:
    """The waits before a first retry spread over all of 0 to retry_delay."""
    began, gaps = now(), []
    ended = []
    for _ in range(40):
        one, _ = await stage.ask(), await stage.ask()  # a failure rate that opens nothing
        ended.append(one)
        gaps.append(one.attempts[1].started - one.attempts[0].started)
    wrong = [] if max(gaps) <= 0.502 else [f"a wait of {max(gaps):.3f} s"]
    if not (0.18 < statistics.mean(gaps) < 0.32 and max(gaps) > 0.4 and min(gaps) < 0.1):
        wrong.append(f"waits of {min(gaps):.2f} to {max(gaps):.2f} s, {statistics.mean(gaps):.2f} s in the mean")
    return told(stage, ended, wrong, began)


async def asked_once_only(stage: Stage) -> Told:
    """One that refuses the key, or has no credit left, is not asked again."""
    began = now()
    ended = []
    for _ in range(10):
        ended.append(await stage.ask())
        await asyncio.sleep(60)
    wrong = [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    if len(stage.servers["a"].seen) != 1:
        wrong.append(f"a got {len(stage.servers['a'].seen)} requests")
    return told(stage, ended, wrong, began)


async def all_down(stage: Stage) -> Told:
    """When all breakers are open nothing is sent, and the error says when the first one may be asked again."""
    began = now()
    ended = [await stage.ask() for _ in range(8)]
    before = len(stage.arrivals())
    last = await stage.ask()
    wrong = [] if len(stage.arrivals()) == before else ["it was asked all the same"]
    if not isinstance(last.error, NoProviderAvailableError) or last.error.retry_at is None:
        wrong.append(f"ended with {last.error!r}")
    elif not 0 < last.error.retry_at - stage.loop.wall() <= 60.1:
        wrong.append(f"it says to come back in {last.error.retry_at - stage.loop.wall():.1f} s")
    if last.seconds > 0:
        wrong.append(f"to say so took {last.seconds:.2f} s")
    if before > 10:
        wrong.append(f"{before} requests before the breakers opened")
    return told(stage, [*ended, last], wrong, began)


UPS = ((20.0, 40.0), (50.0, 1e9))  # seconds in which the flapping one is well


def _well(at: float) -> bool:
    return any(start <= at < end for start, end in UPS)


def flapping(began: float) -> Play:
    """Down for 20 s, well for 20, down for 10, well."""
    return lambda seen: good(seen) if _well(seen.at - began) else refused(503)  # type: ignore[operator]


async def sixty_seconds(stage: Stage) -> Told:
    """Four calls at once, every quarter of a second, for 70 s."""
    began = now()
    stage.servers["a"].play(flapping(began))
    ended: list[Ended] = []
    while now() < began + 70:
        ended += await asyncio.gather(*(stage.ask() for _ in range(4)))
        await asyncio.sleep(0.25)
    wrong = [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    times = [when - began for when, name in stage.arrivals() if name == "a"]
    down = [at for at in times if not _well(at)]
    crowd = [at for at in down if at < 1 or 40 <= at < 41.5]
    probes = [at for at in down if at not in crowd]
    if len(crowd) > 2 * 8:
        wrong.append(f"{len(crowd)} requests before its breaker opened twice")
    if len(set(probes)) != len(probes):
        wrong.append(f"probes at the same time: {probes}")
    if not 1 <= len(probes) <= 3 or min(probes) < 5:
        wrong.append(f"probes at {probes}")
    early = [a for a, b in zip([0.25, *probes], probes, strict=False) if b - a < 4.9]
    if early:
        wrong.append(f"a probe came within 5 s of the failure at {early}")
    for start, end in ((36.0, 40.0), (66.0, 70.0)):  # back after the probe of the longest opening by then
        if not [at for at in times if start <= at < end]:
            wrong.append(f"not asked between {start} and {end} s, when it was well")
    return told(stage, ended, wrong, began)


# --- no connection ------------------------------------------------------------------------------------------


@contextmanager
def full_house() -> Iterator[str]:
    """The address of a server whose queue is full: a connection to it is neither made nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        guests = [socket.socket() for _ in range(4)]
        for guest in guests:
            guest.setblocking(False)
            guest.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for guest in guests:
                guest.close()


async def nobody_accepts(stage: Stage) -> Told:
    began = now()
    with full_house() as url:
        address = stage.router.providers()["base_url"][0]
        stage.router.update_provider("a", base_url=url)
        ended = await stage.ask()
        stage.router.update_provider("a", base_url=address)
    wrong = [] if ended.text == ANSWER and ended.asked == "ab" else [f"{ended.asked}: {ended.error!r}"]
    if not 9.9 < ended.seconds < 11.1:  # aiohttp rounds times of more than 5 s up to a whole second
        wrong.append(f"it took {ended.seconds:.2f} s")
    return Told(ended.outcome, ended.asked, f"{ended.attempts[0].seconds:.2f}", now() - began, wrong)


# --- many at once -------------------------------------------------------------------------------------------


def _half(seen: Seen) -> Script:
    if not streamed(seen):
        return [head(200, "application/json", "Content-Length: 900"), b'{"choices"']
    return chunked(*events(*map(delta, WORDS[:3])), end=False)


FAULTS: tuple[Play, ...] = (
    refused(500), refused(503), refused(429), refused(429, "retry-after-ms: 200"), [RESET], [], answer(b""), _half,
    _half, answer(b"<html></html>", 200, "text/html"), [HANG], lambda seen: [*_half(seen), HANG], [5.0, *refused(503)],
)  # fmt: skip


def chance(seed: int) -> Play:
    """Three of ten requests go wrong, in one of many ways."""
    rng = random.Random(seed)

    def play(seen: Seen) -> Script:
        chosen = rng.choice(FAULTS) if rng.random() < 0.3 else good
        return chosen(seen) if callable(chosen) else chosen

    return play


async def a_thousand(stage: Stage) -> Told:
    """All at once. Each ends with the text, or a typed error with what was shown; most with the text."""
    began = now()
    ended = await asyncio.gather(*(stage.ask() for _ in range(1000)))
    wrong = [f"ended with {one.text!r}" for one in ended if one.error is None and one.text != ANSWER]
    wrong += [f"shown was {one.text!r}" for one in ended if not ANSWER.startswith(one.text)]
    wrong += [f"{one.error!r}" for one in ended if one.error is not None and not isinstance(one.error, HybridNbError)]
    wrong += ["a partial text is lost" for one in ended if one.text and not _partial(one)]
    most = max(len(one.attempts) for one in ended)
    if most > 5:
        wrong.append(f"{most} attempts for one call")
    slowest = max(one.seconds for one in ended)
    if slowest > 120.1:
        wrong.append(f"a call took {slowest:.1f} s")
    texts = sum(one.error is None for one in ended)
    if texts < 980:
        wrong.append(f"only {texts} ended with the text")
    return told(stage, ended, wrong[:5], began)


def _partial(one: Ended) -> bool:
    return one.error is None or (isinstance(one.error, StreamInterruptedError) and one.error.partial_text == one.text)


async def two_at_once(stage: Stage) -> Told:
    """Never more than two; the others wait in the order in which they came."""
    began = now()
    over: list[int] = []

    async def one(number: int) -> Ended:
        if number >= 10:  # the others come when the first two end, one a turn of the loop: nobody may slip in
            await asyncio.sleep(1)
            for _ in range(number):
                await asyncio.sleep(0)
        ended = await stage.ask(model="a/m")
        over.append(number)
        return ended

    ended = await asyncio.gather(*(one(number) for number in range(40)))
    seen = stage.servers["a"].seen
    most = max(sum(one.at <= other.at < (one.closed or 0.0) - 0.001 for one in seen) for other in seen)
    wrong = [] if most == 2 else [f"{most} at once"]
    wrong += [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    if [number // 2 for number in over] != [number // 2 for number in range(40)]:
        wrong.append(f"they did not end in the order in which they came: {over}")
    if not 20 <= now() - began < 20.5:
        wrong.append(f"it took {now() - began:.2f} s")
    return told(stage, list(ended), wrong, began)


async def ten_a_minute(stage: Stage) -> Told:
    """Ten go at once, and the others when the minute is over."""
    began = now()
    ended = await asyncio.gather(*(stage.ask(model="a/m") for _ in range(15)))
    at = [when - began for when, _ in stage.arrivals()]
    wrong = [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    if len(at) != 15 or at[9] > 0.01 or not 60 <= at[10] <= at[14] <= 60.1:
        wrong.append(f"asked at {at}")
    return told(stage, list(ended), wrong, began)


async def slow_reader(stage: Stage) -> Told:
    """A stream that nobody reads while its answer comes holds nobody up, and loses nothing."""
    began = now()
    whole = "".join(f"{n} " for n in range(2000))
    stage.asked += 1
    unread = stage.router.stream("Count.", model="a/m")
    others = [await stage.ask(way, model="b/m") for way in ("chat", "stream") for _ in range(5)]
    await asyncio.sleep(300)
    parts = []
    async for piece in unread:
        parts.append(piece)
        await asyncio.sleep(1)
    wrong = [] if "".join(parts) == whole == (await unread.areply()).text else ["text was lost"]
    if [one for one in others if one.text != ANSWER or one.seconds > 0.1]:
        wrong.append(f"others took {max(one.seconds for one in others):.2f} s")
    if (await unread.areply()).latency > 1:
        wrong.append("the answer waited for its reader")
    return told(stage, others, wrong, began)


# --- a rival for one that is slow to begin -----------------------------------------------------------------


async def _measured(stage: Stage, slow: Play) -> float:
    """Enough first tokens of `a` after 0.1 s, then it plays this. When that begins."""
    for _ in range(25):
        await stage.ask()
    stage.servers["a"].play(slow)
    for server in stage.servers.values():
        server.seen.clear()
    return now()


def hedged(slow: Play, winner: str = "b", seconds: float = 0.1, asked: str = "[abc]+") -> Scenario:
    """One call whose first target plays this."""

    async def scenario(stage: Stage) -> Told:
        began = await _measured(stage, slow)
        ended = await stage.ask()
        wrong = [] if ended.text == ANSWER else [f"ended with {ended.error!r} after {ended.text!r}"]
        won = [one.provider for one in ended.attempts if one.outcome == "ok"]
        if not re.fullmatch(winner, "".join(won)):
            wrong.append(f"answered by {won}, not {winner!r}")
        if abs(ended.seconds - seconds) > 0.05:
            wrong.append(f"it took {ended.seconds:.3f} s, not {seconds}")
        order = [(round(when - began, 2), name) for when, name in stage.arrivals()]
        if not re.fullmatch(asked, "".join(name for _, name in order)):
            wrong.append(f"asked {order}")
        await asyncio.sleep(0.01)
        wrong += [f"{n} is not closed" for n, s in stage.servers.items() for one in s.seen if one.closed is None]
        shown = " ".join(
            f"{name}:{one.part or one.outcome}" for name, one in zip(ended.asked, ended.attempts, strict=True)
        )
        return Told(ended.outcome, shown, " ".join(f"{when:.1f}" for when, _ in order), ended.seconds, wrong)

    return scenario


async def hedge_cancelled(stage: Stage) -> Told:
    """Both are under way; cancelling ends both."""
    began = await _measured(stage, [HANG])
    wrong: list[str] = []
    end, cancel = _begin(stage)
    await asyncio.sleep(5)
    asked = "".join(name for _, name in stage.arrivals())
    if asked != "ab":
        wrong.append(f"asked {asked!r}")
    cancel()
    await _ends(end, wrong)
    await asyncio.sleep(0.01)
    wrong += [f"{n} is not closed" for n, s in stage.servers.items() for one in s.seen if one.closed is None]
    return Told("cancelled", asked, "-", now() - began, wrong)


async def hedge_rate(stage: Stage) -> Told:
    """A hundred calls of which half are slower than the median: rivals for a tenth, and for three saved up before."""
    rng = random.Random(5)
    began = await _measured(stage, lambda seen: [rng.uniform(0.2, 1), *chunked(*frames(WORDS))])
    ended = [await stage.ask() for _ in range(100)]
    wrong = [] if all(one.text == ANSWER for one in ended) else ["a call did not end with the text"]
    rivals = len(stage.servers["b"].seen)
    if not 8 <= rivals <= 13:
        wrong.append(f"{rivals} rivals")
    return told(stage, ended, wrong, began)


# --- cancelled at every stage -------------------------------------------------------------------------------

_MONEY = {"daily_usd": 0.0006, "monthly_usd": None, "when_exceeded": "queue"}
STAGES: dict[str, dict[str, Any]] = {
    "before anything": {},
    "in connect": {},
    "awaiting headers": {"a": [[HANG]]},
    "before the first token": {"a": [[head(200, "text/event-stream"), HANG]]},
    "in mid-answer": {"a": [lambda seen: [*_half(seen), HANG]]},
    "waiting for a limit": {"a": [[HANG]], "a_has": {"max_concurrency": 1}},
    "in backoff": {"a": [refused(429, "Retry-After: 30"), good]},
    "in failover": {"a": [refused(503)], "b": [[HANG]]},
    "waiting for the budget": {"a": [[HANG]], "budget": _MONEY, "heals": 86_400.0},
    "reserving": {},
}


def cancelled(stage_name: str) -> Scenario:
    """A call that is cancelled there: its connection closes, and nothing stays reserved."""

    async def scenario(stage: Stage) -> Told:
        began = now()
        wrong: list[str] = []
        async with asyncio.timeout(600):
            if stage_name == "in connect":
                with full_house() as url:
                    address = stage.router.providers()["base_url"][0]
                    stage.router.update_provider("a", base_url=url)
                    await _cancel(stage, 5, wrong)
                    stage.router.update_provider("a", base_url=address)
            elif stage_name == "reserving":
                await _cancel_while_locked(stage, wrong)
            elif stage_name.startswith("waiting"):
                await _cancel_in_line(stage, wrong)
            else:
                await _cancel(stage, 0 if stage_name == "before anything" else 5, wrong)
        await asyncio.sleep(0.01)
        wrong += [
            f"{name} did not see the close" for name, s in stage.servers.items() for one in s.seen if one.closed is None
        ]
        return Told("cancelled", "".join(name for _, name in stage.arrivals()), "-", now() - began, wrong)

    return scenario


def _begin(stage: Stage, **options: Any) -> tuple[asyncio.Future[Any], Callable[[], object]]:
    """A call under way: its end, and how to cancel it."""
    stage.asked += 1
    if stage.way == "chat":
        task = asyncio.ensure_future(stage.router.achat("Count.", **options))
        return task, task.cancel
    stream = stage.router.stream("Count.", **options)
    return asyncio.ensure_future(stream.areply()), stream.cancel


async def _ends(end: asyncio.Future[Any], wrong: list[str]) -> None:
    """It must end at once, and as cancelled."""
    before = now()
    try:
        await end
        wrong.append("it was not cancelled")
    except asyncio.CancelledError:
        pass
    except StreamInterruptedError as error:
        if "cancelled" not in str(error):
            wrong.append(f"ended with {error!r}")
    if now() - before > 0.1:
        wrong.append(f"to cancel took {now() - before:.2f} s")


async def _cancel(stage: Stage, after: float, wrong: list[str]) -> None:
    end, cancel = _begin(stage, model=None)
    if after:
        await asyncio.sleep(after)
    else:
        stage.rows_may_lack = 1  # nothing was begun
    cancel()
    await _ends(end, wrong)


async def _cancel_in_line(stage: Stage, wrong: list[str]) -> None:
    """One that holds what the other waits for; the other is cancelled first."""
    holder, release = _begin(stage, max_tokens=200)
    await asyncio.sleep(1)
    end, cancel = _begin(stage, max_tokens=200)
    await asyncio.sleep(5)
    if len(stage.arrivals()) != 1:
        wrong.append("it did not wait")
    cancel()
    await _ends(end, wrong)
    release()
    await _ends(holder, wrong)


async def _cancel_while_locked(stage: Stage, wrong: list[str]) -> None:
    """Another process holds the ledger, so that the reservation is under way in a thread."""
    other = sqlite3.connect(stage.folder / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        end, cancel = _begin(stage)
        for _ in range(20):
            await asyncio.sleep(0)
        if stage.arrivals():
            wrong.append("it was sent without a reservation")
        cancel()
        await _ends(end, wrong)
    finally:
        other.execute("ROLLBACK")
        other.close()
    give_up = time.monotonic() + 10
    while stage.loop.threads and time.monotonic() < give_up:  # noqa: ASYNC110 - its thread is real, so the wait is
        await asyncio.sleep(0.001)
