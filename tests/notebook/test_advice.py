"""Every error says what to do."""

from __future__ import annotations

import pytest

from hybrid_nb import errors
from hybrid_nb.notebook.advice import ADVICE, OTHER, advice
from hybrid_nb.notebook.looking import LookingMagics

LEAVES = sorted(
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, errors.HybridNbError)
    and name not in ("HybridNbError", "InferenceError")
)


@pytest.mark.parametrize("name", LEAVES)
def test_every_error_has_a_row_of_its_own_or_of_its_kind(name):
    kind = getattr(errors, name)
    found = advice(kind.__new__(kind))
    assert found in (*ADVICE.values(), OTHER)
    assert found != OTHER or name in ("MalformedResponseError", "ProviderError")


def test_rows_name_errors_that_there_are():
    assert set(ADVICE) <= set(LEAVES)


def test_an_error_without_a_row_has_that_of_its_kind():
    error = errors.ConfigConflictError("changed", "team.toml", ["router.retries: 1 -> 2"])
    assert advice(error) == ADVICE["ConfigError"]
    assert advice(KeyError("x")) == OTHER


def test_magics_named_in_advice_exist():
    words = {
        word.strip("();:,.") for row in ADVICE.values() for word in row.cell.split() if word.startswith(("%", "(%"))
    }
    named = {word.lstrip("(%") for word in words}
    assert named <= set(LookingMagics.magics["line"]) | {"llm"}
