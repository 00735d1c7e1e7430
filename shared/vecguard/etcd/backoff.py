"""How long to wait before the next attempt."""

from collections.abc import Callable

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 1.0


class Backoff:
    """Delays between attempts at several endpoints.

    Every endpoint is tried once without waiting. After each full round the delay doubles
    up to a bound, and between half of it and all of it is waited, so that many clients
    do not come back at the same moment.

    Args:
        endpoints: how many there are.
        jitter: gives numbers evenly spread over [0, 1).
        longest_seconds: the bound.
    """

    def __init__(
        self,
        endpoints: int,
        jitter: Callable[[], float],
        *,
        longest_seconds: float = LONGEST_DELAY_SECONDS,
    ) -> None:
        self._endpoints = endpoints
        self._jitter = jitter
        self._longest_seconds = longest_seconds
        self._failures = 0

    def failed(self) -> float:
        """Counts a failed attempt; returns the seconds to wait before the next."""
        self._failures += 1
        rounds, rest = divmod(self._failures, self._endpoints)
        if rest:
            return 0.0
        # The exponent is bounded because 2**1000 does not fit a float.
        delay = min(self._longest_seconds, FIRST_DELAY_SECONDS * 2.0 ** min(rounds - 1, 30))
        return delay * (0.5 + 0.5 * self._jitter())

    def succeeded(self) -> None:
        """Starts again from the shortest delay."""
        self._failures = 0
