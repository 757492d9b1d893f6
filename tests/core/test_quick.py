"""The faster __init__ changes nothing else: names, defaults, errors, equality, copies, and that nothing can be set."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace

import pytest

from hybrid_nb.core import types
from hybrid_nb.core.quick import quick


@dataclass(frozen=True, slots=True)
class Usual:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict)
    d: object = field(default=None, repr=False, compare=False)


@quick
@dataclass(frozen=True, slots=True)
class Made:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict)
    d: object = field(default=None, repr=False, compare=False)


def test_it_is_made_by_place_and_by_name_with_its_defaults() -> None:
    assert Made(1) == Made(a=1, b="b", c={})
    assert repr(Made(1, d=7)) == "Made(a=1, b='b', c={})"
    assert type(Made(1)) is Made
    assert Made(1).c is not Made(1).c
    assert list(inspect.signature(Made).parameters) == list(inspect.signature(Usual).parameters)
    for arguments, names in (((), {}), ((1,), {"e": 2}), ((1,), {"a": 2}), ((1, "b", {}, 0, 0), {})):
        with pytest.raises(TypeError):
            Made(*arguments, **names)


def test_nothing_can_be_set_or_deleted() -> None:
    made = Made(1)
    with pytest.raises(FrozenInstanceError):
        made.a = 2  # type: ignore[misc]  # that is what is tested
    with pytest.raises(FrozenInstanceError):
        del made.a
    assert made == Made(1)


def test_equality_hash_copies_and_pickles() -> None:
    usage = types.Usage(1, None, None, 2, None, "provider")
    assert hash(usage) == hash(types.Usage(1, None, None, 2, None, "provider"))
    assert usage != types.Usage(1)
    for one in (usage, types.Reply("x", usage=usage), types.Request((types.Message("user", "hi"),), tags={"a": "b"})):
        assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert replace(types.Reply("x"), text="y") == types.Reply("y")
    assert asdict(usage)["output_tokens"] == 2


def test_an_instance_of_a_subclass_is_made_as_usual() -> None:
    class Shown(Made):
        pass

    shown = Shown(1, d=7)
    assert type(shown) is Shown
    assert (shown.a, shown.b, shown.c, shown.d) == (1, "b", {}, 7)
    assert shown.c is not Shown(1).c
    with pytest.raises(FrozenInstanceError):
        shown.a = 2  # type: ignore[misc]  # that is what is tested
