"""Token buckets: how often something may happen, with a burst. Time comes in.

A bucket is one number, the moment at which it will be full again (the generic cell rate
algorithm of ITU-T I.371 seen from its other side): it needs no timer, and one that is
full again need not be remembered at all.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from cachetools import LRUCache


@dataclass(frozen=True, slots=True)
class Rate:
    """How much a bucket holds, and how many tokens flow in each second."""

    burst: float
    per_second: float

    @classmethod
    def per_minute(cls, burst: float, tokens: float) -> Self:
        """A rate in minutes, as people think of logins."""
        return cls(burst, tokens / 60)

    def wait_seconds(self, full_at: float, now: float) -> float:
        """How long until a bucket has a whole token; 0 when it has one."""
        owed = max(0.0, full_at - now)
        return max(0.0, owed - (self.burst - 1) / self.per_second)

    def taken(self, full_at: float, now: float) -> float:
        """When the bucket will be full after one more token was taken.

        It never owes more than it holds, so that nobody is shut out for longer than it
        takes to fill.
        """
        return min(max(full_at, now) + 1 / self.per_second, now + self.burst / self.per_second)


class TokenBucket:
    """One bucket, full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at = 0.0

    def wait_seconds(self, now: float) -> float:
        """How long until there is a token; 0 when there is one."""
        return self._rate.wait_seconds(self._full_at, now)

    def take(self, now: float) -> None:
        """Takes a token."""
        self._full_at = self._rate.taken(self._full_at, now)


class Buckets:
    """A bucket for each key, full until something is taken from it.

    At most `max_tracked` are remembered; the one that was used longest ago is forgotten,
    which is to say full.
    """

    def __init__(self, rate: Rate, max_tracked: int) -> None:
        self._rate = rate
        self._full_at: LRUCache[Hashable, float] = LRUCache(max_tracked)

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_seconds(self, key: Hashable, now: float) -> float:
        """How long until there is a token; 0 when there is one."""
        full_at = self._full_at.get(key)
        return 0.0 if full_at is None else self._rate.wait_seconds(full_at, now)

    def is_full(self, key: Hashable, now: float) -> bool:
        """Whether nothing was taken that has not come back."""
        return self._full_at.get(key, now) <= now

    def take(self, key: Hashable, now: float) -> None:
        """Takes a token."""
        self._full_at[key] = self._rate.taken(self._full_at.get(key, now), now)

    def refill(self, key: Hashable) -> None:
        """Forgets what was taken."""
        self._full_at.pop(key, None)
