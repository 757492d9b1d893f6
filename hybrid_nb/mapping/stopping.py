"""When a map ends before its rows do: errors that come again and again, money that is gone; and when it waits. Pure."""

from __future__ import annotations

from collections.abc import Callable

from hybrid_nb.core.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    HybridNbError,
    InferenceError,
    InvalidRequestError,
    MalformedResponseError,
    ModelNotFoundError,
    NoProviderAvailableError,
    PermissionDeniedError,
    QuotaExceededError,
    UnsupportedFeatureError,
)

HOPELESS = (AuthenticationError, PermissionDeniedError, QuotaExceededError, ModelNotFoundError, UnsupportedFeatureError)
OF_ROWS = (ContextLengthError, ContentFilterError, MalformedResponseError)  # the next row may be well
MANY_HOPELESS, MANY_INVALID, MANY = 5, 10, 25
PATIENCE = 900.0  # seconds without an answer for which a map waits for those who are shut
SOON = 0.2  # seconds between tries at least


class Streak:
    """Failures of one kind, one after another. Says when there have been so many that the next will fail too."""

    def __init__(self, answered: Callable[[], bool] = lambda: False) -> None:
        """`answered`: whether any row of the same map has an answer, so that the request as such is no invalid one."""
        self._answered = answered
        self._kind: type | None = None
        self._count = 0
        self.last: BaseException | None = None  # of somebody who was asked

    def well(self) -> None:
        """A row was answered."""
        self._kind, self._count = None, 0

    def failed(self, error: BaseException) -> bool:
        """A row failed; whether to stop now."""
        cause = error.__cause__ if isinstance(error, NoProviderAvailableError) and error.__cause__ else error
        kind = type(cause)
        if not isinstance(cause, NoProviderAvailableError):
            self.last = cause
        if issubclass(kind, OF_ROWS):
            return False
        self._count = self._count + 1 if kind is self._kind else 1
        self._kind = kind
        return self._count >= patience(kind) and not (_of_request(kind) and self._answered())


class Outage:
    """Nobody can take a call for now: all that fit are shut, or rest as they asked. Times are unix times, passed in.

    A row that meets this was not sent to anybody, so it is no failure: it is asked again at `until`. Where nobody has
    answered yet there is nothing to wait for: a server that is not there, or a wrong address.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self._since: float | None = None
        self._answered = False

    def well(self) -> None:
        """A row was answered."""
        self.until, self._since, self._answered = 0.0, None, True

    def refused(self, error: BaseException, now: float) -> bool:
        """Whether the row waits; False: this is something else, or was waited for long enough."""
        if not isinstance(error, NoProviderAvailableError) or error.attempts or error.retry_at is None:
            return False
        if not self._answered:
            return False
        if self._since is None:
            self._since = now
        if now - self._since >= PATIENCE:
            return False
        self.until = max(self.until, error.retry_at, now + SOON)
        return True


def _of_request(kind: type) -> bool:
    return issubclass(kind, InvalidRequestError) and not issubclass(kind, HOPELESS)


def patience(kind: type) -> int:
    """How many failures of this kind in a row are enough."""
    if not issubclass(kind, HybridNbError) or issubclass(kind, ConfigError):
        return 1
    if issubclass(kind, HOPELESS):
        return MANY_HOPELESS
    return MANY_INVALID if issubclass(kind, InvalidRequestError) else MANY


def out_of_money(error: BaseException) -> bool:
    """Whether a limit of money is reached, so that no further row can be paid for."""
    return isinstance(error, BudgetExceededError)


def told(error: Exception, more: str) -> Exception:
    """The error, with more in its text."""
    text = f"{error.message if isinstance(error, InferenceError) else error}; {more}"
    error.args = (text, *error.args[1:])
    if isinstance(error, InferenceError):
        error.message = text
    return error


def line(error: BaseException) -> str:
    """An error as a row shows it."""
    return f"{type(error).__name__}: {error}"
