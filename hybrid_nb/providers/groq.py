"""Groq: OpenAI's wire; usage also in x_groq."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="groq",
    title="Groq",
    wire=OpenAIChat(token_limit="max_completion_tokens"),
    base_url="https://api.groq.com/openai/v1",
    key_env=("GROQ_API_KEY",),
    key_url="https://console.groq.com/keys",
    url_env=("GROQ_API_ENDPOINT",),
    models=("openai/gpt-oss-20b", "openai/gpt-oss-120b"),
    price_id="groq",
    tools=True,
    prefill=("llama*", "meta-llama/*"),
)
