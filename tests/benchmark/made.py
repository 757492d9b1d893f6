"""Runs whose truth is known, made without asking anybody."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Info, Run


@dataclass(frozen=True)
class Truth:
    """What a made model is like: the share that it answers right, seconds to its first token, dollars a call."""

    quality: float = 0.8
    ttft: float = 0.2
    cost: float | None = 0.001
    failing: float = 0.0
    tokens: int = 40
    speed: float = 80.0  # tokens a second
    clusters: Mapping[str, float] | None = None  # its quality by cluster, where that differs


def made_run(
    models: Mapping[str, Truth],
    samples: int = 50,
    epochs: int = 1,
    clusters: Sequence[str] = ("maths", "prose"),
    seed: int = 0,
    scorer: str = "exact",
    difficulty: float = 0.0,
) -> Run:
    """A run of every model on every sample; `difficulty` makes the same samples hard for all models."""
    rng = random.Random(seed)
    calls: list[Call] = []
    clock = 0.0
    for number in range(samples):
        hard = rng.uniform(-difficulty, difficulty)
        cluster = clusters[number % len(clusters)] if clusters else None
        for epoch in range(epochs):
            for name in rng.sample(list(models), len(models)):
                clock += 0.05
                calls.append(_call(name, models[name], number, cluster, epoch, clock, hard, rng, scorer))
    settings = {"models": list(models), "epochs": epochs, "seed": seed, "concurrency": 4}
    return Run.of(calls, Info(settings, {"hybrid_nb": "0"}, "2026-11-21T00:00:00Z", clock + 5, scorers=(scorer,)))


def _call(
    name: str,
    truth: Truth,
    number: int,
    cluster: str | None,
    epoch: int,
    clock: float,
    hard: float,
    rng: random.Random,
    scorer: str,
) -> Call:
    call = Call(f"{name}|{number}|{epoch}", str(number), cluster, epoch, name, "measured", input=f"question {number}")
    call.target, call.due_at, call.started_at, call.in_flight = "yes", clock, clock + 0.0005, 4
    call.sent_at, call.attempts = clock + 0.001, 1
    if rng.random() < truth.failing:
        call.status, call.error, call.end_at = "error", "ServiceUnavailableError: 503", clock + 0.1
        call.cost_usd = 0.0
        return call
    first = call.sent_at + truth.ttft * rng.lognormvariate(0, 0.3)
    call.status, call.answered_by, call.finish = "ok", name, "stop"
    call.arrivals = [(first + n / truth.speed, 4, 0) for n in range(truth.tokens)]
    call.first_any_at = call.first_answer_at = first
    call.last_at = call.arrivals[-1][0]
    call.end_at = call.last_at + 0.001
    call.input_tokens, call.output_tokens, call.usage_source = 20, truth.tokens, "provider"
    call.estimated_tokens = truth.tokens
    call.cost_usd, call.cost_source = truth.cost, None if truth.cost is None else "config"
    quality = (truth.clusters or {}).get(cluster or "", truth.quality)
    right = rng.random() < min(1.0, max(0.0, quality + hard))
    call.output = "yes" if right else "no"
    call.scores[scorer] = Score(float(right), "as the target says" if right else "the target says yes")
    return call
