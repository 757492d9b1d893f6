"""A JupyterLab or Notebook 7 on loopback, and the notebooks that tests open there.

A test with the fixture `lab` reads like a story:

    def test_an_answer_is_shown(lab, fleet):
        nb = lab.notebook(["%load_ext hybrid_nb", "%%llm\\nWhat is 6 * 7?"], config=fleet.config())
        nb.run_all()
        expect(nb.output(1)).to_contain_text("42")
        assert nb.errors() == [] and nb.axe(nb.output(1)) == []

It fails, too, when the page complained in its console or asked for anything beyond this machine.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tomlkit

from hybrid_nb.demo import Served, serve
from tests.conftest import own_places
from tests.journey.notebook_page import PATIENCE, Notebook

ROOT = Path(__file__).parents[2]
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells that are not on the screen are not drawn
    "docmanager-extension/plugin": {"autosave": False},  # a test says when it saves
}
THEMES = "apputils-extension/themes"
APPS = {  # module: the address of a notebook, and its class of settings
    "jupyterlab": ("doc/tree", "LabApp"),
    "notebook": ("notebooks", "JupyterNotebookApp"),
}


class Site:
    """A server that runs for the whole session, its folder of notebooks and its settings."""

    def __init__(self, served: Served, module: str, folder: Path) -> None:
        self.served = served
        self.module = module
        self.root = folder / "notebooks"
        self.settings = folder / "settings"
        self.spare: Any = None

    def page(self, context: Any) -> Any:
        """A page of this browser: an empty one, or one that an earlier test left in good order."""
        page, self.spare = self.spare, None
        if page is None:
            page = context.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?", before a reload
        return page

    def take_back(self, page: Any) -> None:
        """A page that may serve another test; Notebook 7 opens each notebook in a page of its own."""
        if self.spare is None and self.module == "jupyterlab":
            self.spare = page
        else:
            page.close(run_before_unload=False)

    def address(self, path: Path) -> str:
        """Where a notebook is; without the traces of an earlier visit."""
        return self.served.address(f"{APPS[self.module][0]}/{quote(str(path.relative_to(self.root)))}") + "&reset"

    def sessions(self) -> list[dict[str, Any]]:
        """The running kernels, each with the notebook that it belongs to."""
        return json.loads(self._ask("GET", "sessions"))

    def tidy(self) -> None:
        """Ends all kernels, and forgets the theme."""
        for session in self.sessions():
            self._ask("DELETE", f"sessions/{session['id']}")
        _file(self.settings, THEMES).unlink(missing_ok=True)

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"{self.served.url}/api/{path}", method=method)
        request.add_header("Authorization", f"token {self.served.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()


class Lab:
    """What a test has: it makes notebooks and opens them."""

    def __init__(self, site: Site, context: Any, pictures: Path) -> None:
        self.site = site
        self.context = context
        self.pictures = pictures
        self.open: list[Notebook] = []

    def notebook(self, cells: Sequence[str], config: Mapping[str, Any] | None = None, name: str = "story") -> Notebook:
        """A new notebook with these code cells, opened, its kernel idle.

        `config` (say `fleet.config()`) is written to hybrid_nb.toml beside it, where the default router looks first.
        """
        folder = self.site.root / f"{self.pictures.name}-{len(self.open)}"
        folder.mkdir()
        path = folder / f"{name}.ipynb"
        path.write_text(json.dumps(written(cells)), "utf-8")
        ledger = {"ledger": {"url": f"sqlite:///{folder}/ledger.db"}}
        (folder / "hybrid_nb.toml").write_text(tomlkit.dumps(_known({**ledger, **(config or {})})), "utf-8")
        page = self.site.page(self.context)
        self.open.append(Notebook(page, self.site.address(path), self.site.root, path, self.pictures))
        return self.open[-1].open()

    def close(self, failed: bool = False) -> list[str]:
        """Closes all notebooks and kernels; the troubles of their pages. No page of a failed test is used again."""
        for notebook in self.open:
            notebook.worn = notebook.worn or failed
            if notebook.leave():
                self.site.take_back(notebook.page)
        self.site.tidy()
        return [trouble for notebook in self.open for trouble in notebook.troubles.found()]


def _known(value: Any) -> Any:
    """The same without None, which TOML does not have."""
    if isinstance(value, Mapping):
        return {name: _known(each) for name, each in value.items() if each is not None}
    return [_known(each) for each in value] if isinstance(value, list | tuple) else value


def written(cells: Sequence[str]) -> dict[str, Any]:
    """A notebook of code cells that never ran."""
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "cells": [{**empty, "id": f"cell-{number}", "source": source} for number, source in enumerate(cells)],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@contextmanager
def site(folder: Path, module: str = "jupyterlab") -> Iterator[Site]:
    """A server with its kernels in this folder, on the checkout's code."""
    (folder / "notebooks").mkdir()
    for name, values in SETTINGS.items():
        path = _file(folder / "settings", name)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values), "utf-8")
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**own_places(folder), "PYTHONPATH": os.pathsep.join(paths)}
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    options = [f"--{APPS[module][1]}.expose_app_in_browser=True", "--ServerApp.shutdown_no_activity_timeout=600"]
    served = serve(folder, folder / "notebooks", env, module, options)  # which ends, too, when its test was killed
    try:
        yield Site(served, module, folder)
    finally:
        served.process.terminate()
        served.process.wait(timeout=20)


def _file(settings: Path, name: str) -> Path:
    return settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
