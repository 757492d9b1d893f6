"""Scorers of answers to a schema: `Sample.parsed` over the wire, after a resume, and of a loaded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from hybrid_nb.bench.records import Sample
from hybrid_nb.bench.results import Run
from hybrid_nb.router import Router
from hybrid_nb.sim import Fleet
from tests.conftest import model_of

MODELS = [model_of("openai"), model_of("anthropic")]
SHAPE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class City(pydantic.BaseModel):
    city: str


def has_city(sample: Sample) -> bool:
    found = sample.parsed
    return isinstance(found["city"] if isinstance(found, dict) else found.city, str)


@pytest.mark.parametrize("schema", [City, SHAPE])
def test_a_scorer_is_given_what_the_schema_read(router: Router, schema: Any) -> None:
    run = router.benchmark(["Which city?"], MODELS, [has_city], schema=schema, progress=False)
    assert run.calls["score_has_city"].tolist() == [1.0, 1.0], run.scores["explanation"].tolist()


def test_answers_of_an_earlier_part_are_read_too(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"schema": City, "save": tmp_path / "run", "progress": False}
    router.benchmark(["Which city?"], MODELS, **settings)
    asked = len(fleet["openai"].chats)
    run = router.benchmark(["Which city?"], MODELS, [has_city], **settings)
    assert len(fleet["openai"].chats) == asked
    assert run.calls["score_has_city"].tolist() == [1.0, 1.0]


def test_a_loaded_run_reads_by_a_json_schema(router: Router, tmp_path: Path) -> None:
    router.benchmark(["Which city?"], MODELS, schema=SHAPE, save=tmp_path / "run", progress=False)
    again = Run.load(tmp_path / "run").rescore(has_city, progress=False)
    assert again.calls["score_has_city"].tolist() == [1.0, 1.0]


def test_without_a_schema_nothing_is_parsed(router: Router) -> None:
    run = router.benchmark(["Hi"], MODELS, [lambda sample: sample.parsed is None], progress=False)
    assert (run.calls["score_lambda"] == 1.0).all()
