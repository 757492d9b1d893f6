"""Bradley-Terry ratings: against choix, closed forms and votes whose truth is known."""

from __future__ import annotations

import itertools
import math

import choix
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv

from hybrid_nb.bench.records import VOTE_COLUMNS
from hybrid_nb.bench.results import frame
from hybrid_nb.bench.statistics import bradley_terry
from hybrid_nb.bench.statistics.preference import MEAN, POINTS, left_share, preference
from hybrid_nb.core.inputs import OptionValueError

SOME = 300  # resamples
FEWER = 200  # where many tables are rated


def votes(*rows):
    """Rows of (prompt, model_a, model_b, winner), and left if there is a fifth."""
    named = ("id", "model_a", "model_b", "winner", "left")
    return pd.DataFrame([[*row, row[1]][:5] for row in rows], columns=list(named))


def drawn(abilities, prompts, each, rng, ties=0.0):
    """Votes of models m0, m1 ... whose abilities (in log odds) are known."""
    rows = []
    for prompt, _ in itertools.product(range(prompts), range(each)):
        a, b = rng.choice(len(abilities), 2, replace=False)
        won = rng.random() < 1 / (1 + math.exp(abilities[b] - abilities[a]))
        word = "tie" if rng.random() < ties else "a" if won else "b"
        rows.append((str(prompt), f"m{a}", f"m{b}", word, f"m{a if rng.random() < 0.5 else b}"))
    return votes(*rows)


# --- the fit ------------------------------------------------------------------------------------------------


def test_it_is_the_maximum_that_choix_finds():
    rng = np.random.default_rng(5)
    table = drawn([1.0, 0.2, -0.4, -0.8], 150, 2, rng)
    pairs = [
        (int(w[1]), int(lost[1]))
        for a, b, word in zip(table["model_a"], table["model_b"], table["winner"], strict=True)
        for w, lost in [(a, b) if word == "a" else (b, a)]
    ]
    theirs = choix.opt_pairwise(4, pairs, alpha=bradley_terry.PENALTY / 2, method="BFGS")
    ours = preference(table, [f"m{i}" for i in range(4)], resamples=1).ratings
    assert ours == pytest.approx(MEAN + POINTS * (theirs - theirs.mean()), abs=0.02)


def test_for_two_models_it_is_the_log_odds_of_the_votes():
    table = votes(*[(str(n), "x", "y", "a" if n < 1500 else "b") for n in range(2000)])
    gap = preference(table, resamples=1).pairs().loc[0, "difference"]
    assert gap == pytest.approx(400 * math.log10(3), abs=1)  # the prior takes less than a point at 2,000 votes


def test_a_tie_is_half_a_vote_for_each():
    ties = votes(*[(str(n), "x", "y", "tie") for n in range(10)])
    halves = votes(*[(str(n), "x", "y", "ab"[n % 2]) for n in range(10)])
    one, other = preference(ties, resamples=1), preference(halves, resamples=1)
    assert one.ratings == pytest.approx(other.ratings, abs=1e-3)
    assert one.table()[["wins", "losses", "ties"]].to_numpy().tolist() == [[0, 0, 10]] * 2
    mixed = preference(votes(("1", "x", "y", "a"), ("2", "y", "x", "tie"), ("3", "x", "y", "b"), ("4", "x", "y", "a")))
    row = mixed.table().set_index("model").loc["x"]
    assert (row["votes"], row["wins"], row["losses"], row["ties"], row["win_share"]) == (4, 2, 1, 1, 0.625)


