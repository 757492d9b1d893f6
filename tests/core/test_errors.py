# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""From a response to an error: status, body, headers; and that messages keep no secret."""

from __future__ import annotations

import email.utils
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core import errors
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
from hybrid_nb.core.responses import Problem, error_from, problem_of, reset_of, retry_after, scrub, seconds_of

NOW = 1_700_000_000.0


def google(code: int, message: str, status: str, *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def openai(message: str, kind: str = "", code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def anthropic(kind: str, message: str, **details: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **({"details": details} if details else {})}}


def per(period: str) -> dict[str, Any]:
    return {
        "@type": "QuotaFailure",
        "violations": [{"quotaId": f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier"}],
    }


TABLE: list[tuple[int | None, Any, type[InferenceError]]] = [
    # too long, in every vendor's words
    (400, openai("This model's maximum context length is 8 tokens", "invalid_request_error", "context_length_exceeded"), ContextLengthError),
    (400, openai("Your input exceeds the context window of this model"), ContextLengthError),
    (400, anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), ContextLengthError),
    (400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3"), ContextLengthError),
    (400, google(400, "The input token count (9) exceeds the maximum number of tokens allowed (8).", "INVALID_ARGUMENT"), ContextLengthError),
    (400, {"object": "error", "message": "Prompt contains 9 tokens, too large for model with 8 maximum context length", "type": "invalid_request_error"}, ContextLengthError),
    (400, openai("the request exceeds the available context size", "exceed_context_size_error", 400), ContextLengthError),
    (400, {"error": "the prompt is longer than the context length currently available"}, ContextLengthError),
    (None, openai("The number of tokens to keep from the initial prompt is greater than the context length"), ContextLengthError),
    (413, openai("Please reduce the length of the messages or completion."), ContextLengthError),
    (400, openai("Invalid 'user': string too long", "invalid_request_error", "string_above_max_length"), InvalidRequestError),
    # never on 429
    (429, openai("Too many tokens: maximum context length is not the matter", "tokens", "rate_limit_exceeded"), RateLimitError),
    # filter
    (400, openai("Your request was rejected as a result of our safety system.", "", "content_policy_violation"), ContentFilterError),
    (400, {"error": {"code": "content_filter", "message": "filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, ContentFilterError),
    (400, anthropic("invalid_request_error", "Output blocked by content filtering policy"), ContentFilterError),
    # key
    (401, openai("Incorrect API key provided", "invalid_request_error", "invalid_api_key"), AuthenticationError),
    (401, {"detail": "Unauthorized"}, AuthenticationError),
    (400, google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), AuthenticationError),
    (403, google(403, "Permission denied", "PERMISSION_DENIED"), PermissionDeniedError),
    # quota and rate
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaExceededError),
    (429, openai("Rate limit reached", "requests", "rate_limit_exceeded"), RateLimitError),
    (429, anthropic("rate_limit_error", "spent", error_code="enforced_spend_limit_reached"), QuotaExceededError),
    (429, anthropic("rate_limit_error", "slow down", error_code="ramp_limit_exceeded"), RateLimitError),
    (400, anthropic("invalid_request_error", "Your credit balance is too low"), QuotaExceededError),
    (402, anthropic("billing_error", "pay"), QuotaExceededError),
    (402, google(402, "credit used up", "RESOURCE_EXHAUSTED"), QuotaExceededError),
    (429, google(429, "quota", "RESOURCE_EXHAUSTED", per("Minute"), {"retryDelay": "46s"}), RateLimitError),
    (429, google(429, "quota", "RESOURCE_EXHAUSTED", per("Day"), {"retryDelay": "46s"}), QuotaExceededError),
    (429, google(429, "Quota exceeded, limit: 0, model: x", "RESOURCE_EXHAUSTED"), QuotaExceededError),
    (400, google(400, "billing needed", "FAILED_PRECONDITION"), QuotaExceededError),
    (429, {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}}, QuotaExceededError),
    # models, features, the rest
    (404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found"), ModelNotFoundError),
    (404, {"error": "model 'x' not found, try pulling it first"}, ModelNotFoundError),
    (400, {"error": '"x" does not support tools'}, UnsupportedFeatureError),
    (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model.", "", "unsupported_parameter"), UnsupportedFeatureError),
    (400, openai("bad", "invalid_request_error"), InvalidRequestError),
    (422, {"detail": [{"loc": ["body", "x"], "msg": "field required", "type": "missing"}]}, InvalidRequestError),
    (408, b"", ServiceUnavailableError),
    (409, b"", ServiceUnavailableError),
    (424, b"", ServiceUnavailableError),
    (498, openai("capacity", "", "capacity_exceeded"), ServiceUnavailableError),
    (500, b"<html><body>Oops</body></html>", ServiceUnavailableError),
    (502, b"bad gateway", ServiceUnavailableError),
    (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, ServiceUnavailableError),
    (504, google(504, "deadline", "DEADLINE_EXCEEDED"), ServiceUnavailableError),
    (529, anthropic("overloaded_error", "Overloaded"), ServiceUnavailableError),
    (418, b"teapot", ProviderError),
    (302, b"", ProviderError),
    # inside a 200
    (None, anthropic("overloaded_error", "Overloaded"), ServiceUnavailableError),
    (None, anthropic("rate_limit_error", "slow"), RateLimitError),
    (None, {"error": {"message": "Provider disconnected", "code": 502}}, ServiceUnavailableError),
    (None, {"error": {"message": "slow", "code": "429"}}, RateLimitError),
    (None, openai("boom", "InternalServerError", 500), ServiceUnavailableError),
    (None, google(429, "quota", "RESOURCE_EXHAUSTED", per("Day")), QuotaExceededError),
    (None, {"error": "something broke"}, ProviderError),
]  # fmt: skip


def made(status: int | None, body: Any, headers: dict[str, str] | None = None, **more: Any) -> InferenceError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return error_from(status, headers or {}, problem_of(raw), provider="p", model="m", now=NOW, **more)


@pytest.mark.parametrize(("status", "body", "kind"), TABLE)
def test_the_table(status: int | None, body: Any, kind: type[InferenceError]) -> None:
    error = made(status, body)
    assert type(error) is kind
    assert (error.provider, error.model, error.status_code) == ("p", "m", status)
    assert error.message


FORMS: list[tuple[Any, str]] = [
    ({"error": {"message": "words"}}, "words"),
    ({"error": "words"}, "words"),
    ([{"error": {"message": "words"}}], "words"),
    ({"message": "words"}, "words"),
    ({"Message": "words", "__type": "X"}, "words"),
    ({"detail": "words"}, "words"),
    ({"detail": [{"msg": "words"}, {"msg": "more"}]}, "words; more"),
    ({"errors": [{"message": "words"}, "more"]}, "words; more"),
    ({"object": "error", "message": {"detail": "words"}}, "{'detail': 'words'}"),
    (b"<html><style>x{}</style><h1>Bad</h1> <p>words</p></html>", "Bad words"),
    (b"plain words", "plain words"),
    (b"", "empty body"),
    (b"\xff\xfe", "\ufffd\ufffd"),
]


@pytest.mark.parametrize(("body", "words"), FORMS)
def test_every_form_of_body_gives_its_words(body: Any, words: str) -> None:
    assert problem_of(body if isinstance(body, bytes) else orjson.dumps(body)).message == words


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "detail", "errors", "code", "type", "details", "retryDelay", "x"]), inner), max_leaves=8),
    st.none() | st.integers(300, 599),
)  # fmt: skip
def test_no_json_breaks_the_table(body: object, status: int | None) -> None:
    assert isinstance(made(status, body), InferenceError)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x-should-retry"]), st.text(max_size=30)),
)
def test_no_bytes_and_headers_break_the_table(body: bytes, headers: dict[str, str]) -> None:
    wait = getattr(made(429, body, headers), "retry_after", None)
    assert wait is None or wait >= 0


