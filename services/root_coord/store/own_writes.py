"""Which stored hashes are of our own making."""

from cachetools import LRUCache

from shared.passwords import PasswordHash

# A change is seen by the watch within moments of its making.
_REMEMBERED = 10_000


class OwnWrites:
    """The hashes that this root coord has written, so that the watch can tell them apart.

    Its own changes are revoked by whoever makes them, or, in the case of a rehash, revoke
    nothing.
    """

    def __init__(self) -> None:
        self._hashes: LRUCache[PasswordHash, None] = LRUCache(_REMEMBERED)

    def add(self, password: PasswordHash) -> None:
        """This hash is about to be written."""
        self._hashes[password] = None

    def discard(self, password: PasswordHash) -> None:
        """Nobody knows whether this hash was written, so the watch shall tell."""
        self._hashes.pop(password, None)

    def take(self, password: PasswordHash) -> bool:
        """Whether this hash was written here; once, for each write is seen once.

        Should somebody put the very same hash back later, that is their change.
        """
        if password not in self._hashes:
            return False
        del self._hashes[password]
        return True
