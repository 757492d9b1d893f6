"""Looking at providers: is it there, is the key good, which models has it. Costs nothing: it lists models."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import NamedTuple

import orjson

from hybrid_nb import keys
from hybrid_nb.core.errors import (
    ConnectionFailedError,
    InferenceError,
    MalformedResponseError,
    ProviderTimeoutError,
    error_from,
    problem_of,
    scrub,
)
from hybrid_nb.core.provider import Endpoint, Provider, Transport
from hybrid_nb.core.types import ModelInfo
from hybrid_nb.engine.attempt import whole
from hybrid_nb.engine.health import Check

PATIENCE = 5.0  # seconds for one check


class Listing(NamedTuple):
    """What an endpoint answered when asked for its models."""

    models: list[ModelInfo]
    latency: float


async def list_models(
    provider: Provider, endpoint: Endpoint, transport: Transport, patience: float = PATIENCE
) -> Listing:
    """The models of one endpoint. Raises InferenceError."""
    try:
        async with asyncio.timeout(patience):
            return await _listed(provider, endpoint, transport, patience)
    except TimeoutError:
        raise _named(ProviderTimeoutError(f"no answer in {patience:g} s"), provider) from None
    except InferenceError as error:
        raise _named(error, provider) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _named(
            MalformedResponseError(f"the model list is not one ({scrub(str(error))[:120]})"), provider
        ) from None


async def _listed(provider: Provider, endpoint: Endpoint, transport: Transport, patience: float) -> Listing:
    vendor = provider.vendor
    call = vendor.wire.models(endpoint.base_url)
    headers = keys.authorised({**call.headers, **vendor.headers}, vendor.auth, endpoint.key)
    started = time.monotonic()
    response = await transport.send(replace(call, headers=headers), patience)
    latency = time.monotonic() - started
    try:
        body = await whole(response)
        if response.status >= 300:
            raise error_from(
                response.status,
                response.headers,
                problem_of(body),
                provider=provider.name,
                model=None,
                now=time.time(),
                secrets=keys.values([endpoint.key]),
            )
        return Listing(vendor.wire.decode_models(orjson.loads(body)), latency)
    finally:
        await response.aclose()


def _named(error: InferenceError, provider: Provider) -> InferenceError:
    error.provider = provider.name
    return error


async def check(provider: Provider, transport: Transport, patience: float = PATIENCE) -> Check:
    """One look at every endpoint of a provider. Never raises for what the provider does."""
    now = time.time()
    if provider.missing_key:
        return Check(provider.name, now, 0, len(provider.endpoints), None, provider.missing_key)
    looks = [list_models(provider, endpoint, transport, patience) for endpoint in provider.endpoints]
    answers = await asyncio.gather(*looks, return_exceptions=True)
    good = [answer for answer in answers if isinstance(answer, Listing)]
    errors = [answer for answer in answers if isinstance(answer, InferenceError)]
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, InferenceError):
            raise answer
    models = tuple(dict.fromkeys(info.id for listing in good for info in listing.models)) if good else None
    return Check(
        provider.name,
        now,
        len(good),
        len(provider.endpoints),
        min((listing.latency for listing in good), default=None),
        f"{type(errors[0]).__name__}: {errors[0].message}" if errors else None,
        models,
        missing(provider, models),
        bool(good) or not all(isinstance(error, ConnectionFailedError | ProviderTimeoutError) for error in errors),
    )


def missing(provider: Provider, models: tuple[str, ...] | None) -> tuple[str, ...]:
    """Configured models that the server does not list. An empty list tells nothing."""
    if not models:
        return ()
    known = {name for model in models for name in (model, model.removesuffix(":latest"))}
    return tuple(info.id for info in provider.models if info.id not in known)
