"""{name} is filled in where it resolves; every other byte stays."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.notebook.interpolate import interpolate

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


def test_a_frame_is_given_whole():
    frame = pd.DataFrame({"x": range(200)})
    assert interpolate("{df}", {"df": frame}).count("\n") == 200
