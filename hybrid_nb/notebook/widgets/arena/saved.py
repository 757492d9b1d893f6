"""The arena as it stays in a saved notebook: no name while a pair is open, the last vote, or the ranking."""

from __future__ import annotations

from html import escape

from hybrid_nb.bench.statistics.preference import Preference
from hybrid_nb.core.types import NO_MATHS
from hybrid_nb.notebook.widgets.arena import matches, page
from hybrid_nb.notebook.widgets.arena.asking import Answer
from hybrid_nb.notebook.widgets.arena.control import Contest
from hybrid_nb.notebook.widgets.chat.saved import static
from hybrid_nb.notebook.widgets.style import paragraph


def html(contest: Contest, found: Preference | None) -> str:
    """As HTML that needs no stylesheet. `found` is the ranking, where it is to be shown."""
    parts = [paragraph(f"Blind arena: {page.progress(contest)}.")]
    if contest.phase == "voted":
        parts += _vote(contest)
    elif page.ranks(contest) and found is not None:
        parts.append(page.ranking_html(found, scrolls=True))
    return f'<section aria-label="Blind arena" class="{NO_MATHS}">{"".join(parts)}</section>'


def _vote(contest: Contest) -> list[str]:
    bout = contest.bout
    if bout is None:
        return []
    prompt = f'<p style="white-space:pre-wrap"><strong>Prompt:</strong> {escape(matches.text_of(bout.match.item))}</p>'
    sides = _side("Left", bout.left, page.notes(bout)[0]) + _side("Right", bout.right, page.notes(bout)[1])
    columns = "repeat(auto-fit,minmax(240px,1fr))"
    beside = f'<div style="display:grid;grid-template-columns:{columns};gap:1em">{sides}</div>'
    return [prompt, beside, paragraph(f"Voted: {page.sentence(contest)}")]


def _side(place: str, answer: Answer, note: str) -> str:
    head = f'<p style="margin:0"><strong>{place}: {escape(answer.model)}</strong></p>'
    foot = f"<footer><small>{escape(note)}</small></footer>"
    return f'<article style="min-width:0">{head}{static(answer.text)}{foot}</article>'


def text(contest: Contest, found: Preference | None) -> str:
    """The same as text."""
    parts = [f"Blind arena: {page.progress(contest)}."]
    if contest.phase == "voted" and contest.bout is not None:
        parts.append(f"Prompt: {matches.text_of(contest.bout.match.item)}\nVoted: {page.sentence(contest)}")
    elif page.ranks(contest) and found is not None:
        parts.append(page.ranking_text(found))
    return "\n".join(parts)
