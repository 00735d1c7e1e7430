"""Waiting lines that take turns."""

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Takes one item of each key in turn; the items of one key stay in their order.

    Attributes:
        total: items that wait.
    """

    def __init__(self) -> None:
        # Both in order. Dictionaries, because items leave before their turn.
        self._lines: dict[str, dict[T, None]] = {}
        self.total = 0

    @property
    def keys(self) -> Iterable[str]:
        """The keys of items that wait; the next turn is the first one's."""
        return self._lines

    def count(self, key: str) -> int:
        """Items of this key that wait."""
        line = self._lines.get(key)
        return 0 if line is None else len(line)

    def enter(self, key: str, item: T) -> None:
        """The item waits behind all others of its key."""
        self._lines.setdefault(key, {})[item] = None
        self.total += 1

    def leave(self, key: str, item: T) -> bool:
        """The item waits no more. Returns whether it did."""
        line = self._lines.get(key)
        if line is None or item not in line:
            return False
        del line[item]
        self.total -= 1
        if not line:
            del self._lines[key]
        return True

    def take(self, key: str) -> T:
        """The oldest item of this key, whose next turn comes after those of all others.

        Raises KeyError when none waits.
        """
        line = self._lines.pop(key)
        item = next(iter(line))
        del line[item]
        self.total -= 1
        if line:
            self._lines[key] = line
        return item

    def take_next(self) -> T:
        """The item whose turn it is. Raises StopIteration when none waits."""
        return self.take(next(iter(self._lines)))

    def clear(self) -> list[T]:
        """All items, of which none waits any more."""
        items = [item for line in self._lines.values() for item in line]
        self._lines = {}
        self.total = 0
        return items
