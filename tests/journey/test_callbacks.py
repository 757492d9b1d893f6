"""What widgets and threads rely on in a kernel: who hears a click and when, and that no update is lost.

Plain ipywidgets, so that a failure of a panel can be told from one of the kernel.
"""

from __future__ import annotations

import pytest

from tests.journey.kernels import Kernel

SETUP = """
import threading
import ipywidgets
from IPython.display import display
heard = []
released = threading.Event()
def on_click(button):
    heard.append(threading.current_thread() is threading.main_thread())
    released.set()
button = ipywidgets.Button(description="Go")
button.on_click(on_click)
field = ipywidgets.Text()
field.observe(lambda change: heard.append(change["new"]), "value")
"""
BUSY = "released.clear(); heard.clear()\nprint('busy', flush=True)\nreleased.wait({seconds})"
UPDATES = 200
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with a button and a text field."""
    bare_kernel.do(SETUP)
    return bare_kernel


def test_it_is_the_kernel_that_it_says(kernel):
    version = kernel.value("import ipykernel; ipykernel.__version__").strip("'")
    assert version.startswith(kernel.kind.removeprefix("ipykernel") + ".")


def test_a_click_and_a_typed_text_reach_their_handlers(kernel):
    kernel.do("heard.clear()")
    kernel.end(kernel.click(kernel.model_id("button")))
    kernel.end(kernel.fill(kernel.model_id("field"), value="typed"))
    assert kernel.value("heard") == "[True, 'typed']"


def busy_cell(kernel: Kernel, seconds: float) -> str:
    """Starts a cell that is busy until the button's handler ran, at most so many seconds; its id."""
    request = kernel.start(BUSY.format(seconds=seconds))
    kernel.until(lambda m: m["of"] == request and m["type"] == "stream", "start of the busy cell")
    return request


def result_of(kernel: Kernel, request: str) -> str:
    return [m for m in kernel.end(request) if m["type"] == "execute_result"][-1]["data"]["text/plain"]


def test_a_click_while_a_cell_is_busy_is_heard_after_it(kernel):
    model = kernel.model_id("button")
    request = busy_cell(kernel, 0.5)
    click = kernel.click(model)
    assert result_of(kernel, request) == "False"
    kernel.end(click)
    assert kernel.value("heard") == "[True]"


# ipykernel 7.4 sends a message that came over a subshell to the shell in which the widget last published something:
# for a widget that a cell made, or changed, that is the main one, which is busy. With this off it stays where it came.
STAY = "button.comm._reply_subshell_for = None\nbutton.description = 'changed by a cell'"


def test_a_click_over_a_subshell_is_heard_while_the_cell_is_busy_in_another_thread(kernel):
    info = kernel.reply(kernel.client.kernel_info())
    assert kernel.has_subshells == ("kernel subshells" in info.get("supported_features", []))
    if not kernel.has_subshells:
        return
    model = kernel.model_id("button")
    kernel.do(STAY)
    with kernel.subshell() as subshell:
        for _ in range(2):
            request = busy_cell(kernel, 20)
            click = kernel.click(model, subshell)
            assert result_of(kernel, request) == "True"
            kernel.end(click)
            assert kernel.value("heard") == "[False]"


BACKGROUND = f"""
go = threading.Event()
shown = display({{"text/plain": "before"}}, raw=True, display_id="shown")
counter = ipywidgets.IntText()
def work():
    go.wait(20)
    for number in range(1, {UPDATES} + 1):
        counter.value = number
        shown.update({{"text/plain": str(number)}}, raw=True)
thread = threading.Thread(target=work)
thread.start()
"""


def updates_of(kernel: Kernel, name: str) -> list[str]:
    updates = [m for m in kernel.heard if m["type"] == "update_display_data"]
    return [m["data"]["text/plain"] for m in updates if m["transient"]["display_id"] == name]


def test_no_update_of_a_thread_is_lost_while_later_cells_run(kernel):
    kernel.do(BACKGROUND)
    model = kernel.model_id("counter")
    kernel.do("go.set()\nsum(i * i for i in range(300_000))")
    kernel.do("thread.join(20)")
    wanted = [str(number) for number in range(1, UPDATES + 1)]
    if updates_of(kernel, "shown")[-1:] != wanted[-1:]:
        kernel.until(lambda m: m.get("data") == {"text/plain": wanted[-1]}, "last update")
    assert updates_of(kernel, "shown") == wanted
    assert [str(state["value"]) for state in kernel.states(model)] == wanted


# a call through the router from a handler, which on a subshell is in another thread than the cell's own call
ASK = """
import hybrid_nb as hnb
fleet = hnb.sim.Fleet().start()
router = hnb.Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}})
asked = []
ask = ipywidgets.Button(description="Ask")
ask.on_click(lambda _: (asked.append(router.chat("What is 6 * 7?").text), released.set()))
ask.comm._reply_subshell_for = None
"""


def test_a_handler_may_ask_a_model_while_a_cell_asks_another(kernel):
    kernel.do(ASK)
    model = kernel.model_id("ask")
    request = kernel.start("released.clear(); print('busy', flush=True)\nrouter.chat('What is 2 + 3?').text")
    kernel.until(lambda m: m["of"] == request and m["type"] == "stream", "start of the busy cell")
    if kernel.has_subshells:
        with kernel.subshell() as subshell:
            kernel.end(kernel.click(model, subshell))
    else:
        kernel.end(kernel.click(model))
    assert "2 + 3 = 5" in result_of(kernel, request)
    assert "42" in kernel.value("asked")
    kernel.do("router.close(); fleet.stop()")


def test_an_error_in_a_handler_leaves_the_kernel_and_the_other_handlers_alone(kernel):
    kernel.do("def bad(button): 1 / 0\nheard.clear()\nbutton.on_click(bad)")
    kernel.end(kernel.click(kernel.model_id("button")))
    kernel.do("button.on_click(bad, remove=True)")
    assert kernel.value("heard") == "[True]"
    assert kernel.value("1 + 1") == "2"
