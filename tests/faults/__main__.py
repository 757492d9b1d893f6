"""`python -m tests.faults [words of a case's name]`: play the conduct suite and print its scorecard."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.cases import CASES
from tests.faults.conduct import CARD, play, scorecard
from tests.faults.virtual import virtual_portal


def main(*words: str) -> int:
    with virtual_portal() as loop:
        for case in CASES:
            for way in case.ways if all(word in case.name for word in words) else ():
                with tempfile.TemporaryDirectory() as folder:
                    play(loop, Path(folder), case, way)
    print(scorecard(CARD))
    known = {case.name for case in CASES if case.xfail}
    return int(any(row.verdict != "ok" and row.case not in known for row in CARD))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
