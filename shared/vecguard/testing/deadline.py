"""Limits everything that a start does by one deadline."""

import threading
import time
from collections.abc import Callable

from vecguard.testing.errors import StackError

_POLL_SECONDS = 0.05


class Deadline:
    """A deadline whose waits can also be given up early.

    Every wait of the package goes through here, so that an interrupted start ends soon.
    """

    def __init__(self, seconds: float, given_up: threading.Event | None = None) -> None:
        """Starts to count.

        Args:
            seconds: the time from now.
            given_up: ends every wait when it is set.
        """
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._given_up = given_up or threading.Event()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns when the condition holds.

        Args:
            condition: called repeatedly; it must answer within a second or so, and may raise to
                end the wait.
            what: completes "not in time: ".

        Raises:
            StackError: it did not hold in time, or the start was given up.
        """
        while not condition():
            self.check(what)
            self._given_up.wait(_POLL_SECONDS)

    def check(self, what: str) -> None:
        """Raises StackError when the deadline has passed or the start was given up."""
        if self._given_up.is_set():
            raise StackError(f"given up before this came true: {what}")
        if time.monotonic() > self._end:
            raise StackError(f"not within {self._seconds:g} s: {what}")
