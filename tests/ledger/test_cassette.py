"""Cassettes: any text survives its line, files are shared and mended, nothing else ends a line."""

from __future__ import annotations

import multiprocessing
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.types import Attempt, Candidate, Reply, Route, Target, ToolCall, Usage
from hybrid_nb.ledger import cassette as module
from hybrid_nb.ledger.cassette import Cassette, Recording, line_of, read_lines

ODD = "line\nfeed\r\n\u2028\u2029\u0085\x0b\x0c\x1c\x00 \u00a0 é 漢字 👩‍👩‍👧 \ufeff\uffff \\u2028 \"'"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.just(ODD)
money = st.none() | st.decimals(0, 100, allow_nan=False, places=12)
seconds = st.floats(0, 1000)
counts = st.none() | st.integers(0, 10**6)
tiers = st.sampled_from(["local", "edge", "cloud"])
names = st.text("ab/:-.", min_size=1, max_size=6)
targets = st.builds(Target, st.text("abc", min_size=1, max_size=4), names)
attempts = st.builds(
    Attempt, st.text("abc", min_size=1), names, st.sampled_from(["ok", "error"]), st.none() | texts, seconds, money,
    st.none() | st.just(503), tier=tiers,
)  # fmt: skip
candidates = st.builds(lambda *fields: Candidate(*fields), targets, tiers, st.booleans(), texts)
replies = st.builds(
    lambda target, candidates, attempts, reason, **fields: Reply(
        provider=target.provider, model=target.model, route=Route(target, candidates, attempts, reason), **fields
    ),
    targets,
    st.lists(candidates, max_size=2).map(tuple),
    st.lists(attempts, max_size=2).map(tuple),
    texts,
    text=texts,
    tool_calls=st.lists(st.builds(ToolCall, texts, texts, texts, st.none() | texts), max_size=2).map(tuple),
    reasoning=texts,
    finish=st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    usage=st.builds(Usage, counts, counts, counts, counts, counts, st.sampled_from([None, "provider", "estimate"])),
    cost=money,
    cost_source=st.none() | st.just("config"),
    tier=tiers,
    ttft=st.none() | seconds,
    latency=st.none() | seconds,
)
pieces = st.none() | st.lists(st.tuples(st.integers(0, 10**6).map(lambda n: n / 10_000), texts), max_size=4).map(tuple)
recordings = st.builds(
    Recording, st.text("0123456789abcdef", min_size=8, max_size=8), texts, st.just({"messages": []}), replies, pieces
)


def said(key: str, text: str = "hi") -> Recording:
    request = {"messages": [{"role": "user", "text": key}]}
    return Recording(key, f"prompt {key}", request, Reply(text, provider="a", model="m"))


@given(st.lists(recordings, max_size=4))
def test_what_was_recorded_is_read_again(made: list[Recording]) -> None:
    data = b"".join(line_of(one) for one in made)
    assert len(data.decode().splitlines()) == len(made)  # which splits at every character that Unicode calls an end
    found, _ = read_lines(data, "file")
    assert found == {one.key: (one,) for one in made}


def test_a_line_is_readable_and_its_keys_stand_in_order() -> None:
    line = line_of(said("k", "Grüße"))
    assert list(orjson.loads(line)) == ["key", "prompt", "request", "answer", "pieces"]
    assert "Grüße".encode() in line
    assert line == line_of(said("k", "Grüße"))
    assert b'"cost":null' in line  # unknown is not 0
    exact = Recording("k", "", {}, Reply("", cost=Decimal("0.000000000001"), provider="a", model="m"))
    assert b'"cost":"0.000000000001"' in line_of(exact)


def test_the_last_recording_of_a_key_counts(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "deep" / "c.jsonl")
    assert cassette.recordings == {}
    for key, text in (("a", "old"), ("b", "b"), ("a", "new")):
        cassette.add(said(key, text))
    assert {key: one.reply.text for key, one in cassette.recordings.items()} == {"b": "b", "a": "new"}
    cassette.path.unlink()
    assert cassette.recordings == {}


