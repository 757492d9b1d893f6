"""What every widget stands on."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from ipywidgets import HTML

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.notebook import feed
from hybrid_nb.notebook.widgets.panel import Panel, Saved
from hybrid_nb.notebook.widgets.style import Raw, bar, sparkline, table, text_table


class Names(Panel):
    """A panel that shows the names of the providers."""

    topics = frozenset({"config"})

    def compose(self):
        self.shown = HTML()
        self.redrawn = threading.Event()
        return [self.shown]

    def refresh(self, news):
        self.shown.value = ", ".join(self.router.provider_names())
        self.redrawn.set()

    def saved(self):
        return Saved(f"<p>{self.shown.value}</p>", self.shown.value)


@pytest.fixture
def panel(router):
    panel = Names(router)
    panel.redrawn.clear()
    yield panel
    panel.close()


def status(panel: Panel) -> str:
    return panel._status.value


def until(true, seconds=10.0):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_it_shows_what_is_there_and_follows(panel, router):
    assert panel.shown.value == "openai, anthropic, gemini, ollama"
    router.remove_provider("gemini")
    assert panel.redrawn.wait(10)
    assert panel.shown.value == "openai, anthropic, ollama"


def test_what_a_callback_raises_is_said_in_one_line_and_kept(panel):
    def wrong():
        raise ConfigError("router.retries: <b>must</b> be a number")

    panel.guarded(wrong)()
    assert "ConfigError: router.retries: &lt;b&gt;must&lt;/b&gt; be a number" in status(panel)
    assert 'role="alert"' in status(panel)
    assert isinstance(panel.trouble, ConfigError)
    panel.guarded(lambda: None)()
    assert status(panel) == ""


def test_an_error_that_is_not_ours_says_where(panel, caplog):
    panel.guarded(lambda: {}["x"])()
    assert "KeyError: &#x27;x&#x27; (in &lt;lambda&gt;, line " in status(panel)
    assert "a callback of Names failed" in caplog.text


def test_an_error_on_another_thread_is_said_too(panel):
    def wrong():
        raise ConfigError("no such file")

    panel.in_background(wrong, "looking ...").join(10)
    assert "no such file" in status(panel)


def test_a_closed_router_says_what_to_do(panel, router):
    router.close()
    until(lambda: "This router is closed: make a new one" in status(panel))
    called = []
    panel.guarded(lambda: called.append(1))()
    assert called == []


def test_a_panel_that_cannot_be_drawn_says_why(router):
    class Bad(Names):
        def refresh(self, news):
            raise ValueError("broken")

    panel = Bad(router)
    assert "ValueError: broken (in refresh" in status(panel)
    panel.close()


def test_its_bundle_has_the_widget_and_its_saved_form(panel):
    bundle = panel._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert bundle["text/plain"] == "openai, anthropic, gemini, ollama"
    assert "<p>openai, anthropic, gemini, ollama</p>" in bundle["text/html"]


def test_the_repr_names_the_providers(panel):
    assert repr(panel) == "Names(openai, anthropic, gemini, ollama)"


def test_html_of_others_is_escaped_and_a_table_reads_well():
    html = table("<spend>", ["who", "cost"], [["<script>", None], [Raw("<b>x</b>"), 3]], numbers=[1])
    assert "&lt;spend&gt;" in html
    assert "<script>" not in html
    assert '<th scope="row">&lt;script&gt;</th>' in html
    assert '<td class="num"><span title="unknown">–</span></td>' in html
    assert "<b>x</b>" in html
    assert text_table("spend", ["who", "cost"], [["a", None]]) == "spend\nwho  cost\na    –"


def test_bars_and_lines_have_words():
    assert bar(None, "no limit") == "no limit"
    assert 'value="1.0000"' in bar(3.0, "over")
    assert 'aria-label="$1 &lt; $5"' in bar(0.2, "$1 < $5")
    assert sparkline([1.0], "x") == ""
    assert 'points="0.0,9.0 80.0,1.0"' in sparkline([1.0, 2.0], "x")


@pytest.mark.timeout(20)
def test_a_panel_is_collected_even_while_the_feeds_are_locked(router):
    """Which is any time: the collector runs in the middle of whatever makes objects."""
    panel = Names(router)
    gone = weakref.ref(panel)
    panel.close()
    panel.close()
    with feed._lock, feed._feeds[router]._wake:
        del panel
        gc.collect()
    assert gone() is None
    assert feed.feed_of(router).readers == 0


class Clock(Names):
    """A panel that wants to be redrawn by itself, three times."""

    topics = frozenset()

    def compose(self):
        self.times = 0
        return super().compose()

    def refresh(self, news):
        self.times += 1
        if self.times < 4:
            self.again(0.05)
        super().refresh(news)


def test_a_panel_may_ask_to_be_redrawn(router):
    panel = Clock(router)
    until(lambda: panel.times == 4)
    panel.close()


def test_a_panel_that_rests_is_not_redrawn_until_it_is_awakened(panel, router):
    panel.rest()
    router.remove_provider("gemini")
    assert not panel.redrawn.wait(0.6)
    panel.awaken()
    assert panel.shown.value == "openai, anthropic, ollama"
    router.remove_provider("openai")
    until(lambda: panel.shown.value == "anthropic, ollama")


def test_a_panel_that_could_not_be_made_is_collected_quietly(router):
    class Broken(Names):
        def __init__(self, router):
            raise ConfigError("no")

    with pytest.raises(ConfigError):
        Broken(router)
