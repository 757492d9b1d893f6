"""What a provider is: where (endpoint, key), how (wire), and the protocols between the parts.

A `Vendor` is data about a kind of provider (one file in `hybrid_nb.providers`); a `Provider` is one that
somebody configured. A `Wire` is pure: our types <-> one family's JSON. A `Transport` moves bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from hybrid_nb.core.types import Chunk, HttpCall, ModelInfo, Request, Tier


class Decoder(Protocol):
    """One stream being read. Raises InBandError or MalformedResponseError."""

    complete: bool  # the wire said that the answer is whole (finish reason or terminal event)

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete; bytes may end anywhere, in a character too."""

    def close(self) -> list[Chunk]:
        """The chunks that the end of the stream completes."""


class Wire(Protocol):
    """One family's JSON. Pure: no clock, no network, no key."""

    def chat(self, base_url: str, model: str, request: Request, stream: bool) -> HttpCall:
        """The HTTP call for a request. Raises UnsupportedFeatureError for what the wire cannot say."""

    def decoder(self) -> Decoder:
        """A decoder for one streamed answer."""

    def decode(self, data: Any) -> Chunk:
        """A whole, unstreamed answer as one chunk."""

    def models(self, base_url: str) -> HttpCall:
        """The call that lists models; it costs nothing, so it is the health check too."""

    def decode_models(self, data: Any) -> list[ModelInfo]:
        """The models in the answer to `models`, those that can chat."""


class Response(Protocol):
    """An HTTP response whose headers are here and whose body is still to come."""

    status: int
    headers: Mapping[str, str]  # lower-case names

    def at_once(self) -> bytes | None:
        """The whole body, when it came with the headers; None when some is still to come, or may be."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come."""

    async def aclose(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""


@runtime_checkable
class Transport(Protocol):
    """Moves one call to its host. Raises ConnectionFailedError and ProviderTimeoutError only."""

    async def send(self, call: HttpCall, connect_timeout: float) -> Response:
        """Send the call and wait for the response's headers."""

    async def aclose(self) -> None:
        """Close every connection."""


class Secret(Protocol):
    """A key as others may see it; `hybrid_nb.keys` holds the value."""

    @property
    def source(self) -> str:
        """Where it comes from: "env:OPENAI_API_KEY", "config"; never the key."""


@dataclass(frozen=True, slots=True)
class Auth:
    """The header that carries the key."""

    header: str = "Authorization"
    prefix: str = "Bearer "


@dataclass(frozen=True, slots=True)
class Vendor:
    """A kind of provider: everything that is true of it wherever it is configured.

    `models` are offered when the configuration names none; `price_id` is its id in genai-prices;
    `ports` are where its server listens by default when it is local, `probe` the path that tells it from
    others and `probe_sign` a text in that answer; where its model list tells nothing, `probe_at` are paths of its own,
    from the root, of which one answers with the sign. `prefill` has patterns of the models that go on from a last turn
    of the assistant as if it were their own beginning. `at_once` is how many requests a server of this kind works on at
    a time unless it was told otherwise (others wait in its queue), `at_once_env` the variable that tells it, and
    `properties` the path, from its host, where it says the number (`total_slots`).
    """

    type: str
    title: str
    wire: Wire
    base_url: str | None
    tier: Tier = "cloud"
    key_env: tuple[str, ...] = ()
    key_required: bool = True
    key_url: str | None = None
    url_env: tuple[str, ...] = ()
    auth: Auth = Auth()
    models: tuple[str, ...] = ()
    price_id: str | None = None
    free: bool = False
    ports: tuple[int, ...] = ()
    probe: str = ""
    probe_sign: str = ""
    probe_at: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    prefill: tuple[str, ...] = ()
    at_once: int | None = None
    at_once_env: str = ""
    properties: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a provider, with its key. Most have one; `custom` may have several."""

    base_url: str
    key: Secret | None = None
    models: tuple[str, ...] = ()  # what this endpoint serves; empty: every model of the provider
    key_env: str | None = None  # the variable, or "keyring:NAME", that the configuration names for the key


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. None: unknown, never free."""

    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider."""

    name: str
    vendor: Vendor
    endpoints: tuple[Endpoint, ...]
    models: tuple[ModelInfo, ...] = ()
    tier: Tier = "cloud"
    priority: int = 1
    weight: float = 1.0
    cost_multiplier: Decimal = Decimal(1)
    enabled: bool = True
    rpm: int | None = None
    tpm: int | None = None
    max_concurrency: int | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    region: str | None = None

    @property
    def missing_key(self) -> str | None:
        """What to do about a key that is needed and absent; None when all is well."""
        if not self.vendor.key_required or all(endpoint.key for endpoint in self.endpoints):
            return None
        where = f" (get one at {self.vendor.key_url})" if self.vendor.key_url else ""
        named = dict.fromkeys(e.key_env for e in self.endpoints if e.key_env and not e.key)
        if any(name.startswith("keyring:") for name in named):
            return f"no key: the system's keyring has none as {', '.join(named)}; router.set_key({self.name!r}){where}"
        if named:
            return f"no key: set {' and '.join(named)}, which provider {self.name!r} names for it{where}"
        names = " or ".join(self.vendor.key_env) or "api_key"
        return f"no key: set {names}, or api_key for provider {self.name!r} in the configuration{where}"

    def endpoints_for(self, model: str) -> Sequence[Endpoint]:
        """The addresses that serve a model."""
        if len(self.endpoints) == 1:
            return self.endpoints
        return [e for e in self.endpoints if not e.models or model in e.models] or self.endpoints

    def model_info(self, model: str) -> ModelInfo:
        """What is known of a model here; an empty record when it is not listed."""
        return next((info for info in self.models if info.id == model), None) or ModelInfo(model)


class InBandError(Exception):
    """An error object inside a 200 response; the engine gives it its class and provider."""

    def __init__(self, data: Any) -> None:
        super().__init__("error object in the response")
        self.data = data
