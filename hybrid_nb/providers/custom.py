"""Any OpenAI-compatible server: one or several endpoints under one name, each with its key and models."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.openai_chat import OpenAIChat

VENDOR = Vendor(
    type="custom",
    title="OpenAI-compatible endpoint",
    wire=OpenAIChat(),
    base_url=None,
    key_env=("CUSTOM_API_KEY",),
    key_required=False,
)
