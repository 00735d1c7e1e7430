"""How many bytes wait in memory, for whom, and when they are too many."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Buffers:
    """What waits in the whole process.

    Attributes:
        held: bytes that wait now.
        limit: bytes after which `overflowed` is called, at every further addition.
        overflowed: must not change any queue at once: it is called in the midst of one.
    """

    __slots__ = ("held", "limit", "overflowed")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit
        self.overflowed: Callable[[], None] = _ignore


class Account:
    """What waits because of one connection of a client, in either direction.

    Attributes:
        held: bytes that wait now.
    """

    __slots__ = ("_whole", "held")

    def __init__(self, whole: Buffers) -> None:
        self._whole = whole
        self.held = 0

    def add(self, size: int) -> None:
        """So many bytes more wait."""
        self.held += size
        whole = self._whole
        whole.held += size
        if whole.held > whole.limit:
            whole.overflowed()

    def remove(self, size: int) -> None:
        """So many bytes wait no more."""
        self.held -= size
        self._whole.held -= size


def _ignore() -> None:
    """Nobody has asked to be told."""


#: For streams whose bytes nobody counts.
UNCOUNTED = Account(Buffers(2**63))
