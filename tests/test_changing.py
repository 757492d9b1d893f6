"""Changes of a router's configuration: undone, ordered, taken out everywhere, saved without overwriting others."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import keyring
import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend

from hybrid_nb import changing
from hybrid_nb.core import saving
from hybrid_nb.core.config import validate
from hybrid_nb.core.errors import ConfigConflictError, ConfigError
from hybrid_nb.router import Router

KEY = "sk-hunter2-PLANTED"


class MemoryKeyring(KeyringBackend):
    """A keyring that lasts as long as the test."""

    priority = 5  # type: ignore[assignment]

    def __init__(self, refuses: bool = False) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.refuses = refuses

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.refuses:
            raise RuntimeError(f"no, not {password}")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring():
    before, mine = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture
def two(make_router, fleet) -> Router:
    """Two providers, a group and a rollout that name them both."""
    config = fleet.config()
    config["provider"] = [p for p in config["provider"] if p["name"] in ("openai", "ollama")]
    config["group"] = {
        "fast": ["openai/simulated-openai", "ollama/simulated-ollama"],
        "own": ["openai/simulated-openai"],
    }
    config["rollout"] = {"fast": {"to": "openai/simulated-openai", "percent": 10}}
    return make_router(config, default_model="own")


@pytest.fixture
def written(tmp_path, fleet, make_router):
    """A function that writes a file by hand and opens it."""

    def write(text: str = "", **more: Any) -> Router:
        path = tmp_path / "team.toml"
        if text or not path.exists():
            path.write_text(text or f"# ours\n[router]\nretries = 1  # once\n\n{fleet.toml()}", "utf-8")
        return make_router(str(path), **more)

    return write


# --- undo ---------------------------------------------------------------------------------------------------


def test_each_change_is_taken_back_in_turn_and_works_at_once(two):
    before = two.settings
    two.configure(retries=0)
    two.update_provider("openai", enabled=False)
    assert two.undoable == "change openai"
    assert two.undo() == "change openai"
    assert two.settings.provider == before.provider
    assert two.settings.router.retries == 0
    assert two.chat("What is 6 * 7?", model="openai/simulated-openai").text == "6 * 7 = 42."
    assert two.undo() == "set retries"
    assert two.settings == before
    assert two.undoable is None
    with pytest.raises(ConfigError, match="no change to undo"):
        two.undo()


def test_a_change_that_is_refused_is_none(two):
    before = two.settings
    with pytest.raises(ConfigError):
        two.configure(retries=-1)
    with pytest.raises(ConfigError):
        two.add_provider({"name": "openai", "type": "openai"})
    assert (two.settings, two.undoable) == (before, None)


def test_a_provider_that_was_removed_comes_back_with_its_groups(two):
    before = two.settings
    two.remove_provider("openai", everywhere=True)
    two.undo()
    assert two.settings == before
    assert two.chat("hi", model="own").provider == "openai"


NAMES = st.sampled_from(["openai", "anthropic", "gemini", "ollama", "new"])
CHANGES = st.one_of(
    st.tuples(st.just("configure"), st.integers(-1, 3), NAMES),
    st.tuples(st.just("update"), st.integers(0, 5), NAMES),
    st.tuples(st.just("remove"), st.booleans(), NAMES),
    st.tuples(st.just("add"), st.integers(0, 3), NAMES),
    st.tuples(st.just("group"), st.integers(0, 3), NAMES),
    st.tuples(st.just("order"), st.integers(0, 3), NAMES),
)


def change(router: Router, kind: str, value: int, name: str) -> None:
    if kind == "configure":
        router.configure(retries=value, budget={"daily_usd": value})
    elif kind == "update":
        router.update_provider(name, rpm=value or None, enabled=value % 2 == 0)
    elif kind == "remove":
        router.remove_provider(name, everywhere=bool(value))
    elif kind == "add":
        router.add_provider({"name": name, "type": "custom", "base_url": "http://127.0.0.1:9", "models": ["m"]})
    elif kind == "group":
        router.configure(group={"fast": [f"{name}/m"] if value else None}, default_model="fast" if value > 1 else None)
    else:
        names = sorted(router.provider_names(), key=lambda n: (n != name, n))
        router.order_providers(names)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGES, max_size=8))
def test_whatever_was_changed_undoing_all_of_it_is_what_was_before(router, changes):
    before, names = router.settings, router.provider_names()
    for kind, value, name in changes:
        known, was = router.undoable, router.settings
        try:
            change(router, kind, value, name)
        except ConfigError:
            assert (router.undoable, router.settings) == (known, was)
        validate(router.settings.model_dump(exclude_unset=True), "")
        assert [p.name for p in router.settings.provider] == router.provider_names()
    while router.undoable is not None:
        router.undo()
    assert (router.settings, router.provider_names()) == (before, names)


def test_only_the_last_changes_are_remembered():
    history = changing.History()
    for number in range(changing.REMEMBERED + 5):
        history.add(str(number), None)
    taken = [history.take().what for _ in range(changing.REMEMBERED)]
    assert taken == [str(n) for n in reversed(range(5, changing.REMEMBERED + 5))]
    assert history.last is None


# --- order --------------------------------------------------------------------------------------------------


def test_the_order_is_that_of_the_plan_within_a_tier(router):
    router.update_provider("ollama", tier="local")
    router.order_providers(["gemini", "ollama", "openai", "anthropic"])
    assert router.provider_names() == ["gemini", "ollama", "openai", "anthropic"]
    plan = [c.target.provider for c in router.plan("hi").accepted]
    assert plan == ["ollama", "gemini", "openai", "anthropic"]  # local before cloud; then the order
    router.undo()
    assert router.provider_names() == ["openai", "anthropic", "gemini", "ollama"]


@pytest.mark.parametrize("names", [["openai"], ["openai", "anthropic", "gemini", "olama"], [*["openai"] * 4]])
def test_an_order_names_each_provider_once(router, names):
    with pytest.raises(ConfigError, match="the order"):
        router.order_providers(names)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(["openai", "anthropic", "gemini", "ollama"]))
def test_any_order_keeps_every_provider_and_its_settings(router, names):
    before = {item.name: item.model_dump(exclude={"priority"}) for item in router.settings.provider}
    router.order_providers(names)
    assert [item.name for item in router.settings.provider] == names
    assert {item.name: item.model_dump(exclude={"priority"}) for item in router.settings.provider} == before


# --- removing -----------------------------------------------------------------------------------------------


def test_removing_is_refused_where_it_is_named_and_taken_out_everywhere_when_told(two):
    with pytest.raises(ConfigError, match="no provider 'openai'"):
        two.remove_provider("openai")
    assert changing.mentions(two.settings, "openai") == ["group fast", "group own", "rollout of fast"]
    two.remove_provider("openai", everywhere=True)
    assert two.settings.group == {"fast": ("ollama/simulated-ollama",)}
    assert two.settings.rollout == {}
    assert two.settings.router.default_model is None
    assert two.provider_names() == ["ollama"]


def test_names_without_their_provider_go_too(make_router, fleet):
    config = fleet.config()
    config["group"] = {"fast": ["simulated-openai", "ollama/simulated-ollama"], "own": ["simulated-openai"]}
    config["rollout"] = {"own": {"to": "ollama/simulated-ollama", "percent": 5}}
    router = make_router(config, default_model="simulated-openai")
    router.remove_provider("openai", everywhere=True)
    assert router.settings.group == {"fast": ("ollama/simulated-ollama",)}
    assert router.settings.router.default_model is None
    assert router.settings.rollout == {}  # of a group that is gone


def test_a_name_that_another_provider_has_too_stays(make_router, fleet):
    config = fleet.config()
    config["provider"].append({**config["provider"][0], "name": "second"})
    router = make_router({**config, "group": {"g": ["simulated-openai"]}}, default_model="simulated-openai")
    router.remove_provider("openai", everywhere=True)
    assert router.settings.group == {"g": ("simulated-openai",)}
    assert router.settings.router.default_model == "simulated-openai"


# --- differences --------------------------------------------------------------------------------------------


def test_differences_are_short_lines_without_any_key():
    base = {"provider": [{"name": "a", "type": "openai", "api_key": KEY}, {"name": "b", "type": "ollama"}]}
    old = validate(base, "")
    new = validate(
        {
            "router": {"retries": 1},
            "provider": [
                {"name": "a", "type": "openai", "api_key": f"{KEY}2", "rpm": 5},
                {"name": "c", "type": "groq"},
            ],
            "group": {"fast": ["a/m"]},
        },
        "",
    )
    lines = changing.differences(old, new)
    assert lines == [
        "router.retries: 2 -> 1",
        "provider 'c': added",
        "provider 'b': removed",
        "provider 'a'.api_key: a key -> a key",
        "provider 'a'.rpm: not set -> 5",
        "group.fast: not set -> ('a/m',)",
    ]
    assert KEY not in str(lines)


def test_another_order_is_a_difference():
    a, b = {"name": "a", "type": "ollama"}, {"name": "b", "type": "ollama"}
    old, new = validate({"provider": [a, b]}, ""), validate({"provider": [b, a]}, "")
    assert changing.differences(old, new) == ["providers: another order"]
    assert changing.differences(old, old) == []


# --- the file -----------------------------------------------------------------------------------------------


def test_comments_of_a_hand_stay_and_other_orders_too(written, tmp_path):
    router = written()
    router.configure(retries=0)
    router.order_providers(["ollama", "openai", "anthropic", "gemini"])
    assert router.unsaved()[0] == "router.retries: 1 -> 0"
    path = router.save()
    text = path.read_text("utf-8")
    assert text.startswith("# ours\n[router]\nretries = 0  # once")
    assert router.unsaved() == []
    assert [p["name"] for p in tomlkit.parse(text)["provider"]] == ["ollama", "openai", "anthropic", "gemini"]
    assert Router(path).settings.provider == router.settings.provider


def test_no_limit_stays_none_in_the_file(written):
    router = written()
    router.configure(budget={"daily_usd": None})
    router.save()
    assert Router(router.path).settings.budget.daily_usd is None
    assert router.reload() == []


def test_what_another_wrote_is_not_overwritten(written, tmp_path):
    mine, theirs = written(), written()
    theirs.configure(retries=3)
    theirs.save()
    mine.configure(strategy="cheapest")
    with pytest.raises(ConfigConflictError) as caught:
        mine.save()
    assert caught.value.changes == ("router.retries: 1 -> 3",)
    assert Router(tmp_path / "team.toml").settings.router.retries == 3
    mine.save(overwrite=True)
    reread = Router(tmp_path / "team.toml").settings.router
    assert (reread.retries, reread.strategy) == (1, "cheapest")


def test_theirs_can_be_taken_and_that_undone(written):
    mine, theirs = written(), written()
    theirs.configure(retries=3)
    theirs.save()
    mine.configure(strategy="cheapest")
    assert mine.reload() == ["router.strategy: cheapest -> tiered", "router.retries: 1 -> 3"]
    assert mine.unsaved() == []
    mine.undo()
    assert mine.settings.router.strategy == "cheapest"
    assert mine.unsaved() == ["router.strategy: tiered -> cheapest", "router.retries: 3 -> 1"]


def test_comments_of_others_are_no_conflict_and_stay(written, tmp_path):
    router, path = written(), tmp_path / "team.toml"
    path.write_text("# theirs\n" + path.read_text("utf-8"), "utf-8")
    router.configure(retries=0)
    router.save()
    assert path.read_text("utf-8").startswith("# theirs\n")


def test_a_file_that_became_unreadable_is_a_conflict(written, tmp_path):
    router = written()
    (tmp_path / "team.toml").write_text("[router", "utf-8")
    with pytest.raises(ConfigConflictError, match="cannot be read now"):
        router.save()


def test_a_file_that_is_gone_is_written_again_only_when_told(written, tmp_path):
    router = written()
    (tmp_path / "team.toml").unlink()
    with pytest.raises(ConfigConflictError):
        router.save()
    router.save(overwrite=True)
    assert Router(tmp_path / "team.toml").settings.provider == router.settings.provider


def test_what_the_environment_lends_is_neither_unsaved_nor_saved_nor_lost(written, tmp_path, monkeypatch):
    written()
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(tmp_path / "team.toml"))
    monkeypatch.setenv("ENDPOINT_TIMEOUT", "77")
    with Router() as router:
        assert (router.settings.router.timeout, router.unsaved()) == (77, [])
        router.configure(retries=0)
        assert router.unsaved() == ["router.retries: 1 -> 0"]
        router.save()
        assert "timeout" not in (tmp_path / "team.toml").read_text("utf-8")
        assert router.reload() == []
        assert (router.settings.router.timeout, router.unsaved()) == (77, [])


def test_what_the_environment_lends_meanwhile_is_its_own_too(written, tmp_path, monkeypatch):
    written()
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(tmp_path / "team.toml"))
    with Router() as router:
        monkeypatch.setenv("ENDPOINT_TIMEOUT", "77")
        assert router.reload() == ["router.timeout: 120 -> 77.0"]
        assert router.unsaved() == []


def test_whoever_writes_has_the_file_alone(written, monkeypatch):
    router = written()
    router.configure(retries=0)
    monkeypatch.setattr(saving, "LOCK_PATIENCE", 0.05)
    with saving.alone(router.path), pytest.raises(ConfigError, match="another program has been writing"):
        in_thread(router.save)


def in_thread(work: Any) -> None:
    """Run it elsewhere, where a lock that this thread has is another's; raises what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    if raised:
        raise raised[0]


