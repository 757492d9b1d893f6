"""News of a router for its panels: none is lost, none is drawn too often, and one subscription serves all."""

from __future__ import annotations

import gc
import threading
import weakref

from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.notebook.feed import RATE, Agenda, feed_of

TOPICS = ("calls", "health", "config")
steps = st.lists(st.tuples(st.floats(0, 1), st.sampled_from((*TOPICS, None))), max_size=60)


@given(steps)
def test_every_piece_of_news_is_drawn_once_and_never_faster_than_the_rate(found):
    agenda, now = Agenda(), 0.0
    agenda.join(1, frozenset(TOPICS), None, now)
    told: set[str] = set()
    drawn = [now]
    for wait, topic in found:
        now += wait
        if topic is not None:
            agenda.told(topic)
            told.add(topic)
        for news in agenda.take(now).values():
            assert news == told
            assert now - drawn[-1] >= 1 / RATE
            drawn.append(now)
            told.clear()
    at = agenda.next()
    assert (at is not None) == bool(told)
    if at is not None:
        assert agenda.take(at) == {1: frozenset(told)}
    assert agenda.next() is None


def test_news_that_nobody_wants_wake_nobody():
    agenda = Agenda()
    agenda.join(1, frozenset({"health"}), None, 0.0)
    assert not agenda.told("calls")
    assert agenda.next() is None
    assert agenda.told("closed")  # which everybody has to know


def test_a_clock_and_a_reminder():
    agenda = Agenda()
    agenda.join(1, frozenset(), 2.0, 0.0)
    agenda.join(2, frozenset(), None, 0.0)
    agenda.remind(2, 1.5)
    agenda.remind(2, 1.8)  # the earlier one counts
    assert agenda.next() == 1.5
    assert agenda.take(1.5) == {2: frozenset({"reminder"})}
    assert agenda.take(2.0) == {1: frozenset({"clock"})}
    assert agenda.next() == 4.0
    agenda.leave(1)
    assert agenda.next() is None


class Panel:
    """A reader that counts."""

    topics = frozenset({"calls"})
    every = None

    def __init__(self) -> None:
        self.draws: list[frozenset[str]] = []
        self.drawn = threading.Event()

    def redraw(self, news: frozenset[str]) -> None:
        self.draws.append(news)
        self.drawn.set()


class Broken(Panel):
    def redraw(self, news: frozenset[str]) -> None:
        super().redraw(news)
        raise ValueError("no")


def test_five_panels_hang_on_one_subscription_and_one_that_fails_harms_none(router, caplog):
    panels = [Broken(), *(Panel() for _ in range(4))]
    for panel in panels:
        feed_of(router).join(panel)
    assert feed_of(router).readers == 5
    assert len(router._news._listeners) == 1
    router.chat("hi")
    assert all(panel.drawn.wait(10) for panel in panels)
    assert all(panel.draws == [frozenset({"calls"})] for panel in panels)
    assert "a panel was not redrawn (ValueError)" in caplog.text
    feed_of(router).leave(panels[0])
    assert feed_of(router).readers == 4


def test_a_crowd_of_calls_is_few_draws(router):
    panel = Panel()
    feed_of(router).join(panel)
    stop = router.watch(heard := [].append)
    for _ in range(60):
        router.chat("hi")
    stop()
    assert heard.__self__ == ["calls"] * 60
    assert panel.drawn.wait(10)
    assert len(panel.draws) < 30


def test_neither_panels_nor_routers_are_kept_alive(make_router, fleet):
    router = make_router(fleet)
    panel = Panel()
    feed_of(router).join(panel)
    router.chat("hi")
    assert panel.drawn.wait(10)
    known = weakref.ref(panel)
    del panel
    gc.collect()
    assert known() is None
    router.chat("hi")  # its place is cleared, and nothing is said
    assert router.provider_names()
