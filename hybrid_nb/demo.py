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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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


def notebooks() -> list[Path]:
    """The notebooks: in the installed package, or beside the checkout."""
    package = Path(__file__).parent
    places = (package / "_notebooks", package.parent / "notebooks")
    return next((found for place in places if (found := sorted(place.glob("*.ipynb")))), [])


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Served:
    """A Jupyter application that runs on loopback."""

    process: subprocess.Popen[bytes]
    url: str
    token: str = field(repr=False)

    def address(self, path: str) -> str:
        """Where a browser finds this path ("lab/tree/a.ipynb") and is let in."""
        return f"{self.url}/{path}?token={self.token}"


def start_lab(folder: Path, config: Path) -> tuple[subprocess.Popen[bytes], str]:
    """JupyterLab on the quickstart, with the demo's configuration; (process, address). Raises RuntimeError."""
    sources, root = notebooks(), folder / "notebooks"
    root.mkdir()
    for source in sources:
        shutil.copy(source, root)
    lab = serve(folder, root, {**os.environ, "HYBRID_NB_CONFIG": str(config)})
    return lab.process, lab.address(f"lab/tree/{QUICKSTART if sources else ''}")


def serve(
    folder: Path, root: Path, env: Mapping[str, str], module: str = "jupyterlab", options: Sequence[str] = ()
) -> Served:
    """A Jupyter application (`jupyterlab`, `notebook`) on loopback over `root`; its settings and log lie in `folder`.

    Raises:
        RuntimeError: it is not installed, ended at once, or did not come up.
    """
    if find_spec(module) is None:
        raise RuntimeError(f"{module} is not installed: pip install 'hybrid-nb[lab]'")
    port, token, log = free_port(), secrets.token_hex(16), folder / f"{module}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-m", module, *_options(root, port, token), *options],
            env={**env, "JUPYTERLAB_SETTINGS_DIR": str(quiet(folder))},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    _wait(process, f"http://127.0.0.1:{port}/api", log)
    return Served(process, f"http://127.0.0.1:{port}", token)


def _options(root: Path, port: int, token: str) -> list[str]:
    options = [f"--ServerApp.root_dir={root}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    options += [f"--IdentityProvider.token={token}", "--ServerApp.open_browser=False", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    return options


def quiet(folder: Path) -> Path:
    """Settings by which JupyterLab neither looks for news and updates on the network nor asks whether it may."""
    place = folder / "settings" / "@jupyterlab" / "apputils-extension"
    place.mkdir(parents=True, exist_ok=True)
    (place / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}', "utf-8")
    return folder / "settings"


def _wait(lab: subprocess.Popen[bytes], address: str, log: Path) -> None:
    give_up = time.monotonic() + START_PATIENCE
    while time.monotonic() < give_up:
        if lab.poll() is not None:
            raise RuntimeError(f"{log.stem} ended at once:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.1)
    lab.terminate()
    raise RuntimeError(f"{log.stem} did not come up in {START_PATIENCE:.0f} s")
