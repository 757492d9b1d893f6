"""What a router has learned: evidence from runs, live calls and feedback, kept in the ledger and ready for plans.

Nothing is read before somebody learns, looks, or routes by it. Belongs to no thread: calls end on the portal, plans are
made wherever people ask.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from hybrid_nb.core.types import Attempt, Request, Target
from hybrid_nb.engine.batch import Batch, one_call, one_score
from hybrid_nb.engine.evidence import Evidence
from hybrid_nb.engine.standing import DAY, View
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.evidence import Evidences, Row
from hybrid_nb.ledger.identity import prompt_of
from hybrid_nb.ledger.store import Ledger

Classifier = Callable[[str], object]  # the cluster, or None; it is a person's own, so it is checked

TAG = "task"
FEEDBACK = "feedback"  # the scorer of feedback where no run was learned
LOOK = 5.0  # seconds between looks for what other kernels learned
BACK, AHEAD = 60.0, 3600.0  # seconds that the clock was set, or nobody looked, after which all is read anew
LIVE = 5000  # of the latest attempts that are read at the start
LIVE_FOR = 4  # half-lives that they count
_WRONG = (400, 404, 413, 422)  # statuses that say something of the request, and nothing of the target


class Learned:
    """The evidence of one router. `half_life` gives days, as they are in force."""

    def __init__(self, ledger: Ledger, half_life: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self.kept = Evidences(ledger)
        self.classifier: Classifier | None = None
        self.tags: tuple[str, ...] = (TAG,)
        self.scorer: str | None = None
        self.forked()
        self._half_life = half_life
        self._wall = wall
        self._evidence: Evidence | None = None
        self._state = (0, 0)
        self._looked = 0.0
        self._explored = 0

    def forked(self) -> None:
        """Wait for no thread of a parent process."""
        self.lock = threading.Lock()  # of the evidence; the portal takes it, so nobody holds it for long
        self._reading = threading.Lock()

    # --- reading --------------------------------------------------------------------------------------------

    def evidence(self, *, at_once: bool = False) -> Evidence:
        """What is known now; what others learned is seen some seconds later, or `at_once`."""
        now = self._wall()
        with self._reading:
            found = self._evidence
            if found is not None and not at_once and 0 <= now - self._looked < LOOK:
                return found
            leapt, self._looked = not -BACK <= now - self._looked <= AHEAD, now
            state, seconds = self.kept.state(), self._half_life() * DAY
            self._explored = self.kept.explored(now)
            latest = self._state[1]
            if found is None or leapt or found.half_life != seconds or state[0] != self._state[0]:
                found, latest = self._read(seconds, now)
            elif state[1] != latest:
                latest = self._take(found, latest, now, self.lock)
            self._evidence, self._state = found, (state[0], latest)
            return found

    def _read(self, half_life: float, now: float) -> tuple[Evidence, int]:
        """All there is, and the latest row of it."""
        found = Evidence(half_life, now)
        self.tags, self.scorer = (TAG,), None
        latest = self._take(found, 0, now)
        for row in self.kept.live(now - LIVE_FOR * half_life, LIVE):
            self._past(found, row, now)
        return found, latest

    def _take(self, evidence: Evidence, after: int, now: float, lock: AbstractContextManager[Any] | None = None) -> int:
        """Rows with later ids; what another clock says is still to come is of now. The latest id that there was: it may
        be later than a look at the state told, as others write meanwhile."""
        for number, row in self.kept.rows(after):
            after = number
            with lock or nullcontext():
                evidence.add(_batch(row._replace(time=min(now, row.time))))
            if row.tag not in self.tags:
                self.tags = (row.tag, *self.tags)
            if row.scorer is not None and (not row.live or self.scorer is None):
                self.scorer = row.scorer
        return after

    def _past(self, evidence: Evidence, row: tuple[Any, ...], now: float) -> None:
        at, provider, model, outcome, status, ttft, seconds, output, cost, part, tags, error = row
        attempt = Attempt(provider, model, outcome, error, seconds, None, status, ttft, min(now, at), part=part or "")
        batch = self._live(attempt, json.loads(tags) if tags else {}, output, cost)
        if batch is not None:
            evidence.add(batch)

    # --- for plans ------------------------------------------------------------------------------------------

    def view(self, request: Request, explore_usd: float, note: str = "") -> View:
        """What is known of the targets for a request. `note` tells of how its cluster was found."""
        evidence, now = self.evidence(), self._wall()
        scorer = request.scorer or self.scorer
        with self.lock:
            tag, cluster = self._cluster(request.tags)
            if cluster is not None and cluster not in evidence.clusters:
                cluster, note = None, f"nothing is known of {tag} {cluster!r}, so of all together"
            elif cluster is None and evidence.clusters and not note:
                note = f"of all clusters together, as there is no tag {self.tags[0]!r}"
            if request.scorer and request.scorer not in evidence.scorers:
                note = "; ".join(part for part in (note, f"nothing was scored by {request.scorer!r}") if part)
            known = evidence.view(cluster, scorer, now)
            left = max(0.0, explore_usd - self._explored / PICO)
            learns, typical = evidence.learns(scorer, now), evidence.typical(cluster, scorer)
            return View(known, cluster and f"{tag} {cluster!r}", note, learns, left, typical)

    def _cluster(self, tags: Mapping[str, str]) -> tuple[str, str | None]:
        return next(((tag, tags[tag]) for tag in self.tags if tag in tags), (self.tags[0], None))

    def classified(self, request: Request) -> tuple[dict[str, str] | None, str]:
        """(the tags with the cluster that the classifier tells, a note); None: it has nothing to add."""
        if self.classifier is None or self._cluster(request.tags)[1] is not None:
            return None, ""
        try:
            cluster = self.classifier(prompt_of(request))
        except Exception as error:  # a person's own function; the call goes on without it
            return None, f"the classifier raised {type(error).__name__}, so of all clusters together"
        if cluster is None:
            return None, "the classifier did not know, so of all clusters together"
        if not isinstance(cluster, str):
            return None, f"the classifier gave {type(cluster).__name__} and no string, so of all clusters together"
        return {**request.tags, self.tags[0]: cluster}, ""

    # --- adding ---------------------------------------------------------------------------------------------

    def observed(self, request: Request, attempt: Attempt) -> None:
        """A live attempt ended; nothing is noted before somebody routes by evidence."""
        evidence = self._evidence
        if evidence is None:
            return
        usage = attempt.usage
        cost = None if attempt.cost is None else float(attempt.cost)
        batch = self._live(attempt, request.tags, usage.output_tokens if usage else None, cost)
        if batch is not None:
            with self.lock:
                evidence.add(batch)

    def _live(
        self, attempt: Attempt, tags: Mapping[str, str], output: float | None, cost: float | None
    ) -> Batch | None:
        """What an attempt says of its target; None: nothing, as when it was given up or wrote only the rest."""
        ok = attempt.outcome == "ok"
        if attempt.outcome == "cancelled" or attempt.status_code in _WRONG or attempt.part not in ("", "hedge"):
            return None
        target, at = Target(attempt.provider, attempt.model), attempt.started
        cluster = self._cluster(tags)[1]
        if not ok:
            return one_call(target, cluster, at, False)
        return one_call(target, cluster, at, True, attempt.ttft, attempt.seconds, output, cost)

    async def keep(self, name: str, tag: str, found: Iterable[Batch], calls: Iterable[str] = ()) -> None:
        """Keep what a run says; learned again it replaces what was kept. Times and scores are rows of their own, so
        that a run may be learned by several scorers.
        """
        rows = [row for batch in found for row in _rows(name, tag, batch)]
        await self.kept.put(rows, list(calls))

    async def keep_score(
        self, request_id: str, target: Target, tags: Mapping[str, str], at: float, scorer: str, value: float
    ) -> None:
        """Keep a word about one answer; a later one about the same answer replaces it."""
        tag, cluster = self._cluster(tags)
        batch = one_score(target, cluster, at, scorer, value)
        key = f"feedback|{request_id}|{scorer}"
        await self.kept.put([_row(key, tag, batch, scorer)])

    # --- exploring ------------------------------------------------------------------------------------------

    async def book(self, extra: float, limit: float) -> bool:
        """Count what exploring will cost today over the usual choice; False: the day's limit has no room for it."""
        amount = round(extra * PICO)
        if amount and not await self.kept.book(amount, round(limit * PICO), self._wall()):
            self._looked = 0.0
            return False
        self._explored += amount
        return True

    def correct(self, booked: float, extra: float) -> None:
        """What it did cost."""
        amount = round((extra - booked) * PICO)
        if amount:
            self._explored += amount
            self.kept.correct(amount, self._wall())


