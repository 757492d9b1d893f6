# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""From files, dicts and variables to a router: what is meant, and what is said about mistakes."""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_nb.core.config import read_file, validate
from hybrid_nb.core.errors import AuthenticationError, ConfigError
from hybrid_nb.core.saving import save
from hybrid_nb.discovery import discover
from hybrid_nb.providers import vendor
from hybrid_nb.router import Router, make_state
from hybrid_nb.setup import build, check, host_url
from hybrid_nb.sim import Fleet
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import RawServer, answer, said

Raw = Callable[..., RawServer]
A = {"name": "a", "type": "custom", "base_url": "http://127.0.0.1:9", "models": ["m"]}


# --- mistakes ---------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"providr": []}, ("providr", "no such key", "did you mean 'provider'")),
    ({"router": {"retrys": 1}}, ("router.retrys", "did you mean 'retries'")),
    ({"budget": {"daily": 1}}, ("budget.daily", "daily_usd")),
    ({"ledger": {"uri": "x"}}, ("ledger.uri", "url")),
    ({"cache": {"mod": "off"}}, ("cache.mod", "mode")),
    ({"cache": {"mode": "maybe"}}, ("cache.mode", "'off'")),
    ({"provider": [{**A, "modles": ["m"]}]}, ("provider[0].modles (a)", "did you mean 'models'")),
    ({"provider": [A, {**A, "name": "b", "prices": {"m": {"inptu": 1}}}]}, ("provider[1].prices.m.inptu (b)", "did you mean 'input'")),
    ({"provider": [{**A, "endpoints": [{"base_ulr": "x"}]}]}, ("provider[0].endpoints[0].base_ulr (a)", "did you mean 'base_url'")),
    ({"provider": [{**A, "priority": "high"}]}, ("provider[0].priority (a)", "integer")),
    ({"provider": [{**A, "prices": {"m": {"input": -1}}}]}, ("provider[0].prices.m.input (a)", "greater than or equal to 0")),
    ({"provider": [{**A, "tier": "clowd"}]}, ("provider[0].tier (a)", "'cloud'")),
    ({"provider": [{**A, "base_url": "localhost:1"}]}, ("provider[0].base_url (a)", "http://")),
    ({"provider": [{**A, "endpoints": [{"base_url": "localhost:1"}]}]}, ("provider[0].endpoints[0].base_url (a)", "http://")),
    ({"provider": [{**A, "name": "a/b"}]}, ("provider[0].name",)),
    ({"provider": [{"type": "openai"}]}, ("provider[0].name", "required")),
    ({"provider": [{"name": "a"}]}, ("provider[0].type (a)", "required")),
    ({"provider": [{**A, "type": "opnai"}]}, ("provider[0] (a).type", "did you mean 'openai'")),
    ({"provider": [{**A, "type": "zzzz"}]}, ("one of: anthropic, custom",)),
    ({"provider": [A, A]}, ("provider[1] (a)", "used twice")),
    ({"provider": [{"name": "a", "type": "custom"}]}, ("provider[0] (a)", "set base_url or endpoints")),
    ({"provider": "a"}, ("provider",)),
    ({"provider": [5]}, ("provider[0]",)),
    ({"provider": {"name": "a"}}, ("provider",)),
    ({"router": 5}, ("router",)),
    ({"router": {"timeout": 0}}, ("router.timeout", "greater than 0")),
    ({"router": {"timeout": "long"}}, ("router.timeout", "number")),
    ({"router": {"mode": "local"}}, ("router.mode", "'local-only'")),
    ({"router": {"strategy": "best"}}, ("router.strategy", "'tiered'")),
    ({"provider": [A], "group": {"g": ["b/m"]}}, ("group.g", "no provider 'b'", "did you mean a")),
    ({"provider": [A], "group": {"g": "a/m"}}, ("group.g",)),
    ({"ledger": {"url": "mysql://x"}}, ("ledger.url", "sqlite:///")),
    ({"provider": {"name": "a"}}, ("provider", "write [[provider]], with two brackets")),
    ({"provider": [{**A, "models": "gpt"}]}, ("provider[0].models (a)", 'must be a list such as ["gpt"]')),
    ({"provider": [A], "group": {"g": "a/m"}}, ("group.g", 'must be a list such as ["a/m"]')),
    ({"provider": [{**A, "endpoints": {"base_url": "http://x"}}]}, ("write [[provider.endpoints]]",)),
    ({"router": 5}, ("router: must be a table",)),
    ({"provider": [{**A, "base_url": "http://127.0.0.1:70000/v1"}]}, ("provider[0].base_url (a)", "host and port")),
    ({"provider": [{**A, "base_url": "http://127.0.0.1:0"}]}, ("port between 1 and 65535",)),
    ({"provider": [{**A, "base_url": "http://[::1"}]}, ("provider[0].base_url (a)", "host and port")),
    ({"provider": [{**A, "base_url": "http:///v1"}]}, ("a host after its //",)),
    ({"provider": [{**A, "base_url": "http://x/v1?key=planted"}]}, ("before any ? or #", "api_key")),
    ({"provider": [{**A, "base_url": "http://x/v1#planted"}]}, ("before any ? or #",)),
    ({"provider": [{**A, "base_url": "http://me:planted@x/v1"}]}, ("no user name", "api_key")),
    ({"provider": [{**A, "base_url": "http://me:pla#nted@x/v1"}]}, ("host and port",)),
    ({"provider": [{**A, "base_url": "http://x y/v1"}]}, ("no spaces",)),
    ({"provider": [{**A, "endpoints": [{"base_url": "10.0.0.5:8000"}]}]}, ("provider[0].endpoints[0].base_url (a)", "http://")),
    ({"provider": [A], "router": {"default_model": "fast"}}, ("router.default_model", "no model 'fast'", "(one of: m)")),
    ({"provider": [A], "group": {"fast": ["m"]}, "router": {"default_model": "fats"}}, ("router.default_model", "did you mean 'fast'")),
    ({"provider": [A], "router": {"default_model": "aa/m"}}, ("router.default_model", "no provider 'aa'", "did you mean 'a'")),
    ({"provider": [A], "group": {"fast": []}}, ("group.fast", "empty", "provider/model")),
    ({"provider": [A], "group": {"fast": ["fast"]}}, ("group.fast", "contains itself", "provider/model")),
    ({"provider": [A], "group": {"fast": ["m"], "all": ["a/m", "fast"]}}, ("group.all", "'fast' is a group")),
    ({"provider": [A], "group": {"fast": ["n"]}}, ("group.fast", "no model 'n'", "(one of: m)")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "signs"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(
    data: dict[str, Any], signs: tuple[str, ...], tmp_path: Path
) -> None:
    import tomlkit

    path = tmp_path / "team.toml"
    path.write_text(tomlkit.dumps(data))
    for config, source in ((data, "the configuration"), (path, str(path))):
        with pytest.raises(ConfigError) as caught:
            Router(config)
        message = str(caught.value).replace("(one of: ", "did you mean ")
        assert message.startswith(f"{source}: ")
        for sign in signs:
            assert sign in message or sign in str(caught.value), message
        assert "pydantic" not in str(caught.value)
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        {"provider": [A], "router": {"default_model": "a/unlisted"}},
        {"provider": [{**A, "models": ["Llama-3.1-8B-Instruct"]}], "router": {"default_model": "llama3.1:8b"}},
        {"provider": [{**A, "models": ["meta-llama/Llama-3.1-8B"]}], "group": {"g": ["meta-llama/Llama-3.1-8B"]}},
        {"provider": [A, {"name": "b", "type": "ollama"}], "router": {"default_model": "anything"}, "group": {"g": ["x"]}},
        {"router": {"default_model": "lmstudio/x", "discover": True}},
        {"router": {"default_model": "other"}, "group": {"g": ["b/x"]}, "cache": {"mode": "replay"}},
        {"provider": [{**A, "base_url": "HTTP://Box:9/V1"}]},
    ],
)  # fmt: skip
def test_what_may_be_right_is_taken(data: dict[str, Any]) -> None:
    check(validate(data, "x"), "x")


