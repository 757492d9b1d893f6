"""--schema takes what Python takes for a type; --frame makes rows."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
from pydantic import BaseModel

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.schema import parse_answer
from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.options import OptionError
from hybrid_nb.notebook.structure import schema_from, to_frame


class Item(BaseModel):
    name: str
    tags: list[str] = []


@dataclasses.dataclass
class Point:
    x: int
    y: int


NAMES = {"Item": Item, "Point": Point, "Literal": Literal, "plain": {"type": "object"}, "number": 3}


@pytest.mark.parametrize(
    ("expression", "answer", "parsed"),
    [
        ("list[Item]", '{"answer": [{"name": "a"}]}', [Item(name="a")]),
        ("Item", '{"name": "a"}', Item(name="a")),
        ("plain", '{"z": 1}', {"z": 1}),
        ("Point", '{"answer": {"x": 1, "y": 2}}', Point(1, 2)),
        ("Literal['yes', 'no']", '{"answer": "no"}', "no"),
        ("int | None", '{"answer": null}', None),
        ("dict[str, int]", '{"answer": {"a": 1}}', {"a": 1}),
        ("{'type': 'object'}", "{}", {}),
    ],
)
def test_an_expression_becomes_an_object_on_the_wire_and_itself_again(expression, answer, parsed):
    request = make_request("hi", schema=schema_from(expression, NAMES))
    assert request.schema["type"] == "object"
    assert parse_answer(answer, request) == parsed


def test_what_does_not_fit_is_told_with_its_place():
    request = make_request("hi", schema=list[Item])
    with pytest.raises(MalformedResponseError, match=r"answer\.0\.name"):
        parse_answer('{"answer": [{}]}', request)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("Nope", "no such variable: Nope; define a pydantic class"),
        ("list[Nope]", "no such variable: Nope"),
        ("list[", "give a pydantic class, a JSON schema or a type such as list[Item]"),
        ("number", "not int"),
        ("1/0", "division by zero"),
        ("open", "schema must be"),
    ],
)
def test_wrong_schemas_are_told(expression, told):
    with pytest.raises(OptionError) as caught:
        schema_from(expression, NAMES)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("parsed", "rows"),
    [
        ([Item(name="a", tags=["x"]), Item(name="b")], [{"name": "a", "tags": ["x"]}, {"name": "b", "tags": []}]),
        (Item(name="a"), [{"name": "a", "tags": []}]),
        ([{"a": 1}, {"b": {"c": 2}}], [{"a": 1, "b": None}, {"a": None, "b": {"c": 2}}]),
        ({"items": [1, 2]}, [{"items": [1, 2]}]),
        ([1, 2], [{"value": 1}, {"value": 2}]),
        (Point(1, 2), [{"x": 1, "y": 2}]),
        ([], []),
    ],
)
def test_frames(parsed, rows):
    frame = to_frame(Reply("", parsed=parsed))
    frame = frame.astype(object).where(frame.notna(), None) if rows and not isinstance(parsed, BaseModel) else frame
    assert frame.to_dict("records") == rows


def test_no_answer_makes_no_frame():
    with pytest.raises(OptionError, match="ended early \\(length\\): raise --max-tokens"):
        to_frame(Reply("", finish="length"))
