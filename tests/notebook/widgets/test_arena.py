"""The arena without a page: blind until the vote, balanced, kept, and what happens when answers do not come."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybrid_nb as hnb
from hybrid_nb.bench.records import VOTE_COLUMNS, Item
from hybrid_nb.core.errors import ConfigError, ServiceUnavailableError
from hybrid_nb.core.inputs import OptionValueError
from hybrid_nb.notebook.feed import feed_of
from hybrid_nb.notebook.widgets.arena import matches
from hybrid_nb.notebook.widgets.arena.answers import STRIKES
from hybrid_nb.notebook.widgets.arena.control import Contest
from hybrid_nb.notebook.widgets.arena.kept import Votes
from hybrid_nb.sim import Fault
from tests.conftest import WIRES, model_of
from tests.notebook.widgets import front
from tests.notebook.widgets.front import said, until

MODELS = [model_of(wire) for wire in ("openai", "anthropic", "gemini")]
SUMS = [f"What is {n} * 7?" for n in range(2, 8)]
QUIET = {"health_interval": 0, "retries": 0}


@pytest.fixture
def router(fleet, make_router):
    return make_router(fleet, **QUIET)


OTHERS: set[str] = set()  # widgets of tests before, which may show names


@pytest.fixture(autouse=True)
def _others():
    OTHERS.clear()
    OTHERS.update(front.there())


def everything():
    return front.everything(without=OTHERS)


@pytest.fixture
def make_arena(router):
    made = []

    def make(prompts=SUMS, models=MODELS, **options):
        made.append(hnb.Arena(router, models, prompts, **options))
        return made[-1]

    yield make
    for arena in made:
        arena.close()


def page(arena):
    return arena._view.page


def wish(arena, what, **more):
    """As the page sends it."""
    arena._view._handle_custom_msg({"ask": what, "n": "1", **more}, [])


def vote_all(arena, choice=lambda pair: "left"):
    found = []
    while (pair := arena.next(20)) is not None:
        found.append(arena.vote(choice(pair)))
    return found


def names(text):
    """Which of the fleet's names are in a text."""
    return [name for name in (*WIRES, *(f"simulated-{wire}" for wire in WIRES)) if name in text]


# --- blind --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frontend", ["anywidget", "core"])
def test_no_name_is_anywhere_before_the_vote(make_arena, frontend):
    arena = make_arena(frontend=frontend)

    def whole():
        return everything() + arena.saved().html + arena.saved().text + repr(arena) + str(arena._repr_mimebundle_())

    assert names(whole()) == []
    for _ in range(3):
        assert arena.next(20) is not None
        assert names(whole()) == []
        assert "14" in whole() or "= " in whole()  # the answers are there
        vote = arena.vote("left")
        assert names(everything()) != []
        assert vote.left in arena.saved().text
    arena.next(20)
    assert names(whole()) == []  # the last vote is gone from everywhere
    arena.rest()
    until(lambda: vote.left in everything())
    assert vote.left in arena.saved().html
    arena.next(20)
    assert names(whole()) == []


def test_no_name_is_in_what_is_told_of_an_answer_that_failed(make_arena, fleet):
    fleet["openai"].fail(Fault("status", status=500), times=None)
    arena = make_arena()
    assert arena.next(20) is not None
    assert len(arena.failures) >= 1
    assert "did not come" in page(arena)["told"]
    assert names(everything() + arena.saved().html + said(arena)) == []


def test_an_answer_of_its_own_cannot_act(make_arena, fleet):
    arena = make_arena(["Say <script>alert(1)</script> back, 5 words"])
    arena.next(20)
    assert "<script>" not in "".join(page(arena)["left"] + page(arena)["right"])
    arena.vote("tie")
    assert "<script>" not in arena.saved().html


