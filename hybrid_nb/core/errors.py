"""Everything that hybrid_nb raises. What turns a response into one of these is in responses.py.

    InferenceError                     a call to a provider failed
      AuthenticationError              401: the key is missing, wrong or revoked
      PermissionDeniedError            403: the key may not do this
      RateLimitError                   429: too many requests or tokens for now (retry_after)
      QuotaExceededError               the account's money or allowance is gone; waiting does not help
      ServiceUnavailableError          500, 502, 503, 504, 529: the provider is down or overloaded
      ProviderTimeoutError             no connection, first token, next token or end in time
      ConnectionFailedError            refused, reset, DNS, TLS
      InvalidRequestError              400, 422: the request itself is wrong
        ContextLengthError             the prompt does not fit the model, or 413: what this target takes at once
        ContentFilterError             refused by the provider's safety system
        ModelNotFoundError             404: no such model there
        UnsupportedFeatureError        tools, images, schema ... that the model does not know
      StreamInterruptedError           the stream broke after it had begun (partial_text)
      MalformedResponseError           what came back is not what the wire promises
      ProviderError                    any other error that the provider reported
    NoProviderAvailableError           nobody could take the call (attempts, retry_at)
    BudgetExceededError                the call would pass a budget (limit, spent, estimate, resets_at)
    ReplayMissError                    a replay has no recording of the request (prompt, nearest, differs)
    ConfigError                        the configuration is wrong: file, key and remedy
      ConfigConflictError              the file was changed by somebody else since it was read (path, changes)

All derive from HybridNbError. Messages never hold a secret: bodies pass through `responses.scrub`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hybrid_nb.core.types import Attempt, Candidate


class HybridNbError(Exception):
    """The root of everything raised by hybrid_nb."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a wall of frames; %llm_explain has the rest
        return [f"{type(self).__name__}: {self}"]


class Mistake(NamedTuple):
    """One thing that is wrong in a configuration: where (("provider", 0, "base_url")), and what, in a sentence."""

    where: tuple[int | str, ...]
    told: str


class ConfigError(HybridNbError, ValueError):
    """The configuration is wrong. The message names the file, the key and the remedy.

    `problems` has the parts, as far as they are known one by one; `line` (from 1) is where a file cannot be read.
    """

    def __init__(self, message: str, problems: Sequence[Mistake] = (), line: int | None = None) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        self.line = line


class ConfigConflictError(ConfigError):
    """The file was changed by somebody else since it was read; `changes` are theirs, one short line each."""

    def __init__(self, message: str, path: str, changes: Sequence[str]) -> None:
        super().__init__(message)
        self.path = path
        self.changes = tuple(changes)


class InferenceError(HybridNbError):
    """A call to a provider failed.

    `retryable` says whether the same request may succeed later or elsewhere.
    """

    retryable_by_default = False

    def __init__(
        self,
        message: str,
        provider: str | None = None,
        status_code: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.status_code = status_code
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.model: str | None = None
        self.attempts: Sequence[Attempt] = ()

    def __str__(self) -> str:
        where = f"{self.provider}/{self.model}" if self.provider and self.model else self.provider
        return f"{where}: {self.message}" if where else self.message


class AuthenticationError(InferenceError):
    """401: the key is missing, wrong or revoked."""


class PermissionDeniedError(InferenceError):
    """403: the key is known but may not do this."""


class RateLimitError(InferenceError):
    """429: too many requests or tokens for now. `retry_after` is seconds, None when not told."""

    retryable_by_default = True

    def __init__(self, message: str, *args: Any, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        self.retry_after = retry_after


class QuotaExceededError(InferenceError):
    """The account's credit or allowance is gone; another provider may do, waiting will not."""


class ServiceUnavailableError(InferenceError):
    """500, 502, 503, 504, 529: down or overloaded. `retry_after` is seconds, None when not told."""

    retryable_by_default = True

    def __init__(self, message: str, *args: Any, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        self.retry_after = retry_after


class ProviderTimeoutError(InferenceError):
    """Nothing came in time; the message says what was waited for and how long."""

    retryable_by_default = True


class ConnectionFailedError(InferenceError):
    """Refused, reset, no such host, TLS: the request got no answer."""

    retryable_by_default = True


class InvalidRequestError(InferenceError):
    """The request itself is wrong; sending it again changes nothing."""


class ContextLengthError(InvalidRequestError):
    """The prompt (and max_tokens) does not fit the model's context, or is more than this target takes at once (413,
    as Groq says to a request above the tokens of a minute). Another target may take it.
    """


class ContentFilterError(InvalidRequestError):
    """Refused by the provider's safety system."""


class ModelNotFoundError(InvalidRequestError):
    """No such model at this provider, or anywhere."""


class UnsupportedFeatureError(InvalidRequestError):
    """The model or provider has no tools, images, schema ... as asked."""


class StreamInterruptedError(InferenceError):
    """The stream broke after it had begun. `partial_text` is all that came."""

    retryable_by_default = True

    def __init__(self, message: str, *args: Any, partial_text: str = "", **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        self.partial_text = partial_text


class MalformedResponseError(InferenceError):
    """What came back is not what the wire promises: HTML, an empty body, broken JSON, a wrong schema."""

    retryable_by_default = True

    def __init__(self, message: str, *args: Any, partial_text: str = "", **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        self.partial_text = partial_text


class ProviderError(InferenceError):
    """An error that the provider reported and no other class names."""


class NoProviderAvailableError(HybridNbError):
    """Nobody could take the call. `attempts` lists what was tried, `retry_at` (unix time) when to come back."""

    def __init__(
        self,
        message: str,
        attempts: Sequence[Attempt] = (),
        retry_at: float | None = None,
        candidates: Sequence[Candidate] = (),
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.retry_at = retry_at
        self.candidates = candidates


class BudgetExceededError(HybridNbError):
    """The call would pass a budget. Dollars; `resets_at` is unix time, None for a limit of one call."""

    def __init__(
        self,
        message: str,
        limit: Any = None,
        spent: Any = None,
        estimate: Any = None,
        resets_at: float | None = None,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.spent = spent
        self.estimate = estimate
        self.resets_at = resets_at


class ReplayMissError(HybridNbError):
    """A replay has no recording of the request. `prompt` is the last text of the user, `nearest` the prompt of the
    recording that comes nearest (None: there is none), and `differs` what differs from it, field by field.
    """

    def __init__(self, message: str, prompt: str = "", nearest: str | None = None, differs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.prompt = prompt
        self.nearest = nearest
        self.differs = tuple(differs)


# --- the table -------------------------------------------------------------------------------------------

# shared/facts/wire_formats 17.1: lower-cased texts by which vendors say "too long"; never tested on 429
