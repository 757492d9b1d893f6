"""Every committed notebook runs without keys and gives what is saved in it (nbval, strict)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.timeout(240)
def test_notebook_gives_what_is_saved(notebook, tmp_path):
    options = [
        "--nbval",
        "--nbval-sanitize-with",
        str(Path(__file__).with_name("nbval.cfg")),
        "--nbval-cell-timeout=60",
    ]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, *options, str(notebook)],
        env={**os.environ, "HYBRID_NB_DISPLAY": "static", "IPYTHONDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