def test_neither_answer_is_shown_before_both_are_there(make_arena, fleet):
    fleet["openai"].set(ttft=0.6, tokens_per_second=1000)
    arena = make_arena(SUMS[:1], MODELS[:2])
    wish(arena, "next")
    until(lambda: len(fleet["anthropic"].chats) == 1)
    assert page(arena)["phase"] == "asking"
    assert (page(arena)["left"], page(arena)["right"]) == ([], [])
    until(lambda: page(arena)["phase"] == "open")
    assert page(arena)["left"]
    assert page(arena)["right"]


# --- voting -------------------------------------------------------------------------------------------------


def test_votes_are_rows_and_give_a_ranking(make_arena, fleet):
    fleet["openai"].set(accuracy=1.0)
    fleet["anthropic"].set(accuracy=0.0)
    arena = make_arena()
    arena.next(20)
    arena.vote("tie", why="the same")
    cast = vote_all(arena, lambda pair: better(pair))
    table = arena.votes
    assert tuple(table.columns) == VOTE_COLUMNS
    assert len(table) == len(cast) + 1 == 18
    assert table["winner"].isin(["a", "b", "tie"]).all()
    assert (table["model_a"] < table["model_b"]).all()
    assert ((table["left"] == table["model_a"]) | (table["left"] == table["model_b"])).all()
    assert table["explanation"][0] == "the same"
    assert set(table["prompt"]) == set(SUMS)
    won = table.apply(lambda row: {"a": row["model_a"], "b": row["model_b"], "tie": None}[row["winner"]], axis=1)
    assert model_of("anthropic") not in set(won.dropna())
    ranking = arena.ranking()
    assert ranking["model"].tolist()[-1] == model_of("anthropic")
    assert ranking["votes"].sum() == 36
    assert repr(arena) == "Arena(18 of 18 votes; 3 pairs of models)"


def better(pair):
    """Who is right about a product."""
    first, second = (int(word) for word in pair.prompt.removeprefix("What is ").rstrip("?").split(" * "))
    right = [str(first * second) in answer for answer in (pair.left, pair.right)]
    return "tie" if right[0] == right[1] else "left" if right[0] else "right"


def test_the_choice_is_of_the_side_and_not_of_a_model(make_arena):
    arena = make_arena()
    for choice in ("left", "right", "tie"):
        arena.next(20)
        vote = arena.vote(choice)
        row = arena.votes.iloc[-1]
        assert row["left"] == vote.left
        winner = {"a": row["model_a"], "b": row["model_b"], "tie": None}[row["winner"]]
        assert winner == {"left": vote.left, "right": vote.right, "tie": None}[choice] == vote.winner


def test_every_pair_on_every_prompt_once_and_pairs_in_turn(make_arena, fleet):
    arena = make_arena()
    cast = vote_all(arena)
    keys = Counter((row.id, frozenset((row.model_a, row.model_b))) for row in arena.votes.itertuples())
    assert set(keys.values()) == {1}
    assert len(keys) == 18
    of_pairs = Counter()
    for vote in cast:
        of_pairs[frozenset((vote.left, vote.right))] += 1
        assert max(of_pairs.values()) - min(of_pairs.get(pair, 0) for pair in arena.contest.pairs) <= 1
    assert [len(fleet[wire].chats) for wire in ("openai", "anthropic", "gemini")] == [6, 6, 6]  # each answer once
    assert arena.contest.phase == "over"
    assert "Nothing is left" in page(arena)["told"]


def test_places_are_drawn_by_lot_and_a_seed_repeats_them(make_arena):
    one, same, other = ([v[1:] for v in vote_all(make_arena(seed=seed))] for seed in (3, 3, 4))
    assert one == same
    assert one != other
    assert 3 <= sum(left < right for left, right in one) <= 15


def test_skipped_pairs_are_no_votes_and_do_not_come_back(make_arena):
    arena = make_arena(SUMS[:2], MODELS[:2])
    first = arena.next(20)
    arena.skip()
    second = arena.next(20)
    assert second != first
    arena.vote("left")
    assert arena.next(20) is None
    assert len(arena.votes) == 1


