"""Small scenes in JupyterLab, photographed: what the README shows, and what tests compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.journey.lab import Lab
from tests.journey.notebook_page import LIGHT, Notebook

DARK = "JupyterLab Dark"


@dataclass(frozen=True)
class Scene:
    """Cells that run one after the other over the simulated vendors, and what to photograph then.

    `output` is the cell whose output is the picture (None: the whole notebook), `act` what a user does before.
    """

    name: str
    cells: tuple[str, ...]
    output: int | None = -1
    theme: str = LIGHT
    width: int = 1100
    act: Callable[[Notebook], Any] | None = None


def photograph(lab: Lab, scene: Scene, config: dict[str, Any]) -> Path:
    """Plays the scene and takes its picture."""
    nb = lab.notebook(scene.cells, config=config, name=scene.name)
    nb.theme(scene.theme)
    nb.width(scene.width)
    nb.run_all()
    assert nb.errors() == [], f"{scene.name}: {nb.errors()}"
    if scene.act is not None:
        scene.act(nb)
        nb.wait_idle()
    nb.page.keyboard.press("Escape")
    nb.page.mouse.move(0, 0)
    if scene.output is None:
        return nb.screenshot(scene.name, nb.page.locator(".jp-Notebook .jp-WindowedPanel-viewport"))
    return nb.screenshot(scene.name, nb.output(scene.output))


COMPARE = ("%load_ext hybrid_nb", "import hybrid_nb as hnb\nhnb.default_router().compare('What is 37 * 43?')")
SCENES = (
    Scene("compare_light", COMPARE),
    Scene("compare_dark", COMPARE, theme=DARK),
)
