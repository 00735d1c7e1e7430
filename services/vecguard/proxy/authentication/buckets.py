"""Token buckets: limit a rate, with a burst. The caller passes the time.

A bucket is one number, the time at which it will be full again (as in the generic cell rate
algorithm of ITU-T I.371). So it needs no timer, and a full bucket need not be remembered.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from cachetools import LRUCache


@dataclass(frozen=True, slots=True)
class Rate:
    """How many tokens a bucket holds, and how many it gains each second."""

    burst: float
    per_second: float

    @classmethod
    def per_minute(cls, burst: float, tokens: float) -> Self:
        """Returns a rate from tokens per minute."""
        return cls(burst, tokens / 60)

    def wait_seconds(self, full_at: float, now: float) -> float:
        """Returns the seconds until a bucket has a token; 0 if it has one."""
        owed = max(0.0, full_at - now)
        return max(0.0, owed - (self.burst - 1) / self.per_second)

    def taken(self, full_at: float, now: float) -> float:
        """Returns when a bucket will be full after taking a token.

        An empty bucket stays empty, so that no wait is longer than the time to fill it.
        """
        return min(max(full_at, now) + 1 / self.per_second, now + self.burst / self.per_second)


class TokenBucket:
    """One bucket, which is full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at = 0.0

    def wait_seconds(self, now: float) -> float:
        """Returns the seconds until there is a token; 0 if there is one."""
        return self._rate.wait_seconds(self._full_at, now)

    def take(self, now: float) -> None:
        """Takes a token."""
        self._full_at = self._rate.taken(self._full_at, now)


class Buckets:
    """A bucket for each key, which is full at first.

    Remembers at most `max_tracked` buckets. It forgets the least recently used one, which then
    counts as full.
    """

    def __init__(self, rate: Rate, max_tracked: int) -> None:
        self._rate = rate
        self._full_at: LRUCache[Hashable, float] = LRUCache(max_tracked)

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_seconds(self, key: Hashable, now: float) -> float:
        """Returns the seconds until there is a token; 0 if there is one."""
        full_at = self._full_at.get(key)
        return 0.0 if full_at is None else self._rate.wait_seconds(full_at, now)

    def is_full(self, key: Hashable, now: float) -> bool:
        """Returns whether the bucket is full."""
        return self._full_at.get(key, now) <= now

    def take(self, key: Hashable, now: float) -> None:
        """Takes a token."""
        self._full_at[key] = self._rate.taken(self._full_at.get(key, now), now)

    def refill(self, key: Hashable) -> None:
        """Fills the bucket."""
        self._full_at.pop(key, None)
