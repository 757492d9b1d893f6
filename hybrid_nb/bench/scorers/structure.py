"""The scorer json_schema: whether an answer is JSON of a shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from hybrid_nb.bench.grading.protocol import Scorer
from hybrid_nb.bench.grading.targets import shown
from hybrid_nb.bench.records import Sample, Score
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.schema import schema_of

_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)


class JsonSchema(Scorer):
    def __init__(self, schema: Mapping[str, Any], strict: bool, name: str) -> None:
        import jsonschema

        self.schema, self.strict, self.name = schema, strict, name
        self._checker = jsonschema.validators.validator_for(schema)(schema)

    def rate(self, sample: Sample) -> Score:
        found = list(_data(sample.output, self.strict))
        if not found:
            return Score(0.0, f"no JSON: {_why(sample.output)}")
        problems = [(self._problem(data), text) for data, text in found]
        right = next((text for problem, text in problems if problem is None), None)
        if right is not None:
            return Score(1.0, "fits the schema", right[:500])
        problem, text = problems[-1]
        return Score(0.0, f"{problem.json_path}: {shown(problem.message, 200)}", text[:500])

    def _problem(self, data: Any) -> Any:
        from jsonschema.exceptions import best_match

        return best_match(self._checker.iter_errors(data))


def json_schema(schema: Any, *, strict: bool = False, name: str = "json_schema") -> Scorer:
    """1 when an answer is JSON that fits a schema, else 0 with the path that does not.

    JSON in a code block, or with words around it, is accepted unless `strict`.

    Args:
        schema: a JSON schema (dict), a pydantic class, or a type such as list[str].
    """
    try:
        found = _plain(schema) if isinstance(schema, type) or hasattr(schema, "__origin__") else schema_of(schema)[0]
    except TypeError as error:
        raise OptionTypeError(f"json_schema: {error}") from None
    except ValueError as error:
        raise OptionValueError(f"json_schema: {error}") from None
    return JsonSchema(found, strict, name)


def _plain(kind: Any) -> Mapping[str, Any]:
    """The schema of a type itself, without the object that vendors want around it."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        found: Mapping[str, Any] = TypeAdapter(kind).json_schema()
    except PydanticUserError as error:
        raise TypeError(str(error).splitlines()[0]) from None
    return found


def _data(text: str, strict: bool) -> Iterator[tuple[Any, str]]:
    """What is JSON in a text: all of it, else its code blocks, else from its first bracket to its last."""
    ways = [[text]] if strict else [[text], _FENCE.findall(text), _bracketed(text)]
    for way in ways:
        found = [(data, one.strip()) for one in way for data in _loads(one)]
        if found:
            yield from found
            return


def _loads(text: str) -> Iterator[Any]:
    try:
        yield orjson.loads(text)
    except orjson.JSONDecodeError:
        return


def _bracketed(text: str) -> list[str]:
    spans = [(text.find(a), text.rfind(b)) for a, b in ("{}", "[]")]
    return [text[begin : end + 1] for begin, end in sorted(spans) if 0 <= begin < end]


def _why(text: str) -> str:
    if not text.strip():
        return "the answer is empty"
    block = _FENCE.findall(text)
    try:
        orjson.loads(block[-1] if block else text)
    except orjson.JSONDecodeError as error:
        return str(error)
    return ""