def _saver(path: str, name: str, times: int) -> None:
    os.environ["XDG_DATA_HOME"] = str(Path(path).parent)
    with Router(path) as router:
        for number in range(times):
            router.configure(retry_delay=number / 100, group={f"{name}{number}": ["ollama/simulated-ollama"]})
            router.save(overwrite=True)


def test_processes_that_save_at_once_leave_a_whole_file(written, tmp_path):
    written().close()
    path = tmp_path / "team.toml"
    context = multiprocessing.get_context("spawn")
    savers = [context.Process(target=_saver, args=(str(path), name, 5)) for name in "ab"]
    for saver in savers:
        saver.start()
    give_up = time.monotonic() + 40
    while any(saver.is_alive() for saver in savers) and time.monotonic() < give_up:
        Router(path).close()  # it can be read at any time
    for saver in savers:
        saver.join(1)
        assert saver.exitcode == 0
    groups = Router(path).settings.group
    assert {f"{name}4" for name in "ab"} & set(groups)
    assert [p for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_goes_to_the_keyring_and_works_at_once(ring, make_router, fleet, tmp_path):
    item = {**fleet.config()["provider"][0], "api_key": "env:NOBODY"}
    router = make_router([item])
    assert router.providers()["key"][0] == "missing"
    assert router.set_key("openai", " sim-key\n") == "keyring:openai"
    assert ring.kept == {("hybrid_nb", "openai"): "sim-key"}
    assert router.chat("What is 6 * 7?").text == "6 * 7 = 42."
    assert router.providers()["key"][0] == "keyring:openai"
    path = router.save(tmp_path / "saved.toml")
    assert 'api_key = "keyring:openai"' in path.read_text("utf-8")
    assert "sim-key" not in path.read_text("utf-8") + router.to_toml() + repr(router) + repr(router.settings)
    with Router(path) as again:
        assert again.chat("What is 6 * 7?").text == "6 * 7 = 42."


def test_without_a_keyring_it_lasts_as_long_as_the_process(make_router, fleet, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(os, "environ", {**os.environ})
    router = make_router([{**fleet.config()["provider"][0], "api_key": "env:NOBODY"}])
    assert router.set_key("openai", "sim-key", "environment") == "env:OPENAI_API_KEY"
    assert os.environ["OPENAI_API_KEY"] == "sim-key"
    assert router.chat("What is 6 * 7?").text == "6 * 7 = 42."


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("a\nb", "line break"),
        ("“quoted”", "no key has"),
        ("", "empty"),
        ("  ", "empty"),
        ("OPENAI_API_KEY", "variable"),
    ],
)
def test_what_is_no_key_is_refused_and_nothing_changes(ring, router, key, told):
    before = router.settings
    with pytest.raises(ConfigError, match=told):
        router.set_key("openai", key)
    assert (router.settings, router.undoable, ring.kept) == (before, None, {})


