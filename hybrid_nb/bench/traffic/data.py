"""Data in any form -> the samples that are asked. What is wrong with it is told before anything is spent.

Taken are: a DataFrame, a list of strings, dicts or Items, the path of a .jsonl, .csv or .parquet file, and whatever
gives its columns by name (a dict of lists, a Dataset of Hugging Face).
"""

from __future__ import annotations

import csv
import difflib
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from hybrid_nb.bench.records import Item
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.late import late

Row = Mapping[str, Any]
COLUMNS = ("input", "target", "id", "cluster")
_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
_FEW = 3  # places that an error names
LONGEST_FIELD = 1 << 30  # characters of a field of CSV, of which the module itself takes an eighth of a million


def items_of(data: Any, prompt: str | None = None) -> list[Item]:
    """The samples of the data, in its order.

    Args:
        data: see above. Columns: `input` (a prompt or a list of messages), `target`, `id` (default: the row's number
            from 0) and `cluster`; others go to Item.extra.
        prompt: makes the input of each row; {name} stands for the row's column of that name.

    Raises:
        OptionValueError, OptionTypeError: missing column, empty input, the same id twice, no rows at all.
    """
    rows = [_row(row, number) for number, row in enumerate(_rows(data))]
    if not rows:
        raise OptionValueError("the data has no rows: there is nothing to ask")
    _check_prompt(prompt, rows)
    items = [_item(row, number, prompt) for number, row in enumerate(rows)]
    _check_ids(items, [number for number, row in enumerate(rows) if _plain(row.get("id")) is None])
    return items


# --- reading ----------------------------------------------------------------------------------------------


def _rows(data: Any) -> Iterable[Any]:
    if isinstance(data, str | os.PathLike):
        return _file(Path(data))
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        _check_columns(list(data.columns))
        return list(data.to_dict("records"))
    if hasattr(data, "to_dicts"):  # polars
        return list(data.to_dicts())
    if isinstance(data, Mapping):
        return _columns(data, list(data))
    if hasattr(data, "column_names") and hasattr(data, "__getitem__"):  # Hugging Face datasets
        return _columns(data, list(data.column_names))
    if isinstance(data, Iterable) and not isinstance(data, bytes):
        return data
    raise OptionTypeError(
        f"the data must be a DataFrame, a list, a dict of columns or a path, not {type(data).__name__}"
    )


def _columns(data: Any, names: Sequence[Any]) -> Iterator[Row]:
    columns = {str(name): data[name] for name in names}
    for name, column in columns.items():
        if hasattr(column, "column_names") or isinstance(column, Mapping):  # a DatasetDict
            raise OptionTypeError(f"the data has splits ({', '.join(columns)}): give one of them, data[{name!r}]")
        if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
            raise OptionTypeError(
                f"the column {name!r} must be a list of values, not {type(column).__name__}; "
                "one sample alone is [{'input': ...}]"
            )
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise OptionValueError(f"the columns differ in length ({told})")
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


def _file(path: Path) -> Iterable[Any]:
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise OptionValueError(
            f"data as a string must be the path of a {', '.join(readers)} file, not {str(path)[:80]!r}; "
            "prompts are given as a list"
        )
    if not path.is_file():
        raise OptionValueError(f"there is no file {path}")
    return reader(path)


def _jsonl(path: Path) -> Iterable[Any]:
    rows = []
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).splitlines(), 1):
        if line.strip():
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise OptionValueError(f"{path}, line {number}: no JSON ({error})") from None
    return rows


def _csv(path: Path) -> Iterable[Any]:
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _csv_rows(path, csv.DictReader(file, strict=True))
    finally:
        csv.field_size_limit(limit)


def _csv_rows(path: Path, reader: csv.DictReader[str]) -> list[Row]:
    rows: list[Row] = []
    try:
        names = list(reader.fieldnames or ())
        _check_columns(names)
        sign = next((sign for sign in ";\t|" if len(names) == 1 and sign in names[0]), None)
        if sign is not None:
            raise OptionValueError(
                f"{path} is parted by {sign!r} and not by commas; read it with pandas.read_csv(path, sep={sign!r})"
            )
        for row in reader:
            if None in row:
                raise OptionValueError(
                    f"{path}, line {reader.line_num}: more fields than the {len(names)} columns; a text with commas in "
                    "it needs quotes around it"
                )
            rows.append({name: value or None for name, value in row.items()})
    except (csv.Error, UnicodeDecodeError) as error:
        raise OptionValueError(f"{path}, line {reader.line_num}: no CSV in UTF-8 ({error})") from None
    return rows


