"""Some thousand calls leave nothing behind: live objects are counted, since memory is the machine's to give back."""

from __future__ import annotations

import sys

from . import soak
from .run import HERE, Process

CALLS, LEGS = 3200, 4


def test_calls_leave_nothing_behind() -> None:
    server = Process(sys.executable, None, str(HERE / "server.py"), "--events-per-write", "10")
    try:
        found = soak.soak(f"http://127.0.0.1:{server.read()}", CALLS, LEGS)
    finally:
        server.stop()
    assert found["answered"] == dict.fromkeys(soak.KINDS, CALLS // len(soak.KINDS))
    assert found["rows"] == CALLS
    first, last = found["looks"][0], found["looks"][-1]
    assert last["tasks"] == 0
    calls = last["calls"] - first["calls"]
    assert last["objects"] - first["objects"] < calls / 4, found["grew"]  # one object for every fourth call is a leak
    assert last["ours"] - first["ours"] < calls / 20, found["grew"]
