"""One deadline for everything that a start does."""

import threading
import time
from collections.abc import Callable

from vecguard.testing.errors import StackError

_POLL_SECONDS = 0.05


class Deadline:
    """A moment, and a way to give up before it.

    Every wait of the package goes through here, so that an interrupted start ends soon.
    """

    def __init__(self, seconds: float, given_up: threading.Event | None = None) -> None:
        """Begins to count.

        Args:
            seconds: how long from now.
            given_up: ends every wait when somebody sets it.
        """
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._given_up = given_up or threading.Event()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns when the condition holds.

        Args:
            condition: asked again and again; it must answer within a second or so, and may
                raise to end the wait.
            what: completes "not in time: ".

        Raises:
            StackError: it did not come true in time, or somebody gave up.
        """
        while not condition():
            self.check(what)
            self._given_up.wait(_POLL_SECONDS)

    def check(self, what: str) -> None:
        """Raises StackError when the moment has passed or somebody gave up."""
        if self._given_up.is_set():
            raise StackError(f"given up before this came true: {what}")
        if time.monotonic() > self._end:
            raise StackError(f"not within {self._seconds:g} s: {what}")
