"""From settings and environment to providers: the rules of what is configured when nobody, or somebody, said so."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_nb import keys
from hybrid_nb.core.config import ProviderSettings, Settings, find_file, nearest, read_file, validate
from hybrid_nb.core.errors import ConfigError, Mistake
from hybrid_nb.core.models import canonical
from hybrid_nb.core.provider import Endpoint, Price, Provider, Vendor
from hybrid_nb.core.types import CACHE_MODES, ModelInfo, Tier
from hybrid_nb.providers import vendor, vendors

ROUTER_VARIABLES = {
    "MAX_RETRIES": "retries",
    "RETRY_DELAY": "retry_delay",
    "ENDPOINT_TIMEOUT": "timeout",
    "CIRCUIT_BREAKER_THRESHOLD": "breaker_threshold",
    "HEALTH_CHECK_INTERVAL": "health_interval",
    "FALLBACK_ENABLED": "failover",
    "INFERENCE_MODEL": "default_model",
    "INFERENCE_TIMEOUT": "timeout",
    "INFERENCE_STRATEGY": "strategy",
    "INFERENCE_MODE": "mode",
}


CACHE_VARIABLES = {"HYBRID_NB_CACHE": "mode", "HYBRID_NB_CASSETTE": "path"}


class Borrowed(NamedTuple):
    """A value that the environment lent to the settings: save() writes `own` instead, or nothing."""

    section: str
    field: str
    value: Any
    own: Any  # what the file or dict says; None: nothing


class Loaded(NamedTuple):
    """Settings, the file they came from, whether nothing was configured (so local servers are looked for), and what
    the environment lent.
    """

    settings: Settings
    path: Path | None
    bare: bool
    borrowed: tuple[Borrowed, ...]


def _listed(environ: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in environ.get(name, "").split(",") if part.strip()]


def _places(environ: Mapping[str, str], name: str) -> list[str]:
    """As _listed, with the empty places kept: an endpoint may need no key. Without any value, no places."""
    return [part.strip() for part in environ[name].split(",")] if _listed(environ, name) else []


def _custom(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """CUSTOM_ENDPOINTS, CUSTOM_API_KEYS, CUSTOM_MODELS: comma-separated, in step with each other."""
    urls = _listed(environ, "CUSTOM_ENDPOINTS")
    if not urls:
        return []
    keys, models = _places(environ, "CUSTOM_API_KEYS"), _listed(environ, "CUSTOM_MODELS")
    for name, values in (("CUSTOM_API_KEYS", keys), ("CUSTOM_MODELS", models)):
        if len(values) not in (0, 1, len(urls)):
            raise ConfigError(
                f"{name} has {len(values)} entries, CUSTOM_ENDPOINTS {len(urls)}: give one for each, or one for all"
            )
    endpoints = []
    for number, url in enumerate(urls):
        endpoint: dict[str, Any] = {"base_url": url}
        if keys and keys[number % len(keys)]:
            endpoint["api_key"] = f"env:CUSTOM_API_KEYS[{number % len(keys)}]"  # a reference: save() must not write it
        if models:
            endpoint["models"] = [models[number % len(models)]]
        endpoints.append(endpoint)
    return [{"name": "custom", "type": "custom", "endpoints": endpoints, "models": list(dict.fromkeys(models))}]


def host_url(text: str, port: int | None = None) -> str:
    """A URL from the forms of OLLAMA_HOST: host, host:port, http://...; 0.0.0.0 binds, so 127.0.0.1 is meant."""
    text = text.strip().rstrip("/")
    if text.count(":") > 1 and "://" not in text and "[" not in text:  # ::1
        text = f"[{text}]"
    if "://" not in text:
        text = f"http://{text}"
    text = text.replace("://0.0.0.0", "://127.0.0.1").replace("://:", "://127.0.0.1:")
    bare = text.split("://", 1)[1]
    told = ":" in bare.rpartition("]")[2] or "/" in bare  # the colons of [::1] are no port's
    return text if told or port is None or text.startswith("https") else f"{text}:{port}"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Plain settings from variables: a provider for each key or address that is set."""
    router = {field: environ[name] for name, field in ROUTER_VARIABLES.items() if environ.get(name)}
    providers = _custom(environ)
    for kind in vendors():
        key = next((name for name in kind.key_env if environ.get(name)), None)
        url = next((environ[name] for name in kind.url_env if environ.get(name)), None)
        if kind.base_url is None or not ((key and kind.key_required) or url):
            continue
        item: dict[str, Any] = {"name": kind.type, "type": kind.type}
        if key:
            item["api_key"] = f"env:{key}"
        if url:
            item["base_url"] = host_url(url, kind.ports[0] if kind.ports else None)
        providers.append(item)
    rpm = environ.get("RATE_LIMIT_PER_MINUTE", "").strip()
    if rpm:
        if not rpm.isdecimal() or int(rpm) == 0:
            raise ConfigError(f"RATE_LIMIT_PER_MINUTE must be a whole number above 0, not {rpm!r}")
        providers = [{**item, "rpm": int(rpm)} for item in providers]
    return {"router": router, "provider": providers}


def load(config: str | os.PathLike[str] | Mapping[str, Any] | None, environ: Mapping[str, str]) -> Loaded:
    """The settings of a file, a dict, or without one the environment.

    The router's own variables (MAX_RETRIES ...) fill what a found file leaves out; a file that is named, and a dict,
    are taken as they are. Only HYBRID_NB_CACHE and HYBRID_NB_CASSETTE go over all of them, so that a notebook runs
    from its cassette without being edited. An option of a call goes over these. Raises ConfigError.
    """
    if isinstance(config, Mapping):
        data, lent = _cached(config, environ)
        return Loaded(check(validate(data, "the configuration"), "the configuration"), None, False, lent)
    path = Path(config).expanduser() if config is not None else find_file(environ)
    if path is None:
        data, lent = _cached(from_environment(environ), environ)
        settings = _filled(data, "the environment", environ, None)
        return Loaded(settings, None, True, (*_lent(settings, data["router"]), *lent))
    return loaded(read_file(path), path, config is None, environ)


def loaded(content: Mapping[str, Any], path: Path, found: bool, environ: Mapping[str, str]) -> Loaded:
    """The settings of a file's content; `found`: nobody named the file, and so the environment fills what it leaves
    out. Raises ConfigError.
    """
    data, lent = _cached(content, environ)
    written = data.get("router") or {}
    if found and isinstance(written, dict):
        router = from_environment(environ)["router"]
        settings = _filled({**data, "router": {**router, **written}}, str(path), environ, written)
        return Loaded(settings, path, False, (*_lent(settings, router.keys() - written.keys()), *lent))
    return Loaded(check(validate(data, str(path)), str(path)), path, False, lent)


def _cached(data: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[Borrowed, ...]]:
    """The data with the cache mode and cassette of the environment, and what was lent."""
    told = {field: environ[name].strip() for name, field in CACHE_VARIABLES.items() if environ.get(name, "").strip()}
    if told.get("mode", "off") not in CACHE_MODES:
        raise ConfigError(f"HYBRID_NB_CACHE must be one of {', '.join(CACHE_MODES)}, not {told['mode']!r}")
    cache = data.get("cache", {})
    if not told or not isinstance(cache, Mapping):
        return dict(data), ()
    lent = tuple(Borrowed("cache", field, value, cache.get(field)) for field, value in told.items())
    return {**data, "cache": {**cache, **told}}, lent


def _lent(settings: Settings, fields: Iterable[str]) -> tuple[Borrowed, ...]:
    return tuple(Borrowed("router", field, getattr(settings.router, field), None) for field in sorted(fields))


def own(settings: Settings, borrowed: Iterable[Borrowed]) -> Settings:
    """The settings without what the environment lent them and nobody has changed since."""
    data = settings.model_dump(exclude_unset=True)
    for item in borrowed:
        section = data.get(item.section, {})
        if section.get(item.field) != item.value:
            continue
        if item.own is None:
            del section[item.field]
            if not section:
                del data[item.section]
        else:
            section[item.field] = item.own
    return validate(data, "the settings")


def _filled(
    data: Mapping[str, Any], source: str, environ: Mapping[str, str], written: Mapping[str, Any] | None
) -> Settings:
    """As `validate` and `check`; a mistake in a variable is told under its name. `written` is the [router] of a file;
    None: there is no file, so that local servers are looked for later.
    """
    try:
        return check(validate(data, source), source, None if written is None else ())
    except ConfigError as error:
        text = str(error)
        if written is None:
            text = _with_addresses(text, environ)
        for field in set(ROUTER_VARIABLES.values()) - set(written or ()):
            names = [name for name, meant in ROUTER_VARIABLES.items() if meant == field and environ.get(name)]
            if names:
                text = text.replace(f"router.{field}:", f"{names[-1]} (router.{field}):")
        raise ConfigError(text) from None


def _with_addresses(text: str, environ: Mapping[str, str]) -> str:
    """The text with the variables that the addresses in it came from."""
    text = re.sub(r"provider\[\d+\]\.(endpoints\[\d+\]\.base_url \(custom\))", r"CUSTOM_ENDPOINTS (\1)", text)
    for kind in vendors():
        name = next((name for name in kind.url_env if environ.get(name)), None)
        if name:
            text = re.sub(rf"provider\[\d+\]\.(base_url \({kind.type}\))", rf"{name} (\1)", text)
    return text


def check(settings: Settings, source: str, others: Collection[str] | None = ()) -> Settings:
    """The settings, when names are unique, types known, and groups and the default model point somewhere; else
    ConfigError. `others` are providers beside those of the settings; None: they are looked for later.
    """
    seen: set[str] = set()
    for number, item in enumerate(settings.provider):
        where = f"{source}: provider[{number}] ({item.name})"
        if item.name in seen:
            raise _wrong(where, ("provider", number, "name"), "the name is used twice; give each provider its own")
        seen.add(item.name)
        try:
            kind = vendor(item.type)
        except ConfigError as error:
            raise _wrong(f"{where}.type", ("provider", number, "type"), str(error)) from None
        if kind.base_url is None and not item.base_url and not item.endpoints:
            told = f"type {item.type!r} has no default address; set base_url or endpoints"
            raise _wrong(where, ("provider", number, "base_url"), told)
    for group, members in settings.group.items():
        _check_group(f"{source}: group.{group}", group, members, settings.group)
    if others is None or settings.router.discover or settings.cache.mode == "replay":  # a replay needs no provider
        return settings
    names = seen | set(others)
    models = None if others else _all_models(settings)
    for name, rollout in settings.rollout.items():
        _check_member(f"{source}: rollout.{name}.to", ("rollout", name), rollout.to, names, models)
    for group, members in settings.group.items():
        for number, member in enumerate(members):
            _check_member(f"{source}: group.{group}", ("group", group, number), member, names, models)
    default = settings.router.default_model
    if default is not None and default not in settings.group:
        place = ("router", "default_model")
        _check_member(f"{source}: {'.'.join(place)}", place, default, names, models, settings.group)
    return settings


def _wrong(where: str, location: tuple[int | str, ...], told: str) -> ConfigError:
    return ConfigError(f"{where}: {told}", [Mistake(location, told)])


def _check_group(where: str, name: str, members: Sequence[str], groups: Collection[str]) -> None:
    if not members:
        told = 'the group is empty; list its models as ["provider/model", ...], or take it out'
        raise _wrong(where, ("group", name), told)
    inner = next((member for member in members if member in groups), None)
    if inner == name:
        told = "the group contains itself; write the model as provider/model, or rename the group"
        raise _wrong(where, ("group", name), told)
    if inner is not None:
        told = f"{inner!r} is a group, and a group holds models only; list its models here"
        raise _wrong(where, ("group", name), told)


def _all_models(settings: Settings) -> dict[str, str] | None:
    """Every model that can be asked for, by what its name means; None where a server is still asked for its list."""
    lists = [item.models or vendor(item.type).models for item in settings.provider]
    return {canonical(name): name for models in lists for name in models} if lists and all(lists) else None


def _check_member(
    where: str,
    location: tuple[int | str, ...],
    member: str,
    names: Collection[str],
    models: Mapping[str, str] | None,
    groups: Collection[str] = (),
) -> None:
    provider, slash, _ = member.partition("/")
    if (slash and provider in names) or (models is not None and canonical(member) in models):
        return
    if slash:
        raise _wrong(where, location, f"no provider {provider!r}{nearest(provider, names)}")
    if models is not None:
        told = f"no model {member!r} in any provider's models{nearest(member, {*models.values(), *groups})}"
        raise _wrong(where, location, told)


# --- providers --------------------------------------------------------------------------------------------


def build(item: ProviderSettings, environ: Mapping[str, str]) -> Provider:
    """The provider that one [[provider]] describes, with its keys looked up."""
    kind = vendor(item.type)
    names = item.models or kind.models
    infos = tuple(
        ModelInfo(
            name, context=item.context.get(name), tools=kind.tools, vision=kind.vision, json_schema=kind.json_schema
        )
        for name in names
    )
    return Provider(
        name=item.name,
        vendor=kind,
        endpoints=_endpoints(item, environ),
        models=infos,
        tier=item.tier or kind.tier,
        priority=item.priority,
        weight=item.weight,
        cost_multiplier=item.cost_multiplier,
        enabled=item.enabled,
        rpm=item.rpm,
        tpm=item.tpm,
        max_concurrency=item.max_concurrency or at_once(kind, item.tier or kind.tier, environ),
        prices={name: Price(p.input, p.output, p.cached, p.cache_write) for name, p in item.prices.items()},
        region=item.region,
    )


def temporary(item: Mapping[str, Any], environ: Mapping[str, str]) -> Provider:
    """A provider that is not configured. Raises ConfigError."""
    settings = validate({"provider": [dict(item)]}, "the provider")
    return build(check(settings, "the provider").provider[0], environ)


def as_settings(provider: Provider) -> dict[str, Any]:
    """The [[provider]] that a provider which was found by itself would have."""
    places = [endpoint.base_url for endpoint in provider.endpoints]
    item: dict[str, Any] = {"name": provider.name, "type": provider.vendor.type, "tier": provider.tier}
    return {**item, "base_url": places[0]}


def variable_for(name: str, kind: Vendor) -> str:
    """The environment variable for a provider's key: the vendor's own, or one by the provider's name."""
    if name == kind.type and kind.key_env:
        return kind.key_env[0]
    return re.sub(r"\W", "_", name).upper() + "_API_KEY"


