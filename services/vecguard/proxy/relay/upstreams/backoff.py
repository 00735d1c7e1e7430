"""How long to wait before the next attempt to connect."""

from dataclasses import dataclass
from random import Random

# As gRPC's "Connection Backoff" has them.
_FACTOR = 1.6
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The delays, in seconds.

    Attributes:
        first_seconds: after the first failure in a row. A backend that restarts is often
            there again within less than a second.
        most_seconds: the longest delay, and so how long a backend may be back unnoticed.
    """

    first_seconds: float = 0.1
    most_seconds: float = 5.0


class Backoff:
    """Failures in a row, and the delay that each is worth."""

    def __init__(self, policy: BackoffPolicy, random: Random) -> None:
        """`random` spreads the attempts of processes that lost the same backend together."""
        self._policy = policy
        self._random = random
        self._next_seconds = policy.first_seconds

    def failed(self) -> float:
        """The delay before the next attempt, in seconds."""
        seconds = min(self._next_seconds, self._policy.most_seconds)
        self._next_seconds = seconds * _FACTOR
        return seconds * self._random.uniform(1 - _JITTER, 1 + _JITTER)

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._next_seconds = self._policy.first_seconds
