"""`%%llm` and its kin: parse, call, show. The parts are options.py, interpolate.py and display.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from hybrid_nb.core.errors import ConfigError, HybridNbError, StreamInterruptedError
from hybrid_nb.core.types import Message, Reply
from hybrid_nb.notebook import questions
from hybrid_nb.notebook.display import Answer, answer_for, is_static
from hybrid_nb.notebook.interpolate import interpolate
from hybrid_nb.notebook.options import ASK, COMPARE, COSTS, OptionError, Parsed, completions, parse, usage
from hybrid_nb.router import Router, check_providers, default_router

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.stream import Stream

FOR_CHAT = ("system", "temperature", "max_tokens", "tier", "max_cost", "max_ttft", "cache")
POLL = 0.2  # seconds between looks at a silent stream; an interrupt is noticed at once


class Stopped(KeyboardInterrupt):
    """The kernel was interrupted during an answer. What came stays shown; a queue of cells stops, as it should."""

    def _render_traceback_(self) -> list[str]:
        return ["Stopped. The part that came is above, and in _llm_partial."]


class Cut(NamedTuple):
    """An answer that was stopped by an interrupt, as %llm_explain tells of it."""

    asked: str
    seconds: float
    text: str

    def __str__(self) -> str:
        kept = f"{len(self.text)} characters came and are in _llm_partial" if self.text else "nothing had come yet"
        return f"stopped by an interrupt after {self.seconds:.1f} s: {kept}\nasked: {self.asked}"


def _cut(messages: Sequence[Message], started: float, text: str = "") -> Cut:
    line = " ".join(messages[-1].text.split())
    return Cut(line if len(line) <= 200 else line[:197] + "...", time.monotonic() - started, text)


class ShownReply(Reply):
    """A reply that was already shown by the magic, so that the cell's own output does not repeat it."""

    def _ipython_display_(self) -> None:
        from IPython import get_ipython

        shell: Any = get_ipython()
        if shell is None or shell.execution_count != getattr(self, "shown_in", None):
            text = self._repr_markdown_()
            display({"text/markdown": text, "text/plain": repr(self)}, raw=True)


def as_shown(reply: Reply, execution_count: int) -> ShownReply:
    shown = ShownReply(**{name: getattr(reply, name) for name in Reply.__dataclass_fields__})
    object.__setattr__(shown, "shown_in", execution_count)
    return shown


@contextmanager
def short_errors() -> Iterator[None]:
    """Wrong options and values as one line."""
    try:
        yield
    except (OptionError, TypeError, ValueError) as error:
        if isinstance(error, HybridNbError):
            raise
        raise UsageError(str(error)) from None


