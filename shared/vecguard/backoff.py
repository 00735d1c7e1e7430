"""Computes how long to wait before the next attempt after failures in a row."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The delays between attempts.

    Attributes:
        first_seconds: the delay after the first failure in a row.
        longest_seconds: the limit of the delay.
        factor: the ratio of each delay to the one before. gRPC's "Connection Backoff" has 1.6.
        jitter: the parts of the delay between which the wait is drawn, evenly. It spreads
            processes that failed at the same moment; (1.0, 1.0) switches it off. gRPC has a
            fifth to either side.
    """

    first_seconds: float
    longest_seconds: float
    factor: float = 1.6
    jitter: tuple[float, float] = (0.8, 1.2)


class Backoff:
    """Counts the failures in a row of a series of attempts."""

    def __init__(self, policy: BackoffPolicy, random: Callable[[], float]) -> None:
        """Starts without a failure; `random` returns numbers evenly spread over [0, 1)."""
        self._policy = policy
        self._random = random
        self._next_seconds = policy.first_seconds

    def failed(self) -> float:
        """Counts a failure. Returns the seconds to wait before the next attempt."""
        delay = min(self._next_seconds, self._policy.longest_seconds)
        self._next_seconds = delay * self._policy.factor
        low, high = self._policy.jitter
        return delay * (low + (high - low) * self._random())

    def succeeded(self) -> None:
        """Ends the series: the next failure counts as the first."""
        self._next_seconds = self._policy.first_seconds