def test_a_keyring_that_refuses_says_what_to_do_without_the_key(ring, router):
    ring.refuses = True
    with pytest.raises(ConfigError, match="keep it in the environment") as caught:
        router.set_key("openai", KEY)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


def test_a_key_that_is_missing_in_the_keyring_is_told(ring, make_router, fleet):
    router = make_router([{**fleet.config()["provider"][0], "api_key": "keyring:gone"}])
    assert "keyring:gone" in router.test_provider("openai")["detail"][1]


def test_exported_text_holds_no_key_and_is_the_same_configuration(make_router, tmp_path):
    places = [{"base_url": "http://127.0.0.1:1/v1", "api_key": KEY}, {"base_url": "http://127.0.0.1:2/v1"}]
    router = make_router(
        [
            {"name": "a", "type": "openai", "api_key": KEY, "models": ["m"], "prices": {"m": {"input": 0.15}}},
            {"name": "b", "type": "custom", "endpoints": places, "models": ["n"], "context": {"n": 4096}},
            {"name": "c", "type": "openai", "api_key": "env:OTHER_KEY", "models": ["m"]},
        ],
        group={"fast": ["a/m", "b/n"]},
    )
    text = router.to_toml()
    assert KEY not in text
    assert 'api_key = "env:OTHER_KEY"' in text
    (tmp_path / "export.toml").write_text(text, "utf-8")
    again = make_router(str(tmp_path / "export.toml"))
    lines = changing.differences(router.settings, again.settings)
    assert lines == ["provider 'a'.api_key: a key -> not set", "provider 'b'.endpoints: 2 addresses -> 2 addresses"]


