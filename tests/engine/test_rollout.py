"""A sticky share of users or notebooks goes elsewhere, and comes back in one call."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.types import Target
from hybrid_nb.engine.facts import Fact, Facts
from hybrid_nb.engine.plan import Catalogue, plan
from hybrid_nb.engine.rollout import Rollout, place
from hybrid_nb.router import Router
from tests.conftest import MakeRouter
from tests.engine.test_plan import order, provider, reasons
from tests.engine.test_running import Raw, answer, at, said

KEYS = st.text(min_size=1, max_size=20)
PROVIDERS = [provider("a"), provider("b"), provider("c", "new")]
GROUPS = {"fast": ["a/m", "b/m"]}


def insider(rollout: Rollout, inside: bool = True) -> str:
    """A user who is in the share, or is not."""
    return next(key for key in map(str, range(10_000)) if rollout.includes(key) is inside)


def asked(rollout: Rollout, user: str | None, model: str | None = "fast", **more: object) -> list[str]:
    catalogue = Catalogue(PROVIDERS, GROUPS, rollouts=[rollout])
    who = {} if user is None else {rollout.by: user}
    return order(plan(make_request("hi", model=model, **more), catalogue, None, Facts(who=who)))


@settings(derandomize=True, max_examples=300)
@given(KEYS, st.floats(0, 100), st.floats(0, 100))
def test_the_share_is_sticky_and_only_grows(key: str, one: float, other: float) -> None:
    less, more = (Rollout("fast", "c/new", percent) for percent in sorted((one, other)))
    assert less.includes(key) == less.includes(key)
    assert more.includes(key) or not less.includes(key)
    assert not Rollout("fast", "c/new", 0).includes(key)
    assert Rollout("fast", "c/new", 100).includes(key)
    assert not Rollout("fast", "c/new", 100).includes(None)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_the_share_is_as_large_as_asked(percent: int) -> None:
    rollout, keys = Rollout("fast", "c/new", percent), 20_000
    inside = sum(rollout.includes(f"user-{n}") for n in range(keys))
    deviation = math.sqrt(keys * percent / 100 * (1 - percent / 100))
    assert abs(inside - keys * percent / 100) < 4 * deviation


def test_two_rollouts_do_not_take_the_same_users() -> None:
    one, other = Rollout("fast", "c/new", 10), Rollout("good", "c/new", 10)
    both = sum(one.includes(str(n)) and other.includes(str(n)) for n in range(20_000))
    assert 130 < both < 270  # 1 %
    assert place("ann", "a") != place("ann", "b")


def test_those_in_the_share_go_there_first_and_the_others_last() -> None:
    rollout = Rollout("fast", "c/new", 30)
    inside, outside = insider(rollout), insider(rollout, False)
    assert asked(rollout, inside) == ["c/new", "a/m", "b/m"]
    assert asked(rollout, outside) == ["a/m", "b/m"]
    assert asked(rollout, None) == ["a/m", "b/m"]  # nobody knows who asks
    assert asked(rollout, outside, tags={"user": inside}) == ["c/new", "a/m", "b/m"]
    assert asked(rollout, inside, model="m") == ["a/m", "b/m"]  # another name
    member = Rollout("fast", "a/m", 30)
    assert asked(member, insider(member)) == ["a/m", "b/m"]
    assert asked(member, insider(member, False)) == ["b/m", "a/m"]
    assert asked(member, None) == ["b/m", "a/m"]
    everything = Rollout("*", "c/new", 100, "notebook")
    assert asked(everything, "n.ipynb", model=None) == ["c/new", "a/m", "b/m"]


@pytest.mark.parametrize(("user", "words"), [(True, "this one too"), (False, "not this one"), (None, "not known")])
def test_the_reason_tells_the_share(user: bool | None, words: str) -> None:
    rollout = Rollout("fast", "a/m", 30)
    who = {} if user is None else {"user": insider(rollout, user)}
    found = plan(
        make_request("hi", model="fast"), Catalogue(PROVIDERS, GROUPS, rollouts=[rollout]), None, Facts(who=who)
    )
    (reason,) = [c.reason for c in found.accepted if str(c.target) == "a/m"]
    assert reason.startswith("rollout: 30 % of users go to a/m")
    assert words in reason


def test_a_rollout_goes_nowhere_that_is_out() -> None:
    rollout = Rollout("fast", "c/new", 100)
    catalogue = Catalogue(PROVIDERS, GROUPS, rollouts=[rollout])
    target = Target("c", "new")
    request = make_request("hi", model="fast")
    shut = plan(request, catalogue, None, Facts({target: Fact(open="its breaker is open")}, who={"user": "u"}))
    assert order(shut) == ["a/m", "b/m"]
    assert reasons(shut) == {"c/new": "its breaker is open"}
    down = plan(request, catalogue, None, Facts(providers={"c": Fact("down")}, who={"user": "u"}))
    assert order(down) == ["a/m", "b/m", "c/new"]
    gone = Catalogue(PROVIDERS[:2], GROUPS, rollouts=[rollout])
    assert order(plan(request, gone, None, Facts(who={"user": "u"}))) == ["a/m", "b/m"]


# --- through the door -----------------------------------------------------------------------------------------


def test_out_and_back_in_one_call_each(raw: Raw, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    one, two = raw(answer(said("hi"))), raw(answer(said("hi")))
    router: Router = make_router([at(one), at(two, "b")], group={"fast": ["a/m", "b/m"]})
    assert router.chat("hi", model="fast").provider == "a"
    router.rollout("fast", to="b/m", percent=100)
    assert router.chat("hi", model="fast").provider == "b"
    assert "rollout: 100 % of users go to b/m" in router.plan("hi", model="fast").reason
    router.rollout("fast", to="b/m", percent=0)
    assert router.chat("hi", model="fast").provider == "a"
    router.rollout("fast", to="b/m", percent=100)
    router.rollback("fast")
    assert router.chat("hi", model="fast").provider == "a"
    router.rollout("fast", to="b/m", percent=100)
    router.rollout("*", to="b/m", percent=100, by="notebook")
    assert order(router.plan("hi", tags={"notebook": "x"})) == ["b/m", "a/m"]
    router.rollback()
    assert order(router.plan("hi", model="fast")) == order(router.plan("hi", tags={"notebook": "x"})) == ["a/m", "b/m"]


def test_a_wrong_rollout_changes_nothing(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(answer(said("hi"))))])
    for wrong, sign in (
        ({"to": "bb/m"}, "no provider 'bb'"), ({"to": "m"}, "rollout.fast.to"), ({"percent": 101}, "percent"),
        ({"by": "week"}, "by"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=sign):
            router.rollout("fast", **{"to": "a/m", "percent": 10, **wrong})
    with pytest.raises(ConfigError, match="no rollout of 'fast'"):
        router.rollback("fast")
    assert router.chat("hi").provider == "a"


def test_a_rollout_is_saved_and_read(raw: Raw, make_router: MakeRouter, tmp_path: Path) -> None:
    router = make_router([at(raw(answer(said("hi"))))])
    router.rollout("a/m", to="a/m", percent=12.5)
    router.rollout("fast", to="a/m", percent=5, by="notebook")
    path = router.save(tmp_path / "saved.toml")
    again = make_router(path)
    assert again._state.settings.rollout == router._state.settings.rollout
    again.rollback("fast")
    again.save()
    assert "fast" not in path.read_text()
    assert list(make_router(path)._state.settings.rollout) == ["a/m"]