@magics_class
class LlmMagics(Magics):
    """The magics, over the default router."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.chats: dict[str, list[Message]] = {}
        self.last: Any = None  # the last Reply, Comparison, Cut or error

    @property
    def router(self) -> Router:
        return default_router()

    @property
    def names(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shell.user_ns
        return found

    # --- asking -----------------------------------------------------------------------------------------------

    @no_var_expand
    @line_cell_magic
    def llm(self, line: str, cell: str | None = None) -> Reply | None:
        """Ask a model: `%%llm [model] [options]` with the prompt below, or `%llm [model] [options] prompt`."""
        with short_errors():
            if cell is None and line.strip() in ("", "?", "--help"):
                raise OptionError(usage("%llm", "[model] prompt", ASK))
            parsed = self._parsed(line, cell)
            prompt = interpolate(parsed.rest if cell is None else cell.strip("\n"), self.names)
            reply = self._ask(parsed, prompt)
        return as_shown(reply, self.shell.execution_count) if cell is None else None

    def _parsed(self, line: str, cell: str | None) -> Parsed:
        if cell is None:
            parsed = parse(line, ASK, self._is_model)
            if not parsed.rest:
                raise OptionError("%llm needs a prompt on its line; %%llm takes it from the lines below")
            return parsed
        parsed = parse(line, ASK)
        if len(parsed.words) > 1:
            raise OptionError(f"one model at a time, not {' '.join(parsed.words)!r}; the prompt goes below %%llm")
        if not cell.strip():
            raise OptionError("%%llm needs a prompt below its line")
        return parsed

    def _is_model(self, word: str) -> bool:
        known = self.router.model_names()
        return word in known or ("/" in word and word.partition("/")[0] in self.router.provider_names())

    def _ask(self, parsed: Parsed, prompt: str) -> Reply:
        values = parsed.values
        options = {key: values[key] for key in FOR_CHAT if key in values}
        options["model"] = parsed.words[0] if parsed.words else None
        options["images"] = values.get("image")
        if "schema" in values:
            options["schema"] = self._variable(values["schema"])
        messages = self._conversation(values, prompt)
        answer = answer_for(
            self.shell, values.get("format", "json" if "schema" in values else "markdown"), not values.get("no_stream")
        )
        reply = self._shown(answer, messages, options, stream=not values.get("no_stream"))
        self._keep(values, messages, reply)
        return reply

    def _variable(self, name: str) -> Any:
        if name not in self.names:
            raise OptionError(f"--schema {name}: no such variable; define a pydantic class or a JSON schema first")
        return self.names[name]

    def _conversation(self, values: dict[str, Any], prompt: str) -> list[Message]:
        name = values.get("chat")
        if values.get("new") and name is None:
            raise OptionError("--new needs --chat NAME")
        before = [] if name is None or values.get("new") else self.chats.get(name, [])
        return [*before, Message("user", prompt)]

    def _keep(self, values: dict[str, Any], messages: list[Message], reply: Reply) -> None:
        self.last = self.names["_llm"] = reply
        if "chat" in values:
            self.chats[values["chat"]] = [*messages, reply.message()]
        if "to" in values:
            self.names[values["to"]] = reply
        if values.get("explain"):
            print(reply.route)  # noqa: T201 - a cell's output

    def _shown(self, answer: Answer, messages: list[Message], options: dict[str, Any], stream: bool) -> Reply:
        """Ask and show; whatever happens, what came stays on the screen."""
        started = time.monotonic()
        try:
            if not stream:
                reply = self.router.chat(messages, **options)
            else:
                reply = self._streamed(answer, self.router.stream(messages, **options), messages, options)
        except HybridNbError as error:
            self.last = error
            if isinstance(error, StreamInterruptedError):
                self.names["_llm_partial"] = error.partial_text
                answer.finish(
                    error.partial_text, f"{error.provider}/{error.model} · broken off · %llm_explain tells more"
                )
            else:
                answer.fail(f"no answer: {type(error).__name__}")
            raise
        except KeyboardInterrupt:
            if not stream:  # _streamed knows more
                self.last = _cut(messages, started)
            raise
        body = reply.text or "\n".join(f"`{call.name}({call.arguments})`" for call in reply.tool_calls)
        answer.finish(body, f"{reply.footer()}" if reply.latency is not None else f"{time.monotonic() - started:.2f} s")
        return reply

    def _streamed(self, answer: Answer, stream: Stream, messages: list[Message], options: dict[str, Any]) -> Reply:
        started = time.monotonic()
        try:
            answer.start(self._note(messages, options))
            while (piece := stream.poll(min(POLL, due) if (due := answer.due()) is not None else POLL)) is not None:
                if piece:
                    answer.add(piece)
                answer.tick()
            return stream.reply
        except KeyboardInterrupt:
            stream.cancel()
            self.last = _cut(messages, started, stream.text)
            self.names["_llm_partial"] = stream.text
            answer.finish(stream.text, f"stopped after {self.last.seconds:.1f} s")
            raise Stopped from None

    def _note(self, messages: list[Message], options: dict[str, Any]) -> str:
        """Who is asked. A replay asks nobody, and needs none who could be."""
        try:
            chosen = self.router.plan(messages, **options).chosen
        except HybridNbError:
            chosen = None
        return f"asking {chosen} …" if chosen else "…"

    @no_var_expand
    @cell_magic
    def llm_compare(self, line: str, cell: str) -> None:
        """Ask several models at once: `%%llm_compare MODEL MODEL ... [options]`, the prompt below."""
        with short_errors():
            parsed = parse(line, COMPARE)
            prompt = interpolate(cell.strip("\n"), self.names)
            options = {k: v for k, v in parsed.values.items() if k in FOR_CHAT}
            options["images"] = parsed.values.get("image")
            started = time.monotonic()
            try:
                comparison = self.router.compare(prompt, parsed.words or None, **options)
            except HybridNbError as error:
                self.last = error
                raise
            except KeyboardInterrupt:
                self.last = _cut([Message("user", prompt)], started)
                raise
        self.last = self.names["_llm"] = comparison
        if "to" in parsed.values:
            self.names[parsed.values["to"]] = comparison
        display(comparison)

    # --- looking ----------------------------------------------------------------------------------------------

    @no_var_expand
    @line_magic
    def llm_models(self, line: str) -> pd.DataFrame:
        """The models that can be asked: `%llm_models [provider]`."""
        check_providers(self.router)
        table = self.router.models()
        wanted = line.split()
        if not wanted:
            return table
        if wanted[0] not in self.router.provider_names():
            raise UsageError(f"no provider {wanted[0]!r}; there are {', '.join(self.router.provider_names())}")
        return table[table["provider"] == wanted[0]].reset_index(drop=True)

    @no_var_expand
    @line_magic
    def llm_health(self, line: str) -> pd.DataFrame:
        """Every provider, asked now: is it up, how fast, what went wrong last."""
        check_providers(self.router)
        return self.router.health()

    @no_var_expand
    @line_magic
    def llm_costs(self, line: str) -> pd.DataFrame:
        """What was spent: `%llm_costs [--by provider,model,day] [--since DATE]`."""
        with short_errors():
            parsed = parse(line, COSTS)
            if parsed.words:
                raise OptionError(f"unexpected {parsed.words[0]!r}\n{usage('%llm_costs', '', COSTS)}")
            by = [name.strip() for name in parsed.values.get("by", "provider,model").split(",") if name.strip()]
            return self.router.costs(by=by, since=parsed.values.get("since"))

    @no_var_expand
    @line_magic
    def llm_budget(self, line: str) -> pd.DataFrame:
        """What is left of the day's and the month's budget, over all kernels that share the ledger."""
        if line.strip():
            raise UsageError(f"unexpected {line.split(maxsplit=1)[0]!r}: %llm_budget takes nothing")
        return self.router.budget()

    @no_var_expand
    @line_magic
    def llm_explain(self, line: str) -> None:
        """The last route: who was weighed, who was asked, what happened; or the last error and what to do."""
        print(explained(self.last))  # noqa: T201 - a cell's output

    @no_var_expand
    @line_magic
    def llm_config(self, line: str) -> None:
        """Show settings, or change them: `retries=1 strategy=priority`, `nested_asyncio on`, `load FILE`."""
        words = line.split()
        with short_errors():
            if words[:1] == ["nested_asyncio"]:
                return nested_asyncio(words[1:])
            if words[:1] == ["load"] and len(words) == 2:
                from hybrid_nb.router import set_default_router

                set_default_router(Router(words[1]))
            elif words:
                self.router.configure(**dict(_assignment(word) for word in words))
        print(self.router.describe())  # noqa: T201 - a cell's output
        return None


def _assignment(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise OptionError(f"%llm_config takes key=value, not {word!r}")
    return key, value


def nested_asyncio(words: list[str]) -> None:
    """Patch the running loop so that people's own asyncio.run works in cells. Only when asked for."""
    from hybrid_nb.core.late import late

    if words != ["on"]:
        raise OptionError(
            "%llm_config nested_asyncio on (a patched loop cannot be put back; restart the kernel for that)"
        )
    late("nest_asyncio2", "nested").apply()


