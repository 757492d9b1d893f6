"""What providers tell of themselves when a router starts: that they are there, their models, how many calls at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hybrid_nb import checks, setup
from hybrid_nb.core.config import nearest
from hybrid_nb.core.errors import AuthenticationError, InferenceError
from hybrid_nb.core.provider import Provider, Transport
from hybrid_nb.core.types import ModelInfo
from hybrid_nb.discovery import discover
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.ledger import prices
from hybrid_nb.portal import portal
from hybrid_nb.providers import vendors
from hybrid_nb.state import State, make_state

PATIENCE = 2.0  # seconds that a start waits for the model lists of providers that name no models
Named = dict[str, Provider]


def discovered(known: Sequence[Provider], environ: Mapping[str, str]) -> list[Provider]:
    """The local servers that answer on their usual ports, of kinds that are not among the known ones."""
    taken = {provider.vendor.type for provider in known}
    wanted = [vendor for vendor in vendors() if vendor.ports and vendor.type not in taken]
    found = portal().run(discover(wanted, environ=environ))
    return [replace(p, max_concurrency=setup.at_once(p.vendor, p.tier, environ)) for p in found]


async def models(bare: Sequence[Provider], transport: Transport, health: Health) -> Named:
    """Those that tell their models, with them; of the others the health hears."""
    lists = await asyncio.gather(*(_list(p, transport, health) for p in bare))
    return {p.name: replace(p, models=found) for p, found in zip(bare, lists, strict=True) if found}


async def _list(provider: Provider, transport: Transport, health: Health) -> tuple[ModelInfo, ...]:
    found: dict[str, ModelInfo] = {}
    for endpoint in provider.endpoints:
        try:
            told = await checks.list_models(provider, endpoint, transport, PATIENCE)
        except InferenceError as error:
            words, refused = f"{type(error).__name__}: {error.message}", isinstance(error, AuthenticationError)
            health.checked(Check(provider.name, time.time(), 0, 1, None, words, refused=refused))
            continue
        found |= {info.id: info for info in told.models if info.id not in found}
    return tuple(found.values())


async def absent(targets: Sequence[tuple[Provider, str]], transport: Transport) -> str | None:
    """Why nobody has the model that a name means, as their servers list it neither; None: one may have it.

    Of models that were configured, listed at the start or stand in a price list nobody is asked. Lists are not whole
    everywhere (aliases), so the words say what to do.
    """
    for provider, model in targets:
        if model in {info.id for info in provider.models} or prices.known(provider, model):
            return None
    told = await asyncio.gather(*(_absent(provider, model, transport) for provider, model in targets))
    return "; ".join(text for text in told if text is not None) if told and all(told) else None


async def _absent(provider: Provider, model: str, transport: Transport) -> str | None:
    try:
        listed = [info.id for info in (await checks.list_models(provider, provider.endpoints[0], transport)).models]
    except InferenceError:
        return None  # it does not tell
    if not listed or model in listed or f"{model}:latest" in listed:
        return None
    return f"{provider.name} lists no model {model!r}{nearest(model, listed)}; one that it has is named in its `models`"


def filled(state: State, named: Named) -> State:
    """The state with these in their places, and the contexts that the settings give to their models."""
    told = {item.name: item.context for item in state.settings.provider}
    named = {name: setup.with_contexts(p, told.get(name, {})) for name, p in named.items()}
    return make_state(state.settings, [named.get(p.name, p) for p in state.providers.values()])


async def slots(state: State, transport: Transport) -> list[tuple[Provider, int]]:
    """Local servers that run another number of requests at once than was thought, with it; the settings count more."""
    given = {item.name for item in state.settings.provider if item.max_concurrency is not None}
    asked = [p for p in state.providers.values() if p.vendor.properties and p.enabled and p.name not in given]
    counts = await asyncio.gather(*(checks.slots(p, transport) for p in asked))
    return [(p, n) for p, n in zip(asked, counts, strict=True) if n is not None and n != p.max_concurrency]
