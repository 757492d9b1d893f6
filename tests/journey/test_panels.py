"""What every panel does in a kernel: two outputs, of which the saved one follows; a click while a cell is busy; a cell
that is run again leaves no panel behind."""

from __future__ import annotations

import pytest

from tests.journey.kernels import Kernel

SETUP = """
import threading
import hybrid_nb as hnb
from ipywidgets import HTML, Button
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets.panel import Panel, Saved

fleet = hnb.sim.Fleet().start()
router = hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}})
released = threading.Event()

class Names(Panel):
    topics = frozenset({"config"})

    def compose(self):
        self.shown, self.go = HTML(), Button(description="Go")
        self.go.on_click(self.guarded(lambda _: released.set()))
        return [self.shown, self.go]

    def refresh(self, news):
        self.shown.value = ", ".join(self.router.provider_names())

    def saved(self):
        return Saved(f"<p>{self.shown.value}</p>", self.shown.value)
"""
ALL = "sim-openai, sim-anthropic, sim-gemini, sim-ollama"
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with a class of panels."""
    bare_kernel.do(SETUP)
    return bare_kernel


def test_a_panel_is_two_outputs_and_the_saved_one_follows_what_happens(kernel):
    live, saved = [m for m in kernel.do("panel = Names(router)\npanel") if m["type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in live["data"]
    assert saved["data"]["text/plain"] == ALL
    assert f"<p>{ALL}</p>" in saved["data"]["text/html"]
    kernel.do("router.remove_provider('sim-gemini')")
    told = kernel.until(lambda m: m["type"] == "update_display_data", "update of the saved form")
    assert told["data"]["text/plain"] == ALL.replace(", sim-gemini", "")
    kernel.do("router.undo()")
    told = kernel.until(lambda m: m["type"] == "update_display_data", "second update")  # which waits for its time
    assert told["data"]["text/plain"] == ALL


def test_a_click_on_a_panel_is_heard_while_a_cell_is_busy(kernel):
    kernel.do("panel = Names(router)\npanel")
    model = kernel.model_id("panel.go")
    if not kernel.has_subshells:
        return
    with kernel.subshell() as subshell:
        request = kernel.start("print('busy', flush=True)\nreleased.wait(20)")
        kernel.until(lambda m: m["of"] == request and m["type"] == "stream", "start of the busy cell")
        click = kernel.click(model, subshell)
        assert [m for m in kernel.end(request) if m["type"] == "execute_result"][-1]["data"]["text/plain"] == "True"
        kernel.end(click)


def test_a_cell_that_is_run_again_leaves_no_panel_behind(kernel):
    before = int(kernel.value("feed_of(router).readers"))
    for _ in range(3):
        kernel.run("display(Names(router)); display(Names(router))", cell="one")
    assert int(kernel.value("feed_of(router).readers")) == before + 2
    kernel.run("mine = Names(router); display(mine)", cell="two")
    kernel.run("display(mine)", cell="three")
    kernel.run("print('nothing of it')", cell="two")
    kernel.run("display(Names(router))", cell="two")
    assert kernel.value("mine.comm is not None") == "True"  # it is seen in another cell
    kernel.do("router.close(); fleet.stop()")