# --- a file with mistakes -----------------------------------------------------------------------------------


def broken(written) -> Router:
    good = written()
    text = good.path.read_text("utf-8")
    good.path.write_text(text.replace("retries = 1", "retries = -1").replace('type = "ollama"', "type = ollama"))
    return Router(good.path, lenient=True)


def test_what_is_left_of_a_file_with_mistakes_works_and_the_file_stays(written):
    router = broken(written)
    before = router.path.read_text("utf-8")
    assert router.provider_names() == ["openai", "anthropic", "gemini"]
    assert router.chat("What is 6 * 7?").text == "6 * 7 = 42."
    assert [flaw.line for flaw in router.broken.flaws] == sorted(flaw.line for flaw in router.broken.flaws)
    assert before.split("\n")[router.broken.flaws[0].line - 1].startswith("retries = -1")
    router.configure(strategy="cheapest")
    with pytest.raises(ConfigError, match=r"line 3.*overwrite=True"):
        router.save()
    assert router.path.read_text("utf-8") == before


def test_what_is_left_can_be_written_and_the_old_file_is_kept(written):
    router = broken(written)
    before = router.path.read_bytes()
    router.path.with_name("team.toml.broken").write_text("an older one")
    router.save(overwrite=True)
    assert router.broken is None
    assert router.path.with_name("team.toml.broken1").read_bytes() == before
    assert router.path.with_name("team.toml.broken").read_text() == "an older one"
    assert Router(router.path).provider_names() == ["openai", "anthropic", "gemini"]
    router.save()


