"""Whom active checks ask, and when: with a clock and chance that are passed in."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from hybrid_nb.engine.breaker import FOREVER
from hybrid_nb.engine.checkups import QUIET, Agenda, Round, Subject, case

INTERVAL = 30.0


def rounds(agenda: Agenda, subjects: list[Subject], until: float, now: float = 0.0) -> list[tuple[float, Round]]:
    """Every round until then."""
    found = []
    while now < until:
        found.append((now, agenda.look(subjects, now, INTERVAL)))
        now += found[-1][1].wait
    return found


def asked(found: list[tuple[float, Round]], name: str = "a") -> list[float]:
    return [now for now, one in found if name in one.ask]


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"near": True}, "ask"),
        ({"near": True, "idle": 29}, "told"),
        ({"near": True, "idle": 31}, "ask"),
        ({"near": True, "idle": 31, "busy": True}, "told"),
        ({"near": True, "idle": 1, "shut": True}, "ask"),
        ({"near": True, "busy": True, "shut": True}, "ask"),
        ({"near": True, "idle": 1e6}, "ask"),
        ({"near": True, "idle": 1, "resting": 101.0}, "leave"),
        ({"near": True, "resting": 100.0}, "ask"),
        ({"near": True, "shut": True, "resting": FOREVER}, "leave"),
        ({"near": True, "refused": True}, "leave"),
        ({"near": False}, "leave"),  # three keys cost nothing while nobody asks
        ({"near": False, "shut": True}, "leave"),
        ({"near": False, "idle": 31}, "ask"),
        ({"near": False, "idle": QUIET * INTERVAL}, "ask"),
        ({"near": False, "idle": QUIET * INTERVAL + 1}, "leave"),
        ({"near": False, "idle": QUIET * INTERVAL + 1, "shut": True}, "leave"),
        ({"near": False, "idle": 1}, "told"),
        ({"near": False, "busy": True}, "told"),
        ({"near": False, "idle": 1, "shut": True}, "ask"),
    ],
)
def test_whom_to_ask(facts: dict[str, float], kind: str) -> None:
    assert case(Subject("a", **facts), 100.0, INTERVAL) == kind  # type: ignore[arg-type]


def test_an_idle_one_is_asked_every_interval_and_never_in_step() -> None:
    times = asked(rounds(Agenda(random.Random(1)), [Subject("a", True)], 3000))
    assert 15 <= times[0] <= 45
    gaps = [b - a for a, b in pairwise(times)]
    assert 24 <= min(gaps) < 27 < 33 < max(gaps) <= 36
    assert len(times) == pytest.approx(100, abs=5)
    starts = [asked(rounds(Agenda(random.Random(seed)), [Subject("a", True)], 50))[0] for seed in range(200)]
    crowd = Counter(int(start) for start in starts)  # of 200 kernels that started together
    assert len(crowd) > 25
    assert max(crowd.values()) < 20


def test_a_busy_one_is_looked_at_when_its_last_call_is_an_interval_ago() -> None:
    agenda, now, last = Agenda(random.Random(2)), 0.0, 100.0
    times, told = [], 0
    while now < 400:
        idle = None if now < last else now - last
        found = agenda.look([Subject("a", True, idle)] if idle is not None else [Subject("a", True, 0)], now, INTERVAL)
        times += [now] if found.ask else []
        told += len(found.told)
        now += found.wait
    assert 130 <= times[0] <= 140
    assert 2 <= told <= 5


def test_a_new_interval_holds_at_once_and_what_is_gone_is_forgotten() -> None:
    agenda = Agenda(random.Random(3))
    assert agenda.look([Subject("a", True)], 0, 3600).wait >= 1800
    assert agenda.look([Subject("a", True)], 1, 2).wait <= 3
    assert agenda.look([], 2, 2) == Round((), (), 2)
    assert agenda.look([Subject("a", True)], 10, 2).ask == ()  # it is new again


def test_who_asked_to_be_left_alone_is() -> None:
    agenda = Agenda(random.Random(4))
    agenda.look([Subject("a", True)], 0, INTERVAL)
    agenda.put_off("a", 200, 0)
    times = asked(rounds(agenda, [Subject("a", True)], 400))
    assert times[0] == 200
    agenda.put_off("a", 1e9, 400)  # not for ever
    assert 3600 <= asked(rounds(agenda, [Subject("a", True)], 5000, 400))[0] <= 4000
    agenda.put_off("who", 1, 0)


def test_a_resting_one_is_asked_when_its_rest_is_over_and_costs_no_round_before() -> None:
    resting = [Subject("a", True, resting=1000.0)]
    found = rounds(Agenda(random.Random(5)), resting, 1100)
    assert asked(found)[0] == 1000
    assert len(found) < 8


def test_after_a_sleep_everybody_is_looked_at_soon_and_not_at_once() -> None:
    agenda = Agenda(random.Random(6))
    subjects = [Subject(str(number), True) for number in range(50)]
    agenda.look(subjects, 0, INTERVAL)
    agenda.woke(1000)
    assert agenda.look(subjects, 1000, INTERVAL).ask == ()
    times = [now for now, one in rounds(agenda, subjects, 1010, 1000) for _ in one.ask]
    assert len(times) == 50
    assert 1001 <= min(times) < 1003 < 1008 < max(times) <= 1010
