"""From a response that is an error to one of ours: bodies of all vendors in one form, and the one table to a class.

The status comes before the message, as a message is a guess. What a provider says passes through `scrub`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_nb.core.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InferenceError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    ServiceUnavailableError,
    UnsupportedFeatureError,
)

CONTEXT_SIGNS = (
    "context_length_exceeded",
    "maximum context length is",
    "exceeds the context window",
    "input tokens exceed the configured limit",
    "exceed context limit",
    "prompt is too long",
    "prompt: length",
    "exceeds the maximum number of tokens allowed",
    "requested token count exceeds",
    "request payload size exceeds",
    "input is too long",
    "too many input tokens",
    "expected maxlength:",
    "prompt has too many tokens",
    "too large for model with",
    "exceed_context_size_error",
    "exceeds the available context size",
    "prompt is longer than the context length",
    "input length exceeds the context length",
    "number of tokens to keep from the initial prompt",
    "longer than the model's context length",
    "model's maximum context limit",
    "please reduce the length of the messages",
)
FILTER_SIGNS = (
    "content_policy_violation",
    "content_filter",
    "invalid_prompt",
    "content filtering policy",
    "safety system",
    "responsibleaipolicyviolation",
)
# 17.3: "quota is gone" against "rate"; texts in type, code, error_code, quotaId or message
QUOTA_SIGNS = (
    "insufficient_quota",
    "credit_balance",
    "credit balance",
    "billing_hard_limit",
    "billing_error",
    "spend_limit_reached",
    "perday",
    '"quotavalue":"0"',
    "limit: 0",
    "free-models-per-day",
)
FEATURE_SIGNS = (
    "does not support tools",
    "does not support thinking",
    "does not support image",
    "not supported",
    "unsupported",
)
KEY_SIGNS = ("api_key_invalid", "api key not valid", "invalid_api_key", "incorrect api key")

_SECRET = re.compile(
    # a separator is asked for where the letters also begin words: skip_special_tokens is no key
    r"(?i)\b(?:(?:sk|gsk|pk|xai|hf)[-_.]|key-|AIza|ya29)[A-Za-z0-9_\-.*]{8,}|(?<=key=)[^&\s\"']+"
)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]+>", re.DOTALL | re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")
_UNIX, _UNIX_MS = 1e9, 1e12  # a number from here on is a time: the first second of 2001-09-09, and its milliseconds
_TOLD = re.compile(r"(?:try again in|retry after)\s+((?:\d+(?:\.\d+)?\s*(?:ms|[smhd]))+|\d+(?:\.\d+)?)", re.IGNORECASE)
MOST_TEXT = 16 * 1024  # bytes of a body that is read as text; a pattern over megabytes would hold up the loop
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_WAIT = 120.0  # a longer wish to wait is a quota, not a rate (the OpenAI SDK gives up there too)


MOST_MESSAGE = 2000  # characters of a provider's own words
_GRAM = 8  # characters; shorter pieces of a key tell nothing


def redact(text: str, secret: str) -> str:
    """The text without the secret and without any piece of it of 8 characters or more, as a cut text may hold one."""
    text = text.replace(secret, "***")
    grams = {secret[i : i + _GRAM] for i in range(len(secret) - _GRAM + 1)}
    if not any(gram in text for gram in grams):
        return text
    shown, at = [], 0
    while at < len(text):
        if text[at : at + _GRAM] not in grams:
            shown.append(text[at])
            at += 1
            continue
        while text[at : at + _GRAM] in grams:
            at += 1
        at += _GRAM - 1
        shown.append("***")
    return "".join(shown)


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without anything that looks like a key, and without the given secrets."""
    for secret in secrets:
        if secret:
            text = redact(text, secret)
    return _SECRET.sub("***", text)


class Problem(NamedTuple):
    """An error body, normalised: what every vendor calls message, code, type and details."""

    message: str
    code: str = ""
    type: str = ""
    details: Any = None

    @property
    def signs(self) -> str:
        import orjson

        extra = orjson.dumps(self.details)[:MOST_MESSAGE].decode("utf-8", "replace") if self.details else ""
        return f"{self.type} {self.code} {self.message} {extra}".lower()


def _text_problem(body: bytes) -> Problem:
    text = body[:MOST_TEXT].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        text = " ".join(_TAGS.sub(" ", text).split())
    return Problem(text[:500] or "empty body")


