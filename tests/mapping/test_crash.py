"""kill -9 in the middle of a map: what was answered is there, and the next run asks for the rest only."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from tests.conftest import model_of, own_places

ROOT = Path(__file__).parents[2]
ROWS, AT_ONCE = 300, 6
CHILD = """
import json, sys
import pandas as pd
from hybrid_nb.router import Router
config, rows, at_once = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
frame = pd.DataFrame({"n": range(rows)})
Router(config).map(frame, "What is {n} + 1?", model=sys.argv[4], concurrency=at_once, max_cost=1, progress=False)
"""


def test_kill_9_loses_only_the_calls_under_way(fleet, make_router, tmp_path):
    vendor = fleet["openai"]
    vendor.set(ttft=0.01, tokens_per_second=5000)
    config = {**fleet.config(), "ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"}}
    values = [json.dumps(config), str(ROWS), str(AT_ONCE), model_of("openai")]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *values],
        env={**own_places(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    try:
        give_up = time.monotonic() + 30
        while len(vendor.chats) < 60 and time.monotonic() < give_up:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait(10)
    time.sleep(0.1)  # for answers that were on their way to nobody
    asked = len(vendor.chats)
    assert 60 <= asked < ROWS
    vendor.set(ttft=0.0, tokens_per_second=float("inf"))
    router = make_router(config)
    there = router._ledger.rows("SELECT COUNT(*) FROM mapped")[0][0]
    calls = len(router.calls())
    assert there == calls  # an answer and its call's row are written together
    assert asked - there <= AT_ONCE
    frame = pd.DataFrame({"n": range(ROWS)})
    found = router.map(frame, "What is {n} + 1?", model=model_of("openai"), max_cost=1, progress=False)
    assert list(found.output) == [f"{n} + 1 = {n + 1}." for n in range(ROWS)]
    assert len(vendor.chats) == asked + ROWS - there
    prompts = [log.body["messages"][-1]["content"] for log in vendor.chats]
    assert len(prompts) - len(set(prompts)) <= AT_ONCE
