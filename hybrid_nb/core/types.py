"""The frozen types that pass between the parts: Request -> RoutePlan -> HttpCall -> Chunk -> Reply.

Unknown is None, never 0: a usage, a price or a time that nobody reported stays unknown.
Times are seconds, money is US dollars (Decimal), tokens are counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hybrid_nb.core.quick import quick

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["system", "user", "assistant", "tool"]
Tier = Literal["local", "edge", "cloud"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]
Outcome = Literal["ok", "error", "interrupted", "cancelled"]
CacheMode = Literal["off", "on", "record", "replay"]

TIERS: tuple[Tier, ...] = ("local", "edge", "cloud")
CACHE_MODES: tuple[CacheMode, ...] = ("off", "on", "record", "replay")


@dataclass(frozen=True, slots=True)
class Image:
    """One picture: either `data` (bytes, with its `media_type`) or an http(s) `url`."""

    media_type: str | None = None
    data: bytes | None = field(default=None, repr=False)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for.

    `arguments` is JSON text as the model wrote it (it may be invalid JSON); `signature` is opaque
    state that some vendors (Gemini's thoughtSignature) want back with the call.
    """

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as a dict; raises ValueError when the model wrote something else."""
        import orjson

        value = orjson.loads(self.arguments or "{}")
        if not isinstance(value, dict):
            raise ValueError(f"the arguments of {self.name} are not a JSON object: {self.arguments[:80]}")
        return value


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is its JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@quick
@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A `tool` turn answers the call `tool_call_id` of the assistant turn before it."""

    role: Role
    text: str = ""
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `input_tokens` includes cached and cache-write ones, `output_tokens` the reasoning.

    `source` says who counted: "provider", or "estimate" (about four characters a token).
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: Literal["provider", "estimate"] | None = None


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, independent of who answers. Built by `core.inputs.make_request`."""

    messages: tuple[Message, ...]
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None  # "auto", "none", "required" or a tool's name
    schema: Mapping[str, Any] | None = None
    schema_type: type | None = field(default=None, repr=False)  # the pydantic class behind `schema`
    timeout: float | None = None
    max_cost: Decimal | None = None
    tier: Tier | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    cache: CacheMode | None = None
    max_ttft: float | None = None  # seconds to the first token that are fast enough
    resume: bool | None = None  # whether a stream that breaks is finished by another attempt
    min_quality: float | None = None  # that evidence must certify, 0 to 1
    scorer: str | None = None  # by whose scores; None: those that were learned last
    max_latency: float | None = None  # seconds to the end of the answer that are fast enough
    explore: bool | None = None  # False: the target must be certain

    @property
    def has_images(self) -> bool:
        return any(message.images for message in self.messages)


class Target(NamedTuple):
    """A model at a provider; its text form is "provider/model"."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model at a provider. None: unknown, which never excludes it."""

    id: str
    context: int | None = None  # tokens, input and output together
    max_output: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    size: int | None = None  # bytes on disk, where a local server tells
    loaded: bool | None = None
    parameters: float | None = None  # billions, where a server tells; else its name may


