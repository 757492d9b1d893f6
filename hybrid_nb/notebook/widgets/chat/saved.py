"""The chat as it stays in a saved notebook: static HTML and text, of the last turns."""

from __future__ import annotations

from html import escape

from hybrid_nb.core.types import NO_MATHS
from hybrid_nb.notebook.conversation import Conversation, Turn
from hybrid_nb.notebook.conversation_text import note, picture_name
from hybrid_nb.notebook.markup import to_html

MOST_TURNS = 60
MOST_TEXT = 40_000  # characters of a turn
_LINE = "1px solid var(--jp-border-color1, var(--vscode-panel-border, currentColor))"


def _left_out(conversation: Conversation) -> str:
    count = len(conversation.path) - MOST_TURNS
    if count <= 0:
        return ""
    return f"{count:,} earlier turn{'s' * (count != 1)} left out here; chat.to_markdown() has them all"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} … ({len(text) - MOST_TEXT:,} characters left out)"


def static(text: str) -> str:
    """Markdown as HTML that needs no stylesheet."""
    return to_html(text).replace('<figure class="hnb-code">', '<figure class="hnb-code" style="margin:0 0 1em">')


def _names(turn: Turn) -> list[str]:
    return [*map(picture_name, turn.images), *(attachment.name for attachment in turn.attachments)]


def _turn(turn: Turn) -> str:
    text = _cut(turn.text)
    body = static(text) if turn.role == "assistant" else f'<p style="white-space:pre-wrap">{escape(text)}</p>'
    names = "".join(f"<li>{escape(name)}</li>" for name in _names(turn))
    attached = f"<ul>{names}</ul>" if names else ""
    foot = f"<footer><small>{escape(note(turn))}</small></footer>" if note(turn) else ""
    head = f'<p style="margin:0"><strong>{escape(turn.who)}</strong></p>'
    return f'<article style="margin:0 0 1em">{head}{attached}{body}{foot}</article>'


def html(conversation: Conversation) -> str:
    """The last turns with the system prompt and the total."""
    told = _left_out(conversation)
    parts = [f"<p><em>{escape(told)}</em></p>"] if told else []
    if conversation.view.system.strip():
        parts.insert(0, f"<p><strong>System prompt:</strong> {escape(_cut(conversation.view.system))}</p>")
    parts += [_turn(turn) for turn in conversation.path[-MOST_TURNS:]]
    inner = "".join(parts) or "<p>No turn yet.</p>"
    total = f"<p><small>{escape(str(conversation.total))}</small></p>"
    style = f"border-left:{_LINE};padding-left:1em"
    return f'<section aria-label="Chat" class="{NO_MATHS}" style="{style}">{inner}{total}</section>'


def text(conversation: Conversation) -> str:
    """The same as text."""
    system = conversation.view.system.strip()
    parts = [f"System prompt: {_cut(system)}"] if system else []
    parts += [told] if (told := _left_out(conversation)) else []
    for turn in conversation.path[-MOST_TURNS:]:
        told = note(turn)
        parts.append("\n".join([f"{turn.who}:", _cut(turn.text), *_names(turn), *([f"— {told}"] if told else [])]))
    return "\n\n".join([*(parts or ["No turn yet."]), str(conversation.total)])
