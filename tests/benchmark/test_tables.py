"""The report: what a person reads, in plain text, HTML and Markdown."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pandas as pd
import pytest

from hybrid_nb.bench.records import Call
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.bench.statistics import wording
from tests.benchmark.made import Truth, made_run

EVIL = '<img src=x onerror=alert(1)>|"m_1*'


@pytest.fixture(scope="module")
def run() -> Run:
    models = {"a/m": Truth(0.92), "b/m": Truth(0.6, failing=0.1, cost=0.0003), "c/m": Truth(0.9, cost=None)}
    return made_run(models, samples=100, seed=4)


def test_plain_text_fits_100_columns_and_says_who_is_tied(run: Run) -> None:
    text = repr(run.report())
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("300 calls to 3 models, 100 samples, 4 at once\n")
    flat = " ".join(text.split())
    assert "a/m and c/m are tied by exact: " in flat or "c/m and a/m are tied by exact: " in flat
    assert "a/m is better than b/m by exact: " in flat
    assert "With these 100 samples a difference of " in flat
    assert "The cost of 100 calls to c/m is unknown." in flat
    assert "Failed calls score 0; of answered calls alone: b/m " in flat


def test_a_row_has_figures_with_intervals_and_a_dash_for_what_is_unknown(run: Run) -> None:
    report = run.report()
    row = dict(zip(report.headings, report.rows[2], strict=True))
    frame = run.summary().iloc[2]
    value, low, high = (100 * frame[f"score_exact{end}"] for end in ("", "_low", "_high"))
    assert row["right (exact)"] == f"{value:.0f} % ({low:.0f}–{high:.0f})"
    assert (row["$ per 1,000 calls"], row["$ per right answer"]) == ("–", "–")
    assert row["failed"] == "0 of 100"
    assert row["first token p50"].endswith(")")
    pd.testing.assert_frame_equal(report.frame, run.summary())


def test_long_names_and_many_scorers_still_fit() -> None:
    long = "openrouter/meta-llama/llama-3.3-70b-instruct-turbo-preview"
    run = made_run({long: Truth(), "b/m": Truth()}, samples=12)
    for name in ("includes", "similarity_of_the_answer", "judge"):
        run.calls[f"score_{name}"] = run.calls["score_exact"] * 0.5
    text = repr(run.report({"latency_s": 1}))
    assert max(map(len, text.splitlines())) <= 100
    assert "openrouter/…" in text
    assert long in run.report().to_markdown().replace("\\_", "_")


def test_a_run_that_is_invalid_or_stopped_says_so_first(run: Run) -> None:
    info = dataclasses.replace(run.info, invalid=("the client was late (median 31 ms)",), stopped="budget")
    calls = run.calls.copy()
    calls.loc[calls.index[:7], "status"] = "skipped"
    told = Run(calls, run.chunks, run.scores, run.votes, info).report().notes
    assert told[0] == "The times are not to be trusted: the client was late (median 31 ms)."
    assert told[1] == "7 calls not asked (stopped: budget)."


def test_a_run_too_small_to_see_anything_says_so() -> None:
    told = made_run({"a/m": Truth(1.0), "b/m": Truth(1.0)}, samples=3).report().notes
    assert "So few samples could not have shown any difference." in told


def test_a_model_that_always_fails_and_one_sample() -> None:
    text = repr(made_run({"a/m": Truth(), "b/m": Truth(failing=1.0)}, samples=1).report())
    assert text.startswith("2 calls to 2 models, 1 sample, ")
    assert "cannot be compared by exact: 1 sample with both" in text
    assert "Failed calls score 0." in text


def test_many_models_are_told_in_one_sentence() -> None:
    run = made_run({f"p{n}/m": Truth(0.2 + 0.15 * min(n, 4)) for n in range(6)}, samples=100)
    [told] = [text for text in run.report().notes if text.startswith("By exact")]
    assert "better than p0/m, p1/m" in told
    assert "; tied with " in told
    assert "after Holm for 15 pairs" in told


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_has_a_caption_and_scopes_and_no_foreign_element() -> None:
    run = made_run({EVIL: Truth(failing=0.2), "b/m": Truth()}, samples=20)
    reader = Reader()
    reader.feed(run.report().to_html())
    tags = [tag for tag, _ in reader.tags]
    assert "img" not in tags
    assert tags.count("caption") == 1
    assert [attrs["scope"] for tag, attrs in reader.tags if tag == "th"] == ["col"] * 7 + ["row"] * 2
    assert "color" not in run.report().to_html()


def test_markdown_has_as_many_cells_in_each_row_and_no_foreign_markup() -> None:
    text = made_run({EVIL: Truth(), "b/m": Truth()}, samples=20).report().to_markdown()
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8}
    assert "<img" not in text
    assert "$" not in text.replace("&#36;", "")


def test_a_cell_shows_the_report_and_print_one_line(run: Run) -> None:
    assert repr(run) == f"Run(300 calls to 3 models, {run.summary()['failed'].sum()} failed)"
    html, markdown = run._repr_html_(), run._repr_markdown_()
    assert html is not None
    assert markdown is not None
    assert "<caption" in html
    assert "| model |" in markdown
    assert Run.of([], Info())._repr_html_() is None


def test_graded_scores_and_a_run_without_scorers() -> None:
    graded = made_run({"a/m": Truth(), "b/m": Truth()}, samples=20)
    graded.calls["score_exact"] = graded.calls["score_exact"] * 3 + 1  # a judge who gives 1 to 4
    report = graded.report()
    assert report.headings[1] == "exact"
    assert "%" not in report.rows[0][1]
    assert report.rows[0][report.headings.index("$ per right answer")] == "–"
    calls = [Call(f"k{n}", str(n), None, 0, "a/m", "measured", status="ok", due_at=0.0, end_at=1.0) for n in range(3)]
    plain = Run.of(calls, Info()).report()
    assert plain.headings == ("model", "first token p50", "latency p95", "$ per 1,000 calls", "failed")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (0.004, "0.4 %"),
        (0.834, "83 %"),
        (0.9961, "99.6 %"),
        (1.0, "100 %"),
        (0.9999, "> 99.9 %"),
        (pd.NA, "–"),
    ],
)
def test_shares_are_all_or_none_only_when_they_are(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0042, "4.2 ms"), (0.231, "231 ms"), (0.9999, "1.00 s"), (1.204, "1.20 s"), (12.34, "12.3 s"), (123.4, "123 s")],
)
def test_seconds_have_three_digits(value: float, text: str) -> None:
    assert wording.seconds(value) == text


def test_the_report_says_why_calls_failed_and_what_a_scorer_said():
    run = made_run({"a/m": Truth(), "b/m": Truth(failing=1.0)}, samples=8)
    scores = run.scores.assign(value=None, explanation="scorer raised ZeroDivisionError: division by zero")
    calls = run.calls.assign(score_exact=None).astype({"score_exact": "Float64"})
    found = dataclasses.replace(run, calls=calls, scores=scores.astype({"value": "Float64"}))
    told = " ".join(str(found.report()).split())
    assert "8 calls to b/m failed: ServiceUnavailableError: 503." in told
    assert "ZeroDivisionError: division by zero" in told
