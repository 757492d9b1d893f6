"""The settings of a run: what is wrong is told in one sentence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from hybrid_nb.bench.traffic.spec import checked
from hybrid_nb.core.inputs import OptionTypeError


def test_what_is_no_setting_is_an_option_of_the_calls() -> None:
    spec = checked("a/m", {"epochs": 2, "temperature": 0.5, "max_cost": "$0.50"})
    assert (spec.models, spec.epochs, spec.options, spec.max_cost) == (
        ("a/m",), 2, {"temperature": 0.5}, Decimal("0.50"),
    )  # fmt: skip
    assert (spec.at_once, spec.open, spec.endless) == (4, False, False)


def test_an_open_loop_has_no_cap_unless_told() -> None:
    assert checked(["m"], {"rate": 5}).at_once is None
    assert checked(["m"], {"rate": 5, "concurrency": 9}).at_once == 9
    assert checked(["m"], {"rate": np.float64(2.5)}).rate == checked(["m"], {"rate": 2.5}).rate == 2.5
    assert checked(["m"], {"rate": np.array([1, 2])}).rate == checked(["m"], {"rate": (1, 2)}).rate == (1, 2)
    assert checked(["m"], {"rate": np.int64(3)}).rate == 3


@pytest.mark.parametrize(
    ("models", "settings", "told"),
    [
        ([], {}, "at least one model"),
        (None, {}, "at least one model"),
        (["a", "b", "a"], {}, "names 'a' twice"),
        (["a"], {"model": "b"}, "takes its models as models="),
        (["a"], {"epochs": 1.5}, "epochs must be a whole number of at least 1, not 1.5"),
        (["a"], {"epochs": True}, "epochs must be"),
        (["a"], {"warmup": -1}, "warmup must be a whole number of at least 0"),
        (["a"], {"concurrency": 0}, "concurrency must be"),
        (["a"], {"seed": "x"}, "seed must be a whole number, not 'x'"),
        (["a"], {"timeout": 0}, "timeout must be above 0 seconds"),
        (["a"], {"duration": "5"}, "duration must be a number, not '5'"),
        (["a"], {"duration": 5, "epochs": 2}, "exclude each other"),
        (["a"], {"max_cost": "lots"}, "max_cost must be US dollars"),
        (["a"], {"max_cost": -1}, "max_cost must be US dollars"),
        (["a"], {"max_cost": float("nan")}, "max_cost must be US dollars"),
        (["a"], {"limits": 5}, "limits must be a dict"),
        (["a"], {"limits": {"latency_s": "5"}}, "latency_s'] must be a number"),
        (["a"], {"limits": {"latency": 5}}, "no measure 'latency'; there are"),
        (["a"], {"rate": 0}, "above 0 requests a second"),
        (["a"], {"rate": [1, -1]}, "above 0 requests a second"),
        (["a"], {"rate": []}, "not an empty list"),
        (["a"], {"rate": "5"}, "must be a number"),
        (["a"], {"rate": True}, "must be a number"),
        (["a"], {"rate": 5, "arrivals": "burst"}, "one of constant, poisson, ramp"),
        (["a"], {"rate": 5, "arrivals": "ramp"}, r"needs rate=\(from, to\)"),
        (["a"], {"rate": 5, "arrivals": [0, 1]}, "leave out rate"),
        (["a"], {"arrivals": [1, 0]}, "in rising order"),
        (["a"], {"arrivals": []}, "in rising order"),
        (["a"], {"arrivals": [0, 1], "duration": 5}, "leave out duration"),
    ],
)
def test_what_is_wrong_is_told(models: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        checked(models, settings)


def test_a_sweep_needs_a_call_for_each_rate() -> None:
    spec = checked(["a", "b"], {"rate": [1, 2, 3]})
    spec.check_stages(2)
    with pytest.raises(ValueError, match="3 rates for 2 calls"):
        spec.check_stages(1)
    checked(["a"], {"rate": [1, 2, 3], "duration": 1}).check_stages(1)


def test_a_setting_that_is_nearly_right_is_named() -> None:
    with pytest.raises(OptionTypeError, match="unknown option 'concurency': did you mean 'concurrency'"):
        checked(["a/m"], {"concurency": 3})
