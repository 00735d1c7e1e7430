"""How long to wait before the next attempt after one or more failures in a row."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The delays of one kind of attempt.

    Attributes:
        first_seconds: after the first failure in a row.
        longest_seconds: no delay grows beyond this.
        factor: by which each delay is longer than the one before. gRPC's "Connection
            Backoff" has 1.6.
        jitter: between which parts of the delay the wait is drawn, evenly. It spreads
            processes that failed at the same moment; (1.0, 1.0) draws nothing. gRPC has
            a fifth to either side.
    """

    first_seconds: float
    longest_seconds: float
    factor: float = 1.6
    jitter: tuple[float, float] = (0.8, 1.2)


class Backoff:
    """Counts the failures in a row of one series of attempts."""

    def __init__(self, policy: BackoffPolicy, random: Callable[[], float]) -> None:
        """Begins without a failure; `random` gives numbers evenly spread over [0, 1)."""
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