DATE = email.utils.formatdate(NOW + 7, usegmt=True)
WAITS: list[tuple[dict[str, str], str, float | None]] = [
    ({"retry-after": "2"}, "", 2.0),
    ({"retry-after": "1.5"}, "", 1.5),
    ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
    ({"retry-after-ms": "soon", "retry-after": "9"}, "", 9.0),
    ({"retry-after": DATE}, "", 7.0),
    ({"retry-after": email.utils.formatdate(NOW - 7, usegmt=True)}, "", 0.0),
    ({"retry-after": "-3"}, "", 0.0),
    ({"retry-after": "nan"}, "", None),
    ({"retry-after": "whenever"}, "try again in 3s", 3.0),
    ({}, "Please try again in 5.289s.", 5.289),
    ({}, "Please try again in 1m2.5s. Visit", 62.5),
    ({}, "try again in 12ms", 0.012),
    ({}, "Please retry after 12 seconds.", 12.0),
    ({}, "retry after 12", 12.0),
    ({}, "try again in .", None),
    ({}, "nothing told", None),
]


@pytest.mark.parametrize(("headers", "message", "wait"), WAITS)
def test_how_long_to_wait(headers: dict[str, str], message: str, wait: float | None) -> None:
    found = retry_after(headers, Problem(message), NOW)
    assert found == (None if wait is None else pytest.approx(wait))


