"""BenchmarkPanel without a page: estimate, start, progress, stop, result, and a form that says what is wrong where."""

from __future__ import annotations

import re
from decimal import Decimal

import pandas as pd
import pytest

import hybrid_nb as hnb
from hybrid_nb import scorers
from hybrid_nb.bench.results import Run
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets.benchmark.wanted import typed
from tests.conftest import model_of
from tests.notebook.widgets.front import everything, fill, said, until

MODELS = (model_of("openai"), model_of("gemini"))
SUMS = [{"input": f"What is {n} * 7?", "target": str(n * 7), "cluster": "odd" if n % 2 else "even"} for n in range(6)]
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture
def make_panel(router):
    made = []

    def make(*args, **options):
        made.append(hnb.BenchmarkPanel(router, *args, **options))
        return made[-1]

    yield make
    for panel in made:
        panel.close()


def line(panel, name):
    return panel.form.lines[name]


def told(panel):
    """The line with the estimate, as text."""
    return re.sub(r"<[^>]+>", "", panel.estimate.value)


def put(panel, name, value):
    """Somebody chose or typed this in a line."""
    part = line(panel, name).input
    if name in ("models", "scorers"):
        fill(part, index=[part.options.index(each) for each in value])
    else:
        fill(part, value=value)


def test_a_benchmark_by_hand(make_panel, fleet):
    panel = make_panel()
    assert "Choose models and write prompts" in told(panel)
    assert set(line(panel, "models").input.options) >= set(MODELS)
    put(panel, "models", MODELS)
    put(panel, "prompts", "What is 6 * 7? => 42\n\nWhat is 2 + 2? => 4\n")
    put(panel, "scorers", ["includes"])
    put(panel, "epochs", "2")
    until(lambda: "This is 8 calls, likely $" in told(panel))
    assert " at most" in told(panel)
    assert fleet["openai"].chats == []  # nothing was asked yet
    assert panel.run is None
    panel.start.click()
    run = panel.wait(30)
    assert isinstance(run, Run)
    assert run is panel.run
    assert run.calls["score_includes"].tolist() == [1.0] * 8
    assert "Done: 8 calls; the Run is in this panel" in said(panel)
    assert "<caption" in panel.view.value
    assert "right (includes)" in panel.view.value
    assert "<svg" in panel.view.value
    assert not panel.start.disabled
    assert panel.stop.disabled


def test_with_data_scorers_and_settings_from_code(make_panel, fleet, tmp_path):
    def short(output: str, target: str) -> float:
        return float(len(output) < 20)

    panel = make_panel(
        pd.DataFrame(SUMS),
        models=MODELS,
        scorers=["includes", short, scorers.numeric(0.01)],
        max_tokens=9,
        save=tmp_path / "run",
    )
    assert "prompts" not in panel.form.lines
    until(lambda: "This is 12 calls" in told(panel))
    assert not (tmp_path / "run").exists()  # an estimate writes nothing
    panel.start.click()
    run = panel.wait(30)
    assert set(run.info.scorers) == {"includes", "short", "numeric"}
    assert len(Run.load(tmp_path / "run").calls) == 12
    assert fleet["gemini"].chats[0].body["generationConfig"]["maxOutputTokens"] == 9
    panel.kind.value = "heatmap"
    until(lambda: "odd" in panel.view.value)
    saved = panel.saved()
    assert "data:image/png;base64," in saved.html
    assert "12 calls to 2 models" in saved.text


def test_data_that_cannot_be_read_are_told_before_a_model_is_chosen(make_panel, tmp_path):
    panel = make_panel(tmp_path / "nope.csv")
    until(lambda: "there is no file" in told(panel))
    panel = make_panel(pd.DataFrame({"question": ["What is 2 + 2?"]}))
    until(lambda: "there are question" in told(panel))
    panel = make_panel(SUMS)
    until(lambda: "Choose models to see what it may cost." in told(panel))


def test_models_from_code_are_chosen_or_refused(make_panel):
    with pytest.raises(OptionValueError, match=r"there is no model 'simulated-openia'.*did you mean"):
        make_panel(SUMS, models=["simulated-openia"])
    panel = make_panel(SUMS, models=["simulated-openai"])  # without its provider, as everywhere
    assert line(panel, "models").value == ("simulated-openai",)
    until(lambda: "This is 6 calls" in told(panel))


def test_progress_and_stop_keep_what_is_finished(make_panel, fleet):
    fleet["openai"].set(ttft=0.05, tokens_per_second=100)
    panel = make_panel([f"What is {n} + 1?" for n in range(400)], models=MODELS[:1], concurrency=2)
    panel.start.click()
    assert panel.start.disabled
    until(lambda: re.search(r"calls [1-9]\d* of 400.* left", panel.progress.value))
    assert "<progress" in panel.progress.value
    panel.start._click_handlers(panel.start)  # a second press
    assert "a benchmark is under way" in said(panel)
    panel.stop.click()
    run = panel.wait(30)
    assert run.info.stopped == "interrupt"
    assert 0 < len(run.measured) < 400
    assert "Stopped: " in said(panel)


