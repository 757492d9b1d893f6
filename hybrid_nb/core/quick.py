"""Frozen dataclasses that cost less than half to make.

A frozen dataclass stores each field through object.__setattr__, since its own refuses; a call makes a dozen of them
with ninety fields. Here an instance is for the time of its __init__ one of a twin class with the same slots and nothing
frozen, so that fields are stored plainly; an instance of a subclass is made as usual. All else stays what
`dataclass(frozen=True, slots=True)` made it.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots (and without __post_init__ or bases with fields) a faster __init__."""
    draft = type(f"{cls.__name__}Draft", (), {"__slots__": tuple(cls.__slots__)})  # type: ignore[attr-defined]  # slots
    usual = cls.__init__
    scope: dict[str, Any] = {"become": object.__setattr__, "draft": draft, "cls": cls, "usual": usual}
    parameters, stores, names = [], [], []
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass
        name, parameter, value = field.name, field.name, field.name
        if field.default_factory is not MISSING:
            scope |= {
                "MISSING": inspect.signature(usual).parameters[name].default,
                f"make_{name}": field.default_factory,
            }
            parameter, value = f"{name}=MISSING", f"make_{name}() if {name} is MISSING else {name}"
        elif field.default is not MISSING:
            scope[f"default_{name}"] = field.default
            parameter = f"{name}=default_{name}"
        parameters.append(parameter)
        names.append(name)
        stores.append(f"    self.{name} = {value}\n")
    head = f"def __init__(self, {', '.join(parameters)}):\n"
    other = f"    if self.__class__ is not cls:\n        return usual(self, {', '.join(names)})\n"
    lines = f"{head}{other}    become(self, '__class__', draft)\n{''.join(stores)}    self.__class__ = cls\n"
    exec(lines, scope)  # noqa: S102 - as dataclasses does; our own names
    made = scope["__init__"]
    made.__qualname__, made.__annotations__ = f"{cls.__qualname__}.__init__", usual.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]  # that is the point
    return cls
