"""The smaller regret study, over the wire: simulated vendors answer questions, Router routes, answers are scored."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.core.types import Reply
from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet, Model, Vendor

NEEDS = {"maths": {"min_quality": 0.85}, "chat": {"min_quality": 0.6, "max_ttft": 0.05}}
POLICIES = ("always-cheapest", "always-best", "random", "measured")
FAST = float("inf")
AT_ONCE = 16  # calls: few enough that nobody's first token waits for another's


class Truth(NamedTuple):
    accuracy: float
    price: float  # dollars per million tokens of output
    slow: bool = False


TRUTHS = {"tiny": Truth(0.4, 1), "small": Truth(0.75, 4), "late": Truth(0.98, 8, True), "big": Truth(0.97, 40)}
AFTER = {**TRUTHS, "small": Truth(0.3, 4)}  # the vendor that serves "chat" gets worse half-way


class Result(NamedTuple):
    """Dollars a 1,000 requests over the oracle's, and the share of needs that were truly not met."""

    over: float
    unmet: float


def meets(truth: Truth, task: str) -> bool:
    return truth.accuracy >= NEEDS[task]["min_quality"] and not (truth.slow and "max_ttft" in NEEDS[task])


def fleet(seed: int) -> Fleet:
    def model(name: str, truth: Truth) -> Model:
        speed = 1e5 if truth.slow else FAST
        return Model(name, 0.08 if truth.slow else 0.0, speed, truth.accuracy, truth.price, truth.price)

    return Fleet([Vendor(name, "openai", (model(name, truth),)) for name, truth in TRUTHS.items()], seed)


class Asker:
    """Questions whose right answer is known; each is new, so that a vendor's luck is too."""

    def __init__(self, router: Router, seed: int) -> None:
        self.router, self.rng = router, random.Random(f"questions {seed}")

    def ask(self, task: str, **options: Any) -> tuple[Reply, float]:
        return self.begin(task, **options)()

    def begin(self, task: str, **options: Any) -> Callable[[], tuple[Reply, float]]:
        """A question that is on its way; what it gives waits for the answer and its score."""
        one, other = self.rng.randrange(100, 1000), self.rng.randrange(100, 1000)
        prompt = f"What is {one} * {other}? Reply with only the number."
        stream = self.router.stream(prompt, tags={"task": task}, **options)
        return lambda: (stream.reply, float(stream.reply.text.strip() == str(one * other)))

    def run(self, samples: int) -> Run:
        """What benchmark() would give: every vendor on so many questions of each task."""
        calls: list[Call] = []
        every = itertools.product(NEEDS, range(samples), TRUTHS)
        for some in iter(lambda: list(itertools.islice(every, AT_ONCE)), []):
            under_way = [(*one, self.begin(one[0], model=f"{one[2]}/{one[2]}")) for one in some]
            for task, number, name, answer in under_way:
                calls.append(_call(f"{name}|{task}|{number}", task, *answer()))
        return Run.of(calls, Info({"models": list(TRUTHS)}, scorers=("exact",)))


def _call(key: str, task: str, reply: Reply, score: float) -> Call:
    name = f"{reply.provider}/{reply.model}"
    call = Call(key, key, task, 0, name, "measured", status="ok", answered_by=name, request_id=reply.request_id)
    call.due_at = call.sent_at = 0.0
    call.first_any_at, call.end_at = reply.ttft, reply.latency
    call.output_tokens, call.cost_usd = reply.usage.output_tokens, float(reply.cost or 0)
    call.scores["exact"] = Score(score)
    return call


def options_of(policy: str, task: str, rng: random.Random) -> dict[str, Any]:
    if policy == "measured":
        return dict(NEEDS[task])
    names = {"always-best": "late" if task == "maths" else "big", "random": rng.choice(list(TRUTHS))}
    return {"model": f"{names[policy]}/{names[policy]}"} if policy in names else {}


def stream(policy: str, seed: int, requests: int, samples: int = 60) -> tuple[Result, Result]:
    """Both halves: before the drift and after it. Half of the answers get feedback."""
    with tempfile.TemporaryDirectory(prefix="regret-") as folder, fleet(seed) as vendors:
        config = {**vendors.config(), "ledger": {"url": f"sqlite:///{Path(folder) / 'ledger.db'}"}}
        config["router"] = {"strategy": "measured" if policy == "measured" else "cheapest", "discover": False}
        with Router(config) as router:
            asker, rng = Asker(router, seed), random.Random(seed)
            router._rng.seed(seed)
            if policy == "measured":
                router.learn(asker.run(samples))
            halves = [_half(policy, asker, TRUTHS, requests // 2, rng)]
            vendors["small"].set(accuracy=AFTER["small"].accuracy)
            return halves[0], _half(policy, asker, AFTER, requests // 2, rng)


def _half(policy: str, asker: Asker, truths: dict[str, Truth], requests: int, rng: random.Random) -> Result:
    over, unmet = Decimal(0), 0
    for _ in range(requests):
        task = rng.choice(list(NEEDS))
        reply, score = asker.ask(task, **options_of(policy, task, rng))
        if policy == "measured" and rng.random() < 0.5:
            asker.router.feedback(reply, score)
        best = min((t for t in truths.values() if meets(t, task)), key=lambda t: t.price)
        over += (reply.cost or Decimal(0)) * (1 - Decimal(best.price) / Decimal(truths[reply.provider].price))
        unmet += not meets(truths[reply.provider], task)
    return Result(float(over) / requests * 1000, unmet / requests)


def study(seeds: int, requests: int = 600) -> dict[str, list[tuple[Result, Result]]]:
    return {policy: [stream(policy, seed, requests) for seed in range(seeds)] for policy in POLICIES}


def table(found: dict[str, list[tuple[Result, Result]]]) -> str:
    lines = ["| policy | over, before | unmet, before | over, after | unmet, after |", "|---|---|---|---|---|"]
    for policy, pairs in found.items():
        cells = []
        for half in (0, 1):
            cells.append(f"${_mean([p[half].over for p in pairs]):.3f}")
            cells.append(f"{_mean([p[half].unmet for p in pairs]):.1%}".replace("%", " %"))
        lines.append(f"| {policy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
