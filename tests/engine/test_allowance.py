"""What an attempt may cost at most: the bound holds for any text, any usage and any price that rises."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.inputs import make_request
from hybrid_nb.core.provider import Price, Provider
from hybrid_nb.core.types import Image, Message, Request, Tool, ToolCall, Usage
from hybrid_nb.engine.allowance import CAPS, LARGEST_OUTPUT, PICO, Rates, allowance, input_bound, pico, rates_of
from hybrid_nb.ledger import prices
from hybrid_nb.ledger.prices import from_price
from hybrid_nb.providers import vendors

TEXTS = st.text(st.characters(), max_size=200)  # lone surrogates too
WRITTEN = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)  # what JSON can hold
CALM = settings(max_examples=100, derandomize=True, deadline=None)


def size(text: str) -> int:
    """Tokens at most: a byte-level BPE has no token of less than a byte."""
    return len(text.encode("utf-8", "surrogatepass"))


def asked(text: str, **more: object) -> Request:
    return Request((Message("user", text),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "hello", "日本語のテキスト", "🙂👩‍👩‍👧‍👦", "\ud800", "a" * 10_000])
def test_a_text_has_at_most_as_many_tokens_as_bytes(text: str) -> None:
    assert size(text) < input_bound(asked(text)) <= size(text) + 32


@CALM
@given(WRITTEN, WRITTEN, WRITTEN)
def test_everything_that_is_sent_counts(one: str, two: str, three: str) -> None:
    plain = input_bound(asked(one))
    call = ToolCall("call-1", two, three)
    turns = (Message("user", one), Message("assistant", two, tool_calls=(call,)), Message("tool", three))
    assert input_bound(Request(turns)) >= size(one) + 2 * size(two) + 2 * size(three)
    tool = Tool(two, three, {"type": "object", "properties": {one: {"type": "string", "description": two}}})
    assert input_bound(asked(one, tools=(tool,))) >= plain + 2 * size(two) + size(three) + size(one)
    schema = {"title": two, "description": three}
    assert input_bound(asked(one, schema=schema)) >= plain + size(two) + size(three)
    pictured = Request((Message("user", one, (Image(url="https://a/b"),)),))
    assert input_bound(pictured) >= plain + 1000


@pytest.mark.parametrize("odd", [{1: "x"}, {"x": {2, 3}}, {"x": 2**70}, {"x": "\ud800"}, {"x": float("nan")}])
def test_what_no_wire_can_write_is_not_refused_here(odd: dict[object, object]) -> None:
    assert input_bound(asked("hi", schema=odd)) > 0
    assert input_bound(asked("hi", tools=(Tool("f", "", odd),))) > 0  # type: ignore[arg-type]


def test_what_turns_in_a_circle_is_not_refused_here() -> None:
    circle: dict[str, object] = {}
    circle["x"] = circle
    assert input_bound(asked("hi", schema=circle)) > 0


RATES = st.builds(Rates, st.integers(0, 10**8), st.integers(0, 10**8))


@CALM
@given(
    RATES,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.one_of(st.none(), st.integers(1, 10**6)),
    st.one_of(st.none(), st.integers(1, 10**6)),
    st.data(),
)
def test_a_grant_covers_whatever_it_is_good_for(
    rates: Rates, bound: int, estimate: int, max_tokens: int | None, max_output: int | None, data: st.DataObject
) -> None:
    found = allowance(rates, bound, min(estimate, bound), max_tokens, max_output)
    assert found.grants[0].cap is None
    for freer, tighter in pairwise(found.grants):
        assert freer.amount >= tighter.amount
        assert tighter.cap is not None
        assert freer.cap is None or freer.cap > tighter.cap
    for grant in found.grants:
        most = grant.cap or max_tokens or max_output or LARGEST_OUTPUT
        used = data.draw(st.integers(0, bound)), data.draw(st.integers(0, most))
        assert used[0] * rates.input + used[1] * rates.output <= grant.amount
    assert 0 <= found.estimate <= found.grants[0].amount


def test_the_caps() -> None:
    rates = Rates(1, 10)
    free = allowance(rates, 100, 10, None, None)
    assert [grant.cap for grant in free.grants] == [None, 8192, 4096, 1024, 256]  # more, an unknown model may refuse
    assert free.roomy == 3
    known = allowance(rates, 100, 10, None, 200_000)
    assert [grant.cap for grant in known.grants] == [None, *CAPS]
    assert [grant.amount for grant in known.grants] == [100 + 2_000_000, *(100 + cap * 10 for cap in CAPS)]
    assert allowance(rates, 100, 10, None, 1000).roomy == 1
    assert allowance(rates, 100, 10, 5000, None).roomy == 1
    assert [grant.cap for grant in allowance(rates, 100, 10, None, 2000).grants] == [None, 1024, 256]
    assert allowance(rates, 100, 10, 5000, 2000).grants == ((100 + 50_000, None),)  # as asked, or not at all


def test_dollars_are_rounded_up() -> None:
    assert pico(Decimal("1e-13")) == 1
    assert pico(Decimal("0.15")) == 150_000_000_000


def stepped(low: int, high: int, step: int, all_of_it: bool) -> Callable[[Usage], Decimal]:
    """A list price that rises with the prompt: for the whole of it, or for what is above the step."""

    def price(usage: Usage) -> Decimal:
        into, out = usage.input_tokens or 0, usage.output_tokens or 0
        beyond = into > step
        dear = into if beyond and all_of_it else max(0, into - step)
        rate = high if beyond else low
        return Decimal((into - dear) * low + dear * high + out * rate) / 1_000_000

    return price


@CALM
@given(
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(1, 390_000),
    st.booleans(),
    st.integers(1, 400_000),
    st.integers(0, 400_000),
)
def test_rates_bound_prices_that_rise(low: int, more: int, step: int, whole: bool, into: int, out: int) -> None:
    price = stepped(low, low + more, step, whole)
    rates = rates_of(price)
    assert rates is not None
    assert into * rates.input + out * rates.output >= price(Usage(into, None, None, out)) * PICO


SIDES = st.one_of(st.none(), st.decimals(0, 100, places=4))


@CALM
@given(
    st.decimals(0, 100, places=4),
    st.decimals(0, 100, places=4),
    SIDES,
    SIDES,
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_rates_bound_cached_and_written_tokens_too(
    into: Decimal, out: Decimal, cached: Decimal | None, written: Decimal | None, a: int, b: int, c: int, d: int
) -> None:
    """Some vendors take more for writing their cache than for plain input."""
    price = Price(into, out, cached, written)
    rates = rates_of(lambda usage: from_price(price, usage))
    assert rates is not None
    cost = from_price(price, Usage(a + b + c, b, c, d))
    assert cost is not None
    assert (a + b + c) * rates.input + d * rates.output >= cost * PICO


def test_flat_prices_are_exact() -> None:
    price = Price(Decimal("0.15"), Decimal("0.60"))
    assert rates_of(lambda usage: from_price(price, usage)) == (150_000, 600_000)


@pytest.mark.parametrize("price", [Price(), Price(Decimal(1)), Price(None, Decimal(1))])
def test_half_a_price_is_no_price(price: Price) -> None:
    assert rates_of(lambda usage: from_price(price, usage)) is None


@pytest.mark.parametrize(
    ("kind", "model"), [("gemini", "gemini-2.5-pro"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-5-mini")]
)
@pytest.mark.parametrize("into", [1, 999, 199_999, 200_001, 400_000])
def test_rates_bound_the_list(kind: str, model: str, into: int) -> None:
    vendor = next(vendor for vendor in vendors() if vendor.type == kind)
    provider = Provider("p", vendor, ())

    def price(usage: Usage) -> Decimal | None:
        return prices.cost(provider, model, usage)[0]

    rates = rates_of(price)
    assert rates is not None
    for cached, written in ((None, None), (into, None), (None, into), (into // 2, into // 2)):
        cost = price(Usage(into, cached, written, 5000))
        assert cost is not None
        assert into * rates.input + 5000 * rates.output >= cost * PICO


@CALM
@given(TEXTS.filter(bool))
def test_a_prompt_as_a_person_writes_it(text: str) -> None:
    assert input_bound(make_request(text, system=text)) >= 2 * size(text)
