"""Screenshots compared with those that a person looked at: a gross change fails, another font or antialiasing does not.

Both pictures become grey and coarse, one value for each block of COARSE pixels. Two shares of the area count: of what
differs plainly (a row or a table is gone, another layout) and of what differs strongly (a filled button is gone).
Figures and words may change. HYBRID_NB_PICTURES=update writes the references anew; look at them before committing.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

REFERENCES = Path(__file__).with_name("pictures")
UPDATE = "HYBRID_NB_PICTURES"
COARSE = 12  # pixels a block: a letter or so
PLAIN, STRONG = 0.08, 0.25  # of black to white: what a block differs by; letters of another font stay below STRONG
FEW = 0.004  # of the area: what may differ strongly
STRETCH = 0.15  # of the height: other fonts break lines elsewhere
LARGEST = 60_000  # bytes of a reference
MEDIAN, OCTREE = Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE  # the second is smaller, and keeps rare colours
PALETTES = ((256, MEDIAN), (128, MEDIAN), (64, MEDIAN), (256, OCTREE), (32, OCTREE), (16, OCTREE), (8, MEDIAN))


def same_picture(actual: Path, name: str, tolerance: float = 0.08, references: Path = REFERENCES) -> None:
    """Fails when more than `tolerance` of the area differs plainly from the reference of this name, or FEW strongly."""
    reference = references / f"{name}.png"
    if os.environ.get(UPDATE) == "update":
        keep(actual, reference)
        return
    assert reference.is_file(), f"no reference {name}: {UPDATE}=update makes it of {actual}"
    plain, strong = difference(actual, reference)
    told = f"{plain:.1%} of {name} looks different (allowed: {tolerance:.1%}), {strong:.1%} strongly ({FEW:.1%})"
    if plain > tolerance or strong > FEW:
        raise AssertionError(f"{told}: compare {actual} with {reference}; if it is meant, {UPDATE}=update")


def difference(one: Path, other: Path) -> tuple[float, float]:
    """The shares of the area that differ plainly and strongly, 0 to 1; all of it when the pictures' shapes differ."""
    with Image.open(one) as a, Image.open(other) as b:
        if abs(a.width - b.width) > 2 or abs(a.height - b.height) > STRETCH * max(a.height, b.height):
            return 1.0, 1.0
        size = (max(1, b.width // COARSE), max(1, b.height // COARSE))
        gap = np.abs(_coarse(a, size) - _coarse(b, size))
    return float((gap > PLAIN).mean()), float((gap > STRONG).mean())


def _coarse(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    grey = picture.convert("L").filter(ImageFilter.GaussianBlur(COARSE / 2)).resize(size, Image.Resampling.BOX)
    return np.asarray(grey, dtype=float) / 255


def keep(actual: Path, target: Path, largest: int = LARGEST, margin: int = 0) -> None:
    """Writes a picture in as many colours as fit into so many bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(small(actual, largest, margin))


def small(picture: Path, largest: int, margin: int = 0) -> bytes:
    """The picture as PNG with a palette, of at most so many bytes, with a margin of so many pixels around it.

    Raises:
        ValueError: even with 8 colours it is larger.
    """
    with Image.open(picture) as opened:
        whole = opened.convert("RGB")
    whole = ImageOps.expand(whole, margin, whole.getpixel((0, 0)))
    for colours, method in PALETTES:
        target = io.BytesIO()
        whole.quantize(colours, method, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
        if target.tell() <= largest:
            return target.getvalue()
    raise ValueError(f"{picture.name} does not fit into {largest} bytes: photograph less of the page")
