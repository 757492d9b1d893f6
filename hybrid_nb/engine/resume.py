"""A stream that broke is finished by another attempt: what to ask, and how the new text joins the shown one. Pure.

Three ways, from the cheapest to the surest:

1. prefill      the shown text is sent as the beginning of the answer; models that know this go on from it
2. instruction  the model is told to go on, and to begin with the last words shown, by which the seam is found
3. restart      the request is sent again, and what comes is held back as long as it repeats what was shown

Text that was shown cannot be taken back. So an attempt whose text does not join without a doubt is given up (Unfit),
and what is shown stays a beginning of one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from hybrid_nb.core.errors import StreamInterruptedError
from hybrid_nb.core.provider import Vendor
from hybrid_nb.core.types import Attempt, Message, Request, Target, Usage
from hybrid_nb.engine.assemble import Assembler, estimate_tokens

Way = Literal["prefill", "instruction", "restart"]

INSTRUCTION = (
    "Your last message was cut off in the middle. Write the rest of it. Begin by repeating its last words exactly as "
    "they stand below, go on from there without a break, and do not mention the interruption.\n"
)
ANCHOR = 60  # characters of the last words, about
_BEFORE = " \t\r\n\"'`.…«»“”„‘’<>"  # what models put before words that they repeat
_CLOSES = ".,;:!?)]}…"  # joins a word without a space


class Unfit(Exception):  # noqa: N818 - a signal to the run, never seen outside
    """What this attempt says cannot follow what was shown."""


# --- what to ask ------------------------------------------------------------------------------------------


def ways(vendor: Vendor, model: str, request: Request, tools_begun: bool) -> Sequence[Way]:
    """The ways that may be tried at a target, in order.

    An answer by a schema is written under a grammar that begins at its beginning, and a tool call that was begun has
    no place in a text: both are only restarted.
    """
    if request.schema is not None or tools_begun:
        return ("restart",)
    if any(fnmatchcase(model, pattern) for pattern in vendor.prefill):
        return ("prefill", "instruction", "restart")
    return ("instruction", "restart")


def asking(request: Request, way: Way, shown: str) -> Request:
    """The request for the rest of an answer of which `shown` is known. Its limit of tokens is what is left."""
    if way == "restart":
        return request
    text, last = shown.rstrip(), request.messages[-1]  # a prefill must not end in a space (Anthropic: 400)
    if last.role == "assistant":  # the person began the answer; the shown text goes on from there
        messages = (*request.messages[:-1], replace(last, text=last.text + text))
    else:
        messages = (*request.messages, Message("assistant", text))
    if way == "instruction":
        messages = (*messages, Message("user", INSTRUCTION + anchor(text)))
    limit = request.max_tokens
    return replace(
        request,
        messages=messages,
        max_tokens=None if limit is None else max(1, limit - estimate_tokens(shown)),
    )


def anchor(text: str) -> str:
    """The last words of a text, from the beginning of a word and within one line."""
    line = text.rpartition("\n")[2]
    if len(line) <= ANCHOR:
        return line
    cut = line[-ANCHOR:]
    return cut.partition(" ")[2] or cut


# --- how it joins -----------------------------------------------------------------------------------------


class Seam(Protocol):
    """New text in, text to show out. Raises Unfit."""

    def feed(self, text: str) -> str:
        """What may be shown now that this came."""

    def end(self) -> str:
        """What remains to be shown at the end of the answer."""


def seam(way: Way, shown: str) -> Seam:
    """The seam of an attempt that was asked in this way."""
    return _Repeat(shown) if way == "restart" else _Rest(shown, told=way == "instruction")


class _Repeat:
    """A restarted answer: held back while it repeats what was shown."""

    def __init__(self, shown: str) -> None:
        self._left = shown

    def feed(self, text: str) -> str:
        if not self._left:
            return text
        size = min(len(text), len(self._left))
        if text[:size] != self._left[:size]:
            raise Unfit("its answer differs from what was shown")
        self._left = self._left[size:]
        return text[size:]

    def end(self) -> str:
        if self._left:
            raise Unfit("its answer is shorter than what was shown")
        return ""


class _Rest:
    """The rest of an answer, which may begin with words that were shown: all of them (Mistral returns the prefill,
    some servers begin anew) or the last ones (as the instruction asks)."""

    def __init__(self, shown: str, told: bool) -> None:
        text = shown.rstrip()
        self._space = shown[len(text) :]
        last = anchor(text)
        repeats = [text.lstrip(), last, *(_ends(last) if told else ())]
        self._repeats = [found for found in dict.fromkeys(repeats) if found.strip()]  # the longest first
        self._told = told
        self._came: str | None = ""  # until the seam is found
        self._gap: str | None = self._space or None  # space after the seam, of which some was shown

    def feed(self, text: str) -> str:
        if self._came is None:
            return self._after(text)
        self._came += text
        core = self._core(self._came)
        longer = [repeat for repeat in self._repeats if len(core) < len(repeat)]
        if not core or any(repeat.startswith(core) for repeat in longer):
            return ""  # it may yet become a repetition
        return self._join(core)

    def end(self) -> str:
        if self._came is None:
            return self._closed()
        if not self._came.strip():  # nothing was left to say
            return ""
        core = self._core(self._came) or self._came
        if self._told and any(repeat.startswith(core) for repeat in self._repeats):
            return ""
        return self._join(core) + self._closed()

    def _core(self, came: str) -> str:
        """What came, without what models put before words that they repeat, where these follow."""
        bare = came.lstrip(_BEFORE)
        return next((c for c in (came, came.lstrip(), bare) if any(_alike(c, r) for r in self._repeats)), bare)

    def _join(self, core: str) -> str:
        came, self._came = self._came or "", None
        repeated = next((r for r in self._repeats if core.startswith(r)), None)
        if repeated is not None:
            return self._after(core[len(repeated) :])
        if not self._told:
            return self._after(came)
        if came[0].isspace() or came[0] in _CLOSES or (self._space and came[0].islower()):
            return self._after(came)
        raise Unfit("it went on without the last words, so the seam is not certain")

    def _after(self, text: str) -> str:
        """Space that was shown already is not shown again; it may come in several pieces."""
        if self._gap is None:
            return text
        self._gap += text
        return self._closed() if self._gap.strip() else ""

    def _closed(self) -> str:
        """What stands behind the seam when its space is known."""
        if self._gap is None:
            return ""
        text, self._gap = self._gap[len(self._space) :], None
        own = text[: len(text) - len(text.lstrip())]
        if own.startswith(self._space):
            return text[len(self._space) :]
        return text.lstrip() if self._space.startswith(own) else text


def _ends(words: str) -> list[str]:
    """Each end of these words, from the beginning of a word: a model may repeat fewer than it is told to."""
    return [words[at + 1 :] for at, letter in enumerate(words) if letter == " "]


def _alike(text: str, repeat: str) -> bool:
    return bool(text) and (text.startswith(repeat) or repeat.startswith(text))


# --- what is known of the part that was shown ---------------------------------------------------------------


def total(parts: Sequence[Usage]) -> Usage:
    """The usage of several attempts that made one answer; what any of them does not tell is unknown in the sum."""
    if len(parts) == 1:
        return parts[0]

    def added(name: str) -> int | None:
        counts = [getattr(part, name) for part in parts]
        return None if any(count is None for count in counts) else sum(counts)

    guessed = any(part.source != "provider" for part in parts)
    return Usage(
        added("input_tokens"),
        added("cached_tokens"),
        added("cache_write_tokens"),
        added("output_tokens"),
        added("reasoning_tokens"),
        "estimate" if guessed else "provider",
    )


class Broken:
    """An answer that broke off: what is known of its part that was shown, and how its rest may be asked for."""

    def __init__(
        self,
        error: StreamInterruptedError,
        target: Target,
        answer: Assembler,
        usage: Usage | None,
        first: float | None,
        before: Broken | None,
    ) -> None:
        """`answer`, `usage` and `first` (seconds to the first token) are those of the attempt at `target` that broke;
        `before` is the part that earlier ones had shown."""
        self.error = error
        self.first: float | None = before.first if before else first
        self.usages: list[Usage] = [*(before.usages if before else ()), usage or Usage()]
        self.reasoning: str = (before.reasoning if before else "") + answer.reasoning
        self.begun: list[str] = list(dict.fromkeys((*(before.begun if before else ()), str(target))))
        self.tools = answer.calls_begun
        self._tried: dict[Target, int] = {}  # ways that did not do since the last word was shown

    def _ways(self, vendor: Vendor, target: Target, request: Request) -> Sequence[Way]:
        return ways(vendor, target.model, request, self.tools)

    def way(self, vendor: Vendor, target: Target, request: Request) -> Way:
        """How a target is asked for the rest."""
        found = self._ways(vendor, target, request)
        return found[min(self._tried.get(target, 0), len(found) - 1)]

    def next_way(self, vendor: Vendor, target: Target, request: Request) -> bool:
        """The way did not do; whether there is another."""
        tried = self._tried[target] = self._tried.get(target, 0) + 1
        return tried < len(self._ways(vendor, target, request))

    def final(self, attempts: Sequence[Attempt], prefix: str) -> StreamInterruptedError:
        """The error of an answer that nobody finished."""
        error = self.error
        later = [f"{a.provider}/{a.model}: {a.error}" for a in attempts if a.part and a.outcome != "interrupted"]
        if later:
            error.message += f"; the rest was asked for in vain: {'; '.join(later)}"
            error.args = (error.message,)
        error.partial_text = prefix
        return error
