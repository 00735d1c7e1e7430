"""Reads the log of the code under test."""

import io
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs

from vecguard.observability.log import configure_logging


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
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream, service="test")
    try:
        yield stream
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)