def test_a_goal_ends_it_and_asks_for_no_more(make_arena, fleet):
    arena = make_arena(goal=2)
    assert len(vote_all(arena)) == 2
    assert sum(len(fleet[wire].chats) for wire in ("openai", "anthropic", "gemini")) <= 4
    assert repr(arena) == "Arena(2 of 2 votes; 3 pairs of models)"


def test_only_one_pair_is_asked_for_ahead_and_nothing_before_the_start(make_arena, fleet):
    arena = make_arena(SUMS, MODELS[:2])
    assert fleet["openai"].chats == fleet["anthropic"].chats == []
    arena.next(20)
    until(lambda: len(fleet["openai"].chats) == 2)
    assert arena.contest._ahead.done.wait(10)
    assert len(fleet["openai"].chats) == len(fleet["anthropic"].chats) == 2


def test_votes_out_of_turn_are_refused(make_arena):
    arena = make_arena()
    with pytest.raises(OptionValueError, match="no pair is open to be voted on"):
        arena.vote("left")
    with pytest.raises(OptionValueError, match="no pair is open to be skipped"):
        arena.skip()
    arena.next(20)
    with pytest.raises(OptionValueError, match="a vote is one of left, right, tie"):
        arena.vote("up")
    arena.vote("left")
    with pytest.raises(OptionValueError, match=r"no pair is open to be voted on \(voted\)"):
        arena.vote("left")


def test_a_prompt_of_ones_own_comes_next(make_arena, fleet):
    arena = make_arena(None)
    assert arena.next(20) is None
    assert "Write a prompt" in page(arena)["told"]
    wish(arena, "own", text="What is 9 * 9?")
    until(lambda: page(arena)["phase"] == "open")
    assert arena.pair == ("What is 9 * 9?", "9 * 9 = 81.", "9 * 9 = 81.")
    assert page(arena)["progress"] == "0 of 1 vote; 3 pairs of models"
    first = arena.vote("tie")
    arena.ask("What is 9 * 9?")  # again: by another pair
    assert arena.next(20) is not None
    second = arena.vote("tie")
    assert {first.left, first.right} != {second.left, second.right}
    assert arena.votes["id"].nunique() == 1
    wish(arena, "own", text="  ")
    assert "write a prompt first" in said(arena)


def test_an_own_prompt_waits_for_the_open_pair_and_the_others_go_on_after_it(make_arena):
    arena = make_arena(SUMS[:2], MODELS[:2])
    assert arena.next(20).prompt in SUMS
    arena.ask("What is 9 * 9?")
    assert page(arena)["progress"] == "0 of 3 votes; 1 pair of models"
    arena.vote("left")
    assert arena.next(20).prompt == "What is 9 * 9?"
    arena.vote("left")
    assert arena.next(20).prompt in SUMS
    arena.vote("left")
    assert arena.next(20) is None
    assert repr(arena) == "Arena(3 of 3 votes; 1 pair of models)"


# --- the page -----------------------------------------------------------------------------------------------


def test_what_a_page_wants(make_arena):
    arena = make_arena()
    assert page(arena)["phase"] == "ready"
    assert "6 answers" not in page(arena)["told"]
    assert re.search(r"18 answers in all at most \(likely \$[\d.]+, \$[\d.]+ at most\)\.", page(arena)["told"])
    wish(arena, "next")
    until(lambda: page(arena)["phase"] == "open")
    number = page(arena)["number"]
    wish(arena, "vote", choice="right", number=number)
    assert (page(arena)["phase"], page(arena)["choice"]) == ("voted", "right")
    assert len(page(arena)["names"]) == 2
    assert " s" in page(arena)["notes"][0]
    assert arena._view.heard == "1"
    wish(arena, "next")
    until(lambda: page(arena)["phase"] == "open")
    wish(arena, "vote", choice="left", number=number)  # a second press, which was meant for the last pair
    wish(arena, "skip", number=number)
    assert page(arena)["phase"] == "open"
    assert len(arena.votes) == 1
    wish(arena, "rest")
    until(lambda: "<caption>Ranking by 1 vote" in page(arena)["table"])
    assert "Working out" not in page(arena)["told"]
    assert page(arena)["left"] == []
    wish(arena, "next")
    assert page(arena)["phase"] == "open"
    json.dumps(page(arena))