def _joined(items: Any) -> str:
    if not isinstance(items, list):
        return str(items)
    return "; ".join(str(i.get("msg") or i.get("message") or i) if isinstance(i, dict) else str(i) for i in items)


def normalise(data: Any) -> Problem | None:
    """The problem that a decoded body speaks of, in the forms of all vendors; None when it has none."""
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    if isinstance(error, dict):
        details = error.get("details") or error.get("metadata") or error.get("innererror")
        kind = error.get("type") or error.get("status") or ""
        message = error.get("message") or data.get("message") or "no message"
        return Problem(str(message), str(error.get("code") or ""), str(kind), details)
    if error:
        return Problem(str(error), str(data.get("code") or ""), str(data.get("error_type") or ""))
    if "detail" in data:
        return Problem(_joined(data["detail"]))
    if data.get("errors"):
        return Problem(_joined(data["errors"]))
    if "message" in data or "Message" in data:
        message = data.get("message") or data.get("Message")
        return Problem(str(message), str(data.get("code") or ""), str(data.get("type") or data.get("__type") or ""))
    return None


def problem_of(body: bytes) -> Problem:
    """An error body as a Problem, whatever its form (JSON of any vendor, HTML, text, nothing)."""
    import orjson

    try:
        found = normalise(orjson.loads(body))
    except orjson.JSONDecodeError:
        found = None
    return found or _text_problem(body)


def seconds_of(text: str) -> float | None:
    """A Go or protobuf duration ("1m2.5s", "12ms", "46.07s") in seconds."""
    found = _DURATION.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in found) if found else None


def reset_of(text: str, now: float) -> float | None:
    """Seconds until a rate header's reset, in the forms of all vendors; None for anything else. `now` is unix time.

    A duration ("6m0s", OpenAI and Groq), plain seconds (Azure), an RFC 3339 time (Anthropic), and unix time in seconds
    or milliseconds (OpenRouter).
    """
    text = text.strip()
    number = _number(text)
    if number is None:
        with contextlib.suppress(ValueError, OverflowError):
            if _DATE.match(text):
                told = dt.datetime.fromisoformat(text)
                told = told if told.tzinfo else told.replace(tzinfo=dt.UTC)
                return max(0.0, told.timestamp() - now)
        return seconds_of(text)
    if number < 0 or math.isinf(number):
        return None
    if number >= _UNIX_MS:
        return max(0.0, number / 1000 - now)
    return max(0.0, number - now) if number >= _UNIX else number


def retry_after(headers: Mapping[str, str], problem: Problem | None, now: float) -> float | None:
    """Seconds to wait as the provider asks: retry-after-ms, Retry-After (seconds or date), or its body.

    `now` is unix time; `headers` has lower-case names.
    """
    milliseconds, told = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    seconds = _number(told) if milliseconds is None else milliseconds / 1000
    if seconds is None and told is not None:
        with contextlib.suppress(ValueError, OverflowError):
            seconds = email.utils.parsedate_to_datetime(told).timestamp() - now
    if seconds is None:
        seconds = _retry_after_in(problem) if problem else None
    return None if seconds is None else max(0.0, seconds)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _retry_after_in(problem: Problem) -> float | None:
    for detail in problem.details if isinstance(problem.details, list) else ():
        if isinstance(detail, dict) and "retryDelay" in detail:
            return seconds_of(str(detail["retryDelay"]))
    told = _TOLD.search(problem.message)
    if not told:
        return None
    text = told.group(1).replace(" ", "")
    return seconds_of(text.lower()) if text[-1].isalpha() else float(text)


def _any(signs: Sequence[str], text: str) -> bool:
    return any(sign in text for sign in signs)


def _bad_request(status: int | None, problem: Problem) -> type[InferenceError] | None:
    text = problem.signs
    if _any(CONTEXT_SIGNS, text) and "string_above_max_length" not in text:
        return ContextLengthError
    if _any(FILTER_SIGNS, text):
        return ContentFilterError
    if _any(KEY_SIGNS, text):
        return AuthenticationError
    if status in (400, 402, 403) and (_any(QUOTA_SIGNS, text) or "failed_precondition" in text):
        return QuotaExceededError
    if status in (400, 422) and _any(FEATURE_SIGNS, text):
        return UnsupportedFeatureError
    return None


