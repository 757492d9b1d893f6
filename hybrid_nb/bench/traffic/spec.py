"""The settings of a run, checked: what is wrong is told before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from hybrid_nb.bench.records import MEASURE_COLUMNS
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, check_names

CONCURRENCY = 4
ARRIVALS = ("constant", "poisson", "ramp")
Rate = float | Sequence[float] | None
Arrivals = str | Sequence[float]


@dataclass(frozen=True)
class Spec:
    """What router.benchmark() was asked for; see there."""

    models: tuple[str, ...]
    epochs: int = 1
    concurrency: int | None = None
    rate: Rate = None
    warmup: int = 0
    arrivals: Arrivals = "poisson"
    duration: float | None = None
    prompt: str | None = None
    timeout: float | None = None
    max_cost: Decimal | None = None
    unique: bool = False
    seed: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether a schedule begins the calls, and not the end of others."""
        return self.rate is not None or not isinstance(self.arrivals, str)

    @property
    def endless(self) -> bool:
        """Whether time ends the run, and the data are asked again and again until then."""
        return self.duration is not None or not isinstance(self.arrivals, str)

    @property
    def at_once(self) -> int | None:
        """Calls under way at most; None: any number."""
        return self.concurrency or (None if self.open else CONCURRENCY)

    def check_stages(self, samples: int) -> None:
        """Raise OptionValueError where there are fewer calls than rates."""
        calls = samples * len(self.models) * self.epochs
        stages = len(self.rate) if isinstance(self.rate, Sequence) and self.arrivals != "ramp" else 1
        if self.duration is None and calls < stages:
            _wrong(f"the sweep has {stages} rates for {calls} calls: give duration (of each), epochs or more data")


_NAMES = frozenset(field.name for field in fields(Spec)) - {"models", "options"}


def checked(models: Any, settings: Mapping[str, Any]) -> Spec:
    """The settings, what is none of a run's being an option of its calls.

    Raises OptionValueError and OptionTypeError that say which is wrong and what it may be.
    """
    defaults = {field.name: field.default for field in fields(Spec) if field.name in _NAMES - {"limits"}}
    given = {**defaults, "limits": None, **{name: settings[name] for name in _NAMES & settings.keys()}}
    options = {name: value for name, value in settings.items() if name not in _NAMES}
    if "model" in options:
        _wrong("a benchmark takes its models as models=[...], and no model")
    check_names(options, sorted(_NAMES))
    for name, least in (("epochs", 1), ("warmup", 0), ("concurrency", 1)):
        _whole(name, given[name], least)
    _whole("seed", given["seed"], -(2**63))
    for name in ("duration", "timeout"):
        given[name] = _above_0(name, given[name])
    given["max_cost"] = _dollars(given["max_cost"])
    given["limits"] = _limits(given["limits"])
    given["arrivals"] = _arrivals(given["arrivals"])
    given["rate"] = _rate(given["rate"], given["arrivals"])
    if given["rate"] is None and given["arrivals"] == "constant":
        _wrong("arrivals='constant' needs rate= in requests a second; without a rate the loop is closed")
    spec = Spec(_models(models), options=options, **given)
    if spec.endless and spec.epochs != 1:
        _wrong("epochs and duration (or a trace) exclude each other: time ends the run, and data are asked again")
    if spec.duration is not None and not isinstance(spec.arrivals, str):
        _wrong("a trace has its own times: leave out duration")
    return spec


def _wrong(text: str) -> NoReturn:
    raise OptionValueError(text)


def _models(models: Any) -> tuple[str, ...]:
    if isinstance(models, str):
        models = [models]
    names = tuple(str(name) for name in models or ())
    if not names:
        _wrong("benchmark needs at least one model: models=['provider/model', ...]")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        _wrong(f"models names {twice[0]!r} twice; epochs=2 asks everything twice")
    return names


def _whole(name: str, value: Any, least: int) -> None:
    if value is None and name == "concurrency":
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        bounds = f"a whole number of at least {least}" if least > -(2**63) else "a whole number"
        _wrong(f"{name} must be {bounds}, not {value!r}")


def _number(name: str, value: Any) -> float:
    value = value.item() if hasattr(value, "item") and not isinstance(value, float) else value  # a number of numpy
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionTypeError(f"{name} must be a number, not {value!r}")
    return float(value)


def _above_0(name: str, value: Any) -> float | None:
    if value is not None and _number(name, value) <= 0:
        _wrong(f"{name} must be above 0 seconds, not {value!r}")
    return None if value is None else float(value)


def _dollars(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        _wrong(f"max_cost must be US dollars such as 0.50, not {value!r}")
    return amount


def _limits(value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionTypeError(f"limits must be a dict such as {{'latency_s': 5}}, not {value!r}")
    wrong = [name for name in value if name not in MEASURE_COLUMNS]
    if wrong:
        _wrong(f"limits: no measure {wrong[0]!r}; there are {', '.join(MEASURE_COLUMNS)}")
    return {str(name): _number(f"limits[{name!r}]", limit) for name, limit in value.items()}


def _arrivals(value: Any) -> Arrivals:
    if isinstance(value, str):
        if value not in ARRIVALS:
            _wrong(f"arrivals must be one of {', '.join(ARRIVALS)}, or a list of seconds, not {value!r}")
        return value
    times = _numbers("arrivals", value)
    if not times or times != tuple(sorted(times)) or times[0] < 0:
        _wrong("a trace in arrivals must be seconds from the start, in rising order")
    return times


def _rate(value: Any, arrivals: Arrivals) -> Rate:
    if not isinstance(arrivals, str):
        if value is not None:
            _wrong("a trace in arrivals has its own times: leave out rate")
        return None
    if arrivals == "ramp" and not (isinstance(value, Sequence) and len(value) == 2):
        _wrong(f"arrivals='ramp' needs rate=(from, to) in requests a second, not {value!r}")
    if value is None or not isinstance(value, Sequence):
        many = hasattr(value, "__len__")
        return None if value is None else _rate(list(value), arrivals) if many else _positive(_number("rate", value))
    rates = tuple(_positive(rate) for rate in _numbers("rate", value))
    if not rates:
        _wrong("rate must name requests a second, and not an empty list")
    return rates


def _positive(rate: float) -> float:
    if rate <= 0:
        _wrong(f"rate must be above 0 requests a second, not {rate:g}")
    return rate


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, Sequence):
        raise OptionTypeError(f"{name} must be a number or a list of numbers, not {value!r}")
    return tuple(_number(name, item) for item in value)