def test_what_makes_no_sense_changes_nothing(make_arena):
    arena = make_arena()
    for content in (None, 3, {}, {"ask": "drop"}, {"ask": "vote"}, {"ask": ["vote"], "number": None}):
        arena._view._handle_custom_msg(content, [])
    assert page(arena)["phase"] == "ready"


def test_on_core_widgets(make_arena):
    arena = make_arena(SUMS[:1], MODELS[:2], frontend="core")
    view = arena._view
    assert view.choices["left"].disabled
    view.go.click()
    until(lambda: not view.choices["left"].disabled)
    assert "14" in view.sides[0].value
    view.choices["tie"].click()
    assert model_of("openai") in view.sides[0].value + view.sides[1].value
    assert arena.votes["winner"].tolist() == ["tie"]
    view.go.click()
    until(lambda: "Ranking by 1 vote" in view.table.value)
    view.own.value = "What is 3 * 3?"
    view.ask.click()
    until(lambda: not view.choices["left"].disabled)
    assert "3 * 3 = 9" in view.sides[1].value


def test_the_front_end_follows_the_environment(router, monkeypatch):
    monkeypatch.setenv("HYBRID_NB_FRONTEND", "core")
    arena = hnb.Arena(router, MODELS, SUMS)
    assert not hasattr(arena._view, "page")
    arena.close()
    with pytest.raises(OptionValueError, match="frontend must be one of anywidget, core"):
        hnb.Arena(router, MODELS, SUMS, frontend="x")


# --- when answers do not come -------------------------------------------------------------------------------


def test_a_model_that_always_fails_is_left_out_and_the_others_go_on(make_arena, fleet):
    fleet["openai"].fail(Fault("status", status=500), times=None)
    arena = make_arena()
    cast = vote_all(arena)
    assert len(cast) == 6
    assert all(model_of("openai") not in vote for vote in cast)
    failures = arena.failures
    assert len(failures) == STRIKES
    assert set(failures["model"]) == {model_of("openai")}
    assert failures["error"].str.startswith("ServiceUnavailableError: ").all()
    assert page(arena)["phase"] == "halted"
    assert names(page(arena)["told"]) == []
    fleet["openai"].heal()
    assert len(vote_all(arena)) == 12


def test_one_failure_puts_one_pair_aside(make_arena, fleet):
    fleet["openai"].fail(Fault("status", status=500), times=1)
    arena = make_arena(SUMS[:3], MODELS[:2])
    assert len(vote_all(arena)) == 2
    assert len(arena.failures) == 1
    assert page(arena)["phase"] == "over"
    assert "The last: ServiceUnavailableError; arena.failures says all." in page(arena)["told"]
    assert names(page(arena)["told"]) == []


def test_a_budget_that_is_used_up_halts_it_before_anything_more_is_asked(fleet, make_router):
    config = {**fleet.config(), "budget": {"daily_usd": 0.00001}}
    router = make_router(config, **QUIET)
    arena = hnb.Arena(router, MODELS[:2], SUMS, max_tokens=20)
    assert arena.next(20) is None
    assert page(arena)["phase"] == "halted"
    assert "the budget is used up" in page(arena)["told"]
    assert page(arena)["problem"]
    assert len(arena.failures) == 0
    router.configure(budget={"daily_usd": 5})
    assert arena.next(20) is not None
    arena.close()


def test_a_closed_router_says_what_to_do(make_arena, router):
    arena = make_arena()
    router.close()
    assert arena.next(20) is None
    assert page(arena)["phase"] == "halted"
    wish(arena, "next")
    assert "This router is closed: make a new one" in said(arena)


