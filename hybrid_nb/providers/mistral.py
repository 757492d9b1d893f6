"""Mistral: OpenAI's wire with random_seed, "any" for required, ids of nine characters, usage always streamed."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="mistral",
    title="Mistral",
    wire=OpenAIChat(seed="random_seed", required="any", stream_usage=False, tool_id_length=9, prefix=True),
    base_url="https://api.mistral.ai/v1",
    key_env=("MISTRAL_API_KEY",),
    key_url="https://console.mistral.ai/api-keys",
    url_env=("MISTRAL_API_ENDPOINT",),
    models=("mistral-small-latest", "mistral-medium-latest"),
    price_id="mistral",
    tools=True,
    json_schema=True,
    prefill=("*",),
)