def test_what_another_process_adds_is_seen(tmp_path: Path) -> None:
    one, other = Cassette(tmp_path / "c.jsonl"), Cassette(tmp_path / "c.jsonl")
    one.add(said("a"))
    assert list(one.recordings) == ["a"]
    other.add(said("b"))
    other.add_comparison("c", "prompt", ["x/y", "z"])
    assert list(one.recordings) == ["a", "b"]
    assert one.compared == {"c": ("x/y", "z")}


def _add(path: Path, name: str) -> None:
    cassette = Cassette(path)
    for number in range(50):
        cassette.add(said(f"{name}{number}", "x" * 10_000))


def test_processes_that_record_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    workers = [multiprocessing.get_context("spawn").Process(target=_add, args=(path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(Cassette(path).recordings) == 100


def test_a_line_without_its_newline_gets_one_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\n" + line_of(said("a")).rstrip(b"\n"))
    cassette = Cassette(path)
    cassette.add(said("b"))
    assert list(cassette.recordings) == ["a", "b"]


def test_crlf_as_git_may_write_it_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes((line_of(said("a")) + line_of(said("b"))).replace(b"\n", b"\r\n"))
    assert list(Cassette(path).recordings) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [b"<<<<<<< HEAD", b"[]", b"7", b'"models"', b"{}", b'{"key": "a", "prompt": "b", "request": 1, "answer": {}}',
     b'{"key":"a","prompt":"","request":{},"answer":{"text":"","finish":"stop","provider":"a","model":"m","cost":"x"}}',
     b'{"key": "a", "models": 7}', b"\xff\xfe"],
)  # fmt: skip
def test_a_broken_line_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(line_of(said("a")) + line + b"\n")
    with pytest.raises(ConfigError, match=r"c\.jsonl, line 2: not a recording"):
        _ = Cassette(path).recordings


def test_a_place_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: Is a directory; set"):
        Cassette(tmp_path).make()
    with pytest.raises(ConfigError, match="cannot be read"):
        _ = Cassette(tmp_path).recordings
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        Cassette(tmp_path / "file" / "c.jsonl").make()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    cassette.add(said("a"))
    write = module.os.write
    monkeypatch.setattr(module.os, "write", lambda handle, data: write(handle, data[:7]))
    with pytest.raises(ConfigError, match="no space left"):
        cassette.add(said("b"))
    monkeypatch.undo()
    assert list(cassette.recordings) == ["a"]


SECRET = "hunter2-PLANTED-secret"


@pytest.mark.parametrize(
    "changes",
    [{"prompt": f"my key is {SECRET}"}, {"request": {"messages": [{"text": SECRET}], SECRET: 1}},
     {"reply": Reply(f"it is {SECRET}!", provider="a", model="m")},
     {"reply": Reply("", (ToolCall("1", "f", f'{{"k": "{SECRET}"}}'),), provider="a", model="m")}],
)  # fmt: skip
def test_a_secret_that_somebody_wrote_into_a_text_is_struck_out(changes: dict[str, Any]) -> None:
    fields = {"key": "k", "prompt": "p", "request": {}, "reply": Reply("", provider="a", model="m"), **changes}
    split = ((0.1, "it is hunter2-"), (0.2, "PLANTED-secret!"))  # a stream may cut it in two
    line = line_of(Recording(**fields, pieces=split if changes.get("reply") else None).without((SECRET, "")))
    assert b"hunter2" not in line
    assert b"PLANTED" not in line
    assert b"***" in line


def test_the_placeholder_keys_of_local_servers_change_nothing() -> None:
    recording = Recording(
        "k", "What is ollama?", {}, Reply("ollama is", provider="a", model="m"), ((0.1, "ollama is"),)
    )
    assert recording.without(("ollama", "lm-studio", "sk-no-such-secret")) is recording
