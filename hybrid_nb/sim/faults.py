# ruff: noqa: ARG001 - every effect has the signature that the table calls it with
"""What can go wrong, as a table: each kind changes the answer, the shape of the response, or its plan of writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from .plan import Close, Hang, Open, Plan, Reset, Send, Step, Wait
from .types import Answer, Fault, Problem, Shape, Stamp, Trouble
from .wire import Wire, dump

_HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Hotel Wi-Fi</h1></body></html>"
_HUGE = 50_000_000
_MARK = "\ue000"
_MULTI_BYTE = " naïve Ω 日本語 🙂"
_SEPARATORS = " one\u2028two\u0085three"
_PIECE = 7
_WHOLE = Shape()


@dataclass(frozen=True)
class Scene:
    """Where a fault happens."""

    wire: Wire
    stamp: Stamp
    model: str = ""
    tokens: int = 0
    context: int = 0


def _same_answer(said: Answer, fault: Fault, scene: Scene) -> Answer:
    return said


def _same_plan(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return plan


@dataclass(frozen=True)
class Effect:
    """How a kind of fault shows: any of three changes."""

    plan: Callable[[Plan, Fault, Scene], Plan] = _same_plan
    answer: Callable[[Answer, Fault, Scene], Answer] = _same_answer
    shape: Shape = _WHOLE


def effect(fault: Fault | None) -> Effect:
    """The effect of a fault; none for no fault."""
    return EFFECTS[fault.kind] if fault else Effect()


def problem_plan(problem: Problem, scene: Scene) -> Plan:
    """An error response as a plan."""
    headers = (*scene.wire.headers(scene.stamp), *problem.headers)
    return _canned(_raw(problem.body), problem.status, headers, scene.wire.json_type)


def _canned(body: bytes, status: int, headers: tuple[tuple[str, str], ...], content_type: str) -> Plan:
    return Plan((Send(body),) if body else (), status, headers, content_type)


def _raw(body: object) -> bytes:
    return body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else dump(body)


def _trouble(fault: Fault, scene: Scene, kind: str) -> Trouble:
    wait = next((value for name, value in fault.headers if name.lower() == "retry-after"), None)
    if kind == "status":
        return Trouble.of_status(fault.status or 500, scene.model, wait)
    tokens, context = max(scene.tokens, scene.context + 1), scene.context
    return Trouble(kind, fault.status, model=scene.model, retry_after=wait, tokens=tokens, context=context)


def _problem(fault: Fault, scene: Scene, kind: str) -> Problem:
    problem = scene.wire.problem(_trouble(fault, scene, kind), scene.stamp)
    return replace(
        problem, body=problem.body if fault.body is None else fault.body, headers=(*problem.headers, *fault.headers)
    )


def _refusing(kind: str) -> Callable[[Plan, Fault, Scene], Plan]:
    def plan(plan: Plan, fault: Fault, scene: Scene) -> Plan:
        return problem_plan(_problem(fault, scene, kind), scene)

    return plan


def _halves(plan: Plan, tokens: int) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """The steps up to so many tokens, and the rest; a body in one piece is cut in its middle."""
    if not plan.stream:
        body = _body(plan)
        first, rest = body[: len(body) // 2], body[len(body) // 2 :]
        return ((Send(first),) if tokens and first else ()), (Send(rest),)
    done = 0
    for index, step in enumerate(plan.steps):
        if isinstance(step, Send) and step.tokens:
            if done >= tokens:
                return plan.steps[:index], plan.steps[index:]
            done += step.tokens
    last = _last_token(plan) + 1
    return plan.steps[:last], plan.steps[last:]


def _last_token(plan: Plan) -> int:
    return max((at for at, step in enumerate(plan.steps) if isinstance(step, Send) and step.tokens), default=-1)


def _body(plan: Plan) -> bytes:
    return b"".join(step.data for step in plan.steps if isinstance(step, Send))


def _reset(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, steps=(Reset(),))


def _silence(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, steps=(Hang(),))


def _slow_first(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, steps=(Wait(fault.seconds), *plan.steps))


def _cut(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, steps=(*_halves(plan, max(fault.after_tokens, not plan.stream))[0], Open(), Close()))


def _cut_mid_char(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    for index, step in enumerate(plan.steps):
        if isinstance(step, Send) and not step.data.isascii():
            first = next(at for at, byte in enumerate(step.data) if byte >= 0xC0)
            return replace(plan, steps=(*plan.steps[:index], Send(step.data[: first + 1]), Close()))
    return replace(plan, steps=(*plan.steps, Close()))


def _stall(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    before, after = _halves(plan, fault.after_tokens)
    pause = Wait(fault.seconds) if fault.seconds else Hang()
    return replace(plan, steps=(*before, Open(), pause, *after))


def _break_off(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    """A clean end of the body after some tokens, without anything that ends the answer."""
    return replace(plan, steps=_halves(plan, fault.after_tokens)[0]) if fault.after_tokens and plan.stream else plan


def _error_after(plan: Plan, fault: Fault, scene: Scene, *endings: bytes) -> Plan:
    problem = _problem(fault, scene, "status" if fault.status else "overloaded")
    if not plan.stream:
        return problem_plan(problem, scene)
    frames = (scene.wire.error_frame(problem), *endings)
    return replace(plan, steps=(*_halves(plan, fault.after_tokens)[0], *(Send(frame) for frame in frames if frame)))


def _error_in_stream(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return _error_after(plan, fault, scene)


def _error_then_done(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return _error_after(plan, fault, scene, scene.wire.done)


def _raw_error(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    """An error as many lines of JSON that are no event."""
    problem = _problem(fault, scene, "status" if fault.status else "overloaded")
    if not plan.stream:
        return problem_plan(problem, scene)
    lines = _indented(problem.body) + b"\n"
    return replace(plan, steps=(*_halves(plan, fault.after_tokens)[0], Send(lines)))


def _indented(body: object) -> bytes:
    return json.dumps(body, indent=2).encode()


def _html200(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return _canned(_HTML if fault.body is None else _raw(fault.body), 200, fault.headers, "text/html; charset=utf-8")


def _empty200(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, steps=(), status=200)


def _json_error_200(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(problem_plan(_problem(fault, scene, "overloaded"), scene), status=200)


def _wrong_type(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    return replace(plan, content_type="text/plain; charset=utf-8")


def _malformed(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    if not plan.stream:
        return replace(plan, steps=(Send(_body(plan)[:-3]),))
    before, after = _halves(plan, fault.after_tokens)
    return replace(plan, steps=(*before, Send(scene.wire.line(b'{"broken": [1, ')), *after))


def _bad_bytes(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    def broken(step: Step) -> Step:
        return replace(step, data=step.data.replace(_MARK.encode(), b"\xff\xfe")) if isinstance(step, Send) else step

    return replace(plan, steps=tuple(broken(step) for step in plan.steps))


def _duplicate(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    before, after = _halves(plan, max(1, fault.after_tokens))
    if not plan.stream or not before or not isinstance(before[-1], Send):
        return plan
    return replace(plan, steps=(*before, replace(before[-1], tokens=0), *after))


def _split(plan: Plan, fault: Fault, scene: Scene) -> Plan:
    """Many small writes: of single bytes where characters have several, of seven bytes elsewhere."""
    pieces = (piece for step in plan.steps for piece in (_pieces(step) if isinstance(step, Send) else [step]))
    return replace(plan, steps=tuple(pieces))


def _pieces(step: Send) -> list[Step]:
    size = _PIECE if step.data.isascii() else 1
    *parts, last = [step.data[at : at + size] for at in range(0, len(step.data), size)]
    first = [Send(part, 0 if index else step.tokens) for index, part in enumerate(parts)]
    return [*first, replace(step, data=last, tokens=0 if parts else step.tokens)]  # here its content is complete


def _with_token(token: str) -> Callable[[Answer, Fault, Scene], Answer]:
    def insert(said: Answer, fault: Fault, scene: Scene) -> Answer:
        return said.insert(fault.after_tokens, token)

    return insert


def _huge(said: Answer, fault: Fault, scene: Scene) -> Answer:
    return said.insert(0, "x" * (fault.after_tokens or _HUGE))


def _filtered(said: Answer, fault: Fault, scene: Scene) -> Answer:
    if scene.wire.refusal:
        return replace(said, tokens=(scene.wire.refusal,), calls=(), call_tokens=0, finish="stop")
    return replace(said, tokens=said.tokens[: fault.after_tokens], calls=(), call_tokens=0, finish="content_filter")


EFFECTS: dict[str, Effect] = {
    "status": Effect(_refusing("status")),
    "context_overflow": Effect(_refusing("context")),
    "quota": Effect(_refusing("quota")),
    "reset": Effect(_reset),
    "silence": Effect(_silence),
    "slow_first": Effect(_slow_first),
    "cut": Effect(_cut),
    "cut_mid_char": Effect(_cut_mid_char, answer=_with_token(_MULTI_BYTE)),
    "stall": Effect(_stall),
    "end_without_finish": Effect(_break_off, shape=Shape(finish=False)),
    "no_done": Effect(shape=Shape(done=False)),
    "no_usage": Effect(shape=Shape(usage=False)),
    "error_in_stream": Effect(_error_in_stream),
    "error_then_done": Effect(_error_then_done),
    "raw_error": Effect(_raw_error),
    "html200": Effect(_html200),
    "empty200": Effect(_empty200),
    "json_error_200": Effect(_json_error_200),
    "wrong_content_type": Effect(_wrong_type),
    "malformed_chunk": Effect(_malformed),
    "invalid_utf8": Effect(_bad_bytes, answer=_with_token(_MARK)),
    "huge_line": Effect(answer=_huge),
    "u2028": Effect(answer=_with_token(_SEPARATORS)),
    "duplicate_chunk": Effect(_duplicate),
    "split_bytes": Effect(_split, answer=_with_token(_MULTI_BYTE)),
    "content_filter": Effect(answer=_filtered),
}
FAULT_KINDS = frozenset(EFFECTS)
