"""Anthropic: Messages."""

from hybrid_nb.core.provider import Auth, Vendor
from hybrid_nb.wire.anthropic import Anthropic

VENDOR = Vendor(
    type="anthropic",
    title="Anthropic",
    wire=Anthropic(),
    base_url="https://api.anthropic.com",
    key_env=("ANTHROPIC_API_KEY",),
    key_url="https://platform.claude.com/settings/keys",
    url_env=("ANTHROPIC_API_ENDPOINT", "ANTHROPIC_ENDPOINT", "ANTHROPIC_BASE_URL"),
    auth=Auth("x-api-key", ""),
    models=("claude-haiku-5-5", "claude-sonnet-5-5"),
    price_id="anthropic",
    tools=True,
    vision=True,
    json_schema=True,
    prefill=("claude-3*", "claude-*-4-[0125]*"),  # 4.6 and later answer a prefill with a 400
)