def test_a_cost_at_most_is_kept(make_panel):
    panel = make_panel(
        (f"40 words about {n}, please" for n in range(40)),  # which can be read but once
        models=MODELS[:1],
        max_tokens=60,
        max_cost=0.002,
    )
    assert line(panel, "max_cost").value == "0.002"
    panel.start.click()
    run = panel.wait(30)
    assert run.info.stopped == "budget"
    assert run.calls["cost_usd"].sum() <= Decimal("0.002")
    assert "Stopped by its budget" in said(panel)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("models", [], "choose one model or more"),
        ("prompts", " \n", "there is nothing to ask"),
        ("epochs", "0", "epochs must be a whole number of at least 1"),
        ("epochs", "many", "number"),
        ("concurrency", "0", "concurrency must be a whole number"),
        ("max_cost", "-1", "max_cost"),
        ("max_cost", "$$", "number"),
        ("scorers", ["exact"], "target"),
    ],
)
def test_what_is_wrong_is_said_at_its_line_and_nothing_is_asked(make_panel, fleet, name, value, wrong):
    panel = make_panel(models=MODELS)
    put(panel, "prompts", "What is 6 * 7?")
    put(panel, name, value)
    panel.start.click()
    assert wrong in line(panel, name).told
    assert [each for each in panel.form.lines if panel.form.lines[each].told] == [name]
    assert f">nothing was asked: see {line(panel, name).field.label}<" in said(panel)  # and no place in our code
    assert panel.job is None
    assert all(handle.chats == [] for handle in fleet)
    put(panel, name, {"models": MODELS, "prompts": "What is 6 * 7?", "scorers": []}.get(name, "1"))
    panel.start.click()
    assert panel.wait(30) is not None
    assert line(panel, name).told == ""


def test_an_unknown_price_under_a_limit_is_said_at_the_limit(fleet, make_router):
    config = fleet.config()
    for provider in config["provider"]:
        provider.pop("prices", None)
    panel = hnb.BenchmarkPanel(make_router(config), ["What is 6 * 7?"], models=MODELS[:1], max_cost=1)
    until(lambda: "price" in line(panel, "max_cost").told)
    put(panel, "max_cost", "")
    until(lambda: "at a cost that is not known" in told(panel))
    panel.close()


def test_a_model_that_always_fails_is_in_the_result(make_panel, fleet):
    fleet["openai"].fail(hnb.sim.Fault("status", status=401), times=None)
    panel = make_panel(SUMS[:2], models=MODELS)
    panel.start.click()
    run = panel.wait(30)
    assert (run.calls["status"] == "error").sum() == 2
    assert "2 of 2" in panel.view.value


def test_words_from_outside_are_escaped_and_no_key_is_anywhere(make_panel, fleet):
    panel = make_panel([{"input": "<script>alert(1)</script>", "cluster": "<b>"}], models=MODELS[:1])
    panel.start.click()
    panel.wait(30)
    assert "<script>" not in panel.view.value + panel.saved().html
    assert "sim-key" not in everything()


def test_its_saved_form_before_anything_was_run(make_panel):
    panel = make_panel(models=MODELS[:1])
    assert panel.saved().text == f"No benchmark was run yet.\nModels: {MODELS[0]}."
    assert repr(panel) == "BenchmarkPanel(No benchmark was run yet.)"


def test_closing_ends_the_run(make_panel, fleet, router):
    fleet["openai"].set(ttft=30.0, tokens_per_second=10)
    panel = make_panel(SUMS, models=MODELS[:1])
    panel.start.click()
    job, readers = panel.job, feed_of(router).readers
    panel.close()
    assert job.wait(20)
    assert feed_of(router).readers == readers - 1


def test_a_picture_without_anything_in_it_is_not_drawn(make_panel, fleet):
    def broken(output: str, target: str) -> float:
        raise ValueError("no")

    panel = make_panel(SUMS[:1], models=MODELS[:1], scorers=[broken])
    panel.start.click()
    assert panel.wait(30) is not None
    until(lambda: "Done: 1 call;" in said(panel))
    assert "How soon" in panel.view.value  # of the pictures that fit, the first with something in it
    panel.kind.value = "pareto"
    until(lambda: f"No picture: nothing is known that could be drawn. {MODELS[0]} is left out" in panel.view.value)
    assert "<svg" not in panel.view.value


def test_models_and_scorers_are_lists(router):
    with pytest.raises(OptionValueError, match="models and scorers are lists of names"):
        hnb.BenchmarkPanel(router, models="openai")


def test_typed_prompts():
    assert typed("a\n\n b => c => d \n=> x") == [
        {"input": "a", "target": None},
        {"input": "b", "target": "c => d"},
        {"input": "", "target": "x"},
    ]
