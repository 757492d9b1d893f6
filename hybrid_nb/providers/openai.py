"""OpenAI: chat/completions."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="openai",
    title="OpenAI",
    # reasoning models refuse max_tokens, and any temperature but 1
    wire=OpenAIChat(token_limit="max_completion_tokens", fixed_sampling=("o1", "o3", "o4", "gpt-5", "gpt-6")),
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    key_url="https://platform.openai.com/api-keys",
    url_env=("OPENAI_API_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_BASE"),
    models=("gpt-6-luna", "gpt-6-sol"),
    price_id="openai",
    tools=True,
    json_schema=True,
)
