"""Router.learn, feedback, evidence and forget, and routing by them, over the wire."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import time

import pytest

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, to_messages
from hybrid_nb.core.types import Target
from hybrid_nb.engine.assemble import estimate_input
from hybrid_nb.engine.batch import one_score
from hybrid_nb.learning import Learned
from hybrid_nb.learning import _row as evidence_row
from hybrid_nb.ledger.evidence import Evidences
from hybrid_nb.ledger.store import Ledger
from hybrid_nb.portal import portal
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault
from tests.benchmark.made import Truth, made_run

GOOD, FAIR = "openai/simulated-openai", "gemini/simulated-gemini"
TRUTHS = {
    GOOD: Truth(0.97, 0.4, 0.002),
    FAIR: Truth(0.85, 0.2, 0.0001, clusters={"maths": 0.6, "prose": 0.95}),
}


@pytest.fixture
def run():
    return made_run(TRUTHS, samples=300)


@pytest.fixture
def taught(fleet, make_router, run) -> Router:
    """A router over two of the fleet that learned a run; gemini costs a tenth."""
    router = make_router(two(fleet), strategy="measured", explore=0)
    router.learn(run)
    return router


def two(fleet) -> list[dict]:
    found = [p for p in fleet.config()["provider"] if p["name"] in ("openai", "gemini")]
    for provider in found:
        model = provider["models"][0]
        scale = 0.1 if provider["name"] == "gemini" else 1.0
        provider["prices"] = {model: {"input": scale, "output": 2 * scale}}
    return found


def known(router: Router, target: str, cluster: str | None = None) -> dict:
    frame = router.evidence()
    rows = frame[(frame["target"] == target) & (frame["cluster"].fillna("-") == (cluster or "-"))]
    assert len(rows) == 1
    return rows.iloc[0].to_dict()


def test_the_cheapest_that_is_good_enough_at_the_task_is_asked(taught):
    prose = taught.chat("What is 6 * 7?", min_quality=0.8, tags={"task": "prose"})
    maths = taught.chat("What is 6 * 7?", min_quality=0.8, tags={"task": "maths"})
    assert (prose.provider, maths.provider) == ("gemini", "openai")
    assert prose.route.reason.startswith("cheapest of 2 that meet quality >= 0.80: 0.9")
    assert "cluster task 'prose'" in prose.route.reason
    assert prose.footer().endswith("cheapest of 2 that meet quality >= 0.80")  # the numbers are in the route
    assert maths.route.reason.startswith("cheapest of 1 that meet quality >= 0.80: 0.9")
    assert taught.calls()["route_reason"][0] == prose.route.reason


def test_a_task_that_nothing_is_known_of_is_judged_by_all_and_the_reason_says_so(taught):
    assert "nothing is known of task 'code', so of all together" in taught.plan("hi", tags={"task": "code"}).reason
    assert "of all clusters together, as there is no tag 'task'" in taught.plan("hi").reason


def test_another_tag_may_name_the_task(fleet, make_router, run):
    router = make_router(two(fleet), strategy="measured", explore=0)
    router.learn(run, tag="topic")
    assert str(router.plan("hi", min_quality=0.8, tags={"topic": "maths"}).chosen) == GOOD


def test_a_classifier_tells_the_task_and_its_errors_are_told(taught):
    taught.learn(classifier=lambda prompt: "maths" if "*" in prompt else None)
    reply = taught.chat("What is 6 * 7?", min_quality=0.8)
    assert reply.provider == "openai"
    assert taught.calls()["tags"][0] == {"task": "maths"}  # as it was routed, so it is counted
    assert taught.chat("What is 6 * 7?", min_quality=0.8, tags={"task": "prose"}).provider == "gemini"
    assert "the classifier did not know" in taught.plan("hi", min_quality=0.8).reason
    taught.learn(classifier=lambda prompt: 1 / 0)
    assert "the classifier raised ZeroDivisionError" in taught.chat("hi", min_quality=0.8).route.reason
    taught.learn(classifier=lambda prompt: 7)
    assert "the classifier gave int and no string" in taught.plan("hi").reason


def test_evidence_survives_a_restart_and_the_same_run_counts_once(taught, make_router, fleet, run):
    before = known(taught, FAIR, "maths")
    assert (before["calls"], before["scores"]) == (150, 150)
    assert before["quality"] == pytest.approx(0.6, abs=0.12)
    assert before["quality_low"] < before["quality"] < before["quality_high"]
    taught.learn(run)
    assert known(taught, FAIR, "maths")["calls"] == 150
    again = make_router(two(fleet), strategy="measured")
    assert known(again, FAIR, "maths")["quality_low"] == pytest.approx(before["quality_low"], abs=1e-6)
    assert again.plan("hi", min_quality=0.8, tags={"task": "maths"}).reason.startswith("cheapest of 1")


def test_what_another_kernel_learned_is_seen(make_router, fleet, run):
    one, other = (make_router(two(fleet), strategy="measured", explore=0) for _ in range(2))
    now = [time.time()]
    one._learned._wall = lambda: now[0]
    assert one.plan("hi", min_quality=0.8).reason.startswith("nobody is known to meet")
    other.learn(run)
    now[0] += 6
    assert one.plan("hi", min_quality=0.9, tags={"task": "prose"}).reason.startswith("cheapest of ")


def test_live_calls_count_once_and_others_read_them(taught, make_router, fleet):
    before = known(taught, FAIR)["calls"]
    taught.stream("What is 6 * 7?", model=FAIR).reply  # noqa: B018 - waits
    taught.chat("What is 6 * 7?", model=FAIR)
    after = known(taught, FAIR)
    assert after["calls"] == before + 2
    assert known(make_router(two(fleet)), FAIR)["calls"] == before + 2


def test_the_calls_of_a_learned_run_are_not_counted_twice(make_router, fleet):
    router = make_router(two(fleet), strategy="measured", explore=0)
    router.plan("hi")
    replies = [router.chat(f"What is 6 * {n}?", model=FAIR) for n in range(5)]
    run = made_run({FAIR: TRUTHS[FAIR]}, samples=5)
    run.calls["request_id"] = [reply.request_id for reply in replies]
    router.learn(run)
    assert known(router, FAIR)["calls"] == 5


def test_a_clock_that_is_set_makes_nobody_surer(fleet, tmp_path, run):
    now = [time.time()]

    class Elsewhere(Router):
        _wall = staticmethod(lambda: now[0])

    config = {"provider": two(fleet), "ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"}}
    with Elsewhere({**config, "router": {"strategy": "measured", "explore": 0}}) as router:
        router.learn(run)
        usual = router.plan("hi", min_quality=0.9).reason
        samples = known(router, GOOD)["effective_calls"]
        for years in (1, -1):
            now[0] = time.time() + years * 365 * 86_400
            router.plan("hi", min_quality=0.9)
            assert known(router, GOOD)["effective_calls"] <= 300
        now[0] = time.time()
        assert router.plan("hi", min_quality=0.9).reason.split(",")[0] == usual.split(",")[0]
        assert known(router, GOOD)["effective_calls"] == pytest.approx(samples, rel=0.01)


def test_failed_calls_of_a_learned_run_are_not_counted_twice(make_router, fleet):
    """Neither by those who saw them live, nor by those who read them from the ledger."""
    router = make_router(two(fleet), strategy="measured", explore=0, retries=0, breaker_threshold=1000)
    router.plan("hi")
    fleet["openai"].fail(Fault("status", status=500), times=4)
    run = router.benchmark([f"What is 6 * {n}?" for n in range(10)], [GOOD], progress=False)
    assert run.calls["request_id"].notna().all()
    router.learn(run)
    for reader in (router, make_router(two(fleet), strategy="measured")):
        row = known(reader, GOOD)
        assert row["calls"] == 10
        assert row["failure_rate"] == pytest.approx(0.4)


def test_a_provider_that_became_slow_is_left_though_its_run_was_fast(make_router, fleet):
    quick = {GOOD: Truth(0.9, 0.01, 0.002, tokens=2, speed=1e3), FAIR: Truth(0.9, 0.01, 0.0001, tokens=2, speed=1e3)}
    router = make_router(two(fleet), strategy="measured", explore=0)
    router.learn(made_run(quick, samples=500))
    need = {"min_quality": 0.8, "max_latency": 0.12}
    assert router.chat("What is 6 * 7?", **need).provider == "gemini"
    fleet["gemini"].set(ttft=0.25, tokens_per_second=1000)
    ticks = itertools.count()
    router._learned._wall = lambda: time.time() + next(ticks)  # bounds are not computed for each call of a moment
    asked = [router.chat("What is 6 * 7?", **need).provider for _ in range(12)]
    assert asked[-1] == "openai"
    assert asked.index("openai") <= 8
    assert "p95 answer > 0.2" in str(router.plan("hi", **need))


def test_feedback_counts_for_the_target_and_the_task(taught):
    reply = taught.chat("What is 6 * 7?", min_quality=0.8, tags={"task": "prose"})
    before = known(taught, FAIR, "prose")
    taught.feedback(reply, 0.0)
    after = known(taught, FAIR, "prose")
    assert after["scores"] == before["scores"] + 1
    assert after["quality"] < before["quality"]
    taught.feedback(reply.request_id, True)  # a later word replaces it
    last = known(taught, FAIR, "prose")
    assert last["scores"] == before["scores"] + 1
    assert last["quality"] > before["quality"]


def test_bad_feedback_moves_the_calls_elsewhere(taught):
    for number in range(12):
        reply = taught.chat(f"What is 6 * {number}?", model=FAIR, tags={"task": "prose"})
        taught.feedback(reply, number % 4 == 0)
    found = taught.plan("hi", min_quality=0.8, tags={"task": "prose"})
    assert str(found.chosen) == GOOD
    assert "it has changed" in str(found)
    assert bool(known(taught, FAIR, "prose")["changed"])


def test_feedback_of_what_nobody_answered_is_refused(taught):
    reply = taught.chat("What is 6 * 7?")
    for wrong in (-0.1, 1.5, "good", None):
        with pytest.raises(OptionValueError, match="between 0 and 1"):
            taught.feedback(reply, wrong)
    with pytest.raises(OptionValueError, match="no answered call 'nobody'"):
        taught.feedback("nobody", 1)


def test_forgetting(taught):
    assert taught.forget(GOOD) == 4  # times and scores of two tasks
    assert set(taught.evidence()["target"]) == {FAIR}
    assert taught.forget(before=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) == 0
    with pytest.raises(OptionValueError, match="is not one target"):
        taught.forget("nothing")
    assert taught.forget() == 4
    assert taught.evidence().empty
    assert "nobody is known to meet" in taught.plan("hi", min_quality=0.5).reason
    taught.chat("hi", model=FAIR)
    assert known(taught, FAIR)["calls"] == 1


def test_what_cannot_be_learned_is_told(taught, run):
    two_scorers = made_run(TRUTHS, samples=4)
    two_scorers.calls["score_judge"] = two_scorers.calls["score_exact"] * 7
    with pytest.raises(OptionValueError, match=r"several scorers .exact, judge.; name one: scorer='exact'"):
        taught.learn(two_scorers)
    with pytest.raises(OptionValueError, match="must be between 0 and 1, and one is 7"):
        taught.learn(two_scorers, scorer="judge")
    with pytest.raises(OptionValueError, match=r"no scorer 'exat' \(did you mean 'exact'\?\)"):
        taught.learn(run, scorer="exat")
    with pytest.raises(OptionTypeError, match="needs a run"):
        taught.learn()
    with pytest.raises(OptionTypeError, match=r"needs a run, .*not str"):
        taught.learn("run")
    with pytest.raises(OptionTypeError, match="classifier must be a function"):
        taught.learn(run, classifier="maths")


def test_a_need_that_only_evidence_tells_wants_the_strategy(router):
    with pytest.raises(OptionValueError, match=r"configure\(strategy='measured'\)"):
        router.chat("hi", min_quality=0.8)
    with pytest.raises(OptionValueError, match="max_latency"):
        router.plan("hi", max_latency=2)


def test_settings_are_checked_and_name_the_key(router, run):
    for name, wrong in (("min_quality", 2), ("half_life", 0), ("explore_usd", -1), ("max_latency", 0)):
        with pytest.raises(ConfigError, match=f"router.{name}"):
            router.configure(**{name: wrong})
    router.learn(run, half_life=3)
    assert router.settings.router.half_life == 3


def test_scores_by_a_named_scorer(taught):
    reason = taught.plan("hi", min_quality={"judge": 0.5}).reason
    assert "; nothing was scored by 'judge'" in reason
    assert "; ;" not in reason
    assert taught.plan("hi", min_quality={"exact": 0.5}).reason.startswith("cheapest of 2")


# --- exploring --------------------------------------------------------------------------------------------------


@pytest.fixture
def curious(fleet, make_router) -> Router:
    """The cheap one is thinly known, and live answers are scored; every call explores."""
    router = make_router(two(fleet), strategy="measured", explore=1.0)
    router._rng = random.Random(3)
    router.learn(made_run({GOOD: Truth(0.97, 0.1, 0.002)}, samples=200, clusters=()))
    router.learn(made_run({FAIR: Truth(1.0, 0.1, 0.0001)}, samples=8, clusters=(), seed=1))
    router.feedback(router.chat("What is 6 * 7?", model=GOOD), 1.0)
    return router


def test_a_call_explores_and_says_so_but_never_a_dry_run_or_one_that_must_be_certain(curious):
    reply = curious.chat("What is 6 * 7?", min_quality=0.85)
    assert reply.provider == "gemini"
    assert reply.route.reason.startswith("explored: it may be cheaper and meet quality >= 0.85: 1.00 (lower bound 0.7")
    assert f"instead of {GOOD}" in reply.route.reason
    assert str(curious.plan("hi", min_quality=0.85).chosen) == GOOD
    assert curious.chat("What is 6 * 7?", min_quality=0.85, explore=False).provider == "openai"


def spent(router: Router) -> float:
    return router._learned.kept.explored(router._wall()) / 1e12


def test_what_exploring_costs_over_the_usual_is_counted_and_held_in_the_ledger(fleet, make_router):
    """The cheap one is usual and misses the need, so the dear one is tried."""
    router = make_router(two(fleet), strategy="measured", explore=1.0, explore_usd=0.0002)
    router.learn(made_run({FAIR: Truth(0.8, 0.1, 0.0001)}, samples=400, clusters=()))
    router.learn(made_run({GOOD: Truth(1.0, 0.1, 0.0001)}, samples=6, clusters=(), seed=1))
    router.feedback(router.chat("What is 6 * 7?", model=FAIR), 1.0)
    replies = [router.chat("Tell me of the sea.", min_quality=0.9, max_tokens=30) for _ in range(12)]
    tried = [reply for reply in replies if reply.route.reason.startswith("explored")]
    assert 1 <= len(tried) < 12
    assert all(reply.provider == "openai" for reply in tried)
    extra = sum(float(reply.cost) for reply in tried)
    assert 0.5 * extra < spent(router) <= 0.0002
    usual = (estimate_input(to_messages("Tell me of the sea.")) * 0.1 + 30 * 0.2) / 1e6
    assert spent(router) == pytest.approx(extra - len(tried) * usual, rel=0.02)  # what it did cost, not as estimated
    other = make_router(two(fleet), strategy="measured", explore=1.0, explore_usd=0.0002)
    assert not other.chat("Tell me of the sea.", min_quality=0.9, max_tokens=30).route.reason.startswith("explored")


def test_nothing_may_be_spent_for_it(fleet, make_router):
    router = make_router(two(fleet), strategy="measured", explore=1.0, explore_usd=0)
    router.learn(made_run({FAIR: Truth(0.8, 0.1, 0.0001)}, samples=400, clusters=()))
    router.learn(made_run({GOOD: Truth(1.0, 0.1, 0.0001)}, samples=6, clusters=(), seed=1))
    router.feedback(router.chat("What is 6 * 7?", model=FAIR), 1.0)
    assert router.chat("hi", min_quality=0.9).provider == "gemini"
    assert spent(router) == 0


class WrittenMeanwhile(Evidences):
    """Evidence of which somebody adds more after each look at its state."""

    def __init__(self, ledger, more):
        super().__init__(ledger)
        self.more = more

    def state(self):
        found = super().state()
        if self.more:
            portal().run(self.put([self.more.pop()]))
        return found


def test_what_is_written_while_it_is_read_counts_once(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    target = Target("a", "m")
    rows = [
        evidence_row(f"feedback|{number}|exact", "task", one_score(target, None, 100.0, "exact", 1.0), "exact")
        for number in range(3)
    ]
    portal().run(Evidences(ledger).put([rows.pop()]))
    learned = Learned(ledger, lambda: 14.0, lambda: 100.0)
    learned.kept = WrittenMeanwhile(ledger, rows)
    for _ in range(4):
        found = learned.evidence(at_once=True).rows(100.0)
    assert {item.scores for item in found if item.scorer == "exact"} == {3}
    ledger.close()