def test_who_always_wins_has_a_finite_rating_and_the_interval_of_jeffreys():
    table = votes(*[(str(n), "x", "y", "a") for n in range(10)])
    found = preference(table, resamples=4000)
    low, high = found.difference(0, 1)
    assert 200 < found.ratings[0] - found.ratings[1] < 1000
    share = betaincinv(10.5, 0.5, 0.025)  # the lower end for ten of ten
    assert low == pytest.approx(400 * math.log10(share / (1 - share)), abs=40)
    assert 500 < high < 3000


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_it_never_explodes_and_does_not_care_for_order(data):
    names = [f"m{i}" for i in range(data.draw(st.integers(2, 5)))]
    pair = st.permutations(names).map(lambda p: p[:2])
    rows = data.draw(st.lists(st.tuples(st.sampled_from("pqr"), pair, st.sampled_from(["a", "b", "tie"])), max_size=30))
    table = votes(*[(prompt, a, b, word) for prompt, (a, b), word in rows])
    turned = votes(*[(p, b, a, {"a": "b", "b": "a"}.get(w, w)) for p, (a, b), w in reversed(rows)])
    found = preference(table, names, resamples=20)
    assert np.isfinite(found.resampled).all()
    assert found.ratings.mean() == pytest.approx(MEAN)
    assert preference(turned, names, resamples=1).ratings == pytest.approx(found.ratings, abs=0.05)
    assert found.wins.sum() + found.ties.sum() / 2 == len(rows)


def test_many_are_fitted_at_once_as_one_by_one():
    rng = np.random.default_rng(2)
    points, centres = rng.poisson(2.0, (7, 4, 4)) * 1.0, rng.normal(size=(7, 4))
    together = bradley_terry.fit(points, centres)
    alone = [bradley_terry.fit(points[[i]], centres[[i]])[0] for i in range(7)]
    assert together == pytest.approx(np.array(alone), abs=1e-4)


# --- the intervals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompts", "each"), [(30, 1), (40, 3)])
def test_intervals_hold_the_truth_as_often_as_they_say(prompts, each):
    truth, rng = np.array([0.9, 0.2, -0.3, -0.8]), np.random.default_rng(11)
    held = []
    for seed in range(80):
        table = drawn(truth, prompts, each, rng)
        found = preference(table, [f"m{i}" for i in range(4)], resamples=FEWER, seed=seed)
        for i, j in itertools.combinations(range(4), 2):
            low, high = found.difference(i, j)
            held.append(low <= POINTS * (truth[i] - truth[j]) <= high)
    assert 0.91 <= np.mean(held) <= 0.99, np.mean(held)


def test_it_recovers_the_order_and_says_who_is_tied():
    rng = np.random.default_rng(3)
    found = preference(drawn([1.2, 0.0, 0.0, -1.2], 300, 3, rng, ties=0.1), resamples=SOME)
    table = found.table().set_index("model")
    assert table.index[0] == "m0"
    assert table.index[-1] == "m3"
    assert (table.loc["m1", "tied_with"], table.loc["m2", "tied_with"]) == ("m2", "m1")
    assert (table.loc["m0", "tied_with"], list(table.loc["m0", ["rank_low", "rank_high"]])) == ("", [1, 1])
    assert list(table.loc["m1", ["rank_low", "rank_high"]]) == [2, 3]
    tied = found.pairs().set_index(["model_a", "model_b"])["tied"]
    assert [set(pair) for pair in tied[tied].index] == [{"m1", "m2"}]


def test_models_of_one_strength_are_seldom_told_apart():
    rng, wrong = np.random.default_rng(4), []
    for seed in range(60):
        found = preference(drawn([0.0, 0.0, 0.0], 30, 2, rng), ["m0", "m1", "m2"], resamples=FEWER, seed=seed)
        wrong += [not found.tied(i, j) for i, j in itertools.combinations(range(3), 2)]
    assert np.mean(wrong) <= 0.1, np.mean(wrong)


def test_prompts_are_resampled_and_not_votes():
    once = votes(*[(str(n), "x", "y", "ab"[n % 2]) for n in range(20)])
    repeated = pd.concat([once] * 25)  # the same 20 prompts, asked 25 times with the same result
    apart = repeated.drop(columns="id")
    width = [np.ptp(preference(t, resamples=SOME).difference(0, 1)) for t in (once, repeated, apart)]
    assert width[1] == pytest.approx(width[0], rel=0.3)
    assert width[2] < width[0] / 3