# --- rows ---------------------------------------------------------------------------------------------------


def _rows(name: str, tag: str, batch: Batch) -> Iterable[Row]:
    where = f"run|{name}|{batch.target}|{batch.cluster}"
    if batch.calls:
        yield _row(f"{where}|times", tag, batch._replace(scores={}), None)
    for scorer, sums in batch.scores.items():
        yield _row(
            f"{where}|{scorer}", tag, Batch(batch.target, batch.cluster, batch.at, scores={scorer: sums}), scorer
        )


def _row(key: str, tag: str, batch: Batch, scorer: str | None) -> Row:
    provider, model = batch.target
    fields = batch._asdict()
    body = {name: value for name, value in fields.items() if name not in ("target", "cluster", "at", "live")}
    kept = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    return Row(key, batch.at, provider, model, batch.cluster, tag, scorer, int(batch.live), kept)


def _batch(row: Row) -> Batch:
    body = json.loads(row.body)
    for name in ("ttft", "latency"):
        body[name] = {int(number): float(count) for number, count in body.get(name, {}).items()}
    for name in ("output", "cost"):
        body[name] = tuple(body.get(name, (0.0, 0.0)))
    body["scores"] = {scorer: tuple(sums) for scorer, sums in body.get("scores", {}).items()}
    known = {name: value for name, value in body.items() if name in Batch._fields}
    return Batch(Target(row.provider, row.model), row.cluster, row.time, **known, live=bool(row.live))
