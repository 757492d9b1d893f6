"""A key leaves keys.py only into a request header: it is planted, and looked for everywhere else."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_nb.core.errors import ConfigError, HybridNbError
from hybrid_nb.keys import Key
from hybrid_nb.router import Router
from tests.conftest import MakeRouter
from tests.faults.raw_server import HANG, RESET, RawServer, answer, chunked, delta, events, head, said, spoken

Raw = Callable[..., RawServer]
KEY = "hunter2-PLANTED-secret"  # looks like no vendor's key, so only its value can be known
ECHO = f"your key {KEY} ({KEY.lower()}) is no good".replace(KEY.lower(), KEY)


def everything_of(error: BaseException) -> Iterator[str]:
    """All that a person or a tool may see of an error, its causes and contexts too."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop()
        seen.append(one)
        yield repr(one)
        yield str(one)
        yield repr(getattr(one, "args", ""))
        yield repr(dict(vars(one)) if hasattr(one, "__dict__") else "")
        left += [e for e in (one.__cause__, one.__context__) if e is not None and e not in seen]
    yield "".join(traceback.format_exception(error))
    if isinstance(error, HybridNbError):
        yield "".join(error._render_traceback_())


def check(texts: Iterator[str] | list[str]) -> None:
    for text in texts:
        assert KEY not in text, text


SCRIPTS: dict[str, list[Any]] = {
    "401": answer({"error": {"message": ECHO, "code": "invalid_api_key", "details": [ECHO]}}, 401),
    "401 text": answer(ECHO.encode(), 401, "text/plain"),
    "403 html": answer(f"<html><p>{ECHO}</p></html>".encode(), 403, "text/html"),
    "500": answer({"detail": [{"msg": ECHO}]}, 500),
    "429": answer({"error": ECHO}, 429),
    "200 text": answer(ECHO.encode(), 200, "text/plain"),
    "200 html": answer(f"<html><p>{ECHO}</p></html>".encode(), 200, "text/html"),
    "200 json": answer([ECHO]),
    "200 no answer": answer({"choices": [{"message": ECHO}]}),
    "200 error": answer({"error": {"message": ECHO}}),
    "200 broken json": answer(f'{{"{ECHO}": '.encode()),
    "stream error": chunked(*events(delta("a"), {"error": {"message": ECHO}})),
    "stream broken": chunked(*events(f'{{"{ECHO}"'.encode())),
    "stream odd": chunked(*events({"choices": [{"delta": {"tool_calls": [ECHO]}}]})),
    "stream no events": chunked(ECHO.encode() + b"\n\n"),
    "no http": [ECHO.encode() + b"\r\n\r\n"],
    "bad header": [f"HTTP/1.1 200 OK\r\nX {ECHO}\r\n\r\n".encode()],
    "bad length": [f"HTTP/1.1 200 OK\r\nContent-Length: {ECHO}\r\n\r\n".encode()],
    "redirect": [head(302, "text/plain", f"Location: http://127.0.0.1:1/{KEY}", "Content-Length: 0")],
    "reset": [RESET],
    "cut": chunked(*events(delta("a")), end=False),
    "timeout": [HANG],
}


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "aiohttp.client", "httpx2", "httpcore", "asyncio", "hybrid_nb"):
        caplog.set_level(logging.DEBUG, name)
    yield
    check([f"{record.getMessage()} {record.args} {record.exc_text} {vars(record)}" for record in caplog.records])


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("kind", ["custom", "anthropic", "gemini", "ollama"])
def test_no_error_ledger_or_frame_holds_it(
    name: str, kind: str, raw: Raw, make_router: MakeRouter, tmp_path: Path
) -> None:
    server = raw(SCRIPTS[name])
    config = {"name": "a", "type": kind, "base_url": server.url, "models": ["m"], "api_key": KEY}
    router = make_router([config], retries=0, ttft_timeout=0.05)
    raised = 0
    for ask in (
        lambda: router.chat("hi", timeout=0.3 if name != "timeout" else 0.05),
        lambda: router.stream("hi").reply,
    ):
        try:
            ask()
        except Exception as error:
            raised += 1
            check(everything_of(error))
            if isinstance(error, HybridNbError):
                check([repr(getattr(error, "attempts", "")), str(getattr(error, "route", ""))])
    assert raised
    assert any(KEY in value for value in server.seen[0].headers.values())  # it did reach its header
    frames = [router.calls(), router.attempts(), router.health(check=False), router.providers(), router.models()]
    if name != "timeout":
        frames += [router.health(), router.test_provider("a")]
    check([frame.to_csv() + repr(frame) for frame in frames])
    check([path.read_bytes().decode("latin-1") for path in tmp_path.glob("ledger.db*")])


