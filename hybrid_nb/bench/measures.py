"""The measures of one call, from its raw times. Pure.

Tools disagree on these words, so each is defined here, and the raw times are kept beside them. Missing stays missing.

schedule_delay_s     started - due: how late the client itself was
queue_s              sent - due: all waiting before the request went to the socket: in limits and queues of ours, and
                     for a connection where none was open
ttft_any_s           first output of any kind, reasoning too - sent                   (as AIPerf, inference-perf)
ttft_answer_s        first text that is not reasoning - sent
tpot_s               (last output - first output) / (output tokens - 1)                (as vLLM, inference-perf)
chunk_gap_s          mean time between arrivals of output; an arrival may hold several tokens (Run.chunks has each)
service_s            end - sent
latency_s            end - due: end to end from the schedule, queue included
tokens_per_s         output tokens / service_s                                         (per user, as guidellm)
decode_tokens_per_s  1 / tpot_s                                                        (per user, as AIPerf)
token_discrepancy    estimated tokens / the provider's count - 1; None where the provider did not count
"""

from __future__ import annotations

from typing import NamedTuple

from hybrid_nb.bench.records import Call


class Measures(NamedTuple):
    schedule_delay_s: float | None
    queue_s: float | None
    ttft_any_s: float | None
    ttft_answer_s: float | None
    tpot_s: float | None
    chunk_gap_s: float | None
    service_s: float | None
    latency_s: float | None
    tokens_per_s: float | None
    decode_tokens_per_s: float | None
    token_discrepancy: float | None


def measures(call: Call) -> Measures:
    """The measures of a call, as far as its times are known."""
    service = _since(call.sent_at, call.end_at)
    tpot = _tpot(call)
    return Measures(
        _since(call.due_at, call.started_at),
        _since(call.due_at, call.sent_at),
        _since(call.sent_at, call.first_any_at),
        _since(call.sent_at, call.first_answer_at),
        tpot,
        _gap(call),
        service,
        _since(call.due_at, call.end_at),
        _per(call.output_tokens, service) if call.status == "ok" else None,
        _per(1, tpot),
        _discrepancy(call),
    )


def _since(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


def _per(count: float | None, seconds: float | None) -> float | None:
    return None if count is None or not seconds else count / seconds


def _tpot(call: Call) -> float | None:
    tokens, spoke = call.output_tokens, _since(call.first_any_at, call.last_at)
    if call.status != "ok" or tokens is None or tokens < 2 or spoke is None:
        return None
    return spoke / (tokens - 1) if len(call.arrivals) > 1 else None  # one arrival: nothing was seen to take time


def _gap(call: Call) -> float | None:
    spoke = _since(call.first_any_at, call.last_at)
    return None if spoke is None or len(call.arrivals) < 2 else spoke / (len(call.arrivals) - 1)


def _discrepancy(call: Call) -> float | None:
    if call.usage_source != "provider" or not call.output_tokens or call.estimated_tokens is None:
        return None
    return call.estimated_tokens / call.output_tokens - 1
