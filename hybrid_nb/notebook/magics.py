"""`%%llm` and its kin: parse, call, show. Each step has its own file beside this one."""

from __future__ import annotations

import os
import time
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from hybrid_nb.compare import Comparison
from hybrid_nb.core.errors import HybridNbError, StreamInterruptedError
from hybrid_nb.core.types import Message, Reply
from hybrid_nb.notebook import explain, questions
from hybrid_nb.notebook.background import Background
from hybrid_nb.notebook.chats import Chat
from hybrid_nb.notebook.completion import complete, matcher
from hybrid_nb.notebook.display import Answer, LiveAnswer, UnseenAnswer, answer_for, is_live, is_static
from hybrid_nb.notebook.explain import Failure, explained
from hybrid_nb.notebook.following import Source, Stopped, Whole, broken_off, conclude, cut, follow
from hybrid_nb.notebook.interpolate import interpolate
from hybrid_nb.notebook.looking import LookingMagics, short_errors
from hybrid_nb.notebook.options import ASK, COMPARE, EXPLAIN, OptionError, Parsed, one_model, parse, usage
from hybrid_nb.notebook.pictures import picture
from hybrid_nb.notebook.prompts import FOR_CHAT, Prompt, prompt_of
from hybrid_nb.notebook.replies import as_shown
from hybrid_nb.notebook.sidebyside import SideBySide
from hybrid_nb.notebook.structure import to_frame
from hybrid_nb.router import Router, default_router


