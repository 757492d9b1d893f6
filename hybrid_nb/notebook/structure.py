"""`--schema` and `--frame`: from an expression to a schema, and from the parsed answer to a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybrid_nb.core.late import late
from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.options import OptionError

if TYPE_CHECKING:
    import pandas as pd


def schema_from(expression: str, names: Mapping[str, Any]) -> Any:
    """What `--schema` means in the cell's namespace: a class, a JSON schema, or a type such as list[Item].

    Raises OptionError.
    """
    from hybrid_nb.core.schema import schema_of

    try:
        value = names[expression] if expression in names else eval(expression, dict(names))  # noqa: S307 - their own
        schema_of(value)
    except NameError as error:
        missing = getattr(error, "name", None) or expression
        told = f"no such variable: {missing}; define a pydantic class or a JSON schema first"
        raise OptionError(f"--schema {expression}: {told}") from None
    except Exception as error:  # whatever their expression raises is told in one line
        told = str(error) or type(error).__name__
        raise OptionError(
            f"--schema {expression}: {told}; give a pydantic class, a JSON schema or a type such as list[Item]"
        ) from None
    return value


def to_frame(reply: Reply) -> pd.DataFrame:
    """The parsed answer: a list gives a row for each, anything else one row; what is nested is kept as it is.

    Raises OptionError.
    """
    parsed = reply.parsed
    if parsed is None:
        why = f"the answer ended early ({reply.finish}): raise --max-tokens" if reply.finish != "stop" else "ask again"
        raise OptionError(f"--frame: there is no parsed answer; {why}")
    items = parsed if isinstance(parsed, list | tuple) else [parsed]
    frame: pd.DataFrame = late("pandas", "frames").DataFrame([_row(item) for item in items])
    return frame


def _row(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return {str(key): value for key, value in item.items()}
    if hasattr(type(item), "model_fields"):  # pydantic: shallow, so that nested objects stay
        return dict(item)
    if hasattr(type(item), "__dataclass_fields__"):
        return {name: getattr(item, name) for name in item.__dataclass_fields__}
    return {"value": item}
