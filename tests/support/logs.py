"""What the code under test says in its log."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


@contextmanager
def every_log_line() -> Iterator[list[MutableMapping[str, Any]]]:
    """Collects the lines of all levels, also where an earlier test has set one."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(**before)
