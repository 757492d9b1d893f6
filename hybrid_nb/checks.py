"""Looking at providers: is it there, is the key good, which models has it. Costs nothing: it lists models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from hybrid_nb import keys
from hybrid_nb.core.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InferenceError,
    InvalidRequestError,
    MalformedResponseError,
    PermissionDeniedError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
)
from hybrid_nb.core.provider import Endpoint, Provider, Transport
from hybrid_nb.core.responses import error_from, problem_of, scrub
from hybrid_nb.core.types import HttpCall, ModelInfo
from hybrid_nb.engine.attempt import whole
from hybrid_nb.engine.health import Check

PATIENCE = 5.0  # seconds for one check
SPENT = 3600.0  # seconds for which one whose allowance is used up is left alone
_MUTE = (PermissionDeniedError, RateLimitError, QuotaExceededError, InvalidRequestError)  # there, and lists nothing


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


async def slots(provider: Provider, transport: Transport, patience: float = PATIENCE) -> int | None:
    """How many requests the server of a provider's first address runs at once; None when it does not tell."""
    endpoint, vendor = provider.endpoints[0], provider.vendor
    parts = urlsplit(endpoint.base_url)
    call = HttpCall("GET", f"{parts.scheme}://{parts.netloc}{vendor.properties}", {})
    headers = keys.authorised({**vendor.headers}, vendor.auth, endpoint.key)
    try:
        async with asyncio.timeout(patience):
            response = await transport.send(replace(call, headers=headers), patience)
            try:
                told = orjson.loads(await whole(response)).get("total_slots") if response.status == 200 else None
            finally:
                await response.aclose()
    except (TimeoutError, InferenceError, ValueError, AttributeError):
        return None
    return told if isinstance(told, int) and told > 0 else None


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
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, InferenceError):
            raise answer
    good = {e: found for e, found in zip(provider.endpoints, answers, strict=True) if isinstance(found, Listing)}
    errors = [answer for answer in answers if isinstance(answer, InferenceError)]
    models = tuple(dict.fromkeys(info.id for listing in good.values() for info in listing.models)) if good else None
    absent = missing(provider, models)
    waits = [wait for error in errors if (wait := asked_to_wait(error)) is not None]
    return Check(
        provider.name,
        now,
        len(good),
        len(provider.endpoints),
        min((listing.latency for listing in good.values()), default=None),
        f"{type(errors[0]).__name__}: {errors[0].message}" if errors else None,
        models,
        absent,
        bool(good) or not all(isinstance(error, ConnectionFailedError | ProviderTimeoutError) for error in errors),
        tuple(good),
        configured=tuple(info.id for info in provider.models),
        served=served(provider, good, absent),
        mute=not good and all(isinstance(error, _MUTE) for error in errors),
        refused=not good and all(isinstance(error, AuthenticationError) for error in errors),
        retry_after=max(waits, default=None),
    )


def asked_to_wait(error: InferenceError) -> float | None:
    """Seconds for which it is not to be asked; None when it did not say."""
    return SPENT if isinstance(error, QuotaExceededError) else getattr(error, "retry_after", None)


def served(provider: Provider, good: Collection[Endpoint], absent: Collection[str]) -> tuple[str, ...]:
    """Configured models that one of these endpoints has."""
    names = [info.id for info in provider.models if info.id not in absent]
    return tuple(name for name in names if any(e in good for e in provider.endpoints_for(name)))


def missing(provider: Provider, models: tuple[str, ...] | None) -> tuple[str, ...]:
    """Configured models that the server does not list. An empty list tells nothing."""
    if not models:
        return ()
    known = {name for model in models for name in (model, model.removesuffix(":latest"))}
    return tuple(info.id for info in provider.models if info.id not in known)
