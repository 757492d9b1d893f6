"""Answers to calls with a schema, read again from their text: a journal and a saved run keep no objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.schema import parse_answer


def parser(schema: Any) -> Callable[[str], Any] | None:
    """What reads answers as chat() does for Reply.parsed: a class's instance or plain data, None for one that does not
    fit, as it was cut off. No schema: None.
    """
    if schema is None:
        return None
    request = make_request("?", schema=schema)

    def parse(text: str) -> Any:
        try:
            return parse_answer(text, request)
        except MalformedResponseError:
            return None

    return parse
