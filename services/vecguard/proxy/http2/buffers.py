"""Counts the bytes that wait in memory, of each connection and of the whole process."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Buffers:
    """Counts the bytes that wait in the whole process.

    Attributes:
        held: bytes that wait now.
        limit: above it every addition calls `overflowed`.
        overflowed: the callback. It must not change a queue at once, because it is called while
            one is being changed.
    """

    __slots__ = ("held", "limit", "overflowed")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit
        self.overflowed: Callable[[], None] = _ignore


class Account:
    """Counts the bytes that wait because of one client connection, in both directions.

    Attributes:
        held: bytes that wait now.
    """

    __slots__ = ("_whole", "held")

    def __init__(self, whole: Buffers) -> None:
        self._whole = whole
        self.held = 0

    def add(self, size: int) -> None:
        """Adds bytes that wait."""
        self.held += size
        whole = self._whole
        whole.held += size
        if whole.held > whole.limit:
            whole.overflowed()

    def remove(self, size: int) -> None:
        """Removes bytes that no longer wait."""
        self.held -= size
        self._whole.held -= size


def _ignore() -> None:
    """Does nothing: no callback was set."""


#: For streams whose bytes are not counted.
UNCOUNTED = Account(Buffers(2**63))
