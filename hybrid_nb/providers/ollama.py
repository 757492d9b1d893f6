"""Ollama: its native wire, local and free."""

from hybrid_nb.core.provider import Vendor
from hybrid_nb.wire.ollama import Ollama

VENDOR = Vendor(
    type="ollama",
    title="Ollama",
    wire=Ollama(),
    base_url="http://127.0.0.1:11434",
    tier="local",
    key_env=("OLLAMA_API_KEY",),
    key_required=False,
    url_env=("OLLAMA_BASE_URL", "OLLAMA_HOST"),
    free=True,
    ports=(11434,),
    probe="api/tags",
    probe_sign='"models"',
    json_schema=True,
    prefill=("*",),
    at_once=1,  # as compiled (0.20)
    at_once_env="OLLAMA_NUM_PARALLEL",
)