def test_a_scheme_may_be_in_capitals(make_router: MakeRouter) -> None:
    router = make_router([{**A, "base_url": " HTTP://127.0.0.1:9/V1 "}])
    assert router.providers()["base_url"].iloc[0] == "http://127.0.0.1:9/V1"


def test_a_found_server_may_be_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with from_environment(monkeypatch, INFERENCE_MODEL="lmstudio/x", GROQ_API_KEY="k") as router:
        assert router._state.settings.router.default_model == "lmstudio/x"


def test_a_default_from_a_variable_is_told_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(named(tmp_path / "x.toml", "a")))
    with pytest.raises(ConfigError, match=r"INFERENCE_MODEL \(router.default_model\): no provider 'b'"):
        from_environment(monkeypatch, INFERENCE_MODEL="b/m")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FILE.encode())
    with Router(path) as router:
        assert router.provider_names() == ["a", "b"]
        router.save()
    assert path.read_text("utf-8") == FILE


# --- keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "sign"),
    [
        ("sk-planted\nsecond", "a line break"),
        ("sk-planted\0x", "a control character"),
        ("sk-planted\x7fx", "a control character"),
        ("sk-planted\tx", "a control character"),
        ("sk\u2013planted", "a character that no key has"),
    ],
)
def test_a_key_that_no_header_can_carry(
    key: str, sign: str, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [([{**A, "api_key": key}], "config")]
    configs += [([{**A, "endpoints": [{"base_url": "http://127.0.0.1:9", "api_key": key}]}], "config")]
    if "\0" not in key:  # which no variable can hold
        monkeypatch.setenv("PLANTED", key)
        configs += [([{**A, "api_key": "env:PLANTED"}], "env:PLANTED")]
    for config, source in configs:
        with pytest.raises(ConfigError, match=rf"provider 'a': the key from {source} contains {sign}") as caught:
            make_router(config)
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize("key", ["OPENAI_API_KEY", "$OPENAI_API_KEY", "${OPENAI_API_KEY}"])
def test_the_name_of_a_variable_is_no_key(key: str, make_router: MakeRouter) -> None:
    with pytest.raises(ConfigError, match='write "env:OPENAI_API_KEY"'):
        make_router([{**A, "api_key": key}])


def test_what_looks_like_a_name_and_may_be_a_key(make_router: MakeRouter) -> None:
    assert make_router([{**A, "api_key": "EMPTY"}]).providers()["key"].iloc[0] == "config"  # as vLLM's users write
    with pytest.raises(ConfigError, match='write "env:NAME"') as caught:
        make_router([{**A, "api_key": "A1B2_C3D4"}])
    assert "A1B2" not in str(caught.value)


def test_a_missing_key_is_told_by_the_variable_that_was_named(make_router: MakeRouter) -> None:
    router = make_router([{"name": "a", "type": "openai", "api_key": "env:NOPE", "models": ["m"]}])
    with pytest.raises(AuthenticationError, match=r"set NOPE, which provider 'a' names") as caught:
        router.chat("hi")
    assert "OPENAI_API_KEY" not in str(caught.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Router({"router": {"retrys": 1, "timeout": -1}, "provider": [{**A, "tier": "x"}]})
    assert all(sign in str(caught.value) for sign in ("router.retrys", "router.timeout", "provider[0].tier"))


@pytest.mark.parametrize(
    ("text", "signs"),
    [("[router\n", ("line 1",)), ("a = 1\na = 2\n", ("line 2",)), ("x = \n", ("line 1",)), (b"\xff\xfe", ("not valid TOML",))],
)  # fmt: skip
def test_a_file_that_is_no_toml(text: str | bytes, signs: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        Router(path)
    assert all(sign in str(caught.value) for sign in (str(path), "not valid TOML", *signs))


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file"):
        Router(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        Router(tmp_path)
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(ConfigError, match=r"HYBRID_NB_CONFIG names .*gone\.toml"):
        Router()


# --- which configuration counts -----------------------------------------------------------------------------------


def named(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'[[provider]]\nname = "{name}"\ntype = "custom"\nbase_url = "http://127.0.0.1:9"\nmodels = ["m"]\n'
    )
    return path


def providers() -> list[str]:
    with Router() as router:
        return list(router._state.providers)


def test_variable_then_folder_then_user_then_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("GROQ_API_KEY", "k")
    assert "groq" in providers()
    named(tmp_path / "xdg-config" / "hybrid_nb" / "config.toml", "user")
    assert providers() == ["user"]
    named(work / "hybrid_nb.toml", "folder")
    assert providers() == ["folder"]
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(named(tmp_path / "x.toml", "variable")))
    assert providers() == ["variable"]
    with Router(named(tmp_path / "y.toml", "given")) as router:
        assert list(router._state.providers) == ["given"]


def test_a_file_goes_before_the_routers_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = named(tmp_path / "x.toml", "a")
    path.write_text("[router]\nretries = 7\n\n" + path.read_text())
    monkeypatch.setenv("HYBRID_NB_CONFIG", str(path))
    monkeypatch.setenv("MAX_RETRIES", "3")
    monkeypatch.setenv("RETRY_DELAY", "0.25")
    with Router() as router:
        assert (router._state.conduct.retries, router._state.conduct.retry_delay) == (7, 0.25)
    with Router(path) as router:  # a file that was named is taken as it is
        assert router._state.conduct.retry_delay == 0.5
    path.write_text('router = "x"\n')
    with pytest.raises(ConfigError, match="router"):
        Router()


# --- the environment ----------------------------------------------------------------------------------------------


def from_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Router:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Router()


@pytest.mark.parametrize(
    ("variables", "kind", "url", "source"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai", "https://api.openai.com/v1", "env:OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "k", "OPENAI_API_ENDPOINT": "http://127.0.0.1:9/v1"}, "openai", "http://127.0.0.1:9/v1", "env:OPENAI_API_KEY"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_ENDPOINT": "http://127.0.0.1:9"}, "anthropic", "http://127.0.0.1:9", "env:ANTHROPIC_API_KEY"),
        ({"GOOGLE_API_KEY": "k"}, "gemini", "https://generativelanguage.googleapis.com/v1beta", "env:GOOGLE_API_KEY"),
        ({"GEMINI_API_KEY": "k", "GEMINI_ENDPOINT": "http://127.0.0.1:9"}, "gemini", "http://127.0.0.1:9", "env:GEMINI_API_KEY"),
        ({"GROQ_API_KEY": "k"}, "groq", "https://api.groq.com/openai/v1", "env:GROQ_API_KEY"),
        ({"MISTRAL_API_KEY": "k"}, "mistral", "https://api.mistral.ai/v1", "env:MISTRAL_API_KEY"),
        ({"OLLAMA_BASE_URL": "http://127.0.0.1:9"}, "ollama", "http://127.0.0.1:9", "not needed"),
        ({"LM_STUDIO_API_BASE": "http://127.0.0.1:9/v1"}, "lmstudio", "http://127.0.0.1:9/v1", "not needed"),
    ],
)  # fmt: skip
def test_vendors_variables(
    variables: dict[str, str], kind: str, url: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with from_environment(monkeypatch, **variables) as router:
        row = router.providers().set_index("provider").loc[kind]
        assert (row["base_url"], row["key"]) == (url, source)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with from_environment(monkeypatch, OPENAI_API_KEY="", GROQ_API_KEY="k") as router:
        assert "openai" not in router._state.providers


def test_the_routers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with from_environment(
        monkeypatch, GROQ_API_KEY="k", MAX_RETRIES="4", RETRY_DELAY="0.1", ENDPOINT_TIMEOUT="9", FALLBACK_ENABLED="false",
        INFERENCE_MODEL="groq/x", INFERENCE_MODE="cloud-only", CIRCUIT_BREAKER_THRESHOLD="3", HEALTH_CHECK_INTERVAL="7",
        RATE_LIMIT_PER_MINUTE="12",
    ) as router:  # fmt: skip
        conduct, found = router._state.conduct, router._state.settings.router
        assert (conduct.retries, conduct.retry_delay, conduct.failover, conduct.timing.total) == (4, 0.1, False, 9)
        assert (found.default_model, found.mode, found.breaker_threshold, found.health_interval) == (
            "groq/x",
            "cloud-only",
            3,
            7,
        )
        assert router._state.providers["groq"].rpm == 12
        assert str(router.plan("hi").chosen) == "groq/x"


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="MAX_RETRIES"):
        from_environment(monkeypatch, MAX_RETRIES="many")
    monkeypatch.delenv("MAX_RETRIES")
    for name, value in (
        ("RATE_LIMIT_PER_MINUTE", "many"),
        ("CUSTOM_ENDPOINTS", "foo"),
        ("OPENAI_BASE_URL", "box:99999"),
    ):
        with monkeypatch.context() as patch, pytest.raises(ConfigError, match=name):
            from_environment(patch, **{name: value})


@pytest.mark.parametrize(
    ("keys", "models", "expected"),
    [
        ("", "", [(None, ()), (None, ())]),
        ("k1", "", [("k1", ()), ("k1", ())]),
        ("k1,k2", "m,n", [("k1", ("m",)), ("k2", ("n",))]),
        ("k1, k2", "m", [("k1", ("m",)), ("k2", ("m",))]),
        (",k2", "", [(None, ()), ("k2", ())]),
        ("k1,", "", [("k1", ()), (None, ())]),
    ],
)
def test_custom_endpoints(
    keys: str,
    models: str,
    expected: list[tuple[str | None, tuple[str, ...]]],
    raw: Raw,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = [raw(answer(said(f"{n}"))) for n in range(2)]
    with from_environment(
        monkeypatch, CUSTOM_ENDPOINTS=f"{servers[0].url}, {servers[1].url}", CUSTOM_API_KEYS=keys, CUSTOM_MODELS=models
    ) as router:
        endpoints = router._state.providers["custom"].endpoints
        assert [e.base_url for e in endpoints] == [server.url for server in servers]
        assert [e.models for e in endpoints] == [models for _, models in expected]
        for server, (_, own) in zip(servers, expected, strict=True):
            server.seen.clear()
            if own:
                router.chat("hi", model=f"custom/{own[0]}")
        for server, (key, own) in zip(servers, expected, strict=True):
            if own and server.seen:
                assert server.seen[0].headers.get("authorization") == (f"Bearer {key}" if key else None)
        from hybrid_nb.keys import Key

        assert [e.key for e in endpoints] == [Key(key, "x") if key else None for key, _ in expected]


def test_custom_lists_of_different_length(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="CUSTOM_MODELS has 3 entries, CUSTOM_ENDPOINTS 2"):
        from_environment(monkeypatch, CUSTOM_ENDPOINTS="http://127.0.0.1:9,http://127.0.0.1:8", CUSTOM_MODELS="a,b,c")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("box:9", "http://box:9"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        ("http://box:9/", "http://box:9"),
        ("https://ollama.com", "https://ollama.com"),
        ("http://box", "http://box:11434"),
        (" box ", "http://box:11434"),
        (":9", "http://127.0.0.1:9"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:9", "http://[::1]:9"),
        ("::1", "http://[::1]:11434"),
        ("http://box/ollama", "http://box/ollama"),
    ],
)
def test_the_forms_of_ollama_host(text: str, url: str) -> None:
    assert host_url(text, 11434) == url


# --- saving ---------------------------------------------------------------------------------------------------------

FILE = """\
# the team's file
[router]
retries = 1  # few

# the good one
[[provider]]
name = "a"  # short
type = "custom"
base_url = "http://127.0.0.1:9"
models = ["m"]
[provider.prices.m]
input = 0.15
output = 0.6

# the other
[[provider]]
name = "b"
type = "custom"
base_url = "http://127.0.0.1:8"
api_key = "env:B_KEY"
models = ["n"]

[group]
fast = ["a/m"]
"""


def test_saving_what_was_read_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    path.write_text(FILE)
    with Router(path) as router:
        assert router.save() == path
    assert path.read_text() == FILE


def test_saving_keeps_comments_and_order_around_a_change(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    path.write_text(FILE)
    with Router(path) as router:
        router.configure(retries=5)
        router.update_provider("a", priority=3)
        router.add_provider({**A, "name": "c"})
        router.remove_provider("b")
        router.save()
    text = path.read_text()
    for kept in ("# the team's file", "retries = 5  # few", "# the good one", 'name = "a"  # short', "input = 0.15"):
        assert kept in text
    data = tomllib.loads(text)
    assert [(p["name"], p.get("priority")) for p in data["provider"]] == [("a", 3), ("c", None)]
    with Router(path) as again:
        assert list(again._state.providers) == ["a", "c"]
        assert again._state.settings == router._state.settings


def test_saving_leaves_out_what_the_environment_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hybrid_nb.toml"
    path.write_text('[router]\nstrategy = "priority"\n\n[cache]\nmode = "on"\n')
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "MAX_RETRIES": "7", "INFERENCE_STRATEGY": "cheapest", "ENDPOINT_TIMEOUT": "50", "HYBRID_NB_CACHE": "record",
        "HYBRID_NB_CASSETTE": "c.jsonl",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with Router() as router:
        assert (router._state.settings.router.retries, router._state.settings.cache.mode) == (7, "record")
        assert router._state.settings.router.strategy == "priority"
        router.configure(timeout=60, retry_delay=0.25)
        router.save()
    assert tomllib.loads(path.read_text()) == {
        "router": {"strategy": "priority", "timeout": 60.0, "retry_delay": 0.25},
        "cache": {"mode": "on"},
    }
    path.unlink()
    with Router() as router:
        router.save(tmp_path / "other.toml")
    assert tomllib.loads((tmp_path / "other.toml").read_text()) == {}


def test_a_found_server_that_is_then_configured_is_one(make_router: MakeRouter, raw: Raw) -> None:
    server = raw(answer({"error": {"message": "An API token is required"}}, 401))
    found = asyncio.run(discover([replace(vendor("lmstudio"), ports=(server.port,))]))
    with make_router({}) as router:
        router._state = make_state(router._state.settings, found)
        row = router.providers().iloc[0]
        assert (row["provider"], row["key"]) == ("lmstudio", "missing")
        assert router.health()["status"][0] == "no key"
        told = router.test_provider("lmstudio")["detail"][1]
        assert told.startswith("no key: set LM_STUDIO_API_KEY or LM_API_TOKEN")
        router.add_provider({"name": "lmstudio", "type": "lmstudio", "api_key": "k", "models": ["m"]})
        assert list(router.providers()["key"]) == ["config"]


def test_saving_from_a_dict_goes_to_the_users_file(tmp_path: Path, make_router: MakeRouter) -> None:
    router = make_router([A], retries=4)
    assert router.save() == tmp_path / "xdg-config" / "hybrid_nb" / "config.toml"
    with Router() as again:
        assert again._state.settings == router._state.settings
    assert router.save(tmp_path / "x.toml").stat().st_mode & 0o077 == 0


def test_saving_over_what_is_no_toml_or_no_place_is_a_config_error(tmp_path: Path, make_router: MakeRouter) -> None:
    router = make_router([A])
    (tmp_path / "bad.toml").write_text("[[[")
    (tmp_path / "inline.toml").write_text('provider = [{name = "a", type = "custom"}]\n')
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        router.save(tmp_path / "bad.toml")
    assert (tmp_path / "bad.toml").read_text() == "[[["
    with pytest.raises(ConfigError, match="cannot be written"):
        router.save(tmp_path / "bad.toml" / "x.toml")
    router.save(tmp_path / "inline.toml")
    with Router(tmp_path / "inline.toml") as again:
        assert list(again._state.providers) == ["a"]
    assert list(tmp_path.glob("*.tmp")) == []


NAMES = st.text("abcxyz_.-", min_size=1, max_size=6)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)


@settings(derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": NAMES, "type": st.just("custom"), "base_url": st.just("http://127.0.0.1:9"), "models": st.lists(TEXTS, min_size=1, max_size=3)},
            optional={"priority": st.integers(-5, 5), "enabled": st.booleans(), "api_key": TEXTS, "prices": st.dictionaries(TEXTS, st.fixed_dictionaries({"input": st.integers(0, 9)}), max_size=2)},
        ),
        max_size=3,
        unique_by=lambda item: item["name"],
    ),
    st.dictionaries(NAMES, st.lists(st.just("m"), max_size=2), max_size=2),
)  # fmt: skip
def test_any_configuration_survives_a_save(
    tmp_path: Path, given_providers: list[dict[str, Any]], groups: dict[str, list[str]]
) -> None:
    path = tmp_path / "any.toml"
    path.unlink(missing_ok=True)
    one = validate({"provider": given_providers, "group": groups}, "x")
    assert validate(read_file(save(one, path)), "y") == one
    first = path.read_text()
    save(one, path)
    assert path.read_text() == first


# --- at run time ----------------------------------------------------------------------------------------------------


def test_providers_come_go_and_change(raw: Raw, make_router: MakeRouter) -> None:
    one, two = raw(answer(said("one"))), raw(answer(said("two")))
    router = make_router([at(one)])
    router.add_provider(at(two, "b", priority=0))
    assert router.chat("hi").text == "two"
    router.update_provider("b", enabled=False)
    assert router.chat("hi").text == "one"
    router.update_provider("a", base_url=two.url)
    assert router.chat("hi").text == "two"
    router.remove_provider("a")
    assert list(router._state.providers) == ["b"]


def test_a_change_that_is_wrong_changes_nothing(make_router: MakeRouter) -> None:
    router = make_router([A], group={"g": ["a/m"]})
    before = router._state
    for wrong, sign in (
        (lambda: router.configure(retrys=1), "did you mean 'retries'"),
        (lambda: router.configure(timeout=-1), "router.timeout"),
        (lambda: router.add_provider(A), "used twice"),
        (lambda: router.add_provider({"name": "x", "type": "opnai"}), "did you mean 'openai'"),
        (lambda: router.update_provider("b", priority=1), "no provider 'b' (did you mean|one of)"),
        (lambda: router.update_provider("a", priorty=1), "did you mean 'priority'"),
        (lambda: router.remove_provider("aa"), "did you mean 'a'"),
        (lambda: router.remove_provider("a"), "group.g"),
        (lambda: router.test_provider("aa"), "did you mean 'a'"),
    ):
        with pytest.raises(ConfigError) as caught:
            wrong()
        assert any(part in str(caught.value) for part in sign.replace("(", "").replace(")", "").split("|")), (
            caught.value
        )
        assert router._state is before


def test_the_mode_and_default_can_be_changed_and_taken_back(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet)
    router.configure(default_model="gemini/simulated-gemini")
    assert router.chat("hi").provider == "gemini"
    router.configure(default_model=None)
    assert router.chat("hi").provider == "openai"
    router.configure(mode="local-only")
    assert router.plan("hi").chosen is None


def test_the_default_router(monkeypatch: pytest.MonkeyPatch, make_router: MakeRouter) -> None:
    import hybrid_nb as hnb

    router = make_router([A])
    hnb.set_default_router(router)
    assert hnb.default_router() is router
    router.close()
    monkeypatch.setenv("GROQ_API_KEY", "k")
    fresh = hnb.default_router()
    assert fresh is not router
    assert hnb.default_router() is fresh
    fresh.close()


# --- how many calls a local server runs at once ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "variable", "count"),
    [
        ({"type": "ollama"}, None, 1),
        ({"type": "ollama"}, "3", 3),
        ({"type": "ollama"}, "many", 1),
        ({"type": "ollama", "max_concurrency": 8}, "3", 8),
        ({"type": "ollama", "tier": "edge"}, "3", 1),  # the variable is of this machine's server
        ({"type": "ollama", "tier": "cloud"}, "3", None),
        ({"type": "lmstudio"}, None, 4),
        ({"type": "llamacpp"}, None, None),  # it tells by itself, once it is there
        ({"type": "openai", "api_key": "sk-x"}, None, None),
    ],
)
def test_local_servers_get_as_many_calls_as_they_run_at_once(
    settings: dict[str, Any], variable: str | None, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("OLLAMA_NUM_PARALLEL", variable)
    item = validate({"provider": [{"name": "a", "models": ["m"], **settings}]}, "test").provider[0]
    assert build(item, os.environ).max_concurrency == count