def test_closing_ends_what_is_under_way(make_arena, fleet, router):
    fleet["openai"].set(ttft=30.0, tokens_per_second=10)
    arena = make_arena(SUMS, MODELS[:2])
    wish(arena, "next")
    until(lambda: len(fleet["openai"].chats) == 1)
    bout = arena.contest.bout
    readers = feed_of(router).readers
    arena.close()
    assert bout.done.wait(10)
    assert feed_of(router).readers == readers - 1


def test_skipping_does_not_wait_for_an_answer(make_arena, fleet):
    fleet["openai"].set(ttft=30.0, tokens_per_second=10)
    arena = make_arena(SUMS[:1], MODELS)
    wish(arena, "next")
    for _ in range(3):
        if page(arena)["phase"] == "asking" and model_of("openai") in arena.contest.bout.match.pair:
            wish(arena, "skip", number=page(arena)["number"])
    until(lambda: page(arena)["phase"] == "open", 10)
    assert model_of("openai") not in arena.contest.bout.match.pair


# --- kept ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_votes_are_in_the_file_at_once_and_it_goes_on_there(make_arena, tmp_path, kind):
    path = tmp_path / "deep" / f"votes.{kind}"
    first = make_arena(save=path)
    assert not path.exists()
    for choice in ("left", "tie", "right"):
        first.next(20)
        first.vote(choice, why='a "quoted", two-\nline reason' if choice == "tie" else None)
        assert len(Votes(path).rows) == len(first.votes)
    again = make_arena(save=path)
    pd.testing.assert_frame_equal(again.votes, first.votes)
    assert repr(again) == "Arena(3 of 18 votes; 3 pairs of models)"
    vote_all(again)
    assert len(again.votes) == len(Votes(path).rows) == 18
    assert make_arena(save=path).next(20) is None
    other = make_arena(save=path, rater="you")
    assert repr(other) == "Arena(0 of 18 votes; 3 pairs of models)"
    assert other.ranking()["votes"].sum() == 36


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_that_a_crash_left_half_is_told_and_what_follows_is_whole(make_arena, tmp_path, kind):
    path = tmp_path / f"votes.{kind}"
    arena = make_arena(save=path)
    for _ in range(2):
        arena.next(20)
        arena.vote("left")
    path.write_bytes(path.read_bytes()[:-30])
    again = make_arena(save=path)
    assert len(again.votes) == 1
    assert "was not whole and is left out" in said(again)
    again.next(20)
    again.vote("right")
    assert len(Votes(path).rows) == 2
    assert Votes(path).rows[0] == arena.contest.votes.rows[0]


def test_a_vote_that_cannot_be_saved_does_not_count(make_arena, tmp_path):
    path = tmp_path / "votes.jsonl"
    arena = make_arena(save=path)
    arena.next(20)
    path.mkdir()
    wish(arena, "vote", choice="left", number=page(arena)["number"])
    assert "IsADirectoryError" in said(arena)
    assert page(arena)["phase"] == "open"
    assert names(everything()) == []
    path.rmdir()
    arena.vote("left")
    assert len(Votes(path).rows) == 1


def test_files_that_hold_no_votes_are_refused(router, tmp_path):
    with pytest.raises(OptionValueError, match=r"a file that ends in \.jsonl, \.csv, \.parquet, not 'x\.txt'"):
        hnb.Arena(router, MODELS, SUMS, save=tmp_path / "x.txt")
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(ConfigError, match="holds no votes that can be read"):
        hnb.Arena(router, MODELS, SUMS, save=tmp_path / "x.parquet")


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (["openai/simulated-opnai", MODELS[0]], "there is no model 'openai/simulated-opnai' .did you mean"),
        (MODELS[:1], "two or more different models"),
        ([MODELS[0], MODELS[0]], "two or more different models"),
        ("openai", "a list of two or more names"),
    ],
)
def test_models_that_cannot_be_compared(router, models, told):
    readers = feed_of(router).readers
    with pytest.raises(OptionValueError, match=told):
        hnb.Arena(router, models, SUMS)
    assert feed_of(router).readers == readers


