"""Structured output: from a pydantic class or JSON schema to what goes on the wire, and from the answer back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.types import Request

_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)

_WRAPS = "wraps_answer"  # marks a class that was made around another type


def schema_of(schema: Any) -> tuple[Mapping[str, Any], type | None]:
    """(JSON schema, pydantic class or None) for what a person passes as `schema`: a pydantic class, a JSON schema, or
    a type such as list[Item]. Raises TypeError.

    Vendors take objects only, so another type is asked for as the field "answer" of one, and taken out of it again.
    """
    if isinstance(schema, Mapping):
        _check_schema(schema)
        return schema, None
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        return schema.model_json_schema(), schema
    if isinstance(schema, type) or hasattr(schema, "__origin__") or hasattr(schema, "__args__"):
        wrapped = _wrapped(schema)
        return wrapped.model_json_schema(), wrapped
    raise TypeError(
        "schema must be a pydantic class or a JSON schema (dict), or a type such as list[Item], "
        f"not {type(schema).__name__}"
    )


def _wrapped(kind: Any) -> Any:
    """A pydantic class whose one field holds a value of another type."""
    from pydantic import create_model
    from pydantic.errors import PydanticUserError

    try:
        made: Any = create_model("Answer", answer=(kind, ...))
        made.model_json_schema()
    except PydanticUserError as error:
        raise TypeError(f"schema must be a type that pydantic knows ({str(error).splitlines()[0]})") from None
    setattr(made, _WRAPS, True)
    return made


def wraps(kind: type | None) -> bool:
    """Whether a class of schema_of() was made around another type, and holds it as its field "answer"."""
    return bool(getattr(kind, _WRAPS, False))


def _check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError for a schema that is none, or that refers to what is not in it, before anything is sent."""
    import jsonschema

    try:
        orjson.dumps(schema)
        checker = jsonschema.validators.validator_for(schema)
        checker.check_schema(schema)
        checker(schema).is_valid({})  # follows references
    except jsonschema.exceptions.SchemaError as error:
        raise ValueError(f"the schema is not a JSON schema: {error.json_path}: {error.message}") from None
    except Exception as error:  # references into nowhere, circles, values that are not JSON
        raise ValueError(f"the schema cannot be used ({type(error).__name__}: {str(error)[:120]})") from None


def parse_answer(text: str, request: Request) -> Any:
    """The answer as an instance of the schema's class, or plain data. Raises MalformedResponseError with the place."""
    fenced = _FENCE.match(text)
    try:
        data = orjson.loads(fenced.group(1) if fenced else text)
    except orjson.JSONDecodeError as error:
        raise MalformedResponseError(
            f"the answer is not JSON as the schema asks ({error})", partial_text=text
        ) from None
    if request.schema_type is not None:
        return _validated(request.schema_type, data, text)
    _check(data, request.schema or {}, text)
    return data


def _validated(kind: Any, data: Any, text: str) -> Any:
    from pydantic import ValidationError

    try:
        found = kind.model_validate(data)
        return found.answer if wraps(kind) else found
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise MalformedResponseError(
            f"the answer does not fit the schema: {where}: {first['msg']}", partial_text=text
        ) from None


def _check(data: Any, schema: Mapping[str, Any], text: str) -> None:
    import jsonschema

    # the schema itself was checked before anything was sent
    problem = jsonschema.exceptions.best_match(jsonschema.validators.validator_for(schema)(schema).iter_errors(data))
    if problem is not None:
        raise MalformedResponseError(
            f"the answer does not fit the schema: {problem.json_path}: {problem.message}", partial_text=text
        )
