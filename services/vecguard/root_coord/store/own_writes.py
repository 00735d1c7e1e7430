"""Remembers which changes of the store this root coord made itself."""

from cachetools import LRUCache

from vecguard.passwords import PasswordHash

# The watch sees a change moments after it is written, so few are remembered at a time.
_REMEMBERED = 10_000


# A written hash, or the name of a deleted user.
Write = PasswordHash | str


class OwnWrites:
    """Holds the writes of this root coord, so that the watch can recognise them.

    `Credentials` revokes its own changes itself; a rehash needs no revocation.
    """

    def __init__(self) -> None:
        self._writes: LRUCache[Write, None] = LRUCache(_REMEMBERED)

    def add(self, write: Write) -> None:
        """Records a write that is about to be made."""
        self._writes[write] = None

    def discard(self, write: Write) -> None:
        """Forgets a write that may not have been made; the watch revokes it if it appears."""
        self._writes.pop(write, None)

    def clear(self) -> None:
        """Forgets all writes, because some of them will never be seen.

        The others then count as foreign, which is safe: they are revoked once more.
        """
        self._writes.clear()

    def take(self, write: Write) -> bool:
        """Forgets a write. Returns whether it was remembered.

        The watch sees each write once. If another program puts the same hash back later, that
        is a foreign change.
        """
        if write not in self._writes:
            return False
        del self._writes[write]
        return True
