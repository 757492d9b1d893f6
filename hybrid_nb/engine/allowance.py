"""How much an attempt may cost at most, and what it may produce for it. Pure.

An upper bound must hold, or a budget can be overshot: a text has at most as many tokens as UTF-8 bytes (byte-level
BPE), and an answer at most as many as the request allows. When the whole allowance of a model does not fit the budget
any more, the answer is capped, and the wire is told the cap.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

import orjson

from hybrid_nb.core.types import Request, Usage
from hybrid_nb.engine.pictures import most_tokens

PICO = 10**12
LARGEST_OUTPUT = 131_072  # tokens; no current model gives more in one answer, unless it says so
CAPS = (65_536, 32_768, 16_384, 8192, 4096, 1024, 256)
SAFE_CAP = 8192  # tokens; a model whose largest output nobody knows might refuse to be allowed more
ROOMY = 4096  # tokens of an answer that is seldom cut: for more nobody waits
TYPICAL_OUTPUT = 1024
FRAME = 16  # tokens around each turn, at most
_NEAR, _FAR = 1_000, 400_000  # list prices rise with the length of the prompt: the dearer one is the bound


class Rates(NamedTuple):
    """Upper bounds of the price of one token, in 1e-12 dollars."""

    input: int
    output: int


class Grant(NamedTuple):
    """An amount that may be reserved, and the max_tokens that it is good for (None: as asked)."""

    amount: int
    cap: int | None


class Allowance(NamedTuple):
    """What to ask of the budget: the grants from the freest to the tightest, and a likely cost."""

    grants: tuple[Grant, ...]
    estimate: int

    @property
    def roomy(self) -> int:
        """How many of the grants hardly ever cut an answer; at least one."""
        if len(self.grants) == 1:
            return 1
        return max(1, sum(grant.cap is None or grant.cap >= ROOMY for grant in self.grants))

    @property
    def usable(self) -> tuple[Grant, ...]:
        """The grants that leave room for a usual answer; at least one."""
        return tuple(g for g in self.grants if g.cap is None or g.cap >= TYPICAL_OUTPUT) or self.grants[:1]


def pico(cost: Decimal) -> int:
    """Dollars as an integer of 1e-12, rounded up."""
    return int((cost * PICO).to_integral_value(ROUND_CEILING))


def rates_of(price: Callable[[Usage], Decimal | None]) -> Rates | None:
    """The rates of a model from its price function; None when no price is known."""
    sides = []
    for side in ("input", "output"):
        found = []
        for tokens in (_NEAR, _FAR):
            base = Decimal(0) if side == "input" else price(Usage(_FAR, None, None, 0))
            for usage in _inputs(tokens) if side == "input" else [Usage(_FAR, None, None, tokens)]:
                cost = price(usage)
                if cost is None or base is None:
                    return None
                found.append(-(-pico(cost - base) // tokens))
        sides.append(max(found))
    return Rates(*sides)


def _inputs(tokens: int) -> list[Usage]:
    """So many tokens of input: plain, read from the vendor's cache, and written to it, which may be the dearest."""
    return [Usage(tokens, None, None, 0), Usage(tokens, tokens, None, 0), Usage(tokens, None, tokens, 0)]


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _json_bytes(value: Any) -> int:
    try:
        return len(orjson.dumps(value, default=str))
    except (TypeError, ValueError):  # no wire will write it either, and the error is theirs
        return 0


def input_bound(request: Request, vendor: str = "", model: str = "") -> int:
    """The most tokens that the input of a request can have, with a vendor's type and a model (pictures differ)."""
    total = 0
    for m in request.messages:
        total += _bytes(m.text) + FRAME
        if m.name:
            total += _bytes(m.name)
        for image in m.images:
            total += most_tokens(image, vendor, model)
        for c in m.tool_calls:
            total += _bytes(c.name) + _bytes(c.arguments) + FRAME
    if request.tools:
        total += sum(_json_bytes([t.name, t.description, t.parameters]) + FRAME for t in request.tools)
    return total + (_json_bytes(request.schema) if request.schema is not None else 0)


def most_output(model: str, told: int | None, by_wire: int | None) -> int | None:
    """The most tokens that a model gives when it is not limited; None when nobody knows.

    `told` is what its server lists, `by_wire` what the wire writes where the request says nothing.
    """
    known = [limit for limit in (told, by_wire, None if told is not None else _listed(model)) if limit is not None]
    return min(known, default=None)


# (beginning of a name, most tokens of output): models that give far less than LARGEST_OUTPUT, as LiteLLM's list of
# models and the vendors' pages had it on 20 November 2026
_OUTPUTS = (
    ("gpt-4o", 16_384), ("gpt-4.1", 32_768), ("gemini-2.5-", 65_536), ("gemini-3", 65_536), ("command-a-03", 8192),
    ("command-r", 4096), ("openai/gpt-oss-", 65_536),
)  # fmt: skip


def _listed(model: str) -> int | None:
    return next((limit for name, limit in _OUTPUTS if model.startswith(name)), None)


def allowance(rates: Rates, bound: int, estimate: int, max_tokens: int | None, max_output: int | None) -> Allowance:
    """The grants for a request: `bound` and `estimate` are its input tokens at most and likely."""
    inputs = bound * rates.input
    if max_tokens is not None:
        likely = estimate * rates.input + min(max_tokens, TYPICAL_OUTPUT) * rates.output
        return Allowance((Grant(inputs + max_tokens * rates.output, None),), likely)
    whole = max_output or LARGEST_OUTPUT
    caps = [cap for cap in CAPS if cap < whole and (max_output is not None or cap <= SAFE_CAP)]
    grants = [Grant(inputs + whole * rates.output, None)]
    grants += [Grant(inputs + cap * rates.output, cap) for cap in caps]
    return Allowance(tuple(grants), estimate * rates.input + min(whole, TYPICAL_OUTPUT) * rates.output)
