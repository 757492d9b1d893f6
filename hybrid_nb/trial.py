"""A provider tried in three steps, each told as it ends: connection, key, model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hybrid_nb import checks
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.provider import Provider, Transport
from hybrid_nb.core.types import Reply

Step = dict[str, Any]  # step, ok, detail and seconds
COLUMNS = ("step", "ok", "detail", "seconds")
PROMPT = "Reply with: ok"
MOST_TOKENS = 16
Ask = Callable[[dict[str, Any]], Awaitable[Reply]]


async def steps(provider: Provider, model: str | None, transport: Transport, ask: Ask) -> AsyncIterator[Step]:
    """`ask` puts PROMPT with these options; `model` None: the provider's first."""
    if provider.missing_key:
        yield _step("connection")
        yield _step("key", provider.missing_key)
        yield _step("model")
        return
    result = await checks.check(provider, transport)
    if not result.reached:
        yield _step("connection", result.error)
        yield _step("key")
        yield _step("model")
        return
    yield _step("connection", ", ".join(e.base_url for e in provider.endpoints), True, result.latency)
    yield _step("key", "accepted", True) if result.ok else _step("key", result.error)
    yield await _answered(provider, model, ask) if result.ok else _step("model")


async def _answered(provider: Provider, model: str | None, ask: Ask) -> Step:
    chosen = model or next((info.id for info in provider.models), None)
    if chosen is None:
        return _step("model", "no model is known; name one")
    try:
        reply = await ask({"model": f"{provider.name}/{chosen}", "max_tokens": MOST_TOKENS, "cache": "off"})
    except HybridNbError as error:
        return _step("model", str(error))
    return _step("model", f"{chosen} answered", True, reply.latency)


async def following(found: AsyncIterator[Step]) -> Step | None:
    """The next step; None: there is none."""
    return await anext(found, None)


def _step(name: str, detail: str | None = "not tried", ok: bool = False, took: float | None = None) -> Step:
    return {"step": name, "ok": ok, "detail": detail, "seconds": took}