# status -> class; None means "see the body first". Status before message: a message is a guess.
BY_STATUS: dict[int, type[InferenceError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: ServiceUnavailableError,
    409: ServiceUnavailableError,
    413: ContextLengthError,
    422: InvalidRequestError,
    424: ServiceUnavailableError,
    429: RateLimitError,
    498: ServiceUnavailableError,
    529: ServiceUnavailableError,
}
BY_TYPE: dict[str, type[InferenceError]] = {  # errors under HTTP 200 carry their class in type or code
    "overloaded_error": ServiceUnavailableError,
    "rate_limit_error": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "resource_exhausted": RateLimitError,
    "unavailable": ServiceUnavailableError,
    "internal": ServiceUnavailableError,
    "api_error": ServiceUnavailableError,
    "server_error": ServiceUnavailableError,
    "internalservererror": ServiceUnavailableError,
    "timeout_error": ServiceUnavailableError,
    "authentication_error": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "not_found_error": ModelNotFoundError,
    "model_not_found": ModelNotFoundError,
    "invalid_request_error": InvalidRequestError,
    "invalid_argument": InvalidRequestError,
    "billing_error": QuotaExceededError,
    "insufficient_quota": QuotaExceededError,
}


def error_class(status: int | None, problem: Problem) -> type[InferenceError]:
    """The class of an error: status first, then type and code, then known texts. Pure."""
    if status == 429 and "request too large" in problem.message.lower():  # for this target's limit; no wait helps
        return ContextLengthError
    if status == 429 or (status is None and BY_TYPE.get(problem.type.lower()) is RateLimitError):
        return QuotaExceededError if _any(QUOTA_SIGNS, problem.signs) else RateLimitError
    special = _bad_request(status, problem) if status is None or status in (400, 401, 402, 403, 413, 422, 500) else None
    if special:
        return special
    if status is not None and status != 200:
        return BY_STATUS.get(status) or (ServiceUnavailableError if status >= 500 else ProviderError)
    for word in (problem.type.lower(), problem.code.lower()):
        if word in BY_TYPE:
            return BY_TYPE[word]
    if problem.code.isdigit() and problem.code != "200":
        return error_class(int(problem.code), problem._replace(code=""))
    return ProviderError


def error_from(
    status: int | None,
    headers: Mapping[str, str],
    problem: Problem,
    *,
    provider: str,
    model: str | None,
    now: float,
    secrets: Sequence[str] = (),
) -> InferenceError:
    """The typed error for a response. `status` is None for an error inside a 200; `now` is unix time."""
    if len(problem.message) > MOST_MESSAGE:
        problem = problem._replace(message=problem.message[:MOST_MESSAGE] + "…")
    kind = error_class(status, problem)
    wait = retry_after(headers, problem, now)
    message = scrub(problem.message, secrets).strip() or "no message"
    if status is not None and not _worded(problem):
        message = f"HTTP {status}: {message}"
    if kind is RateLimitError and wait is not None and wait > LONGEST_WAIT:
        kind, message = QuotaExceededError, f"{message} (asks to wait {wait:.0f} s)"
    extra: dict[str, Any] = {"retry_after": wait} if kind in (RateLimitError, ServiceUnavailableError) else {}
    error = kind(
        _hinted(message, kind, provider, problem), provider, status, _retry_wish(headers, kind, problem), **extra
    )
    error.model = model
    return error


def _worded(problem: Problem) -> bool:
    return bool(problem.type or problem.code) and problem.message != "no message"


def _retry_wish(headers: Mapping[str, str], kind: type[InferenceError], problem: Problem) -> bool | None:
    wish = headers.get("x-should-retry")  # the vendor's own word overrides the status (OpenAI, Anthropic)
    if wish in ("true", "false"):
        return wish == "true"
    if "request too large" in problem.message.lower() or (
        "memory" in problem.message.lower() and kind is ServiceUnavailableError
    ):
        return False
    if problem.code in ("tool_use_failed", "json_validate_failed"):  # Groq: the model's output was bad
        return True
    return None


def _hinted(message: str, kind: type[InferenceError], provider: str, problem: Problem) -> str:
    """The message, with what to do where that is known."""
    message = message.rstrip(".")
    if kind is AuthenticationError:
        return f"{message}. Check the key of provider {provider!r} (router.providers() shows where each comes from)"
    if kind is ModelNotFoundError and "pull" not in problem.message:
        return f"{message}. `%llm_models {provider}` lists what it has"
    return message
