"""Queues by key, served round-robin."""

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Takes one item of each key in turn; the items of one key stay in their order.

    Attributes:
        total: how many items wait.
    """

    def __init__(self) -> None:
        # Ordered dictionaries, because items can leave before their turn.
        self._lines: dict[str, dict[T, None]] = {}
        self.total = 0

    @property
    def keys(self) -> Iterable[str]:
        """The keys of the waiting items, in the order of their turns."""
        return self._lines

    def count(self, key: str) -> int:
        """Returns how many items of this key wait."""
        line = self._lines.get(key)
        return 0 if line is None else len(line)

    def enter(self, key: str, item: T) -> None:
        """Appends an item to the queue of its key."""
        self._lines.setdefault(key, {})[item] = None
        self.total += 1

    def leave(self, key: str, item: T) -> bool:
        """Removes an item. Returns whether it was waiting."""
        line = self._lines.get(key)
        if line is None or item not in line:
            return False
        del line[item]
        self.total -= 1
        if not line:
            del self._lines[key]
        return True

    def take(self, key: str) -> T:
        """Removes and returns the oldest item of this key. The key's next turn is the last one.

        Raises KeyError if none waits.
        """
        line = self._lines.pop(key)
        item = next(iter(line))
        del line[item]
        self.total -= 1
        if line:
            self._lines[key] = line
        return item

    def take_next(self) -> T:
        """Removes and returns the item whose turn it is. Raises StopIteration if none waits."""
        return self.take(next(iter(self._lines)))

    def clear(self) -> list[T]:
        """Removes all items. Returns them."""
        items = [item for line in self._lines.values() for item in line]
        self._lines = {}
        self.total = 0
        return items
