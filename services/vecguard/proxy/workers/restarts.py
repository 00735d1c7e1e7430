"""The delays before ended children are started again."""

from random import random
from typing import Final

from vecguard.backoff import Backoff, BackoffPolicy

# The children of one machine need no jitter.
_DELAYS: Final = BackoffPolicy(
    first_seconds=0.5, longest_seconds=30.0, factor=2.0, jitter=(1.0, 1.0)
)
#: The end of a child that lived this long does not count as an early end.
_SETTLED_SECONDS: Final = 30.0


class Restarts:
    """The delays of one child: none at first, then doubling for each early end in a row."""

    def __init__(self) -> None:
        self._backoff = Backoff(_DELAYS, random)
        self._ended_early = False

    def delay(self, lived_seconds: float) -> float:
        """Returns the seconds until the next start, for a child that lived so long."""
        if lived_seconds >= _SETTLED_SECONDS or not self._ended_early:
            self._ended_early = True
            self._backoff.succeeded()
            return 0.0
        return self._backoff.failed()