def test_geminis_retry_delay() -> None:
    body = google(429, "quota", "RESOURCE_EXHAUSTED", per("Minute"), {"retryDelay": "46.07s"})
    assert made(429, body).retry_after == pytest.approx(46.07)  # type: ignore[attr-defined]


def test_a_wait_beyond_two_minutes_is_a_quota() -> None:
    assert type(made(429, b"slow", {"retry-after": "120"})) is RateLimitError
    error = made(429, b"slow", {"retry-after": "7200"})
    assert type(error) is QuotaExceededError
    assert "7200 s" in error.message


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360.0), ("12ms", 0.012), ("46s", 46.0), ("1h1m1s", 3661.0), ("", None), ("soon", None)])  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


NOON = 1795176000.0  # 2026-11-20 12:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),  # OpenAI, Groq
        ("12ms", 0.012),
        ("45", 45.0),  # Azure
        (" 0.5 ", 0.5),
        ("2026-11-20T12:00:30Z", 30.0),  # Anthropic
        ("2026-11-20T13:00:30+01:00", 30.0),
        ("2026-11-20T12:00:30", 30.0),
        ("2026-11-20T11:00:00Z", 0.0),
        ("1795176015", 15.0),
        ("1795176015000", 15.0),  # OpenRouter
        ("1795175000000", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("soon", None),
        ("2026-99-99T12:00:30Z", None),
    ],
)
def test_resets_of_every_vendor(text: str, seconds: float | None) -> None:
    assert reset_of(text, NOON) == (None if seconds is None else pytest.approx(seconds))


def test_what_is_too_large_for_a_limit_is_for_another_target() -> None:
    words = "Request too large for model `m` in organization `o` on tokens per minute (TPM): Limit 6000, Requested 7000"
    for status in (413, 429):
        error = made(status, openai(words, "tokens", "rate_limit_exceeded"))
        assert (type(error), error.retryable) == (ContextLengthError, False)
    assert type(made(413, anthropic("request_too_large", "Request exceeds the maximum size"))) is ContextLengthError


@pytest.mark.parametrize(("wish", "status", "retryable"), [("true", 401, True), ("false", 503, False), ("maybe", 503, True), ("maybe", 401, False)])  # fmt: skip
def test_the_vendors_wish_overrides_the_status(wish: str, status: int, retryable: bool) -> None:
    assert made(status, b"x", {"x-should-retry": wish}).retryable == retryable


def test_what_waiting_does_not_help_is_not_retried() -> None:
    assert not made(429, openai("Request too large for m on tokens per min")).retryable
    assert not made(500, {"error": "model requires more system memory (9 GiB) than is available"}).retryable
    assert made(400, openai("bad output", "", "tool_use_failed")).retryable


KEYS = ["sk-abcdefgh12345678", "sk-proj-a_b-c.d123456", "gsk_abcdefgh1234", "AIzaSyA1234567890abc", "xai-12345678abcd", "hf_abcdefghijkl", "sk-ab***********wxyz"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_is_scrubbed(key: str) -> None:
    for text in (f"Incorrect key: {key}.", f"Bearer {key}", f'"{key}"', f"https://x/?key={key}&a=1"):
        assert key[6:] not in scrub(text)
    assert key not in str(made(401, openai(f"Incorrect API key provided: {key}")))


def test_the_secret_itself_is_scrubbed_whatever_it_looks_like() -> None:
    assert scrub("your hunter2 is wrong: hunter2", ["hunter2", ""]) == "your *** is wrong: ***"
    assert "hunter2" not in str(made(401, b"your key hunter2 is wrong", secrets=["hunter2"]))


@pytest.mark.parametrize("text", ["skip_special_tokens is unknown", "unexpected keyword argument", "keyboard layout", "skeleton.json not found", "the key is wrong", "pkg_resources"])  # fmt: skip
def test_ordinary_words_are_not(text: str) -> None:
    assert scrub(text) == text


def test_the_tree_has_one_root_and_says_so() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, errors.HybridNbError) for kind in kinds)
    assert issubclass(errors.ConfigError, ValueError)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_str_names_who_and_what() -> None:
    error = made(503, openai("busy", "x"))
    assert str(error) == "p/m: busy"
    assert str(ProviderError("alone")) == "alone"
    assert error._render_traceback_() == ["ServiceUnavailableError: p/m: busy"]
