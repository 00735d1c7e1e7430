"""Defines the exit codes and the errors that end a command. Documented in docs/cli.md."""

from enum import IntEnum

from vecguard.cli.reasons import Reason
from vecguard.errors import (
    ConfigurationError,
    DeadlineError,
    OverloadedError,
    UnavailableError,
    VecguardError,
)
from vecguard.etcd import EtcdNoSpaceError


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    NEGATIVE = 1
    """The answer is no: refused, not found, not allowed by a rule, or something is wrong."""
    USAGE = 2
    """The command cannot be understood, or a file or setting that it names cannot be used."""
    UNREACHABLE = 3
    """A part is unreachable, too slow, overloaded or out of space. Trying again may help."""
    NOT_ALLOWED = 4
    """The login is refused, or it may not do this."""
    BUG = 70  # EX_SOFTWARE of sysexits.h
    OUTPUT_LOST = 74  # EX_IOERR of sysexits.h
    """The answer cannot be written to standard output, for example to a full disk."""
    INTERRUPTED = 130  # 128 + SIGINT
    PIPE_CLOSED = 141  # 128 + SIGPIPE
    """The reader closed standard output, for example `head` in a pipe."""


class UsageError(VecguardError):
    """An option or a value that the command was given cannot be used."""

    reason = Reason.USAGE


class NegativeError(VecguardError):
    """The other side understood the request and refuses it."""

    reason = Reason.REFUSED

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        """`reason` is the case, if it is known."""
        super().__init__(message)
        if reason is not None:
            self.reason = reason  # type: ignore[misc]  # the case differs by instance here only


class NotAllowedError(VecguardError):
    """The login is refused, or the user has no permission for this."""

    reason = Reason.PERMISSION_DENIED


def reason_of(error: VecguardError) -> Reason:
    """Returns the case of an error; that of its base class if it has none in `Reason`."""
    words = (error.reason, *(getattr(kind, "reason", None) for kind in type(error).__mro__))
    return next((Reason(word) for word in words if word in set(Reason)), Reason.INTERNAL)


def exit_code_of(error: VecguardError) -> ExitCode:
    """Returns the exit code of a command that ends with this error."""
    match error:
        case UsageError() | ConfigurationError():
            return ExitCode.USAGE
        case NotAllowedError():
            return ExitCode.NOT_ALLOWED
        case UnavailableError() | DeadlineError() | OverloadedError() | EtcdNoSpaceError():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.NEGATIVE
