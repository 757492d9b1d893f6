"""Regret of routing against an oracle that knows the truth: `python -m tests.benchmark.regret [--seeds 20] [--wire]`.

A world has vendors whose truth is known: the share of answers that are right, by task; dollars and tokens of an answer;
seconds to the first token. Requests come with a task and its need (quality, and for some a first token). Half-way the
vendor that the oracle uses most gets worse, and the next one four times slower.

The oracle asks the cheapest vendor that truly meets the need, and where nobody does the best one. For each policy:

over     dollars over the oracle's, a 1,000 requests (below 0: cheaper than it, by not meeting needs)
unmet    share of the requests that went to a vendor which truly does not meet the need, while one does
per met  dollars for 1,000 requests whose need was truly met, those for the others included
regret   over + 1,000 * unmet * the dearest vendor's price: an unmet need costs what it would have cost to be sure

Nothing is sent here: every decision is plan(), with the evidence of a run and of what each answer showed.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.provider import Endpoint, Price, Provider
from hybrid_nb.core.types import ModelInfo, Request, Target
from hybrid_nb.engine.batch import Batch, one_call, one_score
from hybrid_nb.engine.bounds import Z, bucket
from hybrid_nb.engine.evidence import Evidence
from hybrid_nb.engine.facts import Facts
from hybrid_nb.engine.plan import Catalogue, plan
from hybrid_nb.engine.standing import DAY, View
from hybrid_nb.providers import vendor

SPREAD = 0.3  # of the logarithm of times
SAMPLES = 60  # of each task in the run before
DAYS = 40.0
HALF_LIFE = 14 * DAY
FEEDBACK = 0.3  # the share of answers that somebody scores
TASKS: dict[str, tuple[float, float | None]] = {  # the need: quality, seconds to the first token
    "maths": (0.85, None),
    "prose": (0.7, 0.8),
    "code": (0.8, 2.0),
}


@dataclass(frozen=True)
class Truth:
    """A vendor. `quality` by task; dollars an answer."""

    target: Target
    quality: dict[str, float]
    dollars: float
    tokens: float
    ttft: float

    @property
    def p95(self) -> float:
        return self.ttft * math.exp(1.645 * SPREAD)

    def meets(self, task: str) -> bool:
        least, limit = TASKS[task]
        return self.quality[task] >= least and (limit is None or self.p95 <= limit)


World = Sequence[Truth]


def world(rng: random.Random, vendors: int = 6) -> list[Truth]:
    """Dearer vendors are mostly better; somebody meets each need."""
    made = []
    for n in range(vendors):
        level = (n + rng.uniform(0, 0.8)) / vendors
        quality = {task: _logistic(-0.4 + 3.2 * level + rng.gauss(0, 0.6)) for task in TASKS}
        dollars = 10 ** (-4.8 + 2.4 * level)
        made.append(
            Truth(Target(f"v{n}", "m"), quality, dollars, rng.uniform(60, 300), math.exp(rng.uniform(-2.3, 0.2)))
        )
    sure = {task: max(0.93, made[-1].quality[task]) for task in TASKS}
    return [*made[:-1], replace(made[-1], quality=sure, ttft=min(made[-1].ttft, 0.4))]


def drifted(before: World) -> list[Truth]:
    """The one that the oracle uses most gets worse, the next one slower; somebody still meets each need."""
    used = [oracle(before, task).target for task in TASKS]
    ranked = sorted(dict.fromkeys(used), key=lambda target: -used.count(target))
    after = {truth.target: truth for truth in before}
    worse = after[ranked[0]]
    after[worse.target] = replace(worse, quality={task: _logistic(_logit(q) - 2) for task, q in worse.quality.items()})
    if len(ranked) > 1:
        after[ranked[1]] = replace(after[ranked[1]], ttft=after[ranked[1]].ttft * 4)
    after[before[-1].target] = before[-1]
    return list(after.values())


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def oracle(truths: World, task: str) -> Truth:
    """The cheapest that truly meets the need; else the best."""
    meeting = [truth for truth in truths if truth.meets(task)]
    return min(meeting, key=lambda t: t.dollars) if meeting else max(truths, key=lambda t: t.quality[task])


# --- what a policy sees -------------------------------------------------------------------------------------


class Answer(NamedTuple):
    right: bool
    ttft: float
    tokens: float
    dollars: float


def answer(truth: Truth, task: str, rng: random.Random) -> Answer:
    long = rng.lognormvariate(0, 0.2)
    right = rng.random() < truth.quality[task]
    return Answer(right, truth.ttft * rng.lognormvariate(0, SPREAD), truth.tokens * long, truth.dollars * long)


def run(truths: World, rng: random.Random, samples: int = SAMPLES) -> list[tuple[Target, str, list[Answer]]]:
    return [(t.target, task, [answer(t, task, rng) for _ in range(samples)]) for t in truths for task in TASKS]


def batch(target: Target, task: str, answers: Sequence[Answer], at: float) -> Batch:
    """What a run keeps of these answers."""
    n, times = float(len(answers)), [bucket(a.ttft) for a in answers]
    right = float(sum(a.right for a in answers))
    counts = {number: float(times.count(number)) for number in times}
    output, cost = (n, sum(a.tokens for a in answers)), (n, sum(a.dollars for a in answers))
    return Batch(target, task, at, n, 0.0, counts, {}, output, cost, {"exact": (n, right, right)})


def providers(truths: World) -> list[Provider]:
    """The vendors as configured: their prices are known, how long their answers are is not."""

    def made(truth: Truth) -> Provider:
        rate = Decimal(str(round(truth.dollars / truth.tokens * 1e6, 6)))
        prices = {"m": Price(Decimal(0), rate)}
        return Provider(
            truth.target.provider, vendor("custom"), (Endpoint("http://x"),), (ModelInfo("m"),), prices=prices
        )

    return [made(truth) for truth in truths]


def rates(p: Provider, model: str) -> tuple[float | None, float | None]:
    return float(p.prices[model].input or 0), float(p.prices[model].output or 0)


class Policy:
    """Chooses by a strategy of the engine, and hears what came of it."""

    def __init__(self, truths: World, rng: random.Random, strategy: str, explore: float = 0.0, heard: bool = True):
        self.catalogue = Catalogue(providers(truths), {}, strategy, rates=rates, explore=explore)
        self.evidence = Evidence(HALF_LIFE, 0.0)
        self.rng, self.heard = rng, heard
        self.left = 0.1  # dollars that exploring may cost on a day, as is the default
        self.day = 0
        self.explored = 0

    def learn(self, found: Sequence[tuple[Target, str, list[Answer]]]) -> None:
        for target, task, answers in found:
            self.evidence.add(batch(target, task, answers, 0.0))

    def choose(self, request: Request, task: str, now: float) -> Target:
        if int(now // DAY) != self.day:
            self.day, self.left = int(now // DAY), 0.1
        known = self.evidence.view(task, "exact", now)
        typical, learns = self.evidence.typical(task, "exact"), self.evidence.learns("exact", now)
        view = View(known, task, "", learns, self.left, typical)
        found = plan(request, self.catalogue, None, Facts(rng=self.rng, evidence=view))
        if found.trial is not None:
            self.explored += 1
            self.left -= found.trial.extra
        assert found.chosen is not None
        return found.chosen

    def told(self, target: Target, task: str, came: Answer, now: float, scored: bool) -> None:
        self.evidence.add(one_call(target, task, now, True, came.ttft, None, came.tokens, came.dollars))
        if scored and self.heard:
            self.evidence.add(one_score(target, task, now, "exact", float(came.right)))


class Thompson(Policy):
    """Draws a quality for each from what is known of it, and takes the cheapest whose draw is enough and that is in
    time: the textbook's way, which certifies nothing.
    """

    def choose(self, request: Request, task: str, now: float) -> Target:
        known, (least, limit) = self.evidence.view(task, "exact", now), TASKS[task]
        for target, m in sorted(known.items(), key=lambda item: item[1].cost or 0.0):
            late = limit is not None and (m.ttft is None or m.ttft.most is None or m.ttft.most > limit)
            deviation = (m.quality.high - m.quality.low) / (2 * Z) if m.quality else 1.0
            if m.quality and not late and self.rng.gauss(m.quality.mean, deviation) >= least:
                return target
        return super().choose(request, task, now)


class Best(Policy):
    """Always the vendor that the run showed to be best at the task."""

    def learn(self, found: Sequence[tuple[Target, str, list[Answer]]]) -> None:
        right = {(target, task): sum(a.right for a in answers) for target, task, answers in found}
        self.best = {task: max((t for t, of in right if of == task), key=lambda t: right[t, task]) for task in TASKS}

    def choose(self, request: Request, task: str, now: float) -> Target:
        return self.best[task]

    def told(self, target: Target, task: str, came: Answer, now: float, scored: bool) -> None:
        return


class Chance(Best):
    """Anybody."""

    def choose(self, request: Request, task: str, now: float) -> Target:
        return self.rng.choice(self.catalogue.options).target


Maker = Callable[[World, random.Random], Policy]
POLICIES: dict[str, Maker] = {
    "always-cheapest": lambda truths, rng: Policy(truths, rng, "cheapest"),
    "always-best": lambda truths, rng: Best(truths, rng, "cheapest"),
    "random": lambda truths, rng: Chance(truths, rng, "cheapest"),
    "measured": lambda truths, rng: Policy(truths, rng, "measured", 0.1),
    "measured, no exploring": lambda truths, rng: Policy(truths, rng, "measured", 0.0),
    "Thompson": lambda truths, rng: Thompson(truths, rng, "measured"),
    "measured, no feedback": lambda truths, rng: Policy(truths, rng, "measured", 0.1, heard=False),
}


# --- the stream ---------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """Of one half of a stream."""

    over: float
    unmet: float
    per_met: float
    regret: float


def stream(make: Maker, seed: int, requests: int) -> tuple[Outcome, Outcome]:
    """Both halves of a stream: before the drift, and after it."""
    chance = random.Random(f"world {seed}")
    before = world(chance)
    after = drifted(before)
    policy = make(before, random.Random(f"policy {seed}"))
    policy.learn(run(before, chance))
    needs = {task: make_request("hi", **_need(task)) for task in TASKS}
    halves = []
    for half, truths in enumerate((before, after)):
        by_target = {truth.target: truth for truth in truths}
        best = {task: oracle(truths, task) for task in TASKS}
        able = {task: any(t.meets(task) for t in truths) for task in TASKS}
        over, unmet, spent = 0.0, 0, 0.0
        for number in range(requests // 2):
            now = (half + number / (requests // 2)) * DAYS / 2 * DAY + 1
            task = chance.choice(list(TASKS))
            truth = by_target[policy.choose(needs[task], task, now)]
            came, scored = answer(truth, task, chance), chance.random() < FEEDBACK
            policy.told(truth.target, task, came, now, scored)
            spent += truth.dollars
            over += truth.dollars - best[task].dollars
            unmet += able[task] and not truth.meets(task)
        count, dearest = requests // 2, max(t.dollars for t in truths)
        per_met = spent / max(1, count - unmet) * 1000
        halves.append(Outcome(over / count * 1000, unmet / count, per_met, (over + unmet * dearest) / count * 1000))
    return halves[0], halves[1]


def _need(task: str) -> dict[str, float]:
    least, limit = TASKS[task]
    return {"min_quality": least} | ({} if limit is None else {"max_ttft": limit})


def study(
    seeds: int, requests: int = 4000, policies: dict[str, Maker] | None = None
) -> dict[str, list[tuple[Outcome, Outcome]]]:
    made = POLICIES if policies is None else policies
    return {name: [stream(make, seed, requests) for seed in range(seeds)] for name, make in made.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval (Student's t, for 20 worlds or about)."""
    return statistics.fmean(values), 2.09 * statistics.stdev(values) / math.sqrt(len(values))


def table(found: dict[str, list[tuple[Outcome, Outcome]]]) -> str:
    """Markdown: mean over the worlds ± half of its 95 % interval, before the drift and after it."""
    names = [f"{what}, {when}" for when in ("before", "after") for what in ("over", "unmet", "per met", "regret")]
    lines = [f"| policy | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for name, pairs in found.items():
        cells = []
        for half in (0, 1):
            for place, unit in enumerate(
                ("${:.2f} ± {:.2f}", "{:.1%} ± {:.1%}", "${:.2f} ± {:.2f}", "${:.2f} ± {:.2f}")
            ):
                cells.append(unit.format(*interval([pair[half][place] for pair in pairs])).replace("%", " %"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="worlds")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--wire", action="store_true", help="three streams over the wire, through Router")
    chosen = parser.parse_args(arguments)
    if chosen.wire:
        from tests.benchmark import regret_wire

        print(regret_wire.table(regret_wire.study(min(chosen.seeds, 3))))
        return
    print(table(study(chosen.seeds, chosen.requests)))


if __name__ == "__main__":
    main()
