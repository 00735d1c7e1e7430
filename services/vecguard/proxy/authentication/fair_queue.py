"""A bounded queue that is fair between origins, and between the names of an origin."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Serves origins round-robin, and the names of each origin round-robin as well.

    When the queue is full, a new entry displaces the last one of the origin with the most
    entries (McKenney's stochastic fair queueing drops in this way), unless its own origin would
    have as many. So an origin that fills the queue displaces only itself, and origins with fewer
    entries find a place. At the limit of one origin, its names are treated in the same way.

    An entry that is no longer wanted keeps its place, and costs its origin and name a turn when
    it is reached, so that giving up and retrying gains nothing.
    """

    def __init__(self, *, limit: int, limit_per_origin: int) -> None:
        self._limit = limit
        self._limit_per_origin = limit_per_origin
        self._queues: OrderedDict[str, _OriginQueue[T]] = OrderedDict()
        self._lengths = _Lengths()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, origin: str, entry: T, name: str = "") -> T | None:
        """Queues an entry. Returns the displaced entry: None, another one, or this one."""
        queue = self._queues.get(origin)
        length = 0 if queue is None else len(queue)
        is_full = self._size >= self._limit
        displaced = None
        if length >= self._limit_per_origin or (is_full and length + 1 >= self._lengths.longest):
            if queue is None or not queue.has_longer_than(name):
                return entry
            displaced = self._take_last(origin)
        elif is_full:
            displaced = self._take_last(self._lengths.longest_key())
        self._queues.setdefault(origin, _OriginQueue()).push(name, entry)
        self._lengths.add(origin, 1)
        self._size += 1
        return displaced

    def pop(self, is_wanted: Callable[[T], bool]) -> T | None:
        """Removes and returns the next entry that is still wanted; None without one."""
        while self._queues:
            origin, queue = self._queues.popitem(last=False)
            entry = queue.pop()
            if queue:
                self._queues[origin] = queue
            self._lengths.add(origin, -1)
            self._size -= 1
            if is_wanted(entry):
                return entry
        return None

    def _take_last(self, origin: str) -> T:
        """Removes and returns the last entry of an origin that has two or more."""
        entry = self._queues[origin].take_last()
        self._lengths.add(origin, -1)
        self._size -= 1
        return entry


class _OriginQueue(Generic[T]):
    """The entries of one origin; its names take turns."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, deque[T]] = OrderedDict()
        self._lengths = _Lengths()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def has_longer_than(self, name: str) -> bool:
        """Returns whether a name has more entries than this one would have with one more."""
        return len(self._names.get(name, ())) + 1 < self._lengths.longest

    def push(self, name: str, entry: T) -> None:
        self._names.setdefault(name, deque()).append(entry)
        self._lengths.add(name, 1)
        self._size += 1

    def pop(self) -> T:
        """Removes and returns the first entry of the name whose turn it is."""
        name, entries = self._names.popitem(last=False)
        entry = entries.popleft()
        if entries:
            self._names[name] = entries
        self._lengths.add(name, -1)
        self._size -= 1
        return entry

    def take_last(self) -> T:
        """Removes and returns the last entry of the name with the most entries."""
        name = self._lengths.longest_key()
        entries = self._names[name]
        entry = entries.pop()
        if not entries:
            del self._names[name]
        self._lengths.add(name, -1)
        self._size -= 1
        return entry


class _Lengths:
    """Counts the entries of each key, and finds the key with the most, in constant time.

    Attributes:
        longest: the greatest number of entries of one key.
    """

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._keys: dict[int, dict[str, None]] = {}
        self.longest = 0

    def longest_key(self) -> str:
        """Returns a key with the most entries. Raises KeyError without one."""
        return next(iter(self._keys[self.longest]))

    def add(self, key: str, count: int) -> None:
        """Adds `count` entries of a key: 1 or -1."""
        before = self._of.pop(key, 0)
        after = before + count
        if before:
            keys = self._keys[before]
            del keys[key]
            if not keys:
                del self._keys[before]
        if after:
            self._of[key] = after
            self._keys.setdefault(after, {})[key] = None
        self.longest = max(self.longest, after)
        while self.longest and self.longest not in self._keys:
            self.longest -= 1
