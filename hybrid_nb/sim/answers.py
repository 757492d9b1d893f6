"""From a request to what the simulated model says. Pure: the same request has the same answer, streamed or not."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from . import facts, prose, schema, tokens
from .chance import share
from .hints import Hints
from .types import Answer, Call, Finish, Model, Tool, ToolCall

_BARE = re.compile(
    r"\b(?:reply|answer|respond|return|give|output|write|say|print|state)\b[^.?!\n]{0,40}?"
    r"\b(?:only|just|nothing but|solely|exactly)\b"
    r"|\b(?:only|just|nothing but)\b (?:with )?(?:the|a|an|one)\b"
    r"|\bone[- ]word\b|\bsingle (?:word|number)\b|\bno (?:explanation|other words|other text)\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "with from that this your have will what when where which there their about given get set the and for "
        "returns return current some tool function call calls using used find list them they into",
    )
)
_TOOL_TEXT = 4000


def answer(call: Call, model: Model, seed: int = 0) -> Answer:
    """What this model says to this call.

    Returns:
        An answer whose tokens are exact: stop sequences and ``max_tokens`` are already applied.
    """
    taken = asked(call)
    call, shown, first = _begun(call)
    mark = (seed, model.name, call.last_user())
    taken = min(taken, call.context) if call.context else taken
    calls, thoughts = _tool_calls(call, mark), prose.think(model.reasoning, call.last_user())
    if calls:
        spent = sum(tokens.count(one.name + json.dumps(one.arguments)) for one in calls)
        return Answer(calls=calls, finish="tool_calls", input_tokens=taken, call_tokens=spent, thoughts=thoughts)
    text, stop_hit = _stopped(_text(call, model, mark), call.stop)
    text = first + _rest(text, shown) if shown else text
    words, finish = _limited((*thoughts, *tokens.split(text)), call.max_tokens)
    thoughts, words = words[: len(thoughts)], words[len(thoughts) :]
    stop_hit = None if finish == "length" else stop_hit
    return Answer(words, finish=finish, stop_hit=stop_hit, input_tokens=taken, thoughts=thoughts)


_CUT = re.compile(r"\bcut off\b.*\brepeating its last words\b", re.DOTALL)


def _begun(call: Call) -> tuple[Call, str, str]:
    """A request for the rest of an answer: what was asked first, what was answered of it, and what to begin with.

    A last turn of the assistant is gone on from; an instruction that says so has its last line repeated first.
    """
    turns = call.turns
    if len(turns) > 1 and turns[-1].role == "assistant":
        return replace(call, turns=turns[:-1]), turns[-1].text, ""
    told = len(turns) > 2 and turns[-1].role == "user" and turns[-2].role == "assistant" and _CUT.search(turns[-1].text)
    if told:
        return replace(call, turns=turns[:-2]), turns[-2].text, turns[-1].text.rpartition("\n")[2]
    return call, "", ""


def _rest(text: str, shown: str) -> str:
    """What follows `shown` in this model's own answer; after another model's words, from about the same place."""
    if text.startswith(shown):
        return text[len(shown) :]
    said, words = shown.split(), list(re.finditer(r"\S+", text))
    at = len(said)
    while at < len(words) and words[at][0] == said[-1]:
        at += 1
    return text[words[at - 1].end() :] if at < len(words) else " That is all."


def asked(call: Call) -> int:
    """Input tokens: the texts of all the messages."""
    return sum(tokens.count(turn.text) for turn in call.turns)


def known(prompt: str, model: Model, *mark: object) -> tuple[facts.Fact, str] | None:
    """The recognised question of a prompt and this model's answer to it, which is right at its accuracy."""
    fact = facts.find(prompt)
    if fact is None:
        return None
    right = share(*mark, "right") < model.accuracy
    return fact, fact.truth if right else fact.wrong(*mark)


def _text(call: Call, model: Model, mark: tuple[object, ...]) -> str:
    if call.turns and call.turns[-1].role == "tool":
        said = _from_tools(call)
        return said if not (call.schema or call.json_mode) else _json(call, model, mark, said)
    if call.schema or call.json_mode:
        return _json(call, model, mark, None)
    return _prose(call, model, mark)


def _prose(call: Call, model: Model, mark: tuple[object, ...]) -> str:
    prompt = call.last_user()
    told = next((said for words, said in model.says if words in prompt), None)
    if told is not None:
        return told if isinstance(told, str) else told(prompt)
    bare = bool(_BARE.search(prompt) or _BARE.search(call.system()))
    found = known(prompt, model, *mark)
    if found:
        fact, said = found
        text = said if bare else fact.sentence.format(said)
    else:
        text = prose.write(prompt, model.name, *mark)
    images = sum(turn.images for turn in call.turns)
    return text if not images or (bare and found) else f"I see {images} image{'s' * (images != 1)}. {text}"


def _json(call: Call, model: Model, mark: tuple[object, ...], said: str | None) -> str:
    prompt = call.last_user()
    found = known(prompt, model, *mark)
    best = said or (found[1] if found else None)
    if call.schema is None:
        value: object = {"answer": best or prose.topic(prompt), "simulated": True}
    else:
        value = schema.instance(call.schema, Hints.of(prompt, best, mark))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _from_tools(call: Call) -> str:
    results = []
    for turn in reversed(call.turns):
        if turn.role != "tool":
            break
        results.append(f"{turn.tool or 'the tool'} says: {turn.text[:_TOOL_TEXT]}")
    return f"According to {'; '.join(reversed(results))}."


def _tool_calls(call: Call, mark: tuple[object, ...]) -> tuple[ToolCall, ...]:
    chosen = _chosen(call)
    hints = Hints.of(call.last_user(), seed=mark)
    return tuple(ToolCall(tool.name, _arguments(tool, hints)) for tool in chosen)


def _chosen(call: Call) -> list[Tool]:
    """The tools to call: the forced one, all that the prompt names, or the one that its words fit best."""
    if not call.tools or call.choice == "none" or (call.turns and call.turns[-1].role == "tool"):
        return []
    if call.forced:
        return [tool for tool in call.tools if tool.name == call.forced][:1]
    prompt = call.last_user().lower()
    ranked = sorted(call.tools, key=lambda tool: -_fit(tool, prompt))
    named = [tool for tool in call.tools if _fit(tool, prompt) >= _NAMED]
    best = named or [tool for tool in ranked[:1] if call.choice == "required" or _fit(tool, prompt)]
    return best if call.parallel else best[:1]


_NAMED = 100


def _fit(tool: Tool, prompt: str) -> int:
    if tool.name.lower() in prompt:
        return _NAMED
    said = set(re.findall(r"\w+", prompt))
    return 10 * len(_keywords(tool.name) & said) + len(_keywords(tool.description) & said)


def _keywords(text: str) -> set[str]:
    words = re.findall(r"[a-z0-9]{3,}", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower().replace("_", " "))
    return set(words) - _COMMON


def _arguments(tool: Tool, hints: Hints) -> dict[str, object]:
    value = schema.instance(tool.parameters or {"type": "object"}, hints, optional=False)
    return value if isinstance(value, dict) else {}


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """Cut the text before the earliest stop sequence."""
    hits = [(text.index(stop), stop) for stop in stops if stop and stop in text]
    if not hits:
        return text, None
    at, stop = min(hits)
    return text[:at], stop


def _limited(words: tuple[str, ...], limit: int | None) -> tuple[tuple[str, ...], Finish]:
    return (words, "stop") if limit is None or len(words) <= limit else (words[:limit], "length")
