"""What the arena shows now, as a dict that is JSON: the one thing that its front ends are sent.

Names of models are in it only after the vote, and in the ranking, which is shown only while no pair is.

  phase, number (of the match)        see control.py
  progress, share                     "7 of 20 votes; 3 pairs of models", and 0 to 1
  told                                a line that is read out when it changes; problem: whether it is an alert
  prompt, left, right                 the prompt as text; answers as blocks of safe HTML
  choice, names, notes                after the vote: "left" ..., and for both sides who it was, times and cost
  table                               the ranking as safe HTML
"""

from __future__ import annotations

from typing import Any

from hybrid_nb.bench.statistics.preference import Preference, preference
from hybrid_nb.notebook.markup import blocks
from hybrid_nb.notebook.widgets.arena import matches
from hybrid_nb.notebook.widgets.arena.asking import Answer, Bout
from hybrid_nb.notebook.widgets.arena.control import Contest
from hybrid_nb.notebook.widgets.style import paragraph, table, text_table
from hybrid_nb.notebook.words import percent

Page = dict[str, Any]
HEADS = ("Model", "Rank", "Rating", "Interval", "Votes", "Won", "Tied with")
EMPTY = "(an empty answer)"


def progress(contest: Contest) -> str:
    """ "7 of 20 votes; 3 pairs of models"."""
    pairs, total = len(contest.pairs), contest.total
    of = f" of {total}" if total else ""
    votes = "vote" if (total or contest.cast) == 1 else "votes"
    return f"{contest.cast}{of} {votes}; {pairs} pair{'' if pairs == 1 else 's'} of models"


def rendered(answer: Answer) -> list[str]:
    """An answer as blocks of safe HTML."""
    return [html for _, html in blocks(answer.text.strip() or EMPTY)]


def ranks(contest: Contest) -> bool:
    """Whether the ranking belongs on the page now."""
    return contest.phase in ("resting", "over", "halted") and bool(contest.votes.rows)


def page(contest: Contest, found: Preference | None = None) -> Page:
    """See above. Under the contest's lock. `found` is the ranking; None: it is not known yet."""
    total = contest.total
    shown: Page = {
        "phase": contest.phase, "number": -1, "progress": progress(contest), "told": told(contest, found),
        "share": min(1.0, contest.cast / total) if total else 0.0, "problem": contest.phase == "halted",
        "prompt": "", "left": [], "right": [], "choice": "", "names": [], "notes": [], "table": "",
    }  # fmt: skip
    bout = contest.bout
    if contest.phase in ("asking", "open", "voted") and bout is not None:
        shown |= {"number": bout.match.number, "prompt": matches.text_of(bout.match.item)}
    if contest.phase in ("open", "voted") and bout is not None:
        shown |= {"left": rendered(bout.left), "right": rendered(bout.right)}
    if contest.phase == "voted" and bout is not None and contest.vote_cast is not None:
        shown |= {"choice": contest.vote_cast.choice, "names": names(bout), "notes": notes(bout)}
    if ranks(contest) and found is not None:
        shown["table"] = ranking_html(found)
    return shown


def names(bout: Bout) -> list[str]:
    """Who the two are, left and right."""
    return [bout.match.left, bout.match.right]


def notes(bout: Bout) -> list[str]:
    """Who answered, how fast and for how much, left and right."""
    return ["" if a.reply is None else a.reply.footer() for a in (bout.left, bout.right)]


def told(contest: Contest, found: Preference | None = None) -> str:
    """The line that says what is going on."""
    lost = len(contest.answers.failures)
    failed = f" {lost} answer{'' if lost == 1 else 's'} did not come; what they belong to is put aside." if lost else ""
    if contest.phase == "voted" and contest.vote_cast is not None:
        return f"You voted: {sentence(contest)}"
    words = {
        "ready": ready(contest),
        "asking": f"Waiting for both answers.{failed}",
        "open": f"Both answers are there: which is better?{failed}",
        "resting": "Resting: the pair that was open waits.",
        "over": f"Nothing is left to vote on.{failed}{why(contest)}" if contest.items else "Write a prompt to begin.",
        "halted": f"Halted: {contest.problem}.",
    }
    later = " Working out the ranking …" if ranks(contest) and found is None else ""
    return words[contest.phase] + later


def why(contest: Contest) -> str:
    """What kind the last failure was; its text names a model, and votes may follow."""
    failures = contest.answers.failures
    return f" The last: {failures[-1][-1].partition(':')[0]}; arena.failures says all." if failures else ""


def sentence(contest: Contest) -> str:
    """A vote in words, with the names."""
    vote = contest.vote_cast
    if vote is None:
        return ""
    places = f"left was {vote.left}, right was {vote.right}."
    return f"{'a tie' if vote.choice == 'tie' else f'{vote.choice} is better'}; {places}"


def ready(contest: Contest) -> str:
    """What a start would do."""
    if not contest.items:
        return "Write a prompt to begin."
    most = min(len(contest.models) * len(contest.items), 2 * contest.total)
    cost = f" ({contest.estimate})" if contest.estimate else ""
    return f"Start asks for two answers and one pair ahead, {most} answers in all at most{cost}."


# --- the ranking --------------------------------------------------------------------------------------------


def ranking(contest: Contest) -> Preference:
    """Ratings by all votes on these models, whoever cast them."""
    return preference(contest.votes.frame, contest.models)


def rows(found: Preference) -> list[list[Any]]:
    """The ranking under HEADS."""
    return [_row(row) for row in found.table().to_dict("records")]


def _row(row: dict[Any, Any]) -> list[Any]:
    interval = f"{row['rating_low']:.0f} to {row['rating_high']:.0f}"
    won = percent(float(row["win_share"])) if row["votes"] else None
    rank = _span(row["rank_low"], row["rank_high"])
    return [row["model"], rank, f"{row['rating']:.0f}", interval, row["votes"], won, row["tied_with"] or "nobody"]


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def remarks(found: Preference) -> list[str]:
    """What to know beside the table."""
    return [f"Position: {found.left}.", *(f"Note: {note}." for note in found.notes)]


def caption(found: Preference) -> str:
    """What the ranking is."""
    count = int(found.wins.sum() + found.ties.sum() / 2)
    return f"Ranking by {count} vote{'' if count == 1 else 's'} (Bradley-Terry, 95 % intervals)"


def ranking_html(found: Preference, scrolls: bool = False) -> str:
    """The ranking as safe HTML."""
    return table(caption(found), HEADS, rows(found), (2, 4, 5), scrolls) + "".join(map(paragraph, remarks(found)))


def ranking_text(found: Preference) -> str:
    """The same as text."""
    return "\n".join([text_table(caption(found), HEADS, rows(found)), *remarks(found)])
