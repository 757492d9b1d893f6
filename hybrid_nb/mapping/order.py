"""What travels to workers: settings without secrets, and the request that all prompts are put into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_nb import setup
from hybrid_nb.core.config import is_reference
from hybrid_nb.core.errors import ConfigError
from hybrid_nb.core.provider import Provider
from hybrid_nb.core.types import Request
from hybrid_nb.mapping.job import Job

if TYPE_CHECKING:
    from hybrid_nb.router import Router

Data = dict[str, Any]


class Order(NamedTuple):
    """What a worker needs to ask. `concurrency` is calls under way at once in one of its processes."""

    config: Data
    base: Request
    named: str | None
    purse: str
    since: float
    concurrency: int


def ordered(config: Data, job: Job, purse: str, since: float, concurrency: int) -> Order:
    """The order for a job. The schema's class stays here: workers check answers against the JSON schema."""
    return Order(config, replace(job.base, schema_type=None), job.named, purse, since, concurrency)


def processes(providers: Iterable[Provider], workers: int, concurrency: int) -> int:
    """How many processes may ask, so that each has at least one call of what is allowed at once and in a minute."""
    limits = [limit for p in providers if p.enabled for limit in (p.rpm, p.max_concurrency) if limit is not None]
    return max(1, min([workers, concurrency, *limits]))


def carried(router: Router, share: int) -> Data:
    """The configuration in force as plain data, for `share` processes, each with its share of the providers' limits.

    Raises ConfigError for a key in clear text, which never leaves this process, and for a ledger that is in no file.
    """
    state = router._state
    data: Data = state.settings.model_dump(mode="json", exclude_unset=True)
    known = {item["name"] for item in data.get("provider", ())}
    items = list(data.get("provider", ()))
    items += [setup.as_settings(p) for p in state.providers.values() if p.name not in known]
    data["provider"] = [_item(item, state.providers[item["name"]], share) for item in items]
    # what a worker's router has nobody to do for
    data["router"] = {**data.get("router", {}), "discover": False, "health_interval": 0}
    data["ledger"] = {"url": f"sqlite:///{_ledger(router)}"}
    return data


def _item(item: Data, provider: Provider, share: int) -> Data:
    for place in (item, *item.get("endpoints", ())):
        key = place.get("api_key")
        if key is not None and not is_reference(key):
            raise ConfigError(
                f"provider {provider.name!r} has its key in clear text, and keys do not travel to workers: write "
                'api_key = "env:NAME" (or "keyring:NAME"), and set that on every worker'
            )
    limits = {"rpm": provider.rpm, "tpm": provider.tpm, "max_concurrency": provider.max_concurrency}
    shares = {name: max(1, limit // share) for name, limit in limits.items() if limit is not None}
    return {**item, "models": [info.id for info in provider.models], **shares}


def _ledger(router: Router) -> str:
    path = router._ledger.path
    if path == ":memory:":
        raise ConfigError(
            "the ledger is in memory, and workers need one that they all reach: set [ledger] url to a file"
        )
    return str(Path(path).absolute())
