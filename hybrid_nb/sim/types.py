"""The simulator's vocabulary: what a person sets, and the neutral forms between wires, answers and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
WireName = Literal["openai", "anthropic", "gemini", "ollama"]
Tier = Literal["cloud", "local", "edge"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class Model:
    """One simulated model.

    Args:
        name: the id on the wire; say in it that the model is simulated.
        ttft: seconds from the request to the first token.
        tokens_per_second: speed after the first token; 0 or ``inf`` means no delay at all, ``ttft`` included.
        accuracy: share of arithmetic and look-up questions answered right, 0 to 1.
        input_price: USD per million input tokens; None is unknown (or free on a local vendor).
        output_price: USD per million output tokens.
        context: tokens that a prompt may have.
        jitter: ``ttft`` varies by at most this many seconds either way.
        chunk_tokens: tokens in one streamed chunk.
        vision: whether Ollama's wire lists that it takes pictures.
        says: pairs of words and an answer: a last user message with these words in it gets this answer, or what a
            function in its place makes of the message, such as Judge.
        reasoning: tokens that it thinks, in the open, before it answers.
    """

    name: str
    ttft: float = 0.05
    tokens_per_second: float = 200.0
    accuracy: float = 0.9
    input_price: float | None = None
    output_price: float | None = None
    context: int = 8192
    jitter: float = 0.0
    chunk_tokens: int = 1
    vision: bool = True
    says: tuple[tuple[str, str | Callable[[str], str]], ...] = ()
    reasoning: int = 0


@dataclass(frozen=True)
class Vendor:
    """One simulated vendor: a loopback server that speaks one wire.

    Args:
        name: the provider's name in the configuration.
        wire: which of the four wires it speaks.
        models: the models it serves.
        key: the key that it demands; None accepts everybody.
        tier: cloud, local or edge; passed on to the configuration.
        priority: passed on to the configuration.
        port: 0 takes a free port.
    """

    name: str
    wire: WireName = "openai"
    models: tuple[Model, ...] = ()
    key: str | None = "sim-key"
    tier: Tier = "cloud"
    priority: int = 1
    port: int = 0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one response; `hybrid_nb.sim.FAULT_KINDS` lists the kinds.

    Args:
        kind: what happens.
        status: HTTP status of a ``status`` fault, 500 unless given.
        headers: extra response headers, such as ``(("Retry-After", "2"),)``.
        body: replaces the vendor's own error body; text, bytes or something for JSON.
        after_tokens: answer tokens that get through first; the size in bytes of a ``huge_line``.
        seconds: length of ``slow_first`` and ``stall``; a stall of 0 never ends.
    """

    kind: str
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: object = None
    after_tokens: int = 0
    seconds: float = 0.0


class Spoken(NamedTuple):
    """A write that completed content: when it began, its tokens, and its characters of answer and of reasoning."""

    at: float
    tokens: int
    text: int
    reasoning: int


@dataclass
class RequestLog:
    """What one request was and when each piece of its answer left.

    Times are ``time.monotonic()``, which the processes of a machine share. ``received`` is when its bytes were read
    from the socket; after that it may have waited for others. ``sent`` has the beginning of each write and its bytes,
    so nobody can have read them earlier; ``spoken`` those writes that completed content.
    """

    path: str
    received: float
    method: str = "POST"
    model: str | None = None
    stream: bool = False
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[float, int]] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    tokens_out: int = 0
    status: int | None = None
    fault: str | None = None
    client_closed: bool = False
    ended: float | None = None


Match = Callable[[RequestLog], bool]


@dataclass(frozen=True)
class Tool:
    """A function that the caller offers."""

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """A function that the simulated model calls."""

    name: str
    arguments: Json


@dataclass(frozen=True)
class Turn:
    """One message, whatever the wire called its parts."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    images: int = 0
    tool: str = ""


@dataclass(frozen=True)
class Call:
    """A chat request in neutral terms."""

    model: str
    turns: tuple[Turn, ...]
    stream: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "none", "required"] = "auto"
    forced: str | None = None
    parallel: bool = True
    schema: Json | None = None
    json_mode: bool = False
    include_usage: bool = True
    context: int | None = None

    def last_user(self) -> str:
        """The text of the last user message, or of nothing."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    def system(self) -> str:
        """All the system messages as one text."""
        return "\n".join(turn.text for turn in self.turns if turn.role == "system")


@dataclass(frozen=True)
class Answer:
    """What the simulated model says, and what it thought before; its tokens are exact, so usage is too."""

    tokens: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    stop_hit: str | None = None
    input_tokens: int = 0
    call_tokens: int = 0
    thoughts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def output_tokens(self) -> int:
        return len(self.thoughts) + len(self.tokens) + self.call_tokens

    @property
    def reasoning(self) -> str:
        return "".join(self.thoughts)

    def insert(self, at: int, token: str) -> Answer:
        """The same answer with one more token, at most at its end."""
        at = min(at, len(self.tokens))
        return replace(self, tokens=(*self.tokens[:at], token, *self.tokens[at:]))


@dataclass(frozen=True)
class Shape:
    """Which optional pieces of a wire's response are written."""

    usage: bool = True
    finish: bool = True
    done: bool = True


@dataclass(frozen=True)
class Stamp:
    """The name of one response and its clock: wall time, and the speed that it will have."""

    ident: str = "sim000000"
    created: float = 0.0
    ttft: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Trouble:
    """Why a request fails, in neutral terms: each wire says it in its own shape.

    Kinds: auth, no_key, billing, denied, model, missing, bad, context, too_large, rate, quota, server, overloaded,
    timeout, conflict.
    """

    kind: str
    status: int | None = None
    detail: str = ""
    model: str = ""
    tokens: int = 0
    context: int = 0
    retry_after: str | None = None

    @classmethod
    def of_status(cls, status: int, model: str = "", retry_after: str | None = None) -> Trouble:
        """What a status most likely means."""
        kind = _STATUS_KINDS.get(status, "server" if status >= 500 else "bad")
        return cls(kind, status=status, model=model, retry_after=retry_after, detail=f"Simulated status {status}.")


_STATUS_KINDS = {
    401: "auth",
    402: "billing",
    403: "denied",
    404: "missing",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    429: "rate",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


@dataclass(frozen=True)
class Problem:
    """An error response, in the wire's own shape."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


class RefusedError(Exception):
    """The request cannot be served; carries the error response."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status)
        self.problem = problem
