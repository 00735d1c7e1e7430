"""Reads the log of the code under test."""

import io
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs

from vecguard.observability.log import _NOISY, _Handler, configure_logging


@contextmanager
def every_log_line() -> Iterator[list[MutableMapping[str, Any]]]:
    """Collects the lines of all levels, even if an earlier test has set a level."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(**before)


@contextmanager
def written_log() -> Iterator[io.StringIO]:
    """Yields what a process writes: a JSON object in each line, entries of libraries included."""
    stream = io.StringIO()
    with restored_logging():
        configure_logging("info", "json", stream=stream, service="test")
        yield stream


@contextmanager
def restored_logging() -> Iterator[None]:
    """Takes back at the end what `configure_logging` has changed in this process."""
    before = structlog.get_config() if structlog.is_configured() else None
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, _NOISY))}
    handlers = our_handlers()
    try:
        yield
    finally:
        if before is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**before)
        for handler in our_handlers():
            root.removeHandler(handler)
        for handler in handlers:
            root.addHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)


def our_handlers() -> list[logging.Handler]:
    """The handlers of the root logger that `configure_logging` has added."""
    return [each for each in logging.getLogger().handlers if isinstance(each, _Handler)]
