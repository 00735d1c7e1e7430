"""Logs a failure that a loop meets repeatedly."""

from typing import Any, Literal

from structlog.typing import FilteringBoundLogger

from vecguard.boot_clock import boot_clock
from vecguard.clock import Clock

_WINDOW_SECONDS = 60.0
# A failure whose text changes every time must not fill the log either.
_MOST_CAUSES = 8


class RepeatedFailure:
    """Logs each cause of a failure once a minute, and the end of the failure.

    `repeated` in a line is the number of failures before it that were not logged.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        event: str,
        *,
        over: str = "",
        level: Literal["info", "warning", "error"] = "warning",
        clock: Clock = boot_clock,
    ) -> None:
        """Logs failures as `event` at `level`, and their end as `over` (empty: not logged)."""
        self._log = log
        self._event = event
        self._over = over
        self._level = level
        self._clock = clock
        self._began = float("-inf")
        self._causes: set[str] = set()
        self._unlogged = 0
        self._is_logged = False

    def failed(self, cause: str, **entry: Any) -> None:
        """Counts a failure. Equal causes are counted together; `entry` goes into the line."""
        now = self._clock()
        if now - self._began >= _WINDOW_SECONDS:
            self._began = now
            self._causes.clear()
        if cause in self._causes or len(self._causes) >= _MOST_CAUSES:
            self._unlogged += 1
            return
        self._causes.add(cause)
        self._is_logged = True
        log = self._log
        write = {"info": log.info, "warning": log.warning, "error": log.error}[self._level]
        write(self._event, **entry, **self._counted())

    def ended(self) -> None:
        """Records a success. Logged only after a failure that was logged."""
        if self._is_logged and self._over:
            self._log.info(self._over, **self._counted())
        self._is_logged = False

    def _counted(self) -> dict[str, int]:
        untold, self._unlogged = self._unlogged, 0
        return {"repeated": untold} if untold else {}
