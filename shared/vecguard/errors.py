"""Defines the expected errors of all services, and the gRPC status of each.

An error's text says what was wrong and what to do. It never holds a password,
a hash or a token. `reason` is stable and machine-readable: metrics, logs and
tests use it, never the text.
"""

from enum import Enum, unique
from typing import ClassVar, Final


@unique
class Status(Enum):
    """The status codes of gRPC ("Status codes and their use in gRPC").

    Our own enumeration, so that code without a gRPC library can name a status.
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: The status by which root coord tells a proxy that a change may or may not have been applied.
OUTCOME_UNKNOWN: Final = Status.UNKNOWN


class VecguardError(Exception):
    """Base of every expected failure.

    Attributes:
        status: the gRPC status that a caller receives.
        reason: a stable word for metrics and logs.
        is_bad_login: whether the caller showed no right login, or too many wrong ones.
        retry_after_seconds: how long a caller should wait before it tries again; None when
            unknown.
    """

    status: ClassVar[Status] = Status.INTERNAL
    reason: ClassVar[str] = "internal"
    is_bad_login: ClassVar[bool] = False
    retry_after_seconds: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnavailableError(VecguardError):
    """A needed part cannot be reached or does not serve; trying again may help."""

    status = Status.UNAVAILABLE
    reason = "unavailable"


class OutcomeUnknownError(UnavailableError):
    """A change may or may not have been applied. Repeating it is safe."""

    reason = "outcome_unknown"


class DeadlineError(VecguardError):
    """The caller's deadline passed before the answer."""

    status = Status.DEADLINE_EXCEEDED
    reason = "deadline_exceeded"


class OverloadedError(VecguardError):
    """A bounded queue is full or a limit is reached."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class MessageTooLargeError(OverloadedError):
    """A message is over the configured limit.

    Attributes:
        size: its length in bytes; None when it is only known to be over the limit.
        limit: the limit in bytes.
    """

    reason = "message_too_large"

    def __init__(self, size: int | None, limit: int) -> None:
        self.size = size
        self.limit = limit
        shown = "" if size is None else f" of {size} bytes"
        super().__init__(f"a message{shown} is over the limit of {limit}")


class TooManyFieldsError(OverloadedError):
    """A message has more fields than allowed."""

    reason = "too_many_fields"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a message has more than {limit} fields")


class MalformedMessageError(VecguardError):
    """A message cannot be read, or the stream ends within it."""

    reason = "malformed_message"


class UnsupportedError(VecguardError):
    """This server does not serve the method, which exists elsewhere."""

    status = Status.UNIMPLEMENTED
    reason = "unsupported"


class InvalidParameterError(VecguardError):
    """A value in a request breaks a rule."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid_parameter"


class ConfigurationError(VecguardError):
    """The configuration cannot be used. The process must not start.

    Attributes:
        lines: the lines of the text. A line that quotes a file may hold further line breaks.
    """

    status = Status.FAILED_PRECONDITION
    reason = "configuration"

    def __init__(self, message: str, *problems: str) -> None:
        super().__init__("\n  ".join((message, *problems)))
        self.lines = (message, *problems)
