"""Local servers are found quickly, and junk on their ports is passed over."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson
import pytest

from hybrid_nb.discovery import PATIENCE, discover
from hybrid_nb.providers import vendor, vendors
from hybrid_nb.sim import Fleet, Model, Vendor
from tests.faults.raw_server import HANG, RESET, RawServer, answer, head

Raw = Callable[..., RawServer]
TAGS = {"models": [{"name": "x:latest", "model": "x:latest", "size": 5}]}


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of a listener that never accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def on(kind: str, *ports: int) -> object:
    return replace(vendor(kind), ports=ports)


async def test_a_running_ollama_is_found_with_its_models() -> None:
    sim = Vendor("o", "ollama", (Model("simulated-a"), Model("simulated-b")), key=None)
    with Fleet([sim]) as fleet:
        (found,) = await discover([on("ollama", free_port(), fleet["o"].port)])
    assert (found.name, found.tier, found.endpoints[0].base_url) == (
        "ollama",
        "local",
        f"http://127.0.0.1:{fleet_port(found)}",
    )
    assert [info.id.removesuffix(":latest") for info in found.models] == ["simulated-a", "simulated-b"]


def fleet_port(found: object) -> str:
    return found.endpoints[0].base_url.rpartition(":")[2]  # type: ignore[attr-defined]


JUNK = {
    "html": answer(b"<html>hi</html>", 200, "text/html"),
    "404": answer(TAGS, 404),
    "500": answer(b"", 500),
    "other json": answer({"hello": 1}),
    "sign but no list": answer(b'"models"'),
    "list of odd things": answer({"models": [7]}),
    "models is a number": answer({"models": 7}),
    "binary": [b"\x00\xff" * 500],
    "ssh": [b"SSH-2.0-OpenSSH_9\r\n"],
    "nothing": [],
    "reset": [RESET],
    "says nothing": [HANG],
    "never ends": [head(200), b'{"models": [', HANG],
    "huge": [head(200), *[b" " * 2**20] * 30],
    "deep": answer(b'{"models":' + b"[" * 100_000),
    "not http": [b'{"models": []}'],
}


async def test_junk_and_hanging_servers_are_passed_over_in_time(raw: Raw, hanging: int) -> None:
    good = raw(answer(TAGS))
    bad = [raw(script) for script in JUNK.values()]
    ports = [server.port for server in bad]
    started = time.monotonic()
    found = await discover([on("ollama", hanging, *ports, free_port(), good.port), on("lmstudio", *ports)])
    seconds = time.monotonic() - started
    assert [(p.name, p.endpoints[0].base_url) for p in found] == [("ollama", f"http://127.0.0.1:{good.port}")]
    assert seconds < PATIENCE + 0.1


async def test_nobody_there_is_quick() -> None:
    started = time.monotonic()
    assert await discover([on("ollama", free_port()), on("lmstudio", free_port())]) == []
    assert time.monotonic() - started < 0.1
    assert await discover([]) == []


async def test_a_server_that_keeps_the_connection_open_is_found(raw: Raw) -> None:
    data = orjson.dumps(TAGS)
    server = raw([f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode(), data, HANG])
    started = time.monotonic()
    assert [p.name for p in await discover([on("ollama", server.port)])] == ["ollama"]
    assert time.monotonic() - started < 0.15


async def test_an_answer_in_pieces_is_put_together(raw: Raw) -> None:
    data = orjson.dumps(TAGS)
    server = raw([head(200), *[piece for at in range(0, len(data), 9) for piece in (data[at : at + 9], 0.002)]])
    assert [p.name for p in await discover([on("ollama", server.port)])] == ["ollama"]


async def test_llamacpp_is_told_from_lmstudio(raw: Raw) -> None:
    server = raw(answer({"object": "list", "data": [{"id": "x", "owned_by": "llamacpp"}]}))
    found = await discover([on("llamacpp", server.port)])
    assert [p.name for p in found] == ["llamacpp"]
    other = raw(answer({"object": "list", "data": [{"id": "x", "owned_by": "me"}]}))
    assert await discover([on("llamacpp", other.port)]) == []


LISTED = {"object": "list", "data": [{"id": "x", "object": "model", "owned_by": "organization_owner"}]}
OWN = {"models": [{"type": "llm", "key": "x", "loaded_instances": [], "max_context_length": 4096}]}
OLD = {"object": "list", "data": [{"id": "x", "type": "llm", "state": "not-loaded", "max_context_length": 4096}]}
NO_KEY = answer({"error": {"message": "An LM Studio API token is required", "code": "invalid_api_key"}}, 401)


@pytest.mark.parametrize(
    ("own", "paths"),
    [([answer(OWN)], ["/api/v1/models"]), ([answer({}, 404), answer(OLD)], ["/api/v1/models", "/api/v0/models"])],
)
async def test_lmstudio_is_told_by_its_own_list(own: list[list[bytes]], paths: list[str], raw: Raw) -> None:
    server = raw(*own, answer(LISTED))
    (found,) = await discover([on("lmstudio", server.port)])
    assert [info.id for info in found.models] == ["x"]
    assert [seen.path for seen in server.seen] == [*paths, "/v1/models"]


async def test_another_openai_server_is_not_lmstudio(raw: Raw) -> None:
    for body in (
        LISTED,
        {"object": "list", "data": [{"id": "x", "owned_by": "vllm", "max_model_len": 9}]},
        {"data": 1},
    ):
        assert await discover([on("lmstudio", raw(answer(body)).port)]) == []


async def test_a_server_that_wants_a_key_is_found_and_says_so(raw: Raw) -> None:
    (found,) = await discover([on("lmstudio", raw(NO_KEY).port)])
    assert (found.name, found.models, found.endpoints[0].key) == ("lmstudio", (), None)
    assert (found.missing_key or "").startswith("no key: set LM_STUDIO_API_KEY or LM_API_TOKEN")
    other = raw(answer(b"<html>Unauthorized</html>", 401, "text/html"))
    assert await discover([on("lmstudio", other.port)]) == []  # somebody else's
    open_one = raw(answer(OWN), answer(LISTED))
    (found,) = await discover([on("lmstudio", raw(NO_KEY).port, open_one.port)])
    assert found.missing_key is None  # one that answers goes first


async def test_a_key_that_is_set_is_used_where_one_is_wanted(raw: Raw) -> None:
    server = raw(NO_KEY, answer(OWN), answer(LISTED))
    (found,) = await discover([on("lmstudio", server.port)], environ={"LM_API_TOKEN": "planted-token"})
    assert [info.id for info in found.models] == ["x"]
    assert found.missing_key is None
    assert found.endpoints[0].key is not None
    assert found.endpoints[0].key.source == "env:LM_API_TOKEN"
    assert [seen.headers.get("authorization") for seen in server.seen] == [None, *["Bearer planted-token"] * 2]
    wrong = raw(NO_KEY)
    (found,) = await discover([on("lmstudio", wrong.port)], environ={"LM_API_TOKEN": "planted-token"})
    assert found.missing_key is not None


def test_every_local_vendor_says_where_to_look() -> None:
    local = [v for v in vendors() if v.ports]
    assert {v.type for v in local} >= {"ollama", "lmstudio", "llamacpp"}
    assert all(v.probe and v.probe_sign and v.tier == "local" for v in local)