class Candidate(NamedTuple):
    """A target that was weighed, and why it was taken or left out.

    `estimate` is dollars for this request, an upper bound; None when it was not asked for or no price is known.
    `kind` is the class of a rejection ("key", "context", "feature", "disabled", "tier", "region", "open", "cost",
    "budget"), for the error.
    """

    target: Target
    tier: Tier
    accepted: bool
    reason: str
    estimate: Decimal | None = None
    kind: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent (or could not be), with what it cost.

    `part` is its part in the answer where it was not simply asked: "hedge" (beside one that was slow to begin, which is
    then "overtaken" if it loses), or "prefill", "instruction", "restart" (how the rest of a broken stream was asked).
    """

    provider: str
    model: str
    outcome: Outcome
    error: str | None
    seconds: float
    cost: Decimal | None
    status_code: int | None = None
    ttft: float | None = None
    started: float = 0.0  # unix time
    usage: Usage | None = None
    cost_source: str | None = None
    tier: Tier = "cloud"
    part: str = ""


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    from hybrid_nb.core.late import late

    frame: pd.DataFrame = late("pandas", "frames").DataFrame(list(rows), columns=list(columns))
    return frame


# Notebooks would take what stands between two dollar signs in HTML for maths: "$5 of $10"
NO_MATHS = "mathjax_ignore tex2jax_ignore"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """HTML whose texts are shown whole: a frame cuts them at 50 characters."""
    from html import escape

    def line(tag: str, cells: Sequence[Any]) -> str:
        shown = (f'<{tag} style="text-align:left">{escape(str(cell))}</{tag}>' for cell in cells)
        return f"<tr>{''.join(shown)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f"<table class='{NO_MATHS}'>\n<thead>{line('th', heads)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _explain(candidates: Sequence[Candidate]) -> list[str]:
    return [f"{'+' if c.accepted else '-'} {c.target} ({c.tier}): {c.reason}" for c in candidates]


class Trial(NamedTuple):
    """The first candidate is asked to learn of it. Dollars of the call as they are to be expected: `extra` is what it
    costs over the usual choice, which would cost `usual` (0 where that is unknown).
    """

    extra: float
    usual: float


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Where a request would go: every candidate in order of preference, each with its reason.

    `trial` is set where the first was chosen to learn of it.
    """

    candidates: tuple[Candidate, ...]
    trial: Trial | None = None

    @property
    def accepted(self) -> tuple[Candidate, ...]:
        return tuple(c for c in self.candidates if c.accepted)

    @property
    def chosen(self) -> Target | None:
        """The target that would be asked first; None when every candidate was rejected."""
        return next((c.target for c in self.candidates if c.accepted), None)

    @property
    def reason(self) -> str:
        first = next((c for c in self.candidates if c.accepted), None)
        return first.reason if first else "no target fits this request"

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate: provider, model, tier, accepted, reason, estimate_usd."""
        rows = [
            {
                "provider": c.target.provider,
                "model": c.target.model,
                "tier": c.tier,
                "accepted": c.accepted,
                "reason": c.reason,
                "estimate_usd": None if c.estimate is None else float(c.estimate),
            }
            for c in self.candidates
        ]
        return _frame(rows, ("provider", "model", "tier", "accepted", "reason", "estimate_usd"))

    def __str__(self) -> str:
        return "\n".join([f"chosen: {self.chosen or 'none'}", *_explain(self.candidates)])

    def _repr_html_(self) -> str:
        asked = {id(c): str(place) for place, c in enumerate(self.accepted, 1)}
        rows = [
            (asked.get(id(c), "–"), c.target, c.tier, c.reason, "" if c.estimate is None else money(c.estimate))
            for c in self.candidates
        ]
        priced = any(row[-1] for row in rows)
        heads = ("", "model", "tier", "why", "costs at most")
        return _table(heads if priced else heads[:-1], rows if priced else [row[:-1] for row in rows])

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))


@quick
@dataclass(frozen=True, slots=True)
class Route:
    """What happened to a call: who answered, who was weighed, and every attempt with its outcome.

    `cut_at`: the tokens that the budget had left for the answer, where they cut it short; None where they did not.
    """

    chosen: Target | None
    candidates: tuple[Candidate, ...]
    attempts: tuple[Attempt, ...]
    reason: str = ""
    cut_at: int | None = None

    @property
    def cut(self) -> str:
        """Why the answer is shorter than what was asked for; empty when it is not."""
        return "" if self.cut_at is None else f"cut at {self.cut_at:,} tokens: the budget had no more left"

    def to_frame(self) -> pd.DataFrame:
        """One row an attempt: provider, model, outcome, error, seconds, cost_usd, part."""
        rows = [
            {
                "provider": a.provider,
                "model": a.model,
                "outcome": a.outcome,
                "error": a.error,
                "seconds": a.seconds,
                "cost_usd": None if a.cost is None else float(a.cost),
                "part": a.part,
            }
            for a in self.attempts
        ]
        return _frame(rows, ("provider", "model", "outcome", "error", "seconds", "cost_usd", "part"))

    def __str__(self) -> str:
        tried = [
            f"{number}. {a.provider}/{a.model}: {a.outcome} after {a.seconds:.2f} s"
            + (f" ({a.part})" if a.part else "")
            + (f" - {a.error}" if a.error else "")
            for number, a in enumerate(self.attempts, 1)
        ]
        told = [f"answered by {self.chosen or 'nobody'}", *tried, *([self.cut] if self.cut else [])]
        return "\n".join([*told, "candidates:", *_explain(self.candidates)])

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))


@quick
@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request as a wire wrote it. `headers` may hold a key, so they are never shown.

    `on_write` is told when the body goes to the socket (loop time), where somebody measures.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    on_write: Callable[[float], None] | None = field(default=None, repr=False, compare=False)


class ToolDelta(NamedTuple):
    """A piece of a tool call. `place` tells parallel calls apart; `arguments` pieces are joined."""

    place: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None


class Chunk(NamedTuple):
    """A piece of an answer as it came off the wire; most have text only. Usage overwrites, the rest adds."""

    text: str = ""
    reasoning: str = ""
    tools: tuple[ToolDelta, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None
    model: str | None = None
    cost: Decimal | None = None  # the provider's own figure, where it gives one


@quick
@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with what it took.

    `ttft` and `latency` are seconds; `ttft` is None when the answer was not streamed. `cost` is US dollars,
    None when the price or the usage is unknown, with `cost_source` "provider", "config", "genai-prices",
    "free", "cache" (given again, so it cost nothing) or None.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    parsed: Any = None
    reasoning: str = ""
    finish: Finish = "stop"
    usage: Usage = Usage()
    cost: Decimal | None = None
    cost_source: str | None = None
    provider: str = ""
    model: str = ""
    tier: Tier = "cloud"
    ttft: float | None = None
    latency: float | None = None
    route: Route = Route(None, (), ())
    request_id: str = ""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # without times or ids, so that a saved notebook compares equal when it is run again
        shown = self.text if len(self.text) <= 200 else self.text[:197] + "..."
        calls = f", tool_calls={[call.name for call in self.tool_calls]}" if self.tool_calls else ""
        return f"Reply({shown!r}, provider={self.provider!r}, model={self.model!r}, finish={self.finish!r}{calls})"

    def footer(self) -> str:
        """One line: provider/model, seconds, tokens, cost, route."""
        return footer_line(self)

    def _repr_markdown_(self) -> str:
        body = self.text or "\n".join(f"`{call.name}({call.arguments})`" for call in self.tool_calls)
        return f"{body}\n\n<sub>{self.footer()}</sub>"

    def message(self) -> Message:
        """This answer as a turn of a conversation."""
        return Message("assistant", self.text, tool_calls=self.tool_calls)

    def with_route(self, route: Route) -> Reply:
        return replace(self, route=route)


def money(cost: Decimal | float | None) -> str:
    """Dollars for people: "unknown cost", "free", "$0.000123" (three significant digits), "$0.10", "$1.25"."""
    if cost is None:
        return "unknown cost"
    value = float(cost)
    if value == 0:
        return "free"
    rounded = float(f"{value:.3g}")
    if rounded >= 1:
        return f"${value:,.2f}"
    digits = f"{rounded:.10f}".removeprefix("0.").rstrip("0")
    return f"$0.{digits:0<2}" if digits else "< $0.0000000001"


def tokens_line(usage: Usage) -> str:
    """ "12 -> 48 tokens", with "~" before estimates and "?" for what is unknown."""
    mark = "~" if usage.source == "estimate" else ""
    parts = ["?" if n is None else f"{mark}{n:,}" for n in (usage.input_tokens, usage.output_tokens)]
    return f"{parts[0]} → {parts[1]} tokens"


def _was_slower(attempt: Attempt) -> bool:
    return attempt.part in ("overtaken", "hedge") and attempt.outcome == "cancelled"


def _fate(attempt: Attempt) -> str:
    if attempt.outcome == "interrupted":
        return "broke off"
    return "did not fit" if attempt.outcome == "cancelled" else "failed"


LONG_REASON = 100  # characters


def _without_numbers(reason: str) -> str:
    """A long reason up to the evidence that follows it; the route has all of it."""
    return reason if len(reason) <= LONG_REASON else re.split(r": (?=[\d$])", reason, maxsplit=1)[0]


def footer_line(reply: Reply) -> str:
    parts = [f"{reply.provider}/{reply.model}"]
    if reply.latency is not None:
        first = f" (first token {reply.ttft:.2f} s)" if reply.ttft is not None else ""
        parts.append(f"{reply.latency:.2f} s{first}")
    parts += [tokens_line(reply.usage), money(reply.cost)]
    lost = [a for a in reply.route.attempts if a.outcome != "ok"]
    failed = dict.fromkeys(f"{a.provider} {_fate(a)}" for a in lost if not _was_slower(a))
    slower = dict.fromkeys(a.provider for a in lost if _was_slower(a))
    if failed:
        parts.append(f"after {', '.join(failed)}")
    if slower:
        parts.append(f"faster than {', '.join(slower)}")
    if not lost and reply.route.reason:
        parts.append(_without_numbers(reply.route.reason))
    if reply.finish != "stop":
        parts.append({"length": reply.route.cut or "cut at max_tokens"}.get(reply.finish, reply.finish))
    return " · ".join(parts)
