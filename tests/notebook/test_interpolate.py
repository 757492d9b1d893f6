"""{name} is filled in where it resolves; every other byte stays."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.interpolate import MissingCellError, interpolate
from hybrid_nb.notebook.references import MOST_CELL, MOST_COLUMNS, MOST_TABLE, as_text

NAMES = {
    "city": "Lisbon",
    "n": 3,
    "row": {"name": "Ada", 2: "two"},
    "items": ["a", "b"],
    "who": SimpleNamespace(name="Bob", tags={"x": [10, 20]}),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in {city}", "in Lisbon"),
        ("{n}{n}", "33"),
        ("{row['name']} {row[name]} {row[2]}", "Ada Ada two"),
        ("{items[0]} {items[-1]}", "a b"),
        ("{who.name} {who.tags['x'][1]}", "Bob 20"),
        ("{items[n]}", "{items[n]}"),  # out of range
        ("{missing} {who.missing} {row['no']}", "{missing} {who.missing} {row['no']}"),
        ("{ city } {} {{city}}", "{ city } {} {Lisbon}"),
        ('{"a": 1, "b": {"c": [1]}}', '{"a": 1, "b": {"c": [1]}}'),
        ("def f(): return {1, 2}", "def f(): return {1, 2}"),
        ("{who.__class__}", "{who.__class__}"),  # nothing private
        ("f'{city!r}' {city:>10}", "f'{city!r}' {city:>10}"),
    ],
)
def test_fields(text, expected):
    assert interpolate(text, NAMES) == expected


@given(st.text())
def test_text_without_known_names_is_untouched(text):
    assert interpolate(text, {}) == text


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_untouched(value):
    text = json.dumps(value)
    assert interpolate(text, {}) == text


class Item:
    def _repr_markdown_(self):
        return "**item**"


HISTORY = {"Out": {2: "two", 3: {"x": [1, 2]}}, "In": ["", "a = 1", "a"], "_": "last", "item": Item(), "Item": Item}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{Out[2]} {_}", "two last"),
        ("{Out[3]['x'][1]}", "2"),
        ("{In[1]}", "a = 1"),
        ("{item}", "**item**"),
        ("{Out[x]} {Out} {In[a]}", "{Out[x]} {2: 'two', 3: {'x': [1, 2]}} {In[a]}"),
    ],
)
def test_cells_are_referred_to(text, expected):
    assert interpolate(text, HISTORY) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("see {Out[9]}", r"\{Out\[9\]\}: cell 9 has left no output; there are Out\[2\], Out\[3\]"),
        ("{In[7]}", r"no cell 7 was run; the last is In\[2\]"),
    ],
)
def test_a_cell_that_is_not_there_is_an_error(text, told):
    with pytest.raises(MissingCellError, match=told):
        interpolate(text, HISTORY)


@given(st.text(alphabet="{}[]_OutIn0123456789.'x "))
def test_what_is_not_a_reference_is_untouched(text):
    names = {"Out": {}, "In": [""]}
    try:
        found = interpolate(text, names)
    except MissingCellError:
        assert "Out[" in text or "In[" in text
    else:
        assert found == text or any(field in text for field in ("{Out}", "{In}", "{In["))


def test_a_reply_is_its_text_and_a_type_is_no_markdown():
    assert interpolate("{r} {Item}", {**HISTORY, "r": Reply("hi")}) == f"hi {Item}"


@given(st.integers(0, 400), st.integers(1, 80), st.integers(0, 1200))
@example(101, 1, 0)
@example(100, 51, 501)
@settings(max_examples=40, deadline=None)
def test_a_table_tells_whatever_it_leaves_out(rows, columns, length):
    frame = pd.DataFrame({f"c{i}": ["x" * length] * rows for i in range(columns)})
    text = as_text(frame)
    _, *lines = csv.reader(text.splitlines())
    assert len(text) < MOST_TABLE + MOST_COLUMNS * (MOST_CELL + 60) + 1000
    told = text.splitlines()[0]
    left = re.search(r"the first ([\d,]+) follow, ([\d,]+) are left out", told)
    shown = len(lines) - 1
    assert (rows - shown == 0) == (left is None)
    if left:
        assert [int(n.replace(",", "")) for n in left.groups()] == [shown, rows - shown]
    assert ("columns follow" in told) == (columns > MOST_COLUMNS)
    assert all(len(line) == min(columns, MOST_COLUMNS) for line in lines)
    assert text.count("characters left out") == (shown * min(columns, MOST_COLUMNS) if length > MOST_CELL else 0)


def test_a_small_frame_and_a_series_are_csv_with_their_shape():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x, y", None]})
    assert as_text(frame) == '(DataFrame, 2 rows and 2 columns)\na,b\n1,"x, y"\n2,'
    assert as_text(frame.set_index("a")) == '(DataFrame, 2 rows and 1 column)\na,b\n1,"x, y"\n2,'
    assert as_text(frame["a"]) == "(Series, 2 rows)\na\n1\n2"
    assert as_text(pd.DataFrame()) == "(DataFrame, 0 rows and 0 columns)\n"


def test_an_array_that_is_cut_says_so():
    assert as_text(np.arange(3)) == "[0 1 2]"
    assert as_text(np.zeros((100, 100))).startswith("(array of 100 x 100, 10,000 values; '...' stands for")
