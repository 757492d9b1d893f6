"""The journal of a run: what is in it is not asked again, however the run before ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Run
from hybrid_nb.bench.traffic.job import Keeping
from hybrid_nb.bench.traffic.journal import NAME, Journal
from hybrid_nb.bench.traffic.progress import Counts
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import model_of, own_places

HEAD = {"models": ["a/m"], "seed": 0}
MODELS = [model_of("openai"), model_of("anthropic")]


def _call(key: str, status: Any = "ok", cost: float | None = 0.25) -> Call:
    call = Call(key, key, None, 0, "a/m", "measured", status=status, attempts=1, cost_usd=cost, end_at=2.0)
    call.arrivals = [(0.5, 3, 0), (0.75, 0, 2)]
    return call


def _reopened(folder: Path, head: dict[str, Any] = HEAD) -> Journal:
    journal = Journal(folder, head)
    journal.close()
    return journal


def test_what_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    first, failed = _call("1"), _call("2", "error", None)
    journal.call(first, Decimal("0.25"))
    journal.call(failed, Decimal("0.5"))
    journal.score("1", "exact", Score(1.0, "equal", "4"))
    journal.score("1", "judge", Score(None, "scorer raised X"))
    journal.vote((1.5, "1", None, "p", "a", "b", "tie", "j/m", "a", None))
    journal.hold("3", Decimal("0.1"))
    journal.judged("judge|0", 0.01, Decimal("0.01"))
    journal.close()
    past = _reopened(tmp_path).past
    assert past.calls["1"].scores == {"exact": Score(1.0, "equal", "4")}  # what could not tell is asked again
    past.calls["1"].scores = {}
    assert past.calls == {"1": first}
    assert past.votes == [(1.5, "1", None, "p", "a", "b", "tie", "j/m", "a", None)]
    assert (past.spent, past.known, past.unknown) == (Decimal("0.86"), Decimal("0.26"), 2)  # 3 was cut off
    assert past.seconds == 2.0
    assert past.judged == [0.01]


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path, HEAD)
    for key in "12":
        journal.call(_call(key), Decimal(0))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])
    again = Journal(tmp_path, HEAD)
    assert list(again.past.calls) == ["1"]
    again.call(_call("2"), Decimal(0))
    again.close()
    assert list(_reopened(tmp_path).past.calls) == ["1", "2"]


def test_a_torn_first_line_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"format":1,"he')
    assert _reopened(tmp_path).past.calls == {}
    assert orjson.loads((tmp_path / NAME).read_bytes()) == {"format": 1, "head": HEAD}


def test_a_line_longer_than_a_block_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    call = _call("1")
    call.output = "x" * 300_000
    journal.call(call, Decimal(0))
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"call": {' + b"y" * 200_000)
    assert _reopened(tmp_path).past.calls["1"].output == call.output


def test_a_folder_of_other_settings_is_refused_with_what_differs(tmp_path: Path) -> None:
    Journal(tmp_path, HEAD).close()
    with pytest.raises(ConfigError, match=r'other settings: models was \["a/m"\], now \["b/m"\]'):
        Journal(tmp_path, {**HEAD, "models": ["b/m"]})
    Journal(tmp_path, HEAD).close()  # and the refusal holds nothing


def test_beginning_anew_puts_the_earlier_journal_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    journal.call(_call("1"), Decimal(0))
    journal.close()
    for number in (1, 2):
        again = Journal(tmp_path, {**HEAD, "seed": number}, resume=False)
        assert again.past.calls == {}
        again.close()
    assert b'"call"' in (tmp_path / "journal.1.jsonl").read_bytes()
    assert (tmp_path / "journal.2.jsonl").exists()


def test_targets_that_were_corrected_and_corrected_back_are_scored_by_what_they_are(
    router: Router, tmp_path: Path
) -> None:
    def run(target: str) -> Run:
        data = [{"input": "What is 2+2?", "target": target}]
        return router.benchmark(data, MODELS, ["includes"], save=tmp_path / "run", progress=False)

    for target, score in (("4", 1), ("nine", 0), ("4", 1), ("4", 1)):
        found = run(target)
        assert found.calls["score_includes"].tolist() == [score, score]
        assert found.calls["target"].tolist() == [target, target]
        assert set(found.scores["value"]) == {score}


def test_votes_of_a_corrected_target_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    journal.call(_call("1"), Decimal(0))
    journal.call(_call("2"), Decimal(0))
    for ident in "12":
        journal.vote((1.5, ident, None, "p", "a", "b", "tie", "j/m", "a", None))
    journal.score("1", "exact", Score(1.0))
    journal.target("1", "other")
    journal.score("1", "exact", Score(0.0))
    journal.close()
    past = _reopened(tmp_path).past
    assert [vote[1] for vote in past.votes] == ["2"]
    assert (past.calls["1"].target, past.calls["1"].scores) == ("other", {"exact": Score(0.0)})


@pytest.mark.parametrize("place", ["file", "file/below", "folder"])
def test_a_folder_that_cannot_be_written_is_told_before(
    router: Router, fleet: Fleet, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder" / NAME).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot be written .*give it another folder"):
        router.benchmark(["a"], MODELS, save=tmp_path / place, progress=False)
    assert not fleet["openai"].chats


def test_a_run_that_cannot_be_saved_is_returned_all_the_same(router: Router, tmp_path: Path) -> None:
    (tmp_path / "calls.parquet").mkdir()
    with pytest.warns(UserWarning, match=r"the run is not saved in .*run\.save\(folder\) writes it elsewhere"):
        run = router.benchmark(["a"], MODELS, save=tmp_path, progress=False)
    assert run.calls["status"].tolist() == ["ok", "ok"]
    assert any("is not saved" in note for note in run.report().notes)
    (tmp_path / "calls.parquet").rmdir()
    again = router.benchmark(["a"], MODELS, save=tmp_path, progress=False)
    assert again.info.settings["resumed_calls"] == 2
    assert Run.load(tmp_path).info.notes == ()


def test_a_call_of_a_sample_that_is_not_there_is_told(router: Router, tmp_path: Path) -> None:
    router.benchmark(["a"], MODELS, save=tmp_path, progress=False)
    written = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(written.replace(b'"id":"0"', b'"id":"zz"'))
    with pytest.raises(ConfigError, match="a call of sample 'zz', which the data have not"):
        router.benchmark(["a"], MODELS, save=tmp_path, progress=False)


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEAD)
    with pytest.raises(ConfigError, match="another run writes"):
        Journal(tmp_path, HEAD)
    journal.close()
    _reopened(tmp_path)


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Journal(tmp_path, HEAD).close()
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"call": {"key": "1"}, "spent": "0"}\n')
    with pytest.raises(ConfigError, match=r"line 2 cannot be read .*resume=False"):
        Journal(tmp_path, HEAD)


def test_what_was_held_for_a_call_that_was_not_asked_is_free_again(tmp_path: Path) -> None:
    kept = Keeping(Counts(1), journal=Journal(tmp_path, HEAD))
    kept.hold("1", Decimal(5))
    kept.hold("2", Decimal(7))
    call = _call("1", "skipped", None)
    call.attempts = 0
    kept.call(call, Decimal(0))
    kept.close()
    past = _reopened(tmp_path).past
    assert (past.spent, past.unknown, past.calls) == (7, 1, {})


def test_what_crashed_twice_is_counted_twice(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path, HEAD)
        journal.hold("1", Decimal(5))
        journal.close()
    assert _reopened(tmp_path).past.spent == 10


# --- runs -------------------------------------------------------------------------------------------------


def _prompts(fleet: Fleet) -> list[tuple[str, str]]:
    return [(h.vendor.name, _text(chat.body["messages"][-1]["content"])) for h in fleet for chat in h.chats]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else content[0]["text"]


def test_the_same_call_again_asks_only_what_failed(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    router.configure(retries=0)
    data = [{"input": f"What is {n}+1?", "target": str(n + 1)} for n in range(4)]
    fleet["openai"].fail(Fault("status", 400), times=2)
    first = router.benchmark(data, MODELS, ["includes"], save=tmp_path / "run", progress=False)
    assert sorted(first.calls["status"]) == ["error"] * 2 + ["ok"] * 6
    failed = set(first.calls.loc[first.calls["status"] == "error", "input"])
    for handle in fleet:
        handle.clear()
    again = router.benchmark(data, MODELS, ["includes"], save=tmp_path / "run", progress=False)
    assert set(again.calls["status"]) == {"ok"}
    assert sorted(_prompts(fleet)) == sorted(("openai", prompt) for prompt in failed)
    assert again.calls["score_includes"].notna().all()
    assert again.info.settings["resumed_calls"] == 6
    kept = first.calls[first.calls["status"] == "ok"].set_index("key")["end_at"]
    assert again.calls.set_index("key")["end_at"][kept.index].equals(kept)
    assert Run.load(tmp_path / "run").calls.equals(again.calls)


def test_an_open_loop_goes_on_with_the_rest_of_its_schedule(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rate": [20, 40], "arrivals": "constant", "warmup": 2, "save": tmp_path}
    data = [f"What is {n}+1?" for n in range(10)]
    job = router.start_benchmark(data, MODELS, **settings)
    until = time.monotonic() + 20
    while job.progress.done < 8 and time.monotonic() < until:
        time.sleep(0.01)
    job.stop()
    first = job.result(20).calls
    before = first[first["status"] == "ok"]
    for handle in fleet:
        handle.clear()
    run = router.benchmark(data, MODELS, progress=False, **settings)
    assert len(_prompts(fleet)) == 22 - len(before)
    calls = run.calls.sort_values("due_at")
    assert (calls["status"] == "ok").all()
    assert calls["key"].is_unique
    assert calls["stage"].tolist() == sorted(calls["stage"]) == [0] * 12 + [1] * 10
    new = calls[~calls["key"].isin(before["key"])]
    assert new["due_at"].iloc[0] >= before["end_at"].max()  # the clock goes on, without the pause between
    assert (new["due_at"].diff().dropna() < 0.0501).all()


def test_a_run_that_ends_by_time_is_not_begun_again(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"duration": 0.3, "concurrency": 2, "save": tmp_path, "progress": False}
    first = router.benchmark(["a", "b"], MODELS, **settings)
    asked = len(_prompts(fleet))
    assert asked == len(first.calls) > 4
    again = router.benchmark(["a", "b"], MODELS, **settings)
    assert len(again.calls) - asked == len(_prompts(fleet)) - asked <= 4  # if the last call ended before the time did


def test_a_corrected_target_is_scored_afresh_without_asking(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    wrong = [{"input": "What is 2+2?", "target": "5"}, {"input": "What is 3+3?", "target": "6"}]
    first = router.benchmark(wrong, MODELS, ["includes"], save=tmp_path, progress=False)
    assert first.calls["score_includes"].mean() == 0.5
    for handle in fleet:
        handle.clear()
    wrong[0]["target"] = "4"
    again = router.benchmark(wrong, MODELS, ["includes"], save=tmp_path, progress=False)
    assert again.calls["score_includes"].mean() == 1
    assert set(again.calls["target"]) == {"4", "6"}
    assert not _prompts(fleet)


def test_other_data_under_the_same_ids_are_another_run(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    router.benchmark(["What is 2+2?"], MODELS, save=tmp_path, progress=False)
    with pytest.raises(ConfigError, match="data was"):
        router.benchmark(["What is 3+3?"], MODELS, save=tmp_path, progress=False)


def test_a_saved_run_without_a_journal_is_not_written_over(router: Router, tmp_path: Path) -> None:
    router.benchmark(["What is 2+2?"], MODELS, progress=False).save(tmp_path)
    with pytest.raises(ConfigError, match="not written over"):
        router.benchmark(["What is 2+2?"], MODELS, save=tmp_path, progress=False)


CHILD = """
import sys, hybrid_nb as hnb, orjson
config, folder = orjson.loads(sys.argv[1]), sys.argv[2]
router = hnb.Router(config)
data = [f"What is {n}+1?" for n in range(60)]
router.benchmark(data, ["openai/simulated-openai", "anthropic/simulated-anthropic"], save=folder, concurrency=3,
                 progress=False)
