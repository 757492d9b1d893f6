"""`hybrid-nb demo`: the main job on simulated vendors, without keys or network, then JupyterLab on the quickstart."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from hybrid_nb.compare import Comparison, plain
from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet

PROMPT = "What is 37 * 43?"
QUICKSTART = "01_quickstart.ipynb"
START_PATIENCE = 60.0  # seconds for JupyterLab to come up


@contextmanager
def workplace() -> Iterator[tuple[Path, Path]]:
    """(folder, configuration file) with the simulated vendors up; the user's own ledger is not touched."""
    folder = Path(tempfile.mkdtemp(prefix="hybrid_nb_demo_"))
    try:
        with Fleet() as fleet:
            config = folder / "hybrid_nb.toml"
            ledger = f'[ledger]\nurl = "sqlite:///{(folder / "ledger.db").as_posix()}"\n\n'
            config.write_text(ledger + fleet.toml(), "utf-8")
            yield folder, config
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(config: Path) -> Comparison:
    """One prompt to the first model of each of the vendors, through the whole engine."""
    with Router(config) as router:
        return router.compare(PROMPT)


def report(comparison: Comparison) -> str:
    """The comparison as text: the figures, then what each model said."""
    said = [f"{side.name}: {side.reply.text if side.reply else side.error}" for side in comparison]
    return "\n".join([f"prompt: {comparison.prompt}", "", plain(comparison.sides), "", *said])


def notebook() -> Path | None:
    """The quickstart: in the installed package, or beside the checkout."""
    package = Path(__file__).parent
    places = (package / "_notebooks" / QUICKSTART, package.parent / "notebooks" / QUICKSTART)
    return next((place for place in places if place.is_file()), None)


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_lab(folder: Path, config: Path) -> tuple[subprocess.Popen[bytes], str]:
    """JupyterLab in the folder, on loopback, with the demo's configuration; (process, address). Raises RuntimeError."""
    if find_spec("jupyterlab") is None:
        raise RuntimeError("JupyterLab is not installed: pip install 'hybrid-nb[lab]'")
    source, root = notebook(), folder / "notebooks"
    root.mkdir()
    if source is not None:
        shutil.copy(source, root / QUICKSTART)
    port, token = free_port(), secrets.token_hex(16)
    options = [f"--ServerApp.root_dir={root}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    options += [f"--IdentityProvider.token={token}", "--ServerApp.open_browser=False", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    with (folder / "jupyterlab.log").open("wb") as log:
        lab = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, "HYBRID_NB_CONFIG": str(config), "JUPYTERLAB_SETTINGS_DIR": str(quiet(folder))},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}/lab/tree/{QUICKSTART if source else ''}?token={token}"
    _wait(lab, f"http://127.0.0.1:{port}/api", folder / "jupyterlab.log")
    return lab, address


def quiet(folder: Path) -> Path:
    """Settings by which JupyterLab neither looks for news and updates on the network nor asks whether it may."""
    place = folder / "settings" / "@jupyterlab" / "apputils-extension"
    place.mkdir(parents=True)
    (place / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', "utf-8")
    return folder / "settings"


def _wait(lab: subprocess.Popen[bytes], address: str, log: Path) -> None:
    give_up = time.monotonic() + START_PATIENCE
    while time.monotonic() < give_up:
        if lab.poll() is not None:
            raise RuntimeError(f"JupyterLab ended at once:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.1)
    lab.terminate()
    raise RuntimeError(f"JupyterLab did not come up in {START_PATIENCE:.0f} s")
