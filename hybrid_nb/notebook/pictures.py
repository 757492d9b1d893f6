"""`--image`: a path, a URL, or a variable with a picture in any of the forms that notebooks have."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_nb.core.inputs import to_image
from hybrid_nb.core.late import late
from hybrid_nb.core.types import Image
from hybrid_nb.notebook.interpolate import refer
from hybrid_nb.notebook.options import OptionError

FORMS = "a path, a URL, bytes, a PIL image, a numpy array or a matplotlib figure"


def picture(given: str, names: Mapping[str, Any]) -> Image:
    """The image that an option names: a variable first, else a path or URL. Raises OptionError."""
    try:
        value = refer(given, names)
    except LookupError:
        return _from_text(given)
    try:
        return from_value(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"--image {given}: {error}") from None


def _from_text(given: str) -> Image:
    try:
        return to_image(given)
    except ValueError as error:
        if not given.isidentifier() or Path(given).exists():
            raise OptionError(f"--image {given}: {error}") from None
        raise OptionError(f"--image {given}: no variable of this name, and {error}") from None


def from_value(value: Any) -> Image:
    """A picture from a variable's value. Raises TypeError or ValueError that says what it may be."""
    figure: Any = value if hasattr(value, "savefig") else getattr(value, "figure", None)  # of axes
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        return to_image(buffer.getvalue())
    if hasattr(value, "__array_interface__") and hasattr(value, "dtype"):
        return to_image(_from_array(value))
    if isinstance(value, Image | str | bytes | bytearray | memoryview | Path) or hasattr(value, "mode"):
        return to_image(value)
    for show in ("_repr_png_", "_repr_jpeg_"):
        data = getattr(value, show)() if hasattr(value, show) else None
        data = data[0] if isinstance(data, tuple) else data  # with metadata
        if isinstance(data, bytes):
            return to_image(data)
    raise TypeError(f"{type(value).__name__} is no picture; give {FORMS}")


def _from_array(array: Any) -> Any:
    """A PIL image from heights, widths and 1, 3 or 4 channels; floats from 0 to 1, or whole numbers from 0 to 255."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ValueError(f"an array of shape {array.shape} is no picture: height x width, or with 1, 3 or 4 channels")
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1):
        array = (array.astype("float64") * 255).round()
    if array.dtype.kind not in "biuf" or not (array.min() >= 0 and array.max() <= 255):
        raise ValueError("the values of an array must be from 0 to 1 (floats) or from 0 to 255")
    array = array.astype("uint8")
    return late("PIL.Image", "images").fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