def explained(last: Any) -> str:
    """A reply's route, a comparison's, or an error with its attempts, as text."""
    if last is None:
        return "nothing was asked yet"
    if isinstance(last, Reply):
        return str(last.route)
    if isinstance(last, Cut):
        return str(last)
    if isinstance(last, HybridNbError):
        causes = [f"caused by {type(last.__cause__).__name__}: {last.__cause__}"] if last.__cause__ else []
        return "\n".join([f"{type(last).__name__}: {last}", *causes, *_tried(last), advice(last)])
    return "\n\n".join(f"[{side.name}]\n{explained(side.reply or side.error)}" for side in last)


def _tried(error: HybridNbError) -> list[str]:
    route = getattr(error, "route", None)
    return [str(route)] if route is not None else []


def advice(error: HybridNbError) -> str:
    """What to do about an error."""
    name = type(error).__name__
    known = {
        "AuthenticationError": "check the key: router.providers() shows where each comes from",
        "ModelNotFoundError": "%llm_models lists what can be asked",
        "RateLimitError": "wait as long as it says, or name another model; a group moves on by itself",
        "QuotaExceededError": "the account has no credit left; another provider may do",
        "ProviderTimeoutError": "wait longer (%llm_config ttft_timeout=60), or ask another model",
        "ConnectionFailedError": "is the server up? %llm_health asks every provider",
        "ContextLengthError": "shorten the prompt, or ask a model with a larger context (%llm_models)",
        "StreamInterruptedError": "what came is in _llm_partial; run the cell again for the rest",
        "ReplayMissError": "run the cell with --cache record where the keys are, or take back what changed",
        "ConfigError": "the message names the key and its remedy",
    }
    return "what to do: " + known.get(name, "run the cell again; %llm_health shows who is up")