def _check_columns(names: Sequence[Any]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionValueError(f"the data has the column {twice!r} twice")


def _parquet(path: Path) -> Iterable[Any]:
    late("pyarrow", "benchmark")
    try:
        frame = late("pandas", "frames").read_parquet(path)
    except (ValueError, OSError) as error:
        raise OptionValueError(f"{path}: no Parquet ({error})") from None
    return _rows(frame)


# --- checking ---------------------------------------------------------------------------------------------


def _row(row: Any, number: int) -> Row:
    if isinstance(row, str):
        return {"input": str(row)}
    if isinstance(row, Item):
        return {**row.extra, "input": row.input, "target": row.target, "id": row.id, "cluster": row.cluster}
    if isinstance(row, Mapping):
        return row
    raise OptionTypeError(
        f"row {number} of the data is of type {type(row).__name__}; it must be a string, a dict with 'input' or an Item"
    )


def _check_prompt(prompt: str | None, rows: Sequence[Row]) -> None:
    """The columns that are needed are there."""
    known = list(dict.fromkeys(str(name) for row in rows for name, value in row.items() if value is not None))
    if prompt is None:
        needed = ["input"]
    elif not isinstance(prompt, str):
        raise OptionTypeError(f"prompt must be a string such as 'Translate: {{text}}', not {type(prompt).__name__}")
    else:
        needed = list(dict.fromkeys(_FIELD.findall(prompt)))
        if not needed:
            raise OptionValueError("prompt names no column: it would be the same for each row; write {name} in it")
    for name in needed:
        if name not in known:
            remedy = "" if prompt else "; or make it from others: prompt='Translate: {text}'"
            raise OptionValueError(f"the data has no column {name!r}{_nearest(name, known)}{remedy}")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(known) or 'none'}"


def _item(row: Row, number: int, prompt: str | None) -> Item:
    values = {str(name): _plain(value) for name, value in row.items()}
    asked = values.get("input") if prompt is None else _filled(prompt, values, number)
    if asked is None or (isinstance(asked, str) and not asked.strip()) or (isinstance(asked, list) and not asked):
        raise OptionValueError(f"row {number} of the data has an empty input")
    taken = ("target", "id", "cluster") if prompt is not None else COLUMNS
    extra = {name: value for name, value in values.items() if name not in taken}
    name, cluster = values.get("id"), values.get("cluster")
    if isinstance(name, float) and name.is_integer():  # a frame's column of whole numbers, some of which are missing
        name = int(name)
    return Item(
        str(number if name is None else name),
        asked if isinstance(asked, str | list | tuple | Mapping) else str(asked),
        values.get("target"),
        None if cluster is None else str(cluster),
        extra,
    )


def _filled(prompt: str, values: Row, number: int) -> str:
    def replaced(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            raise OptionValueError(f"row {number} of the data has no {match[1]!r}, which the prompt needs")
        return str(value)

    return _FIELD.sub(replaced, prompt)


def _plain(value: Any) -> Any:
    """A value without its frame's types: missing ones are None, numbers are Python's, whole ones have no point."""
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, float):
        return None if value != value else value
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _check_ids(items: Sequence[Item], without: Sequence[int]) -> None:
    if 0 < len(without) < len(items):
        raise OptionValueError(f"row {without[0]} of the data has no id, but others have")
    seen: dict[str, int] = {}
    for item in items:
        seen[item.id] = seen.get(item.id, 0) + 1
    twice = [name for name, count in seen.items() if count > 1]
    if twice:
        more = f" and {len(twice) - _FEW} more" if len(twice) > _FEW else ""
        told = ", ".join(repr(name) for name in twice[:_FEW])
        raise OptionValueError(f"ids must differ, but the data has twice: {told}{more}")
