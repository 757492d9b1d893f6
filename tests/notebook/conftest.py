"""An IPython shell over the simulated fleet, in static mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import hybrid_nb as hnb


@pytest.fixture
def shell(fleet, make_router, monkeypatch, tmp_path) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("HYBRID_NB_DISPLAY", "static")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    hnb.set_default_router(make_router(fleet, retries=0))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.run_line_magic("load_ext", "hybrid_nb")
    yield shell
    shell.run_line_magic("unload_ext", "hybrid_nb")
    hnb.set_default_router(None)
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
