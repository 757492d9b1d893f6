"""llama.cpp's own server: OpenAI's wire, local and free. Its default port moved from 8080 to 9931 in August 2026."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="llamacpp",
    title="llama.cpp server",
    wire=OpenAIChat(),
    base_url="http://127.0.0.1:9931/v1",
    tier="local",
    key_env=("LLAMA_API_KEY",),
    key_required=False,
    url_env=("LLAMACPP_BASE_URL",),
    free=True,
    ports=(9931, 8080),
    probe="models",
    probe_sign='"llamacpp"',
    json_schema=True,
    prefill=("*",),
    at_once_env="LLAMA_ARG_N_PARALLEL",
    properties="/props",
)