def at_once(kind: Vendor, tier: Tier, environ: Mapping[str, str]) -> int | None:
    """How many requests a local server works on at a time, as far as its variable or its kind's default tells."""
    if tier == "cloud":
        return None
    told = environ.get(kind.at_once_env, "").strip() if kind.at_once_env and tier == "local" else ""
    return int(told) if told.isdecimal() and int(told) > 0 else kind.at_once


def with_contexts(provider: Provider, contexts: Mapping[str, int]) -> Provider:
    """The provider with the contexts that the settings give to models of which its server told none."""

    def known(info: ModelInfo) -> ModelInfo:
        told = contexts.get(info.id, contexts.get(info.id.removesuffix(":latest")))  # Ollama's "x" is "x:latest"
        return info if told is None else replace(info, context=told)

    return replace(provider, models=tuple(map(known, provider.models))) if contexts else provider


def _endpoints(item: ProviderSettings, environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    kind = vendor(item.type)
    try:
        shared = keys.resolve(item.api_key, kind.key_env, environ)
        own = [keys.resolve(e.api_key, (), environ) if e.api_key else shared for e in item.endpoints]
    except ConfigError as error:
        raise ConfigError(f"provider {item.name!r}: {error}") from None
    if item.endpoints:
        return tuple(
            Endpoint(e.base_url, key, e.models, keys.place_of(e.api_key or item.api_key))
            for e, key in zip(item.endpoints, own, strict=True)
        )
    return (Endpoint(item.base_url or kind.base_url or "", shared, (), keys.place_of(item.api_key)),)
