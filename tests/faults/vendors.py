"""The simulated vendors' formats and faults (hybrid_nb.sim) as plays of a raw server: every wire in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from hybrid_nb.sim import Fault, faults
from hybrid_nb.sim.desk import WIRES
from hybrid_nb.sim.plan import Close, Hang, Open, Plan, Reset, Send, Step, Wait
from hybrid_nb.sim.types import Answer, Stamp
from tests.faults.conduct import WORDS
from tests.faults.raw_server import HANG, RESET, Play, Script, Seen

STAMP = Stamp("sim-conduct", 1_800_000_000.0)
GAP = 0.001  # seconds between writes, so that each is a packet of its own


def vendor(name: str, fault: Fault | None = None, words: Sequence[str] = WORDS) -> Play:
    """What this vendor sends when it has to say the suite's answer and this goes wrong."""
    wire = WIRES[name]

    def play(seen: Seen) -> Script:
        path, _, query = seen.path.partition("?")
        route = wire.chat_route(seen.method, path, dict(parse_qsl(query)))
        assert route is not None, seen.path
        call = wire.parse(route, seen.json, seen.headers)
        scene, effect = faults.Scene(wire, STAMP, "m", 3, 1000), faults.effect(fault)
        said = Answer(tuple(words), input_tokens=3)
        said = effect.answer(said, fault, scene) if fault else said
        if call.stream:
            plan = Plan(tuple(wire.frames(call, said, effect.shape, STAMP, 1)), 200, (), wire.stream_type, True)
        else:
            body = faults.dump(wire.whole(call, said, effect.shape, STAMP))
            plan = Plan((Send(body, said.output_tokens),), 200, (), wire.json_type)
        return script(effect.plan(plan, fault, scene) if fault else plan)

    return play


def script(plan: Plan) -> Script:
    """A plan as the raw server plays it."""
    lines = [f"HTTP/1.1 {plan.status} Status", f"Content-Type: {plan.content_type}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in plan.headers]
    if plan.stream:
        lines.append("Transfer-Encoding: chunked")
    elif not any(isinstance(step, Close) for step in plan.steps):
        lines.append(f"Content-Length: {sum(len(step.data) for step in plan.steps if isinstance(step, Send))}")
    else:
        lines.append("Content-Length: 100000")
    start = ("\r\n".join(lines) + "\r\n\r\n").encode()
    ended = [] if not plan.stream or any(isinstance(step, Close) for step in plan.steps) else [b"0\r\n\r\n"]
    told = [piece for step in plan.steps for piece in _pieces(step, plan.stream)]
    rude = bool(plan.steps) and isinstance(plan.steps[0], Reset | Hang)  # nothing comes, not even a head
    return told if rude else [start, *told, *ended]


def _pieces(step: Step, stream: bool) -> list[bytes | float | str]:
    match step:
        case Send(data):
            return [f"{len(data):x}\r\n".encode() + data + b"\r\n", GAP] if stream else [data]
        case Wait(seconds):
            return [seconds]
        case Hang():
            return [HANG]
        case Reset():
            return [RESET]
        case Open() | Close():
            return []