@magics_class
class LlmMagics(Magics):
    """The magics, over the default router."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.chats: dict[str, Chat] = {}
        self.failure: Failure | None = None  # of a cell's own code, when that is the latest
        self._last: Any = None

    @property
    def router(self) -> Router:
        return default_router()

    @property
    def last(self) -> Any:
        """The latest Reply, Comparison, Cut or error of ours; setting it is news, so an older failure is none."""
        return self._last

    @last.setter
    def last(self, found: Any) -> None:
        self._last, self.failure = found, None

    def after_cell(self, result: Any) -> None:
        """A cell has ended: what %llm_explain may be asked about, and what its re-run left out of conversations."""
        error = result.error_before_exec or result.error_in_exec
        if error is None:
            for chat in self.chats.values():
                chat.ended(*self._cell())
        elif isinstance(error, HybridNbError):  # from a cell's own code too
            if error is not self.last:
                self.last = error
        elif isinstance(error, Exception) and not isinstance(error, UsageError):
            self.failure = Failure(error, str(getattr(result.info, "raw_cell", "") or ""))

    @property
    def names(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shell.user_ns
        return found

    # --- asking -----------------------------------------------------------------------------------------------

    @no_var_expand
    @line_cell_magic
    def llm(self, line: str, cell: str | None = None) -> Reply | Background | None:
        """Ask a model: `%%llm [model] [options]` with the prompt below, or `%llm [model] [options] prompt`."""
        with short_errors():
            if cell is None and line.strip() in ("", "?", "--help"):
                raise OptionError(usage("%llm", "[model] prompt", ASK))
            parsed = self._parsed(line, cell)
            text = interpolate(parsed.rest if cell is None else cell.strip("\n"), self.names)
            prompt = prompt_of(parsed, text, self.names, self.chats, *self._cell())
            if prompt.background:
                return self._launched(prompt)
            reply = self._ask(prompt)
        return as_shown(reply, self.shell.execution_count) if cell is None else None

    def _parsed(self, line: str, cell: str | None) -> Parsed:
        if cell is None:
            parsed = parse(line, ASK, self._is_model)
            if not parsed.rest:
                raise OptionError("%llm needs a prompt on its line; %%llm takes it from the lines below")
            return parsed
        parsed = one_model(parse(line, ASK), "the prompt goes below %%llm")
        if not cell.strip():
            raise OptionError("%%llm needs a prompt below its line")
        return parsed

    def _is_model(self, word: str) -> bool:
        known = self.router.model_names()
        return word in known or ("/" in word and word.partition("/")[0] in self.router.provider_names())

    def _cell(self) -> tuple[str | None, str | None]:
        """The id of the cell that runs, as JupyterLab and VS Code send it, and of this run of it."""
        parent = self.shell.get_parent() if hasattr(self.shell, "get_parent") else None
        if not parent:
            return None, None
        return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")

    def _ask(self, prompt: Prompt) -> Reply:
        answer = answer_for(self.shell, prompt.shown_as, prompt.stream)
        reply = self._shown(answer, prompt)
        self._keep(prompt, reply)
        return reply

    def _source(self, prompt: Prompt) -> Source:
        kind: Any = self.router.stream if prompt.stream else lambda m, **o: Whole(self.router, m, o)
        source: Source = kind(prompt.messages, **prompt.options)
        return source

    def _keep(self, prompt: Prompt, reply: Reply) -> None:
        self.last = self.names["_llm"] = reply
        values = prompt.values
        if "to" in values:
            self.names[values["to"]] = reply
        self._use(prompt, reply)
        if values.get("explain"):
            print(reply.route)  # noqa: T201 - a cell's output

    def _use(self, prompt: Prompt, reply: Reply) -> None:
        prompt.keep(reply)
        if "frame" in prompt.values:
            self.names[prompt.values["frame"]] = to_frame(reply)

    def _launched(self, prompt: Prompt) -> Background:
        """Begin a call that goes on by itself, and hand over its handle."""
        live = is_live(self.shell)
        answer: Answer = LiveAnswer(prompt.shown_as) if live else UnseenAnswer()
        job = Background(self._source(prompt), answer, lambda reply: self._use(prompt, reply))
        name = prompt.values.get("to", "_llm_job")
        self.names["_llm_job"] = self.names[name] = job
        job.start(f"asking in the background; {name}.reply waits, {name}.cancel() stops")
        if live:
            job.shown_in = self.shell.execution_count
        return job

    def _shown(self, answer: Answer, prompt: Prompt) -> Reply:
        """Ask and show; whatever happens, what came stays on the screen."""
        started, source = time.monotonic(), None
        try:
            if prompt.stream or isinstance(answer, LiveAnswer):
                source = self._source(prompt)
                reply = follow(answer, source)
            else:
                reply = self.router.chat(prompt.messages, **prompt.options)
        except HybridNbError as error:
            self._failed(answer, error)
            raise
        except KeyboardInterrupt:
            self.last = cut(prompt.messages, started, source.text if source else "")
            if source is None:
                raise
            source.cancel()
            self.names["_llm_partial"] = source.text
            answer.finish(source.text, f"stopped after {self.last.seconds:.1f} s")
            raise Stopped from None
        conclude(answer, reply, started)
        return reply

    def _failed(self, answer: Answer, error: HybridNbError) -> None:
        self.last = error
        if isinstance(error, StreamInterruptedError):
            self.names["_llm_partial"] = error.partial_text
            broken_off(answer, error)
        else:
            answer.fail(f"no answer: {type(error).__name__}")

    @no_var_expand
    @cell_magic
    def llm_compare(self, line: str, cell: str) -> None:
        """Ask several models at once: `%%llm_compare MODEL MODEL ... [options]`, the prompt below."""
        with short_errors():
            parsed = parse(line, COMPARE)
            prompt = interpolate(cell.strip("\n"), self.names)
            options = {k: v for k, v in parsed.values.items() if k in FOR_CHAT}
            options["images"] = [picture(name, self.names) for name in parsed.values.get("image", ())] or None
            comparison = self._compared(prompt, parsed.words or None, options)
        self.last = self.names["_llm"] = comparison
        if "to" in parsed.values:
            self.names[parsed.values["to"]] = comparison

    def _compared(self, prompt: str, models: list[str] | None, options: dict[str, Any]) -> Comparison:
        started, board = time.monotonic(), None
        try:
            if not is_live(self.shell):
                comparison = self.router.compare(prompt, models, **options)
                display(comparison)
                return comparison
            board = SideBySide(self.router.compare_streams(prompt, models, **options))
            return board.run(prompt)
        except HybridNbError as error:
            self.last = error
            raise
        except KeyboardInterrupt:
            self.last = cut([Message("user", prompt)], started)
            if board is None:
                raise
            self.names["_llm_partial"] = Comparison(prompt, board.sides)
            raise Stopped from None

    @no_var_expand
    @line_magic
    def llm_explain(self, line: str) -> None:
        """The last route, the last error and what to do, or a failed cell, which is put to a model (without anything
        that looks like a key): `%llm_explain [model] [--max-cost ...]`; with `--route` nobody is asked."""
        with short_errors():
            parsed = one_model(parse(line, EXPLAIN), "%llm_explain takes no prompt")
            if self.failure is None or parsed.values.get("route"):
                print(explained(self.last))  # noqa: T201 - a cell's output
                return
            text = explain.question(self.failure, explain.secrets_of(self.router, self.names, os.environ))
            self._ask(prompt_of(parsed, text, self.names, self.chats))


# --- into the shell -----------------------------------------------------------------------------------------


def register(shell: Any) -> None:
    """Add the magics and their completion to a shell."""
    unregister(shell)
    magics = LlmMagics(shell)
    shell.register_magics(magics, LookingMagics(shell))
    questions.install(shell)
    completer = getattr(shell, "Completer", None)
    if completer is not None:
        shell._hybrid_nb_matcher = matcher(magics)
        completer.custom_matchers.append(shell._hybrid_nb_matcher)
    shell.events.register("post_run_cell", magics.after_cell)
    shell._hybrid_nb_after_cell = magics.after_cell


def unregister(shell: Any) -> None:
    """Take the completion and the event out again; IPython keeps magics until they are replaced."""
    questions.remove(shell)
    known = getattr(shell, "_hybrid_nb_matcher", None)
    completer = getattr(shell, "Completer", None)
    if known is not None and completer is not None and known in completer.custom_matchers:
        completer.custom_matchers.remove(known)
    after = getattr(shell, "_hybrid_nb_after_cell", None)
    if after is not None:
        shell.events.unregister("post_run_cell", after)
        shell._hybrid_nb_after_cell = None


__all__ = ["LlmMagics", "complete", "explained", "is_static", "register", "unregister"]