def test_a_file_with_only_wrong_values_keeps_its_comments(written, tmp_path):
    router = written()
    path = router.path
    path.write_text(path.read_text("utf-8").replace("retries = 1", "retries = -1"))
    router = Router(path, lenient=True)
    router.save(overwrite=True)
    assert path.read_text("utf-8").startswith("# ours\n")


def test_a_mended_text_is_written_as_it_is_and_used(written):
    router = broken(written)
    mended = router.path.read_text("utf-8").replace("type = ollama", 'type = "ollama"')
    with pytest.raises(ConfigError):
        router.mend(mended)
    assert router.broken is not None
    assert router.path.read_text("utf-8") != mended
    mended = mended.replace("retries = -1", "retries = 4")
    assert "provider 'ollama': added" in router.mend(mended)
    assert router.path.read_text("utf-8") == mended
    assert (router.broken, router.unsaved(), router.settings.router.retries) == (None, [], 4)


def test_a_text_that_somebody_else_mended_meanwhile_is_not_overwritten(written):
    router = broken(written)
    theirs = router.path.read_text("utf-8").replace("type = ollama", 'type = "ollama"').replace("-1", "2")
    router.path.write_text(theirs)
    with pytest.raises(ConfigConflictError):
        router.mend("[router]\nretries = 5\n")
    assert router.path.read_text("utf-8") == theirs
    router.reload()
    assert (router.broken, router.settings.router.retries) == (None, 2)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe[router]", b"[router]\nretries = 1\n[budget]\ndaily_usd = '\xe9'\n", b"\x00"]
)
def test_a_file_of_other_bytes_is_broken_at_its_line(tmp_path, content):
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    with Router(path, lenient=True) as router:
        assert router.broken.flaws[0].line == (4 if b"budget" in content else 1)
        assert router.settings.budget.daily_usd == (0 if b"budget" in content else 5)


