"""Logs bugs by their place in the code, without the data that caused them."""

import traceback

from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog

log = SparseLog(get_logger(__name__))

# The innermost frames. An endless recursion has thousands.
_MAX_FRAMES = 20


def log_fault(error: BaseException, event: str) -> None:
    """Writes one short line about an unexpected exception, which is a bug.

    Its text is left out: a message such as a KeyError's holds what a client sent. Lines of one
    event are limited, because a client may be able to repeat their cause.
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-_MAX_FRAMES)
    log.error(
        event,
        error=type(error).__name__,
        where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