def test_options_that_no_call_has_are_refused_at_once(router):
    with pytest.raises(TypeError, match="temprature"):
        hnb.Arena(router, MODELS, SUMS, temprature=1)
    with pytest.raises(OptionValueError, match="an arena compares several"):
        hnb.Arena(router, MODELS, SUMS, model=MODELS[0])


def test_without_models_the_first_of_each_provider(router):
    arena = hnb.Arena(router, prompts=SUMS)
    assert sorted(arena.models) == sorted(model_of(wire) for wire in WIRES)
    arena.close()


def test_prompts_are_data(make_arena):
    frame = pd.DataFrame({"input": ["What is 2 + 2?"], "id": ["sum"], "cluster": ["maths"], "more": [1]})
    arena = make_arena(frame, MODELS[:2])
    arena.next(20)
    arena.vote("left")
    assert arena.votes[["id", "cluster", "prompt"]].to_numpy().tolist() == [["sum", "maths", "What is 2 + 2?"]]
    with pytest.raises(OptionValueError, match="ids must differ"):
        make_arena([{"input": "a", "id": 1}, {"input": "b", "id": 1}])
    with pytest.raises(OptionValueError, match="goal must be 1 or more"):
        make_arena(goal=0)
    messages = make_arena([{"input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}])
    messages.next(20)
    assert page(messages)["prompt"] == "Hi"


# --- choosing, alone ----------------------------------------------------------------------------------------


class Said:
    """A call that is over, or waits for its event."""

    def __init__(self, error=None, event=None):
        self.error, self.event = error, event

    @property
    def reply(self):
        if self.event is not None and not self.event.wait(10):
            raise TimeoutError
        if self.error is not None:
            raise self.error
        return hnb.Reply(text="yes", provider="p", model="m")

    def cancel(self):
        if self.event is not None:
            self.event.set()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 3), st.randoms(use_true_random=False))
def test_whatever_fails_every_pair_is_voted_on_skipped_or_put_aside(count, prompts, failing, lot):
    models = [f"m{n}" for n in range(count)]
    bad = {(lot.choice(models), str(lot.randrange(prompts))) for _ in range(failing)}
    items = [Item(str(n), str(n)) for n in range(prompts)]
    error = ServiceUnavailableError("no")
    contest = Contest(models, items, Votes(), lambda model, text: Said(error if (model, text) in bad else None))
    shown = Counter()
    for _ in range(200):
        contest.next()
        assert contest.wait(10)
        if contest.phase != "open":
            break
        match = contest.bout.match
        shown[match.key] += 1
        assert not {(match.left, match.item.id), (match.right, match.item.id)} & bad
        contest.vote(lot.choice(["left", "right", "tie"])) if lot.random() < 0.8 else contest.skip()
    assert contest.phase in ("over", "halted")
    assert not shown or max(shown.values()) == 1
    assert len(contest.votes.rows) <= contest.total
    if not bad:
        assert len(shown) == len(contest.pairs) * prompts


def test_pairs_with_the_fewest_votes_come_first():
    items, among = [Item(str(n), "x") for n in range(4)], matches.pairs("abc")
    votes = Counter({("0", among[0]): 2, ("1", among[1]): 1})
    for seed in range(20):
        item, pair = matches.choose(items, among, votes, (), random.Random(seed))
        assert pair == among[2]
        assert item.id in ("2", "3")
    gone = {(item.id, pair) for item in items for pair in among}
    assert matches.choose(items, among, votes, gone, random.Random(0)) is None


def test_an_answer_that_comes_after_a_rest_is_there_when_it_goes_on():
    event = threading.Event()
    contest = Contest(["a", "b"], [Item("1", "x")], Votes(), lambda model, text: Said(event=event))
    contest.next()
    contest.rest()
    event.set()
    assert contest.bout.done.wait(10)
    assert contest.phase == "resting"
    contest.next()
    assert contest.wait(10)
    assert contest.phase == "open"
    contest.close()
