"""The report of a run as one file."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from hybrid_nb.bench.records import Call, Score
from hybrid_nb.bench.results import Info, Run
from hybrid_nb.core.inputs import OptionValueError
from tests.benchmark.made import Truth, made_run

EVIL = '<img src=x onerror="alert(1)">'
VOID = {"meta", "br", "img", "input", "hr", "link"}


class Page(HTMLParser):
    """The tags of a page, and whether each that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def run() -> Run:
    made = made_run({"a/m": Truth(0.8), EVIL: Truth(0.5, failing=0.2, cost=None)}, samples=20)
    skipped = Call("k", "99", None, 0, "a/m", "measured", error=f"budget {EVIL}")
    calls = made.calls.copy()
    extra = Run.of([skipped], Info(scorers=("exact",))).calls.astype(calls.dtypes.to_dict())
    import pandas as pd

    calls.loc[calls.index[0], ["input", "output", "target"]] = EVIL
    calls = pd.concat([calls, extra], ignore_index=True)
    info = dataclasses.replace(
        made.info, settings={**made.info.settings, "system": EVIL}, versions={"python": "3.11", EVIL: EVIL},
        invalid=(f"the loop was late {EVIL}",), stopped="budget", judge_cost_usd=None, loop_lag_s={"p50": 0.001},
    )  # fmt: skip
    return dataclasses.replace(made, calls=calls, info=info)


def test_the_report_is_whole_and_holds_nothing_from_outside_as_html(run, tmp_path):
    text = run.to_html(tmp_path / "run.html", answers=30).read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert "img" not in page.tags
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert EVIL in page.text  # as words
    for heading in ("Summary", "Pairs of models", "Pictures", "Failures", "Not asked", "Answers", "How it was run"):
        assert f"<h2>{heading}</h2>" in text
    assert page.tags.count("svg") == 5
    assert page.tags.count("table") == page.tags.count("caption")


def test_the_report_says_what_went_wrong(run, tmp_path):
    text = Page(run.to_html(tmp_path / "run.html").read_text("utf-8")).text
    assert f"Its times are not to be trusted: the loop was late {EVIL}" in text
    assert "It ended early (budget): 1 calls were not asked." in text
    assert f"budget {EVIL}" in text
    assert "error: ServiceUnavailableError" in text
    assert "judges: unknown" in text
    assert "seed" in text


def test_answers_are_right_and_wrong_ones_with_their_reason(tmp_path):
    run = made_run({"a/m": Truth(0.5)}, samples=30)
    text = run.to_html(tmp_path / "a.html", answers=2).read_text("utf-8")
    assert text.count(">as the target says</td>") == 2
    assert text.count(">the target says yes</td>") == 2
    assert run.to_html(tmp_path / "b.html", answers=2).read_text("utf-8") == text  # the same sample by the same seed
    assert "<h2>Answers</h2>" not in run.to_html(tmp_path / "c.html", answers=0).read_text("utf-8")
    with pytest.raises(OptionValueError, match="0 or more"):
        run.to_html(tmp_path / "d.html", answers=-1)


def test_graded_answers_are_the_best_and_the_worst(tmp_path):
    calls = []
    for n in range(9):
        call = Call(f"k{n}", str(n), None, 0, "a/m", "measured", status="ok", due_at=0.0, sent_at=0.0, end_at=1.0)
        call.output, call.scores["alike"] = f"answer {n}", Score(n / 10, "x" * 2000)
        calls.append(call)
    text = Run.of(calls, Info(scorers=("alike",))).to_html(tmp_path / "a.html", answers=1).read_text("utf-8")
    assert "highest scores" in text
    assert "lowest scores" in text
    assert "answer 8<" in text
    assert "answer 0<" in text
    assert "answer 4<" not in text
    assert "(2,000 characters)" in text


def test_a_run_without_scorers_and_an_empty_one_have_a_report(tmp_path):
    for run in (Run.of([], Info()), dataclasses.replace(made_run({"a/m": Truth()}, samples=2), info=Info())):
        calls = run.calls.drop(columns=[name for name in run.calls if name.startswith("score_")])
        page = Page(dataclasses.replace(run, calls=calls).to_html(tmp_path / "a.html").read_text("utf-8"))
        assert "h1" in page.tags


def test_the_interactive_report_has_plotly_once_and_inside(tmp_path):
    run = made_run({"a/m": Truth()}, samples=3)
    text = run.to_html(tmp_path / "a.html", interactive=True).read_text("utf-8")
    assert text.count("plotly.js v") == 1
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="', text)
    assert text.count('class="live"') == 5
