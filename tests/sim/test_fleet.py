"""The servers on the wire: times, faults, failures of the machine, logs, configuration."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from hybrid_nb.sim import FAULT_KINDS, Fault, Fleet, Handle, Model, RequestLog, Vendor, default_vendors

from .conftest import WIRES

PROMPT = "Tell me about tidal energy."
HEADERS = {
    "openai": {"Authorization": "Bearer sim-key"},
    "anthropic": {"x-api-key": "sim-key", "anthropic-version": "2023-06-01"},
    "gemini": {"x-goog-api-key": "sim-key"},
    "ollama": {"Authorization": "Bearer sim-key"},
}


@dataclass(frozen=True)
class Reply:
    """What came back; ``whole`` is false when the connection broke first."""

    status: int
    headers: dict[str, str]
    raw: bytes
    whole: bool = True

    @property
    def text(self) -> str:
        return self.raw.decode()


def request_of(wire: str, stream: bool, prompt: str = PROMPT) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": prompt}]
    body: dict[str, Any] = {"model": f"simulated-{wire}", "messages": messages, "stream": stream}
    if wire == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        contents = [{"role": "user", "parts": [{"text": prompt}]}]
        return f"/v1beta/models/simulated-gemini:{method}", {"contents": contents}
    if wire == "anthropic":
        return "/v1/messages", {**body, "max_tokens": 1000}
    if wire == "openai":
        return "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}} if stream else body
    return "/api/chat", body


def post(handle: Handle, stream: bool = True, prompt: str = PROMPT, extra: dict[str, str] | None = None) -> Reply:
    wire = handle.vendor.wire
    path, body = request_of(wire, stream, prompt)
    return exchange(handle, "POST", path, json.dumps(body), {**HEADERS[wire], **(extra or {})})


def exchange(handle: Handle, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", handle.port, timeout=5)
    try:
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        shown = {name.lower(): value for name, value in response.getheaders()}
        try:
            return Reply(response.status, shown, response.read())
        except http.client.IncompleteRead as broken:
            return Reply(response.status, shown, broken.partial, whole=False)
    finally:
        connection.close()


def open_chat(handle: Handle, stream: bool = True) -> socket.socket:
    """A request on a raw socket whose answer nobody has read yet."""
    wire = handle.vendor.wire
    path, body = request_of(wire, stream)
    raw = json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(raw)}"]
    head += [f"{name}: {value}" for name, value in HEADERS[wire].items()]
    client = socket.create_connection(("127.0.0.1", handle.port), timeout=5)
    client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + raw)
    return client


def until(check: Callable[[], bool], seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.005)
    return check()


def last(handle: Handle) -> RequestLog:
    assert until(lambda: bool(handle.requests) and handle.requests[-1].ended is not None)
    return handle.requests[-1]


def said(wire: str, reply: Reply) -> str:
    """The text of a streamed answer, read without any care."""
    lines = [line.removeprefix("data:").strip() for line in reply.text.split("\n") if line.startswith(("data:", "{"))]
    return "".join(_delta(wire, json.loads(line)) for line in lines if line and line != "[DONE]")


def _delta(wire: str, value: dict[str, Any]) -> str:
    if wire == "openai":
        return value["choices"][0]["delta"].get("content") or "" if value["choices"] else ""
    if wire == "anthropic":
        return value.get("delta", {}).get("text") or ""
    if wire == "gemini":
        return "".join(part["text"] for part in value["candidates"][0]["content"].get("parts", ()))
    return value["message"]["content"]  # type: ignore[no-any-return]


# Times


@pytest.mark.parametrize("wire", WIRES)
def test_send_times_follow_the_settings(fleet: Fleet, wire: str) -> None:
    handle = fleet[wire]
    handle.set(ttft=0.05, tokens_per_second=500.0)
    post(handle)
    log = last(handle)
    times = [when for when, _ in log.sent]
    assert times == sorted(times)
    assert times[0] >= log.received + 0.05
    planned = 0.05 + (log.tokens_out - 1) / 500
    assert planned <= times[-1] - log.received < planned + 0.5
    assert (log.stream, log.status, log.client_closed, log.model) == (True, 200, False, f"simulated-{wire}")


def test_bytes_are_logged_as_written(fleet: Fleet) -> None:
    reply = post(fleet["openai"])
    log = last(fleet["openai"])
    assert sum(size for _, size in log.sent) == len(reply.raw)
    assert len(log.sent) == reply.text.count("data: ")


def test_whole_answers_take_as_long_as_their_tokens(fleet: Fleet) -> None:
    handle = fleet["openai"]
    handle.set(ttft=0.02, tokens_per_second=1000.0)
    reply = post(handle, stream=False)
    log = last(handle)
    assert len(log.sent) == 1
    assert log.sent[0][0] - log.received >= 0.02 + (log.tokens_out - 1) / 1000
    assert json.loads(reply.raw)["usage"]["completion_tokens"] == log.tokens_out


def test_chunks_of_several_tokens(fleet: Fleet) -> None:
    single = said("ollama", post(fleet["ollama"]))
    lines = last(fleet["ollama"]).sent
    fleet["ollama"].set(chunk_tokens=5)
    assert said("ollama", post(fleet["ollama"])) == single
    assert len(last(fleet["ollama"]).sent) < len(lines) / 3


# Faults


def test_unknown_faults_are_refused(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        fleet["openai"].fail(Fault("no such thing"))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", sorted(FAULT_KINDS - {"reset", "silence", "stall", "huge_line"}))
def test_every_fault_is_over_after_its_turn(fleet: Fleet, wire: str, kind: str) -> None:
    handle = fleet[wire]
    good = said(wire, post(handle))
    for stream in (True, False):
        handle.fail(Fault(kind, after_tokens=2))
        post(handle, stream)
        assert last(handle).fault == kind
    assert handle.faults == []
    assert said(wire, post(handle)) == good


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503, 504, 529])
def test_status(fleet: Fleet, wire: str, status: int) -> None:
    fleet[wire].fail(Fault("status", status=status, headers=(("Retry-After", "3"),)))
    reply = post(fleet[wire])
    assert (reply.status, reply.headers["retry-after"]) == (status, "3")
    assert json.loads(reply.raw)["error"]
    assert last(fleet[wire]).status == status


def test_status_with_a_body_of_ones_own(fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("status", status=502, body="<html>Bad gateway</html>"))
    assert post(fleet["openai"]).text == "<html>Bad gateway</html>"


def test_lasting_matching_and_healing(fleet: Fleet) -> None:
    handle = fleet["openai"]
    handle.fail(Fault("status"), times=None, match=lambda log: log.stream or "tidal" in str(log.body))
    assert [post(handle).status, post(handle).status, post(handle, prompt="Hello").status] == [500, 500, 200]
    handle.heal()
    assert post(handle).status == 200


def test_lists_fail_only_when_told(fleet: Fleet) -> None:
    handle = fleet["openai"]
    handle.fail(Fault("status"))
    assert exchange(handle, "GET", "/v1/models", headers=HEADERS["openai"]).status == 200
    handle.heal()
    handle.fail(Fault("status"), everywhere=True)
    assert exchange(handle, "GET", "/v1/models", headers=HEADERS["openai"]).status == 500


@pytest.mark.parametrize("stream", [True, False])
def test_reset(fleet: Fleet, stream: bool) -> None:
    fleet["openai"].fail(Fault("reset"))
    with pytest.raises(ConnectionResetError):
        post(fleet["openai"], stream)
    assert last(fleet["openai"]).sent == []


def test_silence_lasts_until_the_client_leaves(fleet: Fleet) -> None:
    handle = fleet["openai"]
    handle.fail(Fault("silence"))
    with open_chat(handle) as client:
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert until(lambda: handle.requests[-1].client_closed)


def test_slow_first(fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("slow_first", seconds=0.08))
    post(fleet["openai"])
    log = last(fleet["openai"])
    assert log.sent[0][0] - log.received >= 0.08


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("tokens", [0, 3])
def test_cut(fleet: Fleet, wire: str, tokens: int) -> None:
    whole = said(wire, post(fleet[wire]))
    fleet[wire].fail(Fault("cut", after_tokens=tokens))
    reply = post(fleet[wire])
    assert not reply.whole
    assert whole.startswith(said(wire, reply))
    assert last(fleet[wire]).tokens_out == tokens
    fleet[wire].fail(Fault("cut"))
    assert not json_or_none(post(fleet[wire], stream=False))


def json_or_none(reply: Reply) -> Any:
    try:
        return json.loads(reply.raw)
    except ValueError:
        return None


@pytest.mark.parametrize("stream", [True, False])
def test_cut_mid_char(fleet: Fleet, stream: bool) -> None:
    fleet["openai"].fail(Fault("cut_mid_char", after_tokens=2))
    reply = post(fleet["openai"], stream)
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        reply.raw.decode()


@pytest.mark.parametrize("wire", WIRES)
def test_stall(fleet: Fleet, wire: str) -> None:
    handle = fleet[wire]
    whole = said(wire, post(handle))
    handle.fail(Fault("stall", after_tokens=3, seconds=0.08))
    assert said(wire, post(handle)) == whole
    times = [when for when, _ in last(handle).sent]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert sum(gap >= 0.08 for gap in gaps) == 1


def test_stall_without_end_sends_the_headers_first(fleet: Fleet) -> None:
    handle = fleet["gemini"]
    handle.fail(Fault("stall"))
    with open_chat(handle) as client:
        assert client.recv(12) == b"HTTP/1.1 200"
    assert until(lambda: handle.requests[-1].client_closed)


TERMINAL = {"openai": '"finish_reason":"stop"', "anthropic": "message_stop", "gemini": "finishReason", "ollama": "true"}
USAGE = {"openai": "completion_tokens", "anthropic": "usage", "gemini": "usageMetadata", "ollama": "eval_count"}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [True, False])
def test_missing_pieces(fleet: Fleet, wire: str, stream: bool) -> None:
    good = post(fleet[wire], stream).text
    assert USAGE[wire] in good
    fleet[wire].fail(Fault("no_usage"))
    assert USAGE[wire] not in post(fleet[wire], stream).text
    fleet[wire].fail(Fault("end_without_finish"))
    reply = post(fleet[wire], stream)
    assert reply.whole
    assert "[DONE]" not in reply.text
    if stream:
        assert TERMINAL[wire] in good
        assert TERMINAL[wire] not in reply.text
        assert said(wire, reply) == said(wire, post(fleet[wire]))


def test_no_done(fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("no_done"))
    text = post(fleet["openai"]).text
    assert TERMINAL["openai"] in text
    assert "[DONE]" not in text


ERROR_MARKS = {
    "openai": 'data: {"error":{',
    "anthropic": 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"',
    "gemini": 'data: {"error":{"code":503',
    "ollama": '\n{"error":"server busy',
}


@pytest.mark.parametrize("wire", WIRES)
def test_error_in_stream(fleet: Fleet, wire: str) -> None:
    fleet[wire].fail(Fault("error_in_stream", after_tokens=3))
    reply = post(fleet[wire])
    assert (reply.status, reply.whole) == (200, True)
    assert ERROR_MARKS[wire] in reply.text
    assert last(fleet[wire]).tokens_out == 3


def test_error_then_done_and_raw_error(fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("error_then_done", after_tokens=1))
    assert post(fleet["openai"]).text.rstrip().endswith("data: [DONE]")
    fleet["gemini"].fail(Fault("raw_error", after_tokens=1, status=429))
    events = post(fleet["gemini"]).text.split("\n\n", 1)
    assert json.loads(events[1])["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert len(events[1].splitlines()) > 10


def test_strange_successes(fleet: Fleet) -> None:
    handle = fleet["openai"]
    for kind in ("html200", "empty200", "json_error_200", "wrong_content_type"):
        handle.fail(Fault(kind))
    html, empty, error, plain = (post(handle) for _ in range(4))
    assert {html.status, empty.status, error.status, plain.status} == {200}
    assert (html.raw[:9], html.headers["content-type"]) == (b"<!DOCTYPE", "text/html; charset=utf-8")
    assert (empty.raw, empty.whole) == (b"", True)
    assert "error" in json.loads(error.raw)
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.text.startswith("data: ")


@pytest.mark.parametrize("wire", WIRES)
def test_bad_bytes(fleet: Fleet, wire: str) -> None:
    handle = fleet[wire]
    for kind in ("malformed_chunk", "invalid_utf8", "u2028"):
        handle.fail(Fault(kind, after_tokens=2))
    broken, invalid, separators = (post(handle) for _ in range(3))
    assert '{"broken": [1, \n' in broken.text
    assert b"\xff\xfe" in invalid.raw
    assert "\u2028" in separators.text
    assert "\u0085" in said(wire, separators)
    handle.fail(Fault("malformed_chunk"))
    assert json_or_none(post(handle, stream=False)) is None


def test_huge_line(fleet: Fleet) -> None:
    fleet["ollama"].fail(Fault("huge_line", after_tokens=3_000_000))
    reply = post(fleet["ollama"])
    assert max(len(line) for line in reply.raw.split(b"\n")) > 3_000_000


def test_duplicate_chunk(fleet: Fleet) -> None:
    whole = said("openai", post(fleet["openai"]))
    fleet["openai"].fail(Fault("duplicate_chunk"))
    twice = said("openai", post(fleet["openai"]))
    assert len(twice) > len(whole)
    assert twice.endswith(whole)


@pytest.mark.parametrize("wire", WIRES)
def test_split_bytes(fleet: Fleet, wire: str) -> None:
    fleet[wire].fail(Fault("split_bytes", after_tokens=1))
    reply = post(fleet[wire])
    assert "naïve Ω 日本語 🙂" in said(wire, reply)
    assert max(size for _, size in last(fleet[wire]).sent) <= 7


CONTEXT = {
    "openai": "maximum context length",
    "anthropic": "prompt is too long",
    "gemini": "exceeds the maximum number of tokens allowed",
    "ollama": "input length exceeds the context length",
}
SPENT = {
    "openai": "insufficient_quota",
    "anthropic": "enforced_spend_limit_reached",
    "gemini": "PerDay",
    "ollama": "usage limit",
}
FILTERED = {
    "openai": '"finish_reason":"content_filter"',
    "anthropic": '"stop_reason":"refusal"',
    "gemini": '"blockReason":"PROHIBITED_CONTENT"',
    "ollama": "I can't help with that",
}


@pytest.mark.parametrize("wire", WIRES)
def test_refusals_in_the_wires_own_words(fleet: Fleet, wire: str) -> None:
    for kind in ("context_overflow", "quota", "content_filter"):
        fleet[wire].fail(Fault(kind))
    overflow, spent, filtered = (post(fleet[wire]) for _ in range(3))
    assert (overflow.status, spent.status, filtered.status) == (400, 429, 200)
    assert CONTEXT[wire] in overflow.text
    assert SPENT[wire] in spent.text
    assert FILTERED[wire] in filtered.text


def test_a_prompt_that_is_too_long(fleet: Fleet) -> None:
    for wire in WIRES:
        fleet[wire].set(context=3)
    assert [post(fleet[wire]).status for wire in WIRES] == [400, 400, 400, 200]


# Requests that the vendors would not take


@pytest.mark.parametrize("wire", WIRES)
def test_keys(fleet: Fleet, wire: str) -> None:
    handle = fleet[wire]
    path, body = request_of(wire, stream=False)
    bare = {name: value for name, value in HEADERS[wire].items() if "version" in name}
    missing = exchange(handle, "POST", path, json.dumps(body), bare).status
    wrong = exchange(handle, "POST", path, json.dumps(body), {**bare, **wrong_key(wire)}).status
    assert (missing, wrong) == ((403, 400) if wire == "gemini" else (401, 401))


def wrong_key(wire: str) -> dict[str, str]:
    return {name: value.replace("sim-key", "wrong") for name, value in HEADERS[wire].items()}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"model":"simulated-openai","messages":[1],"contents":[1]}'])
def test_malformed_requests_get_an_error_of_the_wire(fleet: Fleet, wire: str, body: str) -> None:
    reply = exchange(fleet[wire], "POST", request_of(wire, stream=False)[0], body, HEADERS[wire])
    assert reply.status in (400, 404)
    assert json.loads(reply.raw)["error"]


def test_a_broken_schema_is_the_callers_fault(fleet: Fleet) -> None:
    path, body = request_of("ollama", stream=False)
    broken = json.dumps({**body, "format": {"$ref": "#/$defs/none"}})
    assert exchange(fleet["ollama"], "POST", path, broken, HEADERS["ollama"]).status == 400


@pytest.mark.parametrize("wire", WIRES)
def test_unknown_pages(fleet: Fleet, wire: str) -> None:
    reply = exchange(fleet[wire], "GET", "/nothing/here", headers=HEADERS[wire])
    assert (reply.status, "error" in json.loads(reply.raw)) == (404, True)


def test_ollama_probes_need_no_key(fleet: Fleet) -> None:
    assert exchange(fleet["ollama"], "GET", "/").text == "Ollama is running"
    assert "version" in json.loads(exchange(fleet["ollama"], "GET", "/api/version").raw)


# Machines that fail


def test_kill_and_revive(fleet: Fleet) -> None:
    handle = fleet["openai"]
    port = handle.port
    handle.set(ttft=30.0, tokens_per_second=10.0)
    with open_chat(handle) as client:
        assert until(lambda: bool(handle.requests))
        handle.kill()
        assert client.recv(1) == b""
    assert not last(handle).client_closed
    with pytest.raises(ConnectionRefusedError):
        post(handle)
    handle.revive()
    handle.set(ttft=0.0, tokens_per_second=0.0)
    assert (handle.port, post(handle).status) == (port, 200)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_noticed(fleet: Fleet, stream: bool) -> None:
    handle = fleet["anthropic"]
    handle.set(ttft=0.0 if stream else 30.0, tokens_per_second=5.0)
    with open_chat(handle, stream) as client:
        assert until(lambda: bool(handle.requests))
        if stream:
            client.recv(10)
    assert until(lambda: handle.requests[-1].client_closed)
    assert last(handle).tokens_out <= 1


# Logs, settings, life cycle


@pytest.mark.parametrize("wire", WIRES)
def test_keys_are_not_in_the_logs(fleet: Fleet, wire: str) -> None:
    post(fleet[wire], extra={"X-Copy": "Bearer sim-key"})
    exchange(fleet[wire], "GET", "/v1beta/models?key=sim-key")
    logs = fleet[wire].requests
    assert "sim-key" not in repr(logs)
    assert "REDACTED" in repr(logs[0].headers)
    assert "REDACTED" in logs[1].path
    assert [log.method for log in fleet[wire].chats] == ["POST"]


def test_settings_change_at_run_time(fleet: Fleet) -> None:
    handle = fleet["openai"]
    handle.set("simulated-openai", accuracy=0.0)
    assert "391" not in said("openai", post(handle, prompt="What is 17 * 23?"))
    handle.set(accuracy=1.0)
    assert "391" in said("openai", post(handle, prompt="What is 17 * 23?"))
    with pytest.raises(KeyError):
        handle.set("none", accuracy=0.0)


def test_life_cycle() -> None:
    fleet = Fleet([Vendor("one", models=(Model("simulated-one"),))])
    with pytest.raises(RuntimeError):
        fleet.config()
    fleet.stop()
    assert fleet.start() is fleet.start()
    port = fleet["one"].port
    with pytest.raises(OSError, match="address already in use"), Fleet([Vendor("two", port=port)]):
        pass
    fleet.stop()
    fleet.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(ValueError, match="same name"):
        Fleet([Vendor("a"), Vendor("a")])


def test_stop_does_not_wait_for_answers() -> None:
    with Fleet([Vendor("openai", models=(Model("simulated-openai", ttft=30.0),))]) as fleet:
        client = open_chat(fleet["openai"])
        assert until(lambda: bool(fleet["openai"].requests))
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    client.close()


def test_configuration() -> None:
    with Fleet() as fleet:
        config = fleet.config()
        assert tomllib.loads(fleet.toml())["provider"] == config["provider"]
        urls = {one["type"]: one["base_url"] for one in config["provider"]}
        assert urls["openai"].endswith(f":{fleet['sim-openai'].port}/v1")
        assert urls["gemini"].endswith("/v1beta")
    local = next(one for one in config["provider"] if one["tier"] == "local")
    assert "api_key" not in local
    assert local["prices"] == {"simulated-llama": {"input": 0.0, "output": 0.0}}
    assert all("simulated" in model.name for vendor in default_vendors() for model in vendor.models)


def test_unknown_prices_are_left_out() -> None:
    with Fleet([Vendor("a", models=(Model('simulated "a"\\'),))]) as fleet:
        assert "prices" not in fleet.config()["provider"][0]
        assert tomllib.loads(fleet.toml())["provider"][0]["models"] == ['simulated "a"\\']


def test_import_is_light() -> None:
    code = "import sys, hybrid_nb.sim; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground(number: int) -> None:
    command = [sys.executable, "-m", "hybrid_nb.sim", "--seed", "3", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1] != "}\n":
            lines.append(process.stdout.readline())
        config = json.loads("".join(lines))
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=5)
    assert len(config["provider"]) == 4
    assert (process.returncode, errors) == (0, "")
