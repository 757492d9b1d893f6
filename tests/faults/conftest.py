"""The scorecard of the conduct suite at the end of the run."""

from __future__ import annotations

import pytest

from tests.faults.conduct import CARD, scorecard


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CARD:
        terminalreporter.section("conduct")
        terminalreporter.write_line(scorecard(CARD))