def test_no_repr_or_copy_holds_it(raw: Raw, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    server = raw(answer({"data": []}), answer(said("hi")), spoken("hi"))
    base = {"type": "custom", "base_url": server.url, "models": ["m"]}
    endpoint = {"base_url": server.url, "api_key": KEY}
    router = make_router(
        [
            {**base, "name": "a", "api_key": KEY},
            {**base, "name": "b", "api_key": "env:PLANTED"},
            {"name": "c", "type": "custom", "endpoints": [endpoint]},
        ]
    )
    reply, stream = router.chat("hi"), router.stream("hi")
    comparison = router.compare("hi", ["a/m", "b/m"])
    things: list[Any] = [
        router, router._state, router._state.settings, router._state.settings.provider, router._state.providers,
        router._engine, router._transport, reply, reply.route, stream, stream.reply, comparison, comparison.sides,
        router.plan("hi"), *router._state.providers.values(), router._state.catalogue.options,
    ]  # fmt: skip
    check([text for thing in things for text in (repr(thing), str(thing))])
    check([reply._repr_markdown_(), comparison._repr_html_(), comparison.frame.to_csv(), router.providers().to_csv()])
    assert list(router.providers()["key"]) == ["config", "env:PLANTED", "config"]
    check([pickle.dumps(one).decode("latin-1") for one in (reply, reply.route, comparison.frame)])
    for provider in router._state.providers.values():
        for copying in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                copying(provider)


def test_a_key_shows_its_source_only() -> None:
    key = Key(KEY, "env:X")
    check([repr(key), str(key), f"{key}", f"{key!r:>5}", repr([key]), repr({key: key})])
    assert repr(key) == "<key from env:X>"
    assert not hasattr(key, "__dict__")


def test_a_saved_file_refers_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("CUSTOM_ENDPOINTS", "http://127.0.0.1:9/v1,http://127.0.0.1:8/v1")
    monkeypatch.setenv("CUSTOM_API_KEYS", f"{KEY},{KEY}2")
    monkeypatch.setenv("CUSTOM_MODELS", "m,n")
    monkeypatch.setenv("INFERENCE_MODE", "cloud-only")
    with Router() as router:
        text = router.save(tmp_path / "saved.toml").read_text()
        with Router(tmp_path / "saved.toml") as again:
            assert again._state.providers.keys() == router._state.providers.keys()
            assert [e.key for p in again._state.providers.values() for e in p.endpoints] == [
                e.key for p in router._state.providers.values() for e in p.endpoints
            ]
    check([text])
    assert 'api_key = "env:OPENAI_API_KEY"' in text


BAD: list[dict[str, Any]] = [
    {"api_key": [KEY]},
    {"api_key": {"x": KEY}},
    {"api_kee": KEY},
    {"api_key": KEY, "tier": "clowd"},
    {"api_key": KEY, "base_url": "ftp://x"},
    {"api_key": KEY, "name": "a b"},
    {"api_key": KEY, "type": "nothing"},
    {"endpoints": [{"base_url": "http://x", "api_key": [KEY]}]},
    {"endpoints": [{"base_url": "http://x", "api_key": KEY, "more": 1}]},
    {"endpoints": KEY},
]


@pytest.mark.parametrize("wrong", BAD)
def test_no_configuration_error_holds_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Router({"provider": [{"name": "a", "type": "custom", "base_url": "http://127.0.0.1:9", **wrong}]})
    check(everything_of(caught.value))


def test_a_broken_file_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(f'[[provider]]\nname = "a"\napi_key = "{KEY}\n')
    with pytest.raises(ConfigError, match="line 3") as caught:
        Router(path)
    check([str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value))])
