"""Asks for a run: its options, checked before anything is spent; each call; and what it may cost."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from hybrid_nb.bench.records import Item
from hybrid_nb.bench.traffic.order import Task
from hybrid_nb.bench.traffic.pricing import NOTHING, SAFE_CAP, Estimate, Pricing
from hybrid_nb.bench.traffic.spec import Spec
from hybrid_nb.core.config import Settings
from hybrid_nb.core.errors import ModelNotFoundError
from hybrid_nb.core.inputs import OptionTypeError, OptionValueError, make_request, to_messages
from hybrid_nb.core.types import Candidate, Reply, Request, RoutePlan, money
from hybrid_nb.engine.catalogue import Catalogue

LETTERS = 12  # of a prefix that makes a prompt unlike any other
_FINAL = ("key", "disabled", "tier", "feature", "region")  # kinds of rejection that time does not heal


class Asker(Protocol):
    """What a router is to a run."""

    @property
    def settings(self) -> Settings: ...

    @property
    def catalogue(self) -> Catalogue: ...

    def plan(self, prompt: Any, **options: Any) -> RoutePlan: ...

    def absent(self, model: str) -> str | None: ...

    async def streamed(self, prompt: Any, options: Mapping[str, Any]) -> Reply: ...

    async def plain(self, prompt: Any, options: Mapping[str, Any]) -> Reply: ...


class Caller:
    """Asks a router for a run.

    Attributes:
        options: of every call. limit: dollars of the whole run; None: none.
        patience: seconds that a call has in all.
    """

    def __init__(self, asker: Asker, spec: Spec) -> None:
        self.asker = asker
        self.spec = spec
        self.pricing = Pricing(asker.catalogue)
        mode = asker.settings.cache.mode
        given: dict[str, Any] = {"timeout": spec.timeout, **spec.options}
        if given.get("cache") is None and mode == "on":
            given["cache"] = "off"  # an answer that was kept would be measured in place of a call
        self.replays = (given.get("cache") or mode) == "replay"
        self.limit = None if self.replays else spec.max_cost
        if self.limit is not None and given.get("max_tokens") is None:
            given["max_tokens"] = SAFE_CAP  # else a call has no bound that leaves room for another
        self.options = {name: value for name, value in given.items() if value is not None}
        self.patience = spec.timeout or asker.settings.router.timeout
        self._chance = random.SystemRandom()
        if spec.unique and (given.get("cache") or mode) in ("record", "replay"):
            raise OptionValueError("unique=True makes every prompt another one, so that it cannot be replayed")

    # --- before anything is spent -------------------------------------------------------------------------------

    def checked(self, items: Sequence[Item]) -> Estimate:
        """Whether every prompt, option and model can be asked; what one pass over the data costs.

        Raises OptionValueError and OptionTypeError.
        """
        make_request("?", **self.options)
        if not self.replays:
            for model in self.spec.models:
                self._check_model(model)
        sums, least = NOTHING, None
        for item in items:
            request = self._checked(item)
            if self.replays:
                continue
            for model in self.spec.models:
                one = self.pricing.one(request, model)
                sums += one
                least = one.most if least is None or (one.most is not None and one.most < least) else least
        if self.limit is not None and least is not None and least > self.limit:
            raise OptionValueError(
                f"a single call may cost {money(least)} (up to {self.options['max_tokens']:,} tokens of output), over "
                f"max_cost {money(self.limit) if self.limit else '$0'}; set max_tokens lower, or max_cost higher"
            )
        return Estimate(None, None) if self.replays else sums

    def _checked(self, item: Item) -> Request:
        try:
            return make_request(item.input, **self.options)
        except OptionTypeError as error:
            raise OptionTypeError(f"sample {item.id!r}: {error}") from None
        except ValueError as error:
            raise OptionValueError(f"sample {item.id!r}: {error}") from None

    def _check_model(self, model: str) -> None:
        try:
            found = self.asker.plan("?", **{**self.options, "model": model})
        except ModelNotFoundError as error:
            raise OptionValueError(error.message) from None
        if not found.accepted and all(candidate.kind in _FINAL for candidate in found.candidates):
            raise OptionValueError(f"{model} cannot be asked: {_why(found.candidates)}")
        absent = self.asker.absent(model)
        if absent is not None:
            raise OptionValueError(absent)
        if self.limit is not None and not self.pricing.priced(model):
            raise OptionValueError(
                f"the price of {model} is not known, so max_cost cannot be kept; give it as prices of its provider, or "
                "leave out max_cost"
            )

    def check_judge(self, scorer: str, model: str) -> None:
        """Whether a judge can be asked. Raises OptionValueError."""
        if self.replays:
            return
        try:
            self._check_model(model)
        except OptionValueError as error:
            raise OptionValueError(f"the scorer {scorer}: {error}") from None

    # --- one call -----------------------------------------------------------------------------------------------

    async def ask(self, task: Task) -> Reply:
        """One call, streamed so that its first token has a time; its trace is set in the task."""
        options = {**self.options, "model": task.model}
        prompt = self._prompt(task.item.input, options)
        if self.limit is not None:
            options["max_cost"] = self._most(prompt, options)  # no retry goes beyond what is held
        return await self.asker.streamed(prompt, options)

    def most(self, task: Task) -> Decimal:
        """Dollars that a call costs at most."""
        options = {**self.options, "model": task.model}
        return self._most(self._prompt(task.item.input, options), options) or Decimal(0)

    async def question(self, prompt: Any, options: Mapping[str, Any]) -> Reply:
        """A judge's question."""
        found = self._of_judge(options)
        if self.limit is not None:
            found["max_cost"] = self._most(prompt, found)
        return await self.asker.plain(prompt, found)

    def question_costs(self, model: str, item: Item) -> Estimate:
        """About what a judge's question about two answers to a sample like this one costs."""
        if self.replays:
            return NOTHING
        return self.pricing.question(model, self._checked(item))

    def most_for(self, prompt: Any, options: Mapping[str, Any]) -> Decimal | None:
        """Dollars that a judge's question costs at most; None: its price is not known."""
        return Decimal(0) if self.limit is None else self._most(prompt, self._of_judge(options))

    def _of_judge(self, options: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(options)
        if self.spec.timeout is not None:
            found.setdefault("timeout", self.spec.timeout)
        if self.limit is not None:
            found.setdefault("max_tokens", SAFE_CAP)
        return found

    def _most(self, prompt: Any, options: Mapping[str, Any]) -> Decimal | None:
        request = make_request(prompt, **options)
        return self.pricing.one(request, request.model or self.asker.settings.router.default_model).most

    def _prompt(self, prompt: Any, options: dict[str, Any]) -> Any:
        """The prompt; on request behind some letters that no other has, so that no cache of a provider knows it."""
        if not self.spec.unique:
            return prompt
        mark = f"[{''.join(self._chance.choices(string.ascii_lowercase, k=LETTERS))}] "
        if options.get("system"):
            options["system"] = mark + options["system"]
            return prompt
        first, *others = to_messages(prompt)
        return [replace(first, text=mark + first.text), *others]


def _why(candidates: Sequence[Candidate]) -> str:
    return "; ".join(dict.fromkeys(candidate.reason for candidate in candidates)) or "no provider has it"
