"""With HYBRID_NB_CI=1 a skipped test is a failed one: a check that did not run is not a check that passed.

Loaded with `-p tests.ci_plugin`; does nothing otherwise. A test that is expected to fail stays one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


def pytest_configure() -> None:
    """A runner that was started in the background ignores interrupts; tests send them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    import hybrid_nb

    return f"hybrid_nb from {os.path.dirname(hybrid_nb.__file__)}; {'a skip fails' if strict() else 'skips allowed'}"


def strict() -> bool:
    return os.environ.get("HYBRID_NB_CI") == "1"


def without_skip(report: R) -> R:
    """The report, failed where it was skipped."""
    if strict() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped, which fails under HYBRID_NB_CI=1: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, pytest.TestReport]:
    return without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, pytest.CollectReport]:
    return without_skip((yield))
