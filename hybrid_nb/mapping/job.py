"""What all requests of a map have in common, and what makes one of them: its request, its key, its answer's worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb.core.errors import MalformedResponseError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, check_names, to_messages
from hybrid_nb.core.schema import parse_answer
from hybrid_nb.core.types import Message, Reply, Request
from hybrid_nb.ledger.entries import PICO
from hybrid_nb.ledger.identity import canonical, key_of
from hybrid_nb.ledger.mapped import Kept
from hybrid_nb.mapping.columns import Result

if TYPE_CHECKING:
    from hybrid_nb.router import Router

_INSTEAD = {
    "schema": "give it as output=",
    "images": "give them in the messages that the prompt's function returns",
    "tools": "a map asks for answers only",
    "tool_choice": "a map asks for answers only",
}


class Job(NamedTuple):
    """The request without its prompt. `named` is the model as it was asked for, before any default."""

    base: Request
    named: str | None
    id: str
    system: tuple[Message, ...]

    def request(self, prompt: Any) -> Request:
        """The request of a prompt. Raises ValueError or TypeError for what is none."""
        messages = to_messages(prompt)
        if not messages:
            raise ValueError("the prompt is empty")
        return replace(self.base, messages=(*self.system, *messages))

    def key(self, request: Request) -> bytes:
        """What is the same for the same request. Raises TypeError for what is not JSON."""
        return bytes.fromhex(key_of(canonical(request, request.model)))[:16]

    def well(self, reply: Reply) -> bool:
        """Whether an answer is whole, so that it need not be asked for again."""
        if self.base.schema is not None or reply.finish != "length":
            return reply.finish == "stop"
        return reply.route.cut_at is None  # cut at the max_tokens that was asked for

    def wrong(self, reply: Reply) -> str | None:
        """What is wrong with an answer that is not whole; None: nothing."""
        if self.well(reply):
            return None
        if reply.finish == "length":
            return reply.route.cut or "the answer was cut at max_tokens, so it does not fit output"
        return f"the answer ended with {reply.finish}"

    def result(self, reply: Reply) -> Result:
        """The outcome of a call that was answered."""
        whole = self.base.schema is None or reply.finish == "stop"
        value = (reply.text if self.base.schema is None else reply.parsed) if whole else None
        cost = None if reply.cost is None else float(reply.cost)
        return Result(value, f"{reply.provider}/{reply.model}", cost, self.wrong(reply))

    def kept(self, kept: Kept) -> Result | None:
        """The outcome of a call that was answered before; None where the answer does not fit the class any more."""
        value: Any = kept.text
        if self.base.schema is not None:
            try:
                value = parse_answer(kept.text, self.base)
            except MalformedResponseError:
                return None
        cost = None if kept.cost_usd is None else kept.cost_usd / PICO
        return Result(value, f"{kept.provider}/{kept.model}", cost)


OWN = ("output", "into", "max_cost", "concurrency", "on_error", "resume", "progress", "client")  # settings of map()


def job_of(router: Router, output: Any, model: Any, options: Mapping[str, Any]) -> Job:
    """The job of a map. Raises OptionTypeError and OptionValueError for wrong options."""
    for name, instead in _INSTEAD.items():
        if options.get(name) is not None:
            raise OptionValueError(f"map has no option {name}: {instead}")
    check_names(options, OWN)
    given = {name: value for name, value in {**options, "model": model, "schema": output}.items() if value is not None}
    try:
        base, _ = router._request("prompt", given)
    except OptionTypeError as error:
        raise OptionTypeError(str(error).replace("schema must", "output must")) from None
    return made(base, given.get("model"))


def made(base: Request, named: str | None) -> Job:
    """The job of a request whose last message is in the prompt's place."""
    system = base.messages[:-1]
    try:
        form = canonical(replace(base, messages=system), base.model)
        return Job(base, named, key_of(form)[:16], system)
    except TypeError as error:
        raise OptionTypeError(f"output is not a schema that can be written as JSON: {error}") from None
