"""Remembers which user names have failed lately from which origins."""

from cachetools import TTLCache

from vecguard.clock import Clock

# Guessing takes longer than a person needs to find the right password.
_MEMORY_SECONDS = 600.0


class FailedNames:
    """Remembers pairs of an origin and a user name for ten minutes after their last failure.

    A right login clears its pair. At most `max_tracked` pairs are remembered, the newest ones.
    """

    def __init__(self, max_tracked: int, clock: Clock) -> None:
        self._pairs: TTLCache[tuple[str, str], None] = TTLCache(max_tracked, _MEMORY_SECONDS, clock)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        """Returns whether the pair of an origin and a user name has failed lately."""
        return pair in self._pairs

    def failed(self, origin: str, username: str) -> bool:
        """Remembers a failure. Returns whether it is the first of this name from this origin."""
        pair = origin, username
        is_first = self._pairs.pop(pair, self) is self
        self._pairs[pair] = None
        return is_first

    def succeeded(self, origin: str, username: str) -> None:
        """Forgets the failures of this name from this origin."""
        self._pairs.pop((origin, username), None)
