"""Data in any form, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_nb.bench.records import Item
from hybrid_nb.bench.traffic.data import items_of
from hybrid_nb.bench.traffic.order import measured, warmup
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError

ROWS = [
    {"id": "a", "input": "2+2?", "target": "4", "cluster": "maths", "level": 1},
    {"id": "b", "input": "Capital of France?", "target": "Paris", "cluster": "places", "level": 2},
]


class Dataset:
    """As Hugging Face's: columns by name."""

    column_names = ("input", "target", "id", "cluster", "level")

    def __getitem__(self, name: str) -> list[Any]:
        return [row[name] for row in ROWS]


def _written(folder: Path, name: str) -> Path:
    frame, path = pd.DataFrame(ROWS), folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


def test_any_form_gives_the_same_samples(tmp_path: Path) -> None:
    wanted = items_of(ROWS)
    assert wanted[0] == Item("a", "2+2?", "4", "maths", {"level": 1})
    forms: list[Any] = [
        pd.DataFrame(ROWS), Dataset(), {name: [row[name] for row in ROWS] for name in ROWS[0]}, iter(ROWS), wanted,
        _written(tmp_path, "data.jsonl"), str(_written(tmp_path, "data.parquet")),
    ]  # fmt: skip
    for form in forms:
        assert items_of(form) == wanted
    texts = items_of(_written(tmp_path, "data.csv"))  # where everything is text
    assert texts == [item._replace(extra={"level": str(item.extra["level"])}) for item in wanted]


def test_strings_are_prompts_and_rows_are_numbered() -> None:
    assert items_of(["a", "b"]) == [Item("0", "a"), Item("1", "b")]


def test_messages_are_prompts_too() -> None:
    messages = [{"role": "system", "content": "Be short"}, {"role": "user", "content": "Hi"}]
    assert items_of([{"input": messages}])[0].input == messages


def test_a_prompt_is_made_from_columns_and_other_braces_stay() -> None:
    (item,) = items_of([{"text": "Hallo", "input": "kept", "id": 7}], prompt='{text} {input} as {"a": {}}')
    assert item.input == 'Hallo kept as {"a": {}}'
    assert (item.id, item.extra) == ("7", {"text": "Hallo", "input": "kept"})


def test_missing_cells_are_none() -> None:
    frame = pd.DataFrame({"input": ["a", "b"], "target": ["x", None], "c": [3.0, float("nan")], "n": [1.5, None]})
    first, second = items_of(frame)
    assert (first.id, first.target, first.extra) == ("0", "x", {"c": 3.0, "n": 1.5})
    assert (second.id, second.target, second.extra) == ("1", None, {"c": None, "n": None})


def test_ids_that_a_frame_made_floats_are_whole_numbers_again() -> None:
    assert [item.id for item in items_of(pd.DataFrame({"input": ["a", "b"], "id": [1.0, 2.0]}))] == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "prompt", "told"),
    [
        ([], None, "no rows"),
        (pd.DataFrame({"input": []}), None, "no rows"),
        ([{"imput": "a"}], None, "no column 'input': did you mean 'imput'"),
        ([{"text": "a"}], "Say {txt}", "no column 'txt': did you mean 'text'"),
        ([{"text": "a"}], "Say it", "names no column"),
        ([{"text": "a"}, {"text": None}], "Say {text}", "row 1 of the data has no 'text'"),
        ([{"input": "a"}, {"input": " "}], None, "row 1 of the data has an empty input"),
        ([{"input": "a", "id": n % 2} for n in range(4)], None, "twice: '0', '1'"),
        ([{"input": "a", "id": 5}, {"input": "b"}], None, "row 1 of the data has no id, but others have"),
        ([1, 2], None, "row 0 of the data is of type int"),
        ({"input": ["a", "b"], "target": ["x"]}, None, r"differ in length \(input: 2, target: 1\)"),
        ({"input": "one prompt"}, None, "must be a list of values"),
        (7, None, "not int"),
        ("Say hi", None, "must be the path"),
        ("missing.jsonl", None, "there is no file"),
    ],
)
def test_what_is_wrong_is_told(data: Any, prompt: str | None, told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        items_of(data, prompt)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"input": "a"}\n{"input": \n')
    with pytest.raises(ValueError, match="line 2: no JSON"):
        items_of(path)


# --- order ------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_order() -> None:
    items, models = items_of([f"p{n}" for n in range(30)]), ["a", "b", "c"]
    one, again, other = (list(measured(items, models, 2, seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert sorted(t.key for t in one) == sorted(t.key for t in other)
    assert len({t.key for t in one}) == 180


def test_models_of_a_prompt_follow_each_other_in_changing_order() -> None:
    items, models = items_of([f"p{n}" for n in range(30)]), ["a", "b"]
    tasks = list(measured(items, models, 1, 0))
    pairs = [(tasks[n], tasks[n + 1]) for n in range(0, 60, 2)]
    assert all(a.item is b.item for a, b in pairs)
    assert 5 < sum(a.model == "a" for a, _ in pairs) < 25
    assert [a.item.id for a, _ in pairs] != [item.id for item in items]


def test_the_warmup_takes_nothing_away_and_repeats_no_key() -> None:
    items = items_of(["a", "b"])
    tasks = list(warmup(items, ["m"], 5, 0))
    assert {task.phase for task in tasks} == {"warmup"}
    assert len({task.key for task in tasks}) == 5
    assert not {t.key for t in tasks} & {t.key for t in measured(items, ["m"], 3, 0)}


# --- files as others write them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "input;target\na;b\n", r"parted by ';' and not by commas; .*sep=';'"),
        ("a.csv", "input\ttarget\na\tb\n", r"sep='\\t'"),
        ("a.csv", "input,target\na,b\nWhat is 1,000+1?,1001\n", "line 3: more fields than the 2 columns"),
        ("a.csv", "input,input\na,b\n", "has the column 'input' twice"),
        ("a.csv", 'input,target\n"a\nb",x\n"c,x\n', "line 3: no CSV"),
        ("a.jsonl", '{"input":"a"}\n{"input": \n', "line 2: no JSON"),
        ("a.parquet", "no", "no Parquet"),
    ],
)
def test_a_file_that_would_be_read_wrongly_is_refused(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(OptionValueError, match=told):
        items_of(tmp_path / name)


def test_long_fields_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffinput\n" + "x" * 200_000 + "\n", "utf-8")
    (tmp_path / "a.jsonl").write_text('\ufeff{"input":"a"}\n', "utf-8")
    assert len(items_of(tmp_path / "a.csv")[0].input) == 200_000
    assert items_of(tmp_path / "a.jsonl")[0].input == "a"


def test_splits_and_columns_of_one_name_are_told() -> None:
    with pytest.raises(OptionTypeError, match=r"splits \(train, test\): give one of them, data\['train'\]"):
        items_of({"train": {"input": ["a"]}, "test": {"input": ["b"]}})
    with pytest.raises(OptionValueError, match="column 'input' twice"):
        items_of(pd.DataFrame([["a", "b"]], columns=["input", "input"]))
