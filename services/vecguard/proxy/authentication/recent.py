"""An LRU cache: a bounded dictionary that keeps the most recently used entries."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Evicts the least recently used entry when it is full.

    For look-ups in every call: `cachetools.LRUCache` takes several Python calls for each.
    """

    def __init__(self, max_entries: int, forgotten: Callable[[V], None] | None = None) -> None:
        """`forgotten` is called with each value that is replaced, dropped or evicted."""
        self._max_entries = max_entries
        self._forgotten = forgotten
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """Returns the entry, which counts as used now; None without one."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Adds or replaces an entry, which counts as used now."""
        entries = self._entries
        former = entries.get(key)
        entries[key] = value
        entries.move_to_end(key)
        if former is not None and former is not value:
            self._gone(former)
        if len(entries) > self._max_entries:
            self._gone(entries.popitem(last=False)[1])

    def drop(self, key: K) -> None:
        """Drops an entry, if there is one."""
        value = self._entries.pop(key, None)
        if value is not None:
            self._gone(value)

    def clear(self) -> None:
        """Drops all entries."""
        values = list(self._entries.values())
        self._entries.clear()
        for value in values:
            self._gone(value)

    def values(self) -> Iterable[V]:
        """Returns all values, without counting them as used."""
        return self._entries.values()

    def _gone(self, value: V) -> None:
        if self._forgotten is not None:
            self._forgotten(value)
