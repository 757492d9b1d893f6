"""A conversation as Markdown, as `%%llm` cells, as a notebook. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hybrid_nb.notebook.conversation import Conversation, Turn

_ENDS = {"stopped": "stopped", "broken": "broken off", "failed": "no answer"}


def note(turn: Turn) -> str:
    """The line under a turn: its footer, and how it ended when that was not well."""
    parts = (_ENDS.get(turn.status, ""), turn.error, turn.footer)
    return " · ".join(part for part in parts if part)


def turn_to_markdown(turn: Turn) -> str:
    """A turn with its heading, attachments and footer."""
    pictures = [f"*[{picture_name(image)}]*" for image in turn.images]
    parts = [f"## {turn.who}", turn.content, *pictures, f"<sub>{_sub(note(turn))}</sub>" if note(turn) else ""]
    return "\n\n".join(part for part in parts if part)


def _sub(text: str) -> str:
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def picture_name(image: Any) -> str:
    """What is told of a picture in text: "image, 12 KB", or its address."""
    if image.url:
        return f"image: {image.url}"
    return f"image, {max(1, len(image.data or b'') // 1024):,} KB"


def to_markdown(conversation: Conversation, name: str = "") -> str:
    """The turns that are shown, with the system prompt and the running total."""
    parts = [f"# {name or 'Conversation'}"]
    if conversation.view.system.strip():
        parts.append(f"## System prompt\n\n{conversation.view.system}")
    parts += [turn_to_markdown(turn) for turn in conversation.path]
    return "\n\n".join([*parts, f"<sub>{conversation.total}</sub>"]) + "\n"


# --- cells ------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    """A value for the magic's line, which is one line and knows no escapes: one of the two quotes has to go."""
    line = " ".join(text.split())
    return f"'{line}'" if "'" not in line else '"' + line.replace('"', "'") + '"'


def chat_name(name: str) -> str:
    """A name for --chat, without spaces."""
    return re.sub(r"\W+", "-", name).strip("-") or "chat"


def _pairs(conversation: Conversation) -> list[tuple[Turn, Turn | None]]:
    path = conversation.path
    return [
        (turn, following if following is not None and following.role == "assistant" else None)
        for turn, following in zip(path, (*path[1:], None), strict=True)
        if turn.role == "user"
    ]


def cell(user: Turn, answer: Turn | None, name: str, system: str = "") -> str:
    """A turn of the user as a `%%llm` cell."""
    words = ["%%llm", *([answer.asked] if answer is not None and answer.asked else []), "--chat", chat_name(name)]
    if system.strip():
        words += ["--system", _quoted(system)]
    return f"{' '.join(words)}\n{user.content}"


def to_cells(conversation: Conversation, name: str = "chat") -> list[str]:
    """The sources of `%%llm --chat NAME` cells that ask the same again, one a turn of the user. Pictures are left out:
    a cell names them by path.
    """
    system = conversation.view.system
    return [cell(user, answer, name, system) for user, answer in _pairs(conversation)]


def _output(answer: Turn) -> dict[str, Any]:
    footer = note(answer)
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {
            "text/markdown": f"{answer.text}\n\n<sub>{_sub(footer)}</sub>",
            "text/plain": f"{answer.text}\n\n— {footer}",
        },
    }


def _notebook(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": list(cells)}


def to_notebook(conversation: Conversation, name: str = "chat") -> dict[str, Any]:
    """The conversation as nbformat 4.5: a cell for each turn of the user, with the answer as its output."""
    first = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {name}\n\n{conversation.total}"}
    load = _code("load", "%load_ext hybrid_nb", None)
    pairs = _pairs(conversation)
    cells = [
        _code(f"turn-{user.id}", source, answer)
        for (user, answer), source in zip(pairs, to_cells(conversation, name), strict=True)
    ]
    return _notebook([first, load, *cells])


def _code(identity: str, source: str, answer: Turn | None) -> dict[str, Any]:
    outputs = [_output(answer)] if answer is not None else []
    return {
        "cell_type": "code",
        "id": identity,
        "metadata": {},
        "execution_count": None,
        "source": source,
        "outputs": outputs,
    }
