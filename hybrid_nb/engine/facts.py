"""What is known when a decision is made: one frozen snapshot. Pure; clock and chance come in.

Nothing known is the default and a valid answer: None is unknown, never 0, and leaves nobody out.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from hybrid_nb.core.types import Target
from hybrid_nb.engine.health import Health, success_rate
from hybrid_nb.engine.latency import Latency
from hybrid_nb.engine.standing import View

Status = Literal["healthy", "unknown", "degraded", "down"]

INTERVALS = 3  # that a failed check counts
FRESH = 90.0  # seconds that it counts where there is no interval: looks are taken by hand only


def fresh_for(interval: float) -> float:
    """Seconds that a failed check counts, for a health interval (0: none)."""
    return INTERVALS * interval or FRESH


class Fact(NamedTuple):
    """What is known of a target. `busy` is the calls in flight at its provider, `success` their share that went well,
    `ttft` seconds to the first token and `age` seconds since that was measured, `free_vram` bytes on its machine.
    """

    status: Status = "unknown"
    open: str | None = None  # why nothing goes there now, as a breaker tells it
    busy: int = 0
    ttft: float | None = None
    age: float | None = None
    success: float | None = None
    free_vram: int | None = None


UNKNOWN = Fact()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a plan may depend on besides the request and the configuration.

    `targets` has what is known of single targets; for others `providers` counts. `rng` is drawn from by strategies of
    chance only (None: the likeliest order), `turn` counts the calls that asked for the same name, `who` is the user
    and the notebook for rollouts, `spent` says that nothing may be paid for any more, and why, `evidence` is for the
    strategy "measured".
    """

    targets: Mapping[Target, Fact] = field(default_factory=dict)
    providers: Mapping[str, Fact] = field(default_factory=dict)
    rng: random.Random | None = None
    turn: int = 0
    who: Mapping[str, str] = field(default_factory=dict)
    spent: str | None = None
    evidence: View | None = None

    def of(self, target: Target) -> Fact:
        """What is known of a target."""
        return self.targets.get(target) or self.providers.get(target.provider, UNKNOWN)


NOTHING = Facts()


class Turns:
    """Counts calls by the name that they asked for, so that taking turns is fair for each name."""

    def __init__(self) -> None:
        self._counts: dict[str | None, int] = {}
        self.lock = threading.Lock()  # people's own threads ask too

    def peek(self, name: str | None) -> int:
        """The turn of the next call, which is not taken."""
        return self._counts.get(name, 0)

    def take(self, name: str | None) -> int:
        """The turn of this call."""
        with self.lock:
            turn = self._counts.get(name, 0)
            self._counts[name] = turn + 1
        return turn


def gather(
    health: Health,
    latency: Latency,
    opens: Mapping[Target, str],
    *,
    now: float,
    unix: float,
    rng: random.Random | None = None,
    turn: int = 0,
    who: Mapping[str, str] | None = None,
    spent: str | None = None,
    free_vram: Mapping[str, int] | None = None,
    fresh: float = FRESH,
) -> Facts:
    """The facts of this moment. `now` is the clock of `latency`, `unix` that of the health checks.

    `opens` gives the targets that nothing may go to and why, `free_vram` bytes by provider. The work grows with what
    was used, not with what is configured. `fresh` is seconds that a failed check counts.
    """
    room = free_vram or {}
    names = {*health.records, *latency.flying, *room}
    providers = {name: _standing(name, health, latency.busy(name), unix, room.get(name), fresh) for name in names}
    targets: dict[Target, Fact] = {}
    for target in {*latency.samples, *opens}:
        status, _, busy, _, _, success, vram = providers.get(target.provider, UNKNOWN)
        ttft, age = latency.value(target, now), latency.age(target, now)
        targets[target] = Fact(status, opens.get(target), busy, ttft, age, success, vram)
    return Facts(targets, providers, rng, turn, who or {}, spent)


def _standing(name: str, health: Health, busy: int, unix: float, free_vram: int | None, fresh: float) -> Fact:
    record = health.records.get(name)
    if record is None:
        return Fact(busy=busy, free_vram=free_vram)
    status = cast("Status", health.status(name))
    check = record.last_check
    if status == "down" and check is not None and unix - check.at > fresh:
        status = "unknown"  # the server may have been started since
    return Fact(status, None, busy, None, None, success_rate(record.recent), free_vram)


def identity(environ: Mapping[str, str]) -> dict[str, str]:
    """Who asks, as the environment tells it: `user`, and `notebook` by its path where Jupyter's server says it."""
    users = ("JUPYTERHUB_USER", "USER", "LOGNAME", "USERNAME")
    user = next((environ[name] for name in users if environ.get(name)), None)
    notebook = environ.get("JPY_SESSION_NAME")
    return {kind: value for kind, value in (("user", user), ("notebook", notebook)) if value}
