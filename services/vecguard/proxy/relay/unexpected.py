"""Logs a bug of the proxy, and makes the error that the client gets."""

from vecguard.errors import VecguardError
from vecguard.observability.faults import log_fault


def unexpected_error(error: Exception, event: str = "call_failed") -> VecguardError:
    """Logs an unexpected exception, which is a bug. Returns the error for the client."""
    log_fault(error, event)
    return VecguardError("internal error; the proxy's log has the details")