def test_a_file_that_is_not_there_is_made_by_saving(tmp_path):
    with Router(tmp_path / "new.toml", lenient=True) as router:
        assert "no such file" in str(router.broken)
        router.add_provider({"name": "a", "type": "openai", "models": ["m"]})
        router.save()
        assert router.broken is None
    assert Router(tmp_path / "new.toml").provider_names() == ["a"]


def test_a_key_that_no_header_can_carry_takes_its_provider(tmp_path, monkeypatch):
    monkeypatch.setenv("BAD_KEY", "one\ntwo")
    path = tmp_path / "team.toml"
    path.write_text('[[provider]]\nname = "a"\ntype = "openai"\napi_key = "env:BAD_KEY"\n')
    with Router(path, lenient=True) as router:
        assert router.provider_names() == []
        assert (router.broken.flaws[0].line, "line break" in router.broken.flaws[0].told) == (4, True)


def test_a_mistake_of_the_environment_is_raised(written, monkeypatch):
    router = written()
    monkeypatch.setenv("HYBRID_NB_CACHE", "sometimes")
    with pytest.raises(ConfigError, match="HYBRID_NB_CACHE"):
        Router(router.path, lenient=True)


def test_the_guard_of_the_environment_holds_for_what_is_left(written, monkeypatch):
    router = broken(written)
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(router.path))
    monkeypatch.setenv("INFERENCE_MODE", "local-only")
    with Router(lenient=True) as router:
        assert router.settings.router.mode == "local-only"


@pytest.mark.parametrize("name", ["gpu box!", "", "a/b"])
def test_a_name_that_cannot_be_used_says_what_it_may_be_made_of(router, name):
    with pytest.raises(ConfigError, match=r"name.*: must be made of letters, digits and \. _ - only"):
        router.add_provider({"name": name, "type": "ollama", "models": ["m"]})


def test_a_rollout_to_half_a_target_says_how_it_is_written(router):
    with pytest.raises(ConfigError, match="must be a provider and a model with a slash between"):
        router.rollout("fast", to="openai", percent=5)
