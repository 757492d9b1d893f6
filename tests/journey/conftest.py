"""Fixtures of the journeys: kernels of two generations, a browser, and notebooks in JupyterLab and Notebook 7.

Browser tests come last in a session: Playwright keeps an event loop running in the main thread as long as the browser
is there, and no async test can run beside that.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.journey.browser import CHROMIUM, NO_BROWSER, chromium
from tests.journey.kernels import KINDS, Kernel, started
from tests.journey.lab import Lab, Site, site

OPENED = pytest.StashKey[Lab]()
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A failed test tells what was on the screen."""
    report = yield
    lab = item.stash.get(OPENED, None)
    if report.failed and call.when == "call" and lab is not None:
        item.stash[FAILED] = True
        for notebook in lab.open:
            try:
                said = notebook.report()
            except Exception as error:
                said = f"no report of {notebook.path.name}: {error}"
            report.sections.append(("on the screen", said))
    return report


@pytest.fixture(scope="module", params=KINDS)
def bare_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of each kind for a module's tests."""
    with started(request.param, tmp_path_factory.mktemp(request.param)) as kernel:
        yield kernel


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with chromium() as context:
        yield context


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One JupyterLab for all tests."""
    with site(tmp_path_factory.mktemp("jupyterlab")) as running:
        yield running


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One Notebook 7 for all tests."""
    with site(tmp_path_factory.mktemp("notebook7"), "notebook") as running:
        yield running


@pytest.fixture
def lab(browser: Any, jupyterlab: Site, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Notebooks in JupyterLab; the test fails where a page complained in its console or left this machine."""
    with ExitStack() as stack:
        yield _opened(browser, jupyterlab, request, tmp_path, stack)


@pytest.fixture
def classic(browser: Any, notebook7: Site, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """The same in Notebook 7."""
    with ExitStack() as stack:
        yield _opened(browser, notebook7, request, tmp_path, stack)


def _opened(browser: Any, running: Site, request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Lab:
    opened = Lab(running, browser, folder)
    request.node.stash[OPENED] = opened

    def close() -> None:
        if troubles := opened.close(failed=request.node.stash.get(FAILED, False)):
            pytest.fail("\n".join(troubles), pytrace=False)

    stack.callback(close)
    return opened
