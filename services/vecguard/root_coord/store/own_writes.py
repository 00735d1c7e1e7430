"""Which changes of the store are of our own making."""

from cachetools import LRUCache

from vecguard.passwords import PasswordHash

# A change is seen by the watch within moments of its making.
_REMEMBERED = 10_000


# A hash that is written, or the name of a user who is deleted.
Write = PasswordHash | str


class OwnWrites:
    """What this root coord has written, so that the watch can tell it apart.

    Its own changes are revoked by whoever makes them, or, in the case of a rehash, revoke
    nothing.
    """

    def __init__(self) -> None:
        self._writes: LRUCache[Write, None] = LRUCache(_REMEMBERED)

    def add(self, write: Write) -> None:
        """This is about to be written."""
        self._writes[write] = None

    def discard(self, write: Write) -> None:
        """Nobody knows whether this was written, so the watch shall tell."""
        self._writes.pop(write, None)

    def clear(self) -> None:
        """Some will never be seen, and nobody knows which; the others pass for foreign ones."""
        self._writes.clear()

    def take(self, write: Write) -> bool:
        """Whether this was written here; once, for each write is seen once.

        Should somebody put the very same hash back later, that is their change.
        """
        if write not in self._writes:
            return False
        del self._writes[write]
        return True
