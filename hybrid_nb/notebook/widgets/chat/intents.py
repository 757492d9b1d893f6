"""What a front end asks for -> what the chat does. Nothing that goes wrong is lost: it is said in the chat."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.inputs import to_image
from hybrid_nb.notebook.conversation_text import chat_name, to_markdown, to_notebook
from hybrid_nb.notebook.widgets.chat import attach as chat_attach
from hybrid_nb.notebook.widgets.chat import errors as chat_errors
from hybrid_nb.notebook.widgets.chat.control import Chat

log = logging.getLogger("hybrid_nb")
Asked = Mapping[str, Any]


def file_of(chat: Chat, kind: str) -> dict[str, Any]:
    """The conversation as a file: "markdown" or "notebook"."""
    name = chat_name(chat.keeper.name if chat.keeper else "chat")
    if kind == "markdown":
        return {"name": f"{name}.md", "type": "text/markdown", "text": to_markdown(chat.conversation, name)}
    text = json.dumps(to_notebook(chat.conversation, name), ensure_ascii=False, indent=1)
    return {"name": f"{name}.ipynb", "type": "application/x-ipynb+json", "text": text}


def _picture(chat: Chat, asked: Asked, buffers: Sequence[Any]) -> None:
    if not buffers:
        raise ValueError(f"{asked.get('name') or 'the picture'} is empty")
    chat.attach(to_image(bytes(buffers[0])))


_INTENTS: dict[str, Callable[[Chat, Asked, Sequence[Any]], Any]] = {
    "hello": lambda chat, _, __: chat.hello(),
    "older": lambda chat, asked, _: chat.older(int(asked["before"])),
    "send": lambda chat, asked, _: chat.send(str(asked["text"])),
    "stop": lambda chat, _, __: chat.stop(),
    "retry": lambda chat, asked, _: chat.retry(asked.get("turn")),
    "edit": lambda chat, asked, _: chat.edit(int(asked["turn"]), str(asked["text"])),
    "pick": lambda chat, asked, _: chat.pick(int(asked["turn"])),
    "undo": lambda chat, _, __: chat.undo(),
    "clear": lambda chat, _, __: chat.clear(),
    "model": lambda chat, asked, _: chat.set_model(str(asked["name"])),
    "system": lambda chat, asked, _: chat.set_system(str(asked["text"])),
    "attach": lambda chat, asked, _: chat.attach(chat_attach.named(str(asked["name"]).strip(), chat.names())),
    "picture": _picture,
    "detach": lambda chat, asked, _: chat.detach(int(asked["place"])),
    "export": lambda chat, asked, _: chat.front.tell({"do": "file", **file_of(chat, str(asked["kind"]))}),
    "tables": lambda chat, _, __: chat.front.tell({"do": "tables", "names": chat_attach.frames(chat.names())}),
}


def handle(chat: Chat, asked: Any, buffers: Sequence[Any] = ()) -> None:
    """Do what a message asks for, and acknowledge it; what goes wrong is said."""
    if not isinstance(asked, Mapping) or asked.get("ask") not in _INTENTS:
        return
    chat.front.tell({"do": "ack", "n": asked.get("n")})
    try:
        _INTENTS[asked["ask"]](chat, asked, buffers)
    except (ValueError, TypeError, KeyError) as error:
        refused(chat, asked, " ".join(str(error).split()))
    except HybridNbError as error:
        refused(chat, asked, f"{chat_errors.told(error)} {chat_errors.advice(error)}")
    except KeyboardInterrupt:  # in the middle of anything: what was begun is stopped, and the page told what is true
        chat.stop()
        chat.hello()
        chat.say("stopped by an interrupt of the kernel", problem=True)
    except Exception as error:
        log.exception("the chat was asked to %s", asked["ask"])
        refused(chat, asked, f"{chat_errors.told(error)} {chat_errors.advice(error)}")


def refused(chat: Chat, asked: Asked, why: str) -> None:
    """Say it, and give the front end the text back that it had sent, with what is true now."""
    chat.say(why, problem=True)
    chat.front.tell({"do": "refused", "ask": asked["ask"], "text": asked.get("text", "")})
    chat.front.tell(chat.state())
