"""--image: whatever a notebook calls a picture, and a helpful error for the rest."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from hybrid_nb.notebook.options import OptionError
from hybrid_nb.notebook.pictures import picture

PNG = b"\x89PNG\r\n\x1a\n"


class Figure:
    """What matplotlib's Figure has of it."""

    def savefig(self, where, format):  # noqa: A002
        where.write(PNG + format.encode())


class Axes:
    figure = Figure()


class Shown:
    def _repr_png_(self):
        return PNG + b"shown", {"width": 1}


NAMES = {
    "pil": Pillow.new("RGB", (2, 3)), "data": PNG + b"x", "grey": np.zeros((4, 5)), "rgb": np.zeros((4, 5, 3), "uint8"),
    "mask": np.ones((2, 2, 1), bool), "fig": Figure(), "ax": Axes(), "shown": Shown(), "url": "https://x.test/a.png",
    "Out": {3: Figure()}, "number": 3, "text": b"hello", "cube": np.zeros((2, 2, 2)), "wide": np.full((2, 2), 300.0),
    "nans": np.full((2, 2), np.nan), "empty": np.zeros((0, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", ["pil", "data", "grey", "rgb", "mask", "fig", "ax", "shown", "Out[3]"])
def test_a_variable_is_sent_as_png(name):
    found = picture(name, NAMES)
    assert found.media_type == "image/png"
    assert found.data.startswith(PNG)


def test_an_array_keeps_its_values():
    array = np.arange(12, dtype=float).reshape(3, 4) / 11
    back = np.asarray(Pillow.open(io.BytesIO(picture("a", {"a": array}).data)))
    assert np.array_equal(back, (array * 255).round())


def test_a_url_and_a_path(tmp_path):
    assert picture("url", NAMES).url == picture("https://x.test/a.png", {}).url == NAMES["url"]
    (tmp_path / "a.png").write_bytes(PNG)
    assert picture(str(tmp_path / "a.png"), NAMES).data == PNG


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("number", "--image number: int is no picture; give a path, a URL, bytes, a PIL image"),
        ("text", "not a PNG, JPEG, GIF or WebP"),
        ("nothing", "no variable of this name, and no image at nothing"),
        ("nowhere.png", "--image nowhere.png: no image at nowhere.png"),
        ("cube", "an array of shape (2, 2, 2) is no picture"),
        ("empty", "an array of shape (0, 2) is no picture"),
        ("wide", "must be from 0 to 1 (floats) or from 0 to 255"),
        ("nans", "must be from 0 to 1 (floats) or from 0 to 255"),
        ("Out[9]", "cell 9 has left no output"),
    ],
)
def test_anything_else_is_told(given, told):
    with pytest.raises((OptionError, ValueError)) as caught:
        picture(given, NAMES)
    assert told in str(caught.value)
