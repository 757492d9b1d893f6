"""Pictures of the scenes for README and docs: `python -m tests.journey.pictures OUT_DIR [NAME ...]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hybrid_nb.sim import Fleet
from tests.journey.browser import CHROMIUM, NO_BROWSER, chromium
from tests.journey.lab import Lab, site
from tests.journey.same_picture import keep
from tests.journey.scenes import SCENES, photograph

LARGEST, MARGIN = 120_000, 10  # bytes of a picture, pixels around it


def main(target: Path, names: list[str]) -> None:
    """Plays the scenes of these names (none: all) and writes NAME.png."""
    if CHROMIUM is None:
        raise SystemExit(NO_BROWSER)
    scenes = [scene for scene in SCENES if not names or scene.name in names]
    with tempfile.TemporaryDirectory() as folder, Fleet(seed=7) as fleet, chromium() as context:
        place = Path(folder)
        with site(place) as running:
            for number, scene in enumerate(scenes):
                pictures = place / f"scene-{number}"
                pictures.mkdir()
                lab = Lab(running, context, pictures)
                keep(photograph(lab, scene, fleet.config()), target / f"{scene.name}.png", LARGEST, MARGIN)
                troubles = lab.close()
                print(f"{scene.name}: {(target / f'{scene.name}.png').stat().st_size // 1000} kB", *troubles)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
