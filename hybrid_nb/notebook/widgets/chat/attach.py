"""What goes with a turn: pictures as they are, tables and other values as bounded Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_nb.core.inputs import to_image
from hybrid_nb.core.types import Image
from hybrid_nb.notebook.conversation import Attachment

MOST_ROWS = 50
MOST_COLUMNS = 30
MOST_CELL = 200  # characters
MOST_TEXT = 20_000  # characters of any other value
Part = Image | Attachment


def is_frame(value: Any) -> bool:
    """Whether it is a table: pandas, or what looks the same."""
    return hasattr(value, "columns") and hasattr(value, "iloc") and hasattr(value, "shape")


def frames(names: Mapping[str, Any]) -> list[str]:
    """The variables that hold a table."""
    return sorted(name for name, value in list(names.items()) if not name.startswith("_") and is_frame(value))


def _count(count: int, kind: str) -> str:
    return f"{count:,} {kind}{'s' * (count != 1)}"


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def table(frame: Any) -> str:
    """A DataFrame as a Markdown table of at most 50 rows and 30 columns; what is left out is told."""
    rows, columns = frame.shape
    part = frame.iloc[:MOST_ROWS, :MOST_COLUMNS]
    lines = [_line(["", *part.columns]), f"|{'---|' * (len(part.columns) + 1)}"]
    lines += [_line([index, *row]) for index, row in zip(part.index, part.itertuples(index=False), strict=True)]
    left = [(rows - len(part), "row"), (columns - len(part.columns), "column")]
    told = [_count(count, f"more {kind}") for count, kind in left if count > 0]
    return "\n".join([*lines, *([f"\n({' and '.join(told)} left out)"] if told else [])])


def frame_name(value: Any, names: Mapping[str, Any]) -> str:
    """The variable that holds this very value; "table" when none does."""
    return next((n for n, held in list(names.items()) if held is value and not n.startswith("_")), "table")


def _text(value: Any) -> str:
    text = str(value)
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n\n({len(text) - MOST_TEXT:,} more characters left out)"


def part_of(value: Any, names: Mapping[str, Any], name: str = "") -> Part:
    """What is sent for a value: a picture (bytes, PIL, a path or URL of one), a table, a figure, or its text.

    Raises ValueError or TypeError, saying what is wrong with it.
    """
    if isinstance(value, Attachment | Image):
        return value
    if is_frame(value):
        rows, columns = value.shape
        size = f"{_count(rows, 'row')} × {_count(columns, 'column')}"
        return Attachment(f"{name or frame_name(value, names)} ({size})", table(value))
    if hasattr(value, "to_frame") and hasattr(value, "iloc"):
        return part_of(value.to_frame(), names, name or frame_name(value, names))
    if hasattr(value, "savefig"):
        return to_image(_drawn(value))
    if (
        isinstance(value, str | bytes | bytearray | memoryview)
        or hasattr(value, "__fspath__")
        or hasattr(value, "mode")
    ):
        return to_image(value)
    return Attachment(name or type(value).__name__, _text(value))


def _drawn(figure: Any) -> bytes:
    """A matplotlib figure as PNG."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def named(name: str, names: Mapping[str, Any]) -> Part:
    """The value of a variable of the user's. Raises ValueError when there is none."""
    if name not in names:
        there = ", ".join(frames(names)) or "none"
        raise ValueError(f"there is no variable {name!r}; tables that are there: {there}")
    return part_of(names[name], names, name)


def label(part: Part) -> str:
    """What is shown of a part: its name and size."""
    if isinstance(part, Attachment):
        return part.name
    if part.url:
        return f"image: {part.url}"
    kind = (part.media_type or "image").removeprefix("image/").upper()
    return f"{kind} image, {max(1, len(part.data or b'') // 1024):,} KB"
