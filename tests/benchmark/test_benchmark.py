"""router.benchmark() over the wire: what is asked, what is kept, and what the vendors saw of it."""

from __future__ import annotations

import pytest

from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet
from tests.conftest import model_of

MODELS = [model_of("openai"), model_of("gemini")]


def test_every_model_is_asked_every_sample(router: Router, fleet: Fleet) -> None:
    run = router.benchmark(["What is 2+2?", "What is 3+4?"], MODELS, epochs=2, progress=False)
    calls = run.calls
    assert sorted(calls["key"]) == sorted(f"{m}|{i}|{e}" for m in MODELS for i in "01" for e in (0, 1))
    assert set(calls["status"]) == {"ok"}
    assert len(fleet["openai"].chats) == len(fleet["gemini"].chats) == 4
    first = calls.iloc[0]
    assert first["due_at"] <= first["started_at"] <= first["sent_at"] <= first["first_any_at"] <= first["end_at"]
    assert run.models == MODELS
    assert repr(run) == "Run(8 calls to 2 models)"


def test_a_job_runs_in_the_background(router: Router) -> None:
    job = router.start_benchmark(["What is 2+2?"], MODELS)
    run = job.result()
    assert job.done
    assert len(run.calls) == job.progress.done == job.progress.total == 2


@pytest.mark.parametrize(
    ("data", "models", "options", "told"),
    [
        ([], MODELS, {}, "no rows"),
        (["a"], [], {}, "at least one model"),
        (["a"], ["openai/simulated-openai", "opnai/simulated"], {}, "unknown model 'opnai/simulated'"),
        ([{"text": "a"}], MODELS, {}, "no column 'input'"),
        ([{"id": 1, "input": "a"}, {"id": "1", "input": "b"}], MODELS, {}, "twice: '1'"),
        (["a"], MODELS, {"temperature": 9}, "temperature"),
        (["a"], MODELS, {"tempratur": 1}, "did you mean 'temperature'"),
        (["a"], MODELS, {"epochs": 0}, "epochs must be"),
    ],
)
def test_bad_input_is_told_before_anything_is_sent(
    router: Router, fleet: Fleet, data: list[object], models: list[str], options: dict[str, object], told: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        router.benchmark(data, models, progress=False, **options)
    assert not any(handle.chats for handle in fleet)
