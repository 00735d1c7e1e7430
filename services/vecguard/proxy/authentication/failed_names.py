"""Which user names have failed from which addresses not long ago."""

from cachetools import TTLCache

from vecguard.clock import Clock

# A guesser goes on for longer than a person needs to find the right password.
_MEMORY_SECONDS = 600.0


class FailedNames:
    """Pairs of an address and a user name, for ten minutes after their last failure.

    A right login clears its pair. At most `max_tracked` are remembered, the newest ones.
    """

    def __init__(self, max_tracked: int, clock: Clock) -> None:
        self._pairs: TTLCache[tuple[str, str], None] = TTLCache(max_tracked, _MEMORY_SECONDS, clock)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        """Whether the pair of an origin and a user name has failed lately."""
        return pair in self._pairs

    def failed(self, origin: str, username: str) -> bool:
        """Remembers a failure; says whether it is the first one of this name from there."""
        pair = origin, username
        is_first = self._pairs.pop(pair, self) is self
        self._pairs[pair] = None
        return is_first

    def succeeded(self, origin: str, username: str) -> None:
        """The name is as good as new there."""
        self._pairs.pop((origin, username), None)
