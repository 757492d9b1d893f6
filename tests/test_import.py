# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""Importing hybrid_nb is quick and does nothing: no thread, no socket, no heavy package."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("pandas", "aiohttp", "httpx2", "httpx_aiohttp", "IPython", "pydantic", "genai_prices", "tomlkit", "numpy")
CODE = """
import sys, time
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") else None)
started = time.perf_counter()
import hybrid_nb
seconds = time.perf_counter() - started
import json, threading
heavy = [name for name in sys.argv[1:] if name in sys.modules]
print(json.dumps({
    "seconds": seconds, "sockets": opened, "threads": threading.active_count(),
    "heavy": heavy,
}))
"""


def test_import_is_light() -> None:
    runs = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", CODE, *HEAVY], capture_output=True, timeout=20, check=True).stdout
        runs.append(json.loads(out))
    assert all((run["heavy"], run["sockets"], run["threads"]) == ([], [], 1) for run in runs), runs[0]
    assert min(run["seconds"] for run in runs) <= 0.15


def test_a_door_opened_late_starts_no_thread_either() -> None:
    code = "import hybrid_nb, threading; hybrid_nb.Reply; hybrid_nb.errors; hybrid_nb.Router; print(threading.active_count())"
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=20, check=True
    ).stdout
    assert out.strip() == b"1"


def run_without(package: str, code: str) -> str:
    """What a program prints where a package is not installed."""
    code = f"import sys; sys.modules[{package!r}] = None\nimport hybrid_nb as hnb\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_a_widget_without_its_packages_names_the_extra() -> None:
    code = "try:\n    hnb.ChatCell\nexcept ImportError as error:\n    print(error)"
    assert run_without("ipywidgets", code) == "ipywidgets is needed for this: pip install 'hybrid-nb[lab]'\n"


def test_a_chat_without_anywidget_has_the_plainer_front_end() -> None:
    code = (
        "with hnb.sim.Fleet() as fleet:\n"
        "    router = hnb.Router({**fleet.config(), 'ledger': {'url': 'sqlite:///:memory:'}})\n"
        "    chat = hnb.ChatCell(router)\n"
        "    chat.send('What is 6 * 7?', wait=True)\n"
        "    print(chat.turns[-1].text, type(chat.children[0]).__name__)\n"
        "    router.close()\n"
    )
    assert run_without("anywidget", code) == "6 * 7 = 42. VBox\n"
