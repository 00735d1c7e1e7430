"""Bugs of ours: logged by where they are, never by what was in the data."""

import traceback

from shared.errors import VecguardError
from shared.observability.log import get_logger

log = get_logger(__name__)


def unexpected_error(error: Exception, event: str = "call_failed") -> VecguardError:
    """Logs an exception that nobody expected; what the client is told about it.

    Its text is left out: a message such as a KeyError's holds what a client sent.
    """
    log.error(
        event,
        error=type(error).__name__,
        where=[
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    )
    return VecguardError("internal error; the proxy's log has it")