# --- into the shell -----------------------------------------------------------------------------------------

_TABLES = {"llm": ASK, "llm_compare": COMPARE, "llm_costs": COSTS}


def complete(text: str, models: Callable[[], list[str]], names: Callable[[], list[str]]) -> list[str] | None:
    """Completions for the text of a cell up to the cursor; None when it is not a line of our magics."""
    line = text.rpartition("\n")[2]
    start = line.lstrip()
    body = start.rpartition("= ")[2] if "= %" in start else start
    if not body.startswith("%"):
        return None
    magic, space, rest = body.lstrip("%").partition(" ")
    if not space or magic not in _TABLES:
        return None
    return completions(rest, _TABLES[magic], models(), names())


def _matcher(magics: LlmMagics) -> Callable[..., Any]:
    from IPython.core.completer import SimpleCompletion, context_matcher

    def models() -> list[str]:
        return sorted(magics.router.model_names())

    def names() -> list[str]:
        return [name for name in magics.names if not name.startswith("_")]

    @context_matcher(identifier="hybrid_nb")
    def match(context: Any) -> dict[str, Any]:
        before = context.line_with_cursor[: context.cursor_position]
        try:
            found = complete(before, models, names)
        except ConfigError:  # told when the cell runs, not while it is typed
            found = None
        shown = [SimpleCompletion(text, type="magic") for text in found or ()]
        return {"completions": shown, "suppress": bool(found), "matched_fragment": before.rpartition(" ")[2]}

    match_any: Callable[..., Any] = match
    return match_any


def register(shell: Any) -> None:
    """Add the magics and their completion to a shell."""
    unregister(shell)
    magics = LlmMagics(shell)
    shell.register_magics(magics)
    questions.install(shell)
    completer = getattr(shell, "Completer", None)
    if completer is not None:
        matcher = _matcher(magics)
        completer.custom_matchers.append(matcher)
        shell._hybrid_nb_matcher = matcher


def unregister(shell: Any) -> None:
    """Take the completion out again; IPython keeps magics until they are replaced."""
    questions.remove(shell)
    matcher = getattr(shell, "_hybrid_nb_matcher", None)
    completer = getattr(shell, "Completer", None)
    if matcher is not None and completer is not None and matcher in completer.custom_matchers:
        completer.custom_matchers.remove(matcher)


__all__ = ["LlmMagics", "complete", "explained", "is_static", "register", "unregister"]
