"""A bounded dictionary that keeps what was used last."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Forgets the entry that was used longest ago when there is no room.

    For what every call looks up: `cachetools.LRUCache` does the same by several Python calls
    for each look-up.
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
        """The entry, which counts as used now; None if there is none."""
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
        """Forgets an entry, if there is one."""
        value = self._entries.pop(key, None)
        if value is not None:
            self._gone(value)

    def clear(self) -> None:
        """Forgets all."""
        values = list(self._entries.values())
        self._entries.clear()
        for value in values:
            self._gone(value)

    def values(self) -> Iterable[V]:
        """Everything, without counting it as used."""
        return self._entries.values()

    def _gone(self, value: V) -> None:
        if self._forgotten is not None:
            self._forgotten(value)
