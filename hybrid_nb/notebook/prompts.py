"""A line and its prompt, made ready to be asked: messages, options, the conversation they belong to."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from hybrid_nb.core.types import Message, Reply
from hybrid_nb.notebook.chats import Chat, Draft
from hybrid_nb.notebook.options import OptionError, Parsed
from hybrid_nb.notebook.pictures import picture
from hybrid_nb.notebook.structure import schema_from

FOR_CHAT = (
    "system",
    "temperature",
    "max_tokens",
    "tier",
    "max_cost",
    "max_ttft",
    "min_quality",
    "max_latency",
    "cache",
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, and what is done with the answer."""

    messages: list[Message]
    options: dict[str, Any]
    values: Mapping[str, Any]  # of the line's options
    talk: tuple[Chat, Draft] | None = None

    @property
    def stream(self) -> bool:
        return not self.values.get("no_stream")

    @property
    def background(self) -> bool:
        return bool(self.values.get("background"))

    @property
    def shown_as(self) -> str:
        kind: str = self.values.get("format", "json" if "schema" in self.values else "markdown")
        return kind

    def keep(self, reply: Reply) -> None:
        """The answer becomes a turn of the conversation, where there is one."""
        if self.talk is not None:
            chat, draft = self.talk
            chat.keep(draft, self.messages[-1], reply.message())


def prompt_of(
    parsed: Parsed,
    text: str,
    names: Mapping[str, Any],
    chats: MutableMapping[str, Chat],
    cell: str | None = None,
    run: str | None = None,
) -> Prompt:
    """The prompt of a line; `cell` and `run` are the cell that asks and this run of it, where the front end tells.

    Raises OptionError.
    """
    values = parsed.values
    check(values)
    options = {key: values[key] for key in FOR_CHAT if key in values}
    options["model"] = parsed.words[0] if parsed.words else None
    if "schema" in values:
        options["schema"] = schema_from(values["schema"], names)
    asked = Message("user", text, tuple(picture(name, names) for name in values.get("image", ())))
    if "chat" not in values:
        return Prompt([asked], options, values)
    chat = chats.setdefault(values["chat"], Chat())
    draft = chat.begin(cell, run, bool(values.get("new")))
    return Prompt([*chat.before(draft), asked], options, values, (chat, draft))


def check(values: Mapping[str, Any]) -> None:
    """Raises OptionError for options that need another one, or do not go together."""
    if values.get("new") and "chat" not in values:
        raise OptionError("--new needs --chat NAME")
    if "frame" in values and "schema" not in values:
        raise OptionError("--frame NAME needs --schema, which says what a row holds: --schema list[Item]")
    if values.get("background") and values.get("explain"):
        raise OptionError("--explain has no cell to print to after --background; job.reply.route has the route")
