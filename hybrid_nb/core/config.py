"""Settings as a TOML file or a dict gives them, validated with errors that name file, key and remedy."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hybrid_nb.core.errors import ConfigError, Mistake
from hybrid_nb.core.types import CacheMode

FILE_NAME = "hybrid_nb.toml"
NAME, TARGET = r"^[A-Za-z0-9_.\-]+$", r"^[^/]+/.+$"
_PATTERNS = {
    NAME: "must be made of letters, digits and . _ - only, without spaces",
    TARGET: "must be a provider and a model with a slash between, as in openai/gpt-6-luna",
}
LARGEST, SMALLEST = 12, 18  # digits of an amount before and after the point, at most
NO_LIMIT = "none"  # in a file, which has no other word for it
Strategy = Literal[
    "tiered",
    "priority",
    "round-robin",
    "weighted",
    "least-connections",
    "lowest-latency",
    "health",
    "cheapest",
    "measured",
]
Mode = Literal["local-only", "local-first", "cloud-first", "cloud-only"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _amount(amount: Decimal | None) -> Decimal | None:
    """What can be counted with: sums of it neither overflow nor take long to write."""
    if not amount:
        return None if amount is None else Decimal(0)
    if not -SMALLEST <= amount.adjusted() <= LARGEST:
        raise ValueError(f"must be 0, or from 1e-{SMALLEST} to below 1e{LARGEST + 1}")
    return amount


class RouterSettings(_Section):
    """[router]: times in seconds."""

    default_model: str | None = None
    strategy: Strategy = "tiered"
    mode: Mode = "local-first"
    retries: int = Field(2, ge=0, le=100)
    retry_delay: float = Field(0.5, ge=0, le=60)
    timeout: float = Field(120, gt=0)
    connect_timeout: float = Field(10, gt=0)
    ttft_timeout: float = Field(30, gt=0)
    stall_timeout: float = Field(20, gt=0)
    failover: bool = True
    resume: bool = True  # a stream that breaks is finished by another attempt
    content_filter_failover: bool = False  # whether a refusal by a content filter is taken to other providers
    hedge: float | None = Field(None, gt=0, lt=1)  # percentile of a target's first tokens after which another is asked
    when_limited: Literal["queue", "reject"] = (
        "queue"  # where a provider's own limit is reached and nobody else is free
    )
    hedge_rate: float = Field(0.1, gt=0, le=1)  # the share of calls that may be hedged
    breaker_threshold: int = Field(5, ge=1)
    breaker_seconds: float = Field(60, gt=0)
    health_interval: float = Field(30, ge=0, le=86_400)  # between looks at idle providers; 0: none but router.health()
    max_ttft: float | None = Field(None, gt=0)  # the latency need of calls that name none
    min_quality: float | None = Field(None, ge=0, le=1)  # the quality need of such calls; for measured
    max_latency: float | None = Field(None, gt=0)  # seconds to the end of an answer, likewise
    explore: float = Field(0.1, ge=0, le=1)  # the share of calls by which what is not measured (well) is tried
    explore_usd: float = Field(0.1, ge=0)  # dollars a day (UTC) that measured may spend on it, over its usual choices
    half_life: float = Field(14, ge=0.01, le=3650)  # days after which evidence counts half
    regions: tuple[str, ...] = ()  # the only ones that cloud calls may go to: "eu" takes "eu-west-1" too
    discover: bool | None = None  # look for local servers; None: only when nothing is configured

    @field_validator("health_interval")
    @classmethod
    def _polite(cls, interval: float) -> float:
        if 0 < interval < 1:
            raise ValueError("must be 0 (no looks but by router.health()) or at least 1 second")
        return interval


class BudgetSettings(_Section):
    """[budget]: US dollars; a limit of None is no limit, "none" in a file, where nothing said is the default."""

    daily_usd: Decimal | None = Field(Decimal(5), ge=0)
    monthly_usd: Decimal | None = Field(Decimal(100), ge=0)
    alert_at: float = Field(0.8, gt=0, le=1)
    when_exceeded: Literal["reject", "queue"] = "reject"

    @field_validator("daily_usd", "monthly_usd", mode="before")
    @classmethod
    def _unlimited(cls, limit: Any) -> Any:
        return None if limit == NO_LIMIT else limit

    _countable = field_validator("daily_usd", "monthly_usd")(_amount)


class LedgerSettings(_Section):
    """[ledger]: where calls are kept; None is ledger.db in the user's data folder."""

    url: str | None = None

    @field_validator("url")
    @classmethod
    def _known(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("sqlite:///"):
            raise ValueError("must begin with sqlite:/// (three slashes, then a path)")
        return url


class CacheSettings(_Section):
    """[cache]: answers that are given again. `path` is the cassette of record and replay, from the working folder;
    `ttl` (seconds) and `max_mb` (megabytes of answers) bound what `on` keeps in the ledger.
    """

    mode: CacheMode = "off"
    path: str = Field("hybrid_nb_cassette.jsonl", min_length=1)
    ttl: float = Field(7 * 24 * 3600, gt=0)
    max_mb: float = Field(100, gt=0)
    timing: bool = False  # replay with the recorded pauses


class PriceSettings(_Section):
    """US dollars per million tokens."""

    input: Decimal | None = Field(None, ge=0)
    output: Decimal | None = Field(None, ge=0)
    cached: Decimal | None = Field(None, ge=0)
    cache_write: Decimal | None = Field(None, ge=0)

    _countable = field_validator("input", "output", "cached", "cache_write")(_amount)


def _web(url: str | None) -> str | None:
    """An address with its scheme in small letters. What is wrong is told without the address: it may hold a key."""
    if url is None:
        return None
    url = url.strip()
    if not url.isprintable() or " " in url:
        raise ValueError("must have no spaces and no control characters")
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError("is not a valid address: look at its host and port, as in http://10.0.0.5:8000/v1") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must hold no user name and no password: a key goes into api_key")
    if "?" in url or "#" in url:
        raise ValueError("must end before any ? or #: the API's own paths are added to it, and a key goes into api_key")
    if not valid:
        raise ValueError("must have a host after its //, and a port between 1 and 65535 if any")
    return parts.scheme + url[len(parts.scheme) :]


class EndpointSettings(_Section):
    """One address of a `custom` provider."""

    base_url: str
    api_key: str | None = Field(None, repr=False)
    models: tuple[str, ...] = ()

    _url = field_validator("base_url")(_web)


class ProviderSettings(_Section):
    """[[provider]]: `api_key` is "env:NAME" or the key; None takes the vendor's usual variables."""

    name: str = Field(pattern=NAME)
    type: str
    base_url: str | None = None
    api_key: str | None = Field(None, repr=False)
    models: tuple[str, ...] = ()
    tier: Literal["local", "edge", "cloud"] | None = None
    priority: int = 1
    weight: float = Field(1, gt=0)
    cost_multiplier: Decimal = Field(Decimal(1), ge=0)
    enabled: bool = True
    rpm: int | None = Field(None, gt=0)  # requests a minute; None: no limit but the vendor's own
    tpm: int | None = Field(None, gt=0)
    max_concurrency: int | None = Field(None, gt=0)
    region: str | None = None
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    context: dict[str, int] = Field(default_factory=dict)  # tokens that a model takes, where the server does not tell
    endpoints: tuple[EndpointSettings, ...] = ()

    _url = field_validator("base_url")(_web)
    _countable = field_validator("cost_multiplier")(_amount)


class RolloutSettings(_Section):
    """[rollout.NAME]: of those who ask for NAME (a group or model; "*": no model), a share goes to `to` first."""

    to: str = Field(pattern=TARGET)
    percent: float = Field(ge=0, le=100)
    by: Literal["user", "notebook"] = "user"


class Settings(_Section):
    """Everything that a Router is made from."""

    router: RouterSettings = RouterSettings()
    budget: BudgetSettings = BudgetSettings()
    ledger: LedgerSettings = LedgerSettings()
    cache: CacheSettings = CacheSettings()
    provider: tuple[ProviderSettings, ...] = ()
    group: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    rollout: dict[str, RolloutSettings] = Field(default_factory=dict)


def user_file() -> Path:
    """config.toml in the user's configuration folder."""
    import platformdirs

    return Path(platformdirs.user_config_dir("hybrid_nb", appauthor=False)) / "config.toml"


def find_file(environ: Mapping[str, str]) -> Path | None:
    """The file that counts: HYBRID_NB_CONFIG, ./hybrid_nb.toml, the user's; None when there is none.

    Raises ConfigError when HYBRID_NB_CONFIG names a file that is not there.
    """
    named = environ.get("HYBRID_NB_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"HYBRID_NB_CONFIG names {named}, which is not there: create it, or unset the variable")
        return Path(named)
    return next((path for path in (Path(FILE_NAME), user_file()) if path.is_file()), None)


def read_file(path: Path) -> dict[str, Any]:
    """The file's TOML. Raises ConfigError with file, line and what is wrong."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The file's text. Raises ConfigError."""
    try:
        return path.read_text("utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, source: str) -> dict[str, Any]:
    """The TOML of a text. Raises ConfigError with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise ConfigError(f"{source}: not valid TOML: {error}", line=line) from None


def validate(data: Mapping[str, Any], source: str) -> Settings:
    """Settings from plain data; `source` names the file (or "the configuration") in errors.

    Raises ConfigError naming every wrong key and, for a name that is near a valid one, that name.
    """
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        problems = [Mistake(tuple(item["loc"]), _sentence(item, data)) for item in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(p.told for p in problems), problems) from None


def is_reference(spec: str | None) -> bool:
    """Whether an `api_key` says where the key is, and is none."""
    return spec is not None and spec.startswith(("env:", "keyring:"))


def nearest(word: str, among: Any) -> str:
    """ " (did you mean 'x'?)" with the nearest valid name, or the list when nothing is near."""
    names = sorted(among)
    near = difflib.get_close_matches(word, names, 1, 0.5)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (one of: {', '.join(names[:12])})" if names else ""


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The names that are valid beside the last part of a location."""
    model: Any = Settings
    named = False  # the next part is a person's own name, as a model's in prices
    for part in location[:-1]:
        if isinstance(part, int) or named:
            named = False
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = next((a for a in (*getattr(field.annotation, "__args__", ()), field.annotation) if _is_model(a)), None)
        named = getattr(field.annotation, "__origin__", None) is dict
    return list(model.model_fields) if model else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _named(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    """ " (openai)" for a provider's number, so that a long file can be searched."""
    if len(location) < 2 or location[0] != "provider" or not isinstance(location[1], int):
        return ""
    try:
        return f" ({data['provider'][location[1]]['name']})"
    except (KeyError, IndexError, TypeError):
        return ""


def _sentence(item: Any, data: Mapping[str, Any]) -> str:
    where = _dotted(item["loc"]) + _named(item["loc"], data)
    if item["type"] == "extra_forbidden":
        return f"{where}: no such key{nearest(str(item['loc'][-1]), _fields_at(item['loc']))}"
    if item["type"] == "missing":
        return f"{where}: this key is required"
    if item["type"] == "string_pattern_mismatch":
        return f"{where}: {_PATTERNS[item['ctx']['pattern']]}"
    if item["type"] in ("tuple_type", "model_type", "model_attributes_type", "dict_type"):
        return f"{where}: {_shape(item)}"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"


def _shape(item: Any) -> str:
    """What to write where a list or a table is meant and something else was given."""
    given, last = item["input"], item["loc"][-1]
    if item["type"] != "tuple_type":
        return "must be a table of keys and values"
    if last == "provider":
        return "must be a list of tables: write [[provider]], with two brackets, above each"
    if last == "endpoints":
        return "must be a list of tables: write [[provider.endpoints]], with two brackets, above each"
    return f"must be a list such as [{json.dumps(given if isinstance(given, str) else 'name', ensure_ascii=False)}]"
