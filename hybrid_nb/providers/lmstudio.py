"""LM Studio: OpenAI's wire, local and free."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="lmstudio",
    title="LM Studio",
    wire=OpenAIChat(),
    base_url="http://127.0.0.1:1234/v1",
    tier="local",
    key_env=("LM_STUDIO_API_KEY", "LM_API_TOKEN"),
    key_required=False,
    url_env=("LM_STUDIO_API_BASE",),
    free=True,
    ports=(1234,),
    probe="models",
    probe_sign='"max_context_length"',
    probe_at=("/api/v1/models", "/api/v0/models"),  # its own list of models, the second up to version 0.3
    tools=True,
    json_schema=True,
    at_once=4,  # "Max Concurrent Predictions": lmstudio.ai/docs/app/advanced/parallel-requests
)
