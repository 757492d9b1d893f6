"""How a value reads in a prompt: compact and bounded, and whatever is left out is told. Pure."""

from __future__ import annotations

from typing import Any

MOST_ROWS = 100
MOST_COLUMNS = 50
MOST_CELL = 500  # characters
MOST_TABLE = 20_000  # characters


def as_text(value: Any) -> str:
    """A frame or series as a bounded table with its shape, what shows itself as Markdown as that, the rest as str."""
    from hybrid_nb.core.types import Reply

    if isinstance(value, str | Reply):  # a reply's Markdown has its footer
        return str(value)
    if hasattr(value, "to_csv") and hasattr(value, "iloc"):
        return table(value)
    if hasattr(value, "write_csv") and hasattr(value, "to_pandas"):  # polars
        return table(value.to_pandas())
    if hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "size"):
        return array(value)
    return _markdown(value) or str(value)


def _markdown(value: Any) -> str | None:
    if isinstance(value, type):
        return None
    show = getattr(value, "_repr_markdown_", None)
    found = show() if callable(show) else None
    if isinstance(found, tuple):  # with metadata
        found = found[0]
    return found if isinstance(found, str) else None


def table(value: Any) -> str:
    """A pandas DataFrame or Series: a line with its shape and what is left out, then CSV of the first rows."""
    series = not hasattr(value, "columns")
    frame = value.to_frame(str(value.name) if value.name is not None else "value") if series else value
    rows, columns = frame.shape
    lines, cut = _lines(frame.iloc[:MOST_ROWS, :MOST_COLUMNS])
    shown = len(lines) - 1
    told = [f"{_count(rows, 'row')} and {_count(columns, 'column')}" if not series else _count(rows, "row")]
    if shown < rows:
        told.append(f"the first {shown:,} follow, {rows - shown:,} are left out")
    if columns > MOST_COLUMNS:
        told.append(f"the first {MOST_COLUMNS} columns follow, {columns - MOST_COLUMNS:,} are left out")
    told += [f"{cut:,} long texts are cut at {MOST_CELL} characters"] if cut else []
    return "\n".join([f"({'Series' if series else 'DataFrame'}, {'; '.join(told)})", *lines])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _lines(frame: Any) -> tuple[list[str], int]:
    """The head and as many rows as there is room for, each as one line of CSV; and the number of texts cut."""
    import csv
    import io

    numbered = type(frame.index).__name__ == "RangeIndex" and frame.index.start == 0 and frame.index.step == 1
    names = [] if numbered else [" / ".join(str(n or "") for n in frame.index.names)]
    lines, size, cut = [], 0, 0
    records = frame.itertuples(index=not numbered, name=None)
    for place, record in enumerate([(*names, *frame.columns), *records]):
        cells = [_cell(cell) for cell in record]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([text for text, _ in cells])
        size += len(line.getvalue()) + 1
        if size > MOST_TABLE and place > 1:  # the first row is shown in any case
            break
        cut += sum(was_cut for _, was_cut in cells)
        lines.append(line.getvalue())
    return lines, cut


def _cell(value: Any) -> tuple[str, bool]:
    """A cell as text, and whether it was cut. What is missing is empty, as in CSV."""
    if value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType"):
        return "", False
    text = str(value)
    if len(text) <= MOST_CELL:
        return text, False
    return f"{text[:MOST_CELL]}… ({len(text) - MOST_CELL:,} characters left out)", True


def array(value: Any) -> str:
    """A numpy array, whose own text leaves out the middle of a large one."""
    text = str(value)
    if "..." not in text:
        return text
    shape = " x ".join(str(n) for n in value.shape)
    return f"(array of {shape}, {value.size:,} values; '...' stands for those that are left out)\n{text}"
