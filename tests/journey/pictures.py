"""Pictures for README and docs: `python -m tests.journey.pictures OUT_DIR [widgets] [first_five] [plots]`.

Look at every one before it is committed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet
from tests.journey import first_five as first
from tests.journey.browser import CHROMIUM, NO_BROWSER, chromium
from tests.journey.lab import Lab, site
from tests.journey.same_picture import keep
from tests.journey.scenes import SCENES, THEMES, cast, config, dress, photograph, play

LARGEST, MARGIN = 100_000, 10  # bytes of a picture, pixels around it
SHARP = 1.5  # pixels of a picture for one of the page


@contextmanager
def stage() -> Iterator[tuple[Lab, Fleet]]:
    """A JupyterLab with the vendors of the scenes, and a browser that draws finely."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(cast(), seed=7) as fleet,
        chromium(SHARP) as context,
        site(Path(folder)) as running,
    ):
        (Path(folder) / "pictures").mkdir()
        lab = Lab(running, context, Path(folder) / "pictures")
        yield lab, fleet
        print(*lab.close())


def widgets(target: Path) -> None:
    """NAME_light.png and NAME_dark.png of each widget."""
    with stage() as (lab, fleet):
        nb = [nb for nb, _ in play(lab, SCENES, fleet, config(fleet))][-1]
        for look in THEMES:
            dress(nb, look)
            for number, scene in enumerate(SCENES):
                if scene.name:
                    put(photograph(nb, scene, number, look), target)


def first_five(target: Path) -> None:
    """first_1_demo.png and so on, each as its scene was played."""
    with stage() as (lab, fleet):
        put(first.demo(lab.context, lab.pictures), target)
        for nb, number in play(lab, first.FIRST, fleet, first.settings(config(fleet))):
            if first.FIRST[number].name:
                dress(nb, "light")
                put(photograph(nb, first.FIRST[number], number), target)


def plots(target: Path) -> None:
    """pareto.png: what a benchmark of the demo's vendors comes to."""
    sums = [{"input": f"What is {a} * {b}?", "target": str(a * b)} for a in range(11, 23) for b in (13, 17, 24)]
    with Fleet(seed=5) as fleet, Router({**fleet.config(), "ledger": {"url": "sqlite:///:memory:"}}) as router:
        models = [f"{name}/{model}" for name, model in router.models()[["provider", "model"]].itertuples(index=False)]
        run = router.benchmark(sums, models, ["includes"], concurrency=8, seed=5, max_tokens=64, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        put(run.plot("pareto").save(Path(folder) / "pareto.png"), target)


def put(picture: Path, target: Path) -> None:
    """In as many colours as fit."""
    keep(picture, target / picture.name, LARGEST, MARGIN)
    print(f"{picture.stem}: {(target / picture.name).stat().st_size // 1000} kB")


PARTS = {"widgets": widgets, "first_five": first_five, "plots": plots}


def main(target: Path, parts: list[str]) -> None:
    """Makes these parts (none: all)."""
    if CHROMIUM is None:
        raise SystemExit(NO_BROWSER)
    for part in parts or PARTS:
        PARTS[part](target)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