def test_the_same_seed_gives_the_same():
    table = drawn([0.5, 0.0, -0.5], 20, 2, np.random.default_rng(1))
    one, same, other = (preference(table, resamples=50, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.table(), same.table())
    assert not one.table().equals(other.table())


# --- what is told -------------------------------------------------------------------------------------------


def test_models_that_never_met_are_told_and_tied():
    rows = [(str(n), "a1", "a2", "a") for n in range(20)] + [(str(n), "b1", "b2", "a") for n in range(20)]
    found = preference(votes(*rows), resamples=SOME)
    assert found.notes == ("never compared with each other, so that their difference is unknown: a1, a2 | b1, b2",)
    assert found.tied(0, 3)
    assert not found.tied(0, 1)
    assert pd.isna(found.matrix().loc["a1", "b1"])
    assert found.matrix().loc["a1", "a2"] == 1


def test_without_a_vote_nothing_is_known():
    found = preference(frame([], VOTE_COLUMNS), ["x", "y"], resamples=SOME)
    table = found.table()
    assert table["rating"].tolist() == [MEAN, MEAN]
    assert table["win_share"].isna().all()
    assert table["tied_with"].tolist() == ["y", "x"]
    assert table["rating_high"][0] - table["rating_low"][0] > 1000
    assert "no vote yet" in found.notes[0]
    assert left_share(frame([], VOTE_COLUMNS)).share is None
    assert len(preference(frame([], VOTE_COLUMNS)).table()) == 0


def test_few_prompts_are_told():
    assert "only 1 prompt: " in preference(votes(("1", "x", "y", "a")), resamples=5).notes[0]


def test_how_often_the_left_won():
    rows = [(str(n), "x", "y", "a", "x") for n in range(15)] + [(str(n), "x", "y", "a", "y") for n in range(5)]
    rows += [("t", "x", "y", "tie", "x"), ("u", "x", "y", "a", None)]
    share = preference(votes(*rows), resamples=5).left
    assert (share.share, share.votes) == (0.75, 20)
    assert (share.low, share.high) == pytest.approx((0.5313, 0.8881), abs=1e-3)  # Wilson
    assert share.p == pytest.approx(0.0414, abs=1e-3)  # exact
    assert str(share) == "left won 75% of 20 (53% to 89%)"
    assert str(left_share(votes(*rows).drop(columns="left"))) == "left won: unknown, as no vote says it"


def test_votes_of_a_run_and_unknown_winners():
    now = [
        (1.0, "1", None, "p", "x", "y", "a", "me", "x", None),
        (2.0, "2", None, "p", "x", "y", None, "me", "x", None),
    ]
    found = preference(frame(now, VOTE_COLUMNS), resamples=5)
    assert found.table()["votes"].tolist() == [1, 1]
    assert preference(frame(now, VOTE_COLUMNS), ["y", "z"], resamples=5).table()["votes"].sum() == 0


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (votes(("1", "x", "y", "left")), "winner must be 'a', 'b', 'tie' or missing, not 'left'"),
        (votes(("1", "x", "x", "a")), "a vote compares a model with itself"),
        (votes(("1", "x", None, "a")), "does not say which models"),
        (votes(("1", "x", "y", "a")).drop(columns="model_b"), "votes have no column model_b"),
    ],
)
def test_votes_that_cannot_be_read_are_refused(table, told):
    with pytest.raises(OptionValueError, match=told):
        preference(table)


def test_a_large_table_is_quick():
    rng = np.random.default_rng(0)
    table = drawn(rng.normal(size=12), 500, 8, rng)
    found = preference(table, resamples=300)
    assert found.resampled.shape == (300, 12)
