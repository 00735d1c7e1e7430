"""Brings all failures of a grpclib call into one form.

Each client translates a `CallFailure` into its own errors; no other module names grpclib's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import H2Error


@dataclass(frozen=True, slots=True)
class CallFailure:
    """The failure of a call that has no reply.

    Attributes:
        text: the peer's words, or what happened to the connection.
        status: the peer's answer; None if there was none.
        is_timeout: whether the call was given up because it took too long.
    """

    text: str
    status: Status | None = None
    is_timeout: bool = False


@contextmanager
def failures_as(translate: Callable[[CallFailure], Exception]) -> Iterator[None]:
    """Raises the error that `translate` makes of each failure, from the original error."""
    try:
        yield
    except GRPCError as error:
        raise translate(CallFailure(error.message or error.status.name, error.status)) from error
    except TimeoutError as error:
        raise translate(CallFailure("no answer in time", is_timeout=True)) from error
    except (OSError, StreamTerminatedError, ProtocolError, H2Error) as error:
        raise translate(CallFailure(str(error) or type(error).__name__)) from error
