"""Google Gemini (AI Studio): generateContent with a key."""

from hybrid_nb.core.provider import Auth, Vendor
from hybrid_nb.wire.gemini import Gemini

VENDOR = Vendor(
    type="gemini",
    title="Google Gemini",
    wire=Gemini(),
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    key_url="https://aistudio.google.com/apikey",
    url_env=("GEMINI_API_ENDPOINT", "GEMINI_ENDPOINT", "GOOGLE_GEMINI_BASE_URL"),
    auth=Auth("x-goog-api-key", ""),
    models=("gemini-3.5-flash-lite", "gemini-3.8-flash"),
    price_id="google",
    tools=True,
    vision=True,
    json_schema=True,
)
