"""What a finished call leaves: a row in the ledger, a mark in the health records, its time to first token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hybrid_nb.core.news import News
from hybrid_nb.core.types import Attempt, Reply, Request, Target
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Health
from hybrid_nb.ledger.entries import entry
from hybrid_nb.ledger.mapped import KEEP
from hybrid_nb.ledger.store import Ledger


class Learns(Protocol):
    """Whoever learns of live calls."""

    def observed(self, request: Request, attempt: Attempt) -> None:
        """An attempt ended, and was no nap of ours."""


class Recorder:
    """Finished calls go to the ledger, to the health records and to the times to first token."""

    def __init__(
        self,
        ledger: Ledger,
        health: Health,
        gate: Gate,
        clock: Callable[[], float],
        news: News,
        learned: Learns | None = None,
    ) -> None:
        self.ledger = ledger
        self.health = health
        self.latency = gate.latency
        self.gate = gate
        self.clock = clock
        self.news = news
        self.learned = learned

    async def finished(self, started: float, request: Request, reply: Reply, status: str, error: str | None) -> None:
        self._health(request, reply)
        keep = KEEP.get()
        if keep is not None and status == "ok" and (kept := keep.write(reply, started)) is not None:
            self.ledger.transact_soon(kept)  # in the same transaction as the call's own row
        await self.ledger.record(entry(started, request, reply, status, error))
        self.news.tell("calls")

    def abandoned(self, started: float, request: Request, reply: Reply, error: str) -> None:
        self._health(request, reply)
        self.ledger.record_soon(entry(started, request, reply, "cancelled", error))
        self.news.tell("calls")

    def _health(self, request: Request, reply: Reply) -> None:
        for attempt in reply.route.attempts:
            wrong_request = attempt.status_code in (400, 404, 413, 422)
            ok, ended = attempt.outcome == "ok", attempt.started + attempt.seconds
            if not ok and self.gate.naps.spanned(attempt.started, ended):
                continue  # we slept: that says nothing about the provider
            if self.learned is not None:
                self.learned.observed(request, attempt)
            if attempt.outcome != "cancelled" and not wrong_request:
                self.health.attempt(attempt.provider, ok, attempt.error, ended, attempt.model, attempt.seconds)
            waited = attempt.ttft
            timed_out = attempt.error is not None and attempt.error.startswith("ProviderTimeoutError")
            if waited is None and (timed_out or attempt.part == "overtaken"):
                waited = attempt.seconds  # a wait that ended without a token counts as long as it was
            if waited is not None:
                self.latency.observe(Target(attempt.provider, attempt.model), waited, self.clock())
