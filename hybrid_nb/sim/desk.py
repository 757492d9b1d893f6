"""From a request to the plan of its response. Pure: no socket, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import answers, faults
from .chance import share
from .plan import Plan, Send
from .types import Answer, Call, Fault, Model, RefusedError, Stamp, Trouble, Vendor
from .wire import ChatRoute, Headers, Wire, by_name, dump
from .wire_anthropic import AnthropicWire
from .wire_gemini import GeminiWire
from .wire_ollama import OllamaWire
from .wire_openai import OpenAIWire

WIRES: Mapping[str, Wire] = {
    "openai": OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
    "ollama": OllamaWire(),
}


@dataclass(frozen=True)
class Incoming:
    """One HTTP request, read to its end."""

    method: str
    path: str
    query: Headers
    headers: Headers
    body: Any
    ordinal: int = 0


@dataclass(frozen=True)
class Desk:
    """A vendor's answering side, as it is set at one moment."""

    vendor: Vendor
    seed: int = 0

    @property
    def wire(self) -> Wire:
        return WIRES[self.vendor.wire]

    def route(self, request: Incoming) -> ChatRoute | None:
        """The chat endpoint that a request is for; None for any other page."""
        return self.wire.chat_route(request.method, request.path, request.query)

    def plan(self, request: Incoming, fault: Fault | None, stamp: Stamp) -> Plan:
        """The whole response, with the fault in it."""
        scene = faults.Scene(self.wire, stamp)
        try:
            plan, scene = self._served(request, fault, stamp)
        except RefusedError as refused:
            plan = faults.problem_plan(refused.problem, scene)
        return faults.effect(fault).plan(plan, fault, scene) if fault else plan

    def _served(self, request: Incoming, fault: Fault | None, stamp: Stamp) -> tuple[Plan, faults.Scene]:
        self._check_key(request, stamp)
        route = self.route(request)
        if route is None:
            return self._page(request, stamp), faults.Scene(self.wire, stamp)
        call = self._call(route, request, stamp)
        model = self._model(call.model, stamp)
        scene = self._scene(call, model, stamp)
        return self._chat(call, model, fault, scene, request.ordinal), scene

    def _check_key(self, request: Incoming, stamp: Stamp) -> None:
        wanted = self.vendor.key
        given = self.wire.keys(request.headers, request.query)
        if wanted is not None and wanted not in given and not self.wire.open_page(request.path):
            raise self._refused(Trouble("auth" if given else "no_key"), stamp)

    def _page(self, request: Incoming, stamp: Stamp) -> Plan:
        page = self.wire.page(request.method, request.path, request.body, self.vendor.models)
        if page is None:
            raise self._refused(Trouble("missing", detail=f"({request.method} {request.path})"), stamp)
        raw = page.body.encode() if isinstance(page.body, str) else dump(page.body)
        return Plan((Send(raw),), headers=self.wire.headers(stamp), content_type=page.content_type)

    def _call(self, route: ChatRoute, request: Incoming, stamp: Stamp) -> Call:
        if not isinstance(request.body, dict):
            raise self._refused(Trouble("bad", detail="We could not parse the JSON body of your request."), stamp)
        try:
            return self.wire.parse(route, request.body, request.headers)
        except (AttributeError, KeyError, TypeError) as wrong:
            detail = f"Invalid request: {type(wrong).__name__} {wrong}"
            raise self._refused(Trouble("bad", detail=detail), stamp) from wrong

    def _model(self, name: str, stamp: Stamp) -> Model:
        model = by_name(self.vendor.models, name)
        if model is None:
            raise self._refused(Trouble("model", model=name), stamp)
        return model

    def _scene(self, call: Call, model: Model, stamp: Stamp) -> faults.Scene:
        """Also the place where a prompt proves too long; Ollama cuts such a one silently instead."""
        asked = answers.asked(call)
        if asked > model.context and self.vendor.wire != "ollama":
            trouble = Trouble("context", model=model.name, tokens=asked, context=model.context)
            raise self._refused(trouble, stamp)
        return faults.Scene(self.wire, stamp, model.name, asked, model.context)

    def _chat(self, call: Call, model: Model, fault: Fault | None, scene: faults.Scene, ordinal: int) -> Plan:
        rate, ttft = speed(model, self.seed, ordinal)
        stamp = replace(scene.stamp, ttft=ttft, rate=rate)
        effect = faults.effect(fault)
        limit = min(call.context or model.context, model.context)
        said = self._answer(replace(call, context=limit), model, stamp)
        said = effect.answer(said, fault, scene) if fault else said
        plan = Plan((), headers=self.wire.headers(stamp), stream=call.stream, ttft=ttft, rate=rate)
        if call.stream:
            frames = self.wire.frames(call, said, effect.shape, stamp, model.chunk_tokens)
            plan = replace(plan, content_type=self.wire.stream_type)
            return replace(plan, steps=tuple(frames)) if fault else replace(plan, frames=frames)
        body = dump(self.wire.whole(call, said, effect.shape, stamp))
        return replace(plan, steps=(Send(body, said.output_tokens),), content_type=self.wire.json_type)

    def _answer(self, call: Call, model: Model, stamp: Stamp) -> Answer:
        try:
            return answers.answer(call, model, self.seed) if call.turns else Answer()
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as wrong:
            detail = f"Invalid schema or limit: {type(wrong).__name__} {wrong}"
            raise self._refused(Trouble("bad", detail=detail), stamp) from wrong

    def _refused(self, trouble: Trouble, stamp: Stamp) -> RefusedError:
        return RefusedError(self.wire.problem(trouble, stamp))


def speed(model: Model, seed: int, ordinal: int) -> tuple[float, float]:
    """Tokens per second (0 for no delay at all) and this request's seconds to the first token."""
    rate = model.tokens_per_second
    if rate <= 0 or rate == float("inf"):
        return 0.0, 0.0
    swing = model.jitter * (2 * share(seed, model.name, ordinal, "jitter") - 1)
    return rate, max(0.0, model.ttft + swing)