print("done")
"""


def test_a_killed_run_goes_on_and_asks_nothing_twice_that_was_finished(
    fleet: Fleet, tmp_path: Path, make_router: Any
) -> None:
    for name in ("openai", "anthropic"):
        fleet[name].set(ttft=0.02, tokens_per_second=400)
    folder, config = tmp_path / "run", {**fleet.config(), "ledger": {"url": f"sqlite:///{tmp_path}/child.db"}}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, orjson.dumps(config).decode(), str(folder)], env=own_places(tmp_path)
    )
    try:
        _until(lambda: _lines(folder) > 25, child)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait(10)
    finished = _finished(folder)
    assert 20 < len(finished) < 110
    before = _prompts(fleet)
    assert len(before) <= len(finished) + 3 + 1  # and what was under way, or just ended
    for handle in fleet:
        handle.clear()
    data = [f"What is {n}+1?" for n in range(60)]
    run = make_router(fleet).benchmark(data, MODELS, save=folder, concurrency=3, progress=False)
    assert len(run.calls) == 120
    assert set(run.calls["status"]) == {"ok"}
    asked = set(_prompts(fleet))
    assert len(asked) == 120 - len(finished)
    assert not asked & finished


def _lines(folder: Path) -> int:
    path = folder / NAME
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _finished(folder: Path) -> set[tuple[str, str]]:
    """What whole lines of the journal say was answered."""
    lines = (folder / NAME).read_bytes().rpartition(b"\n")[0].splitlines()[1:]
    calls = [orjson.loads(line)["call"] for line in lines]
    return {(call["model"].partition("/")[0], call["input"]) for call in calls if call["status"] == "ok"}


def _until(seen: Any, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while not seen():
        assert child.poll() is None, "the child ended by itself"
        assert time.monotonic() < until
        time.sleep(0.01)


class Full:
    """A journal on a disk without room."""

    closed = False

    def call(self, call: Call, spent: Decimal) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        self.closed = True


def test_a_journal_that_cannot_be_written_stops_the_run_and_keeps_what_is_there() -> None:
    told: list[str] = []
    full: Any = Full()
    kept = Keeping(Counts(3), journal=full, broken=told.append)
    kept.call(_call("1"), Decimal(0))
    kept.call(_call("2"), Decimal(0))
    assert [call.key for call in kept.calls] == ["1", "2"]
    assert told == ["the journal cannot be written: [Errno 28] No space left on device"]
    assert full.closed
