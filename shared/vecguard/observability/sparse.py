"""Limits log entries that clients can cause without limit."""

from dataclasses import dataclass
from typing import Any

from structlog.typing import FilteringBoundLogger

from vecguard.boot_clock import boot_clock
from vecguard.clock import Clock

_MOST = 20
_WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class _Window:
    began: float
    written: int = 0
    left_out: int = 0


class SparseLog:
    """Writes a limited number of entries of each event in a minute, then counts the others.

    The next entry says how many were left out. Events are fixed words of the code, so that the
    memory for them is bounded.
    """

    def __init__(
        self, log: FilteringBoundLogger, *, most: int = _MOST, clock: Clock = boot_clock
    ) -> None:
        self._log = log
        self._most = most
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def info(self, event: str, **entry: Any) -> None:
        """Writes an entry at level info, or counts it."""
        if self._may_write(event, entry):
            self._log.info(event, **entry)

    def warning(self, event: str, **entry: Any) -> None:
        """Writes an entry at level warning, or counts it."""
        if self._may_write(event, entry):
            self._log.warning(event, **entry)

    def error(self, event: str, **entry: Any) -> None:
        """Writes an entry at level error, or counts it."""
        if self._may_write(event, entry):
            self._log.error(event, **entry)

    def _may_write(self, event: str, entry: dict[str, Any]) -> bool:
        now = self._clock()
        window = self._windows.get(event)
        if window is None or now - window.began >= _WINDOW_SECONDS:
            if window is not None and window.left_out:
                entry["left_out"] = window.left_out
            window = self._windows[event] = _Window(now)
        if window.written < self._most:
            window.written += 1
            return True
        window.left_out += 1
        return False
