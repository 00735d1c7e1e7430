"""Says how long to wait between attempts: not within a round of all endpoints, longer after it."""

from collections.abc import Callable

from vecguard.backoff import Backoff, BackoffPolicy

#: Between two rounds. Half of a delay is jitter, so that many clients do not return together.
ROUND_DELAYS = BackoffPolicy(first_seconds=0.05, longest_seconds=1.0, factor=2.0, jitter=(0.5, 1.0))


class Rounds:
    """Tries every endpoint once without waiting, and waits after each full round.

    Args:
        endpoints: the number of endpoints.
        random: returns numbers evenly spread over [0, 1).
    """

    def __init__(self, endpoints: int, random: Callable[[], float]) -> None:
        self._endpoints = endpoints
        self._backoff = Backoff(ROUND_DELAYS, random)
        self._failures = 0

    def failed(self) -> float:
        """Counts a failed attempt. Returns the seconds to wait before the next one."""
        self._failures += 1
        return 0.0 if self._failures % self._endpoints else self._backoff.failed()

    def succeeded(self) -> None:
        """Begins a new round, with the shortest delay after it."""
        self._failures = 0
        self._backoff.succeeded()
