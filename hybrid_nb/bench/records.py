"""What a benchmark run keeps: the samples that are asked, one row a call, its raw times, its scores, and votes.

Times are seconds, those ending in `_at` from the start of the run; money is dollars; tokens are counts. None is
unknown, never 0: a first token that did not come has no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Phase = Literal["warmup", "measured"]
Status = Literal["ok", "error", "timeout", "interrupted", "skipped"]
"""How a call ended. `interrupted`: its stream broke for good. `skipped`: not asked, and `error` says why."""


class Item(NamedTuple):
    """One sample of the data: what is asked, what is right, and what it belongs to.

    `input` is a prompt or a list of messages. `cluster` groups samples that are alike (a topic, a document).
    `extra` has the data's other columns, for templates and scorers.
    """

    id: str
    input: Any
    target: Any = None
    cluster: str | None = None
    extra: Mapping[str, Any] = {}


class Sample(NamedTuple):
    """What a scorer looks at: an answer, and the sample that it answers.

    `parsed` is the answer as the calls' `schema` reads it: an instance of its class, or plain data. None: no schema, an
    answer that is cut off, or a run that was loaded, which knows a class by its name only.
    """

    output: str
    item: Item
    model: str = ""
    parsed: Any = None

    @property
    def target(self) -> Any:
        return self.item.target


class Score(NamedTuple):
    """What a scorer says: `value` (mostly 0 to 1; None: it could not tell), why, and the answer that it found."""

    value: float | None
    explanation: str = ""
    answer: str | None = None


@dataclass(slots=True)
class Call:
    """One call of a run.

    Attributes:
        key: names the request within the run's settings: model, sample, epoch.
        model: as it was asked for; `answered_by` is the "provider/model" that answered.
        stage: the place in a sweep or ramp, from 0; `stage_rate` its requests a second (None: closed loop).
        due_at: when the schedule wanted it sent; in a closed loop, when its slot was free.
        started_at: when the client came to it. started_at - due_at is the client's own lateness (schedule delay).
        sent_at: when the request of its first attempt went to the socket, after limits, queues and connecting.
        first_any_at, first_answer_at, last_at, end_at: first output of any kind, first text that is not reasoning,
            last output, and the end.
        in_flight: calls of the run under way when it was started, itself included.
        attempts: requests that were sent for it; `failed_over`: another target than the first answered or was tried.
        estimated_tokens: of the output, by its characters (about four a token), whoever counted output_tokens.
        scores: by scorer.
    """

    key: str
    id: str
    cluster: str | None
    epoch: int
    model: str
    phase: Phase
    stage: int = 0
    stage_rate: float | None = None
    status: Status = "skipped"
    error: str | None = None
    answered_by: str | None = None
    finish: str | None = None
    request_id: str | None = None
    attempts: int = 0
    failed_over: bool = False
    due_at: float | None = None
    started_at: float | None = None
    sent_at: float | None = None
    first_any_at: float | None = None
    first_answer_at: float | None = None
    last_at: float | None = None
    end_at: float | None = None
    in_flight: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str | None = None
    estimated_tokens: int | None = None
    cost_usd: float | None = None
    cost_source: str | None = None
    input: str = ""
    target: str | None = None
    output: str | None = None
    arrivals: list[tuple[float, int, int]] = field(default_factory=list)  # (at, characters of answer, of reasoning)
    scores: dict[str, Score] = field(default_factory=dict)


CALL_COLUMNS = (
    "key", "id", "cluster", "epoch", "model", "phase", "stage", "stage_rate", "status", "error", "answered_by",
    "finish", "request_id", "attempts", "failed_over", "due_at", "started_at", "sent_at", "first_any_at",
    "first_answer_at", "last_at", "end_at", "in_flight", "input_tokens", "cached_tokens", "output_tokens",
    "reasoning_tokens", "usage_source", "estimated_tokens", "cost_usd", "cost_source", "input", "target", "output",
)  # fmt: skip
MEASURE_COLUMNS = (
    "schedule_delay_s", "queue_s", "ttft_any_s", "ttft_answer_s", "tpot_s", "chunk_gap_s", "service_s", "latency_s",
    "tokens_per_s", "decode_tokens_per_s", "token_discrepancy",
)  # fmt: skip
CHUNK_COLUMNS = ("key", "at", "text", "reasoning")
SCORE_COLUMNS = ("key", "scorer", "value", "explanation", "answer")
VOTE_COLUMNS = ("time", "id", "cluster", "prompt", "model_a", "model_b", "winner", "rater", "left", "explanation")
"""One row a comparison of two answers. `winner` is "a", "b" or "tie"; `left` is the model whose answer stood first or
left; `rater` a person or "provider/model" of a judge."""
