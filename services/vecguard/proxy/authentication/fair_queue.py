"""A bounded queue in which no origin, and no name of an origin, can crowd out another."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """One line for each origin, served in turn; in it one for each name, served in turn as well.

    When the queue is full, a newcomer takes the place of the last in the longest line
    (McKenney's stochastic fair queueing drops this way), unless its own line would be as
    long: an origin that fills the queue loses by it, and one with fewer waiting finds room.
    Where an origin has no further place, its own names are treated in the same way.

    An entry that is no longer wanted keeps its place, and costs its origin and its name a turn
    when it is reached: giving up and coming again gains nothing.
    """

    def __init__(self, *, limit: int, limit_per_origin: int) -> None:
        self._limit = limit
        self._limit_per_origin = limit_per_origin
        self._lines: OrderedDict[str, _Line[T]] = OrderedDict()
        self._lengths = _Lengths()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, origin: str, entry: T, name: str = "") -> T | None:
        """Queues an entry; returns the one that has no place: None, another, or this one."""
        line = self._lines.get(origin)
        length = 0 if line is None else len(line)
        is_full = self._size >= self._limit
        displaced = None
        if length >= self._limit_per_origin or (is_full and length + 1 >= self._lengths.longest):
            if line is None or not line.has_longer_than(name):
                return entry
            displaced = self._take_last(origin)
        elif is_full:
            displaced = self._take_last(self._lengths.longest_key())
        self._lines.setdefault(origin, _Line()).push(name, entry)
        self._lengths.add(origin, 1)
        self._size += 1
        return displaced

    def pop(self, is_wanted: Callable[[T], bool]) -> T | None:
        """The next entry that is still wanted; None when there is none."""
        while self._lines:
            origin, line = self._lines.popitem(last=False)
            entry = line.pop()
            if line:
                self._lines[origin] = line
            self._lengths.add(origin, -1)
            self._size -= 1
            if is_wanted(entry):
                return entry
        return None

    def _take_last(self, origin: str) -> T:
        """The last entry of an origin that has two or more: its line does not become empty."""
        entry = self._lines[origin].take_last()
        self._lengths.add(origin, -1)
        self._size -= 1
        return entry


class _Line(Generic[T]):
    """The entries of one origin: its names by turns."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, deque[T]] = OrderedDict()
        self._lengths = _Lengths()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def has_longer_than(self, name: str) -> bool:
        """Whether a name has more waiting than this one would have with one more."""
        return len(self._names.get(name, ())) + 1 < self._lengths.longest

    def push(self, name: str, entry: T) -> None:
        self._names.setdefault(name, deque()).append(entry)
        self._lengths.add(name, 1)
        self._size += 1

    def pop(self) -> T:
        """The first entry of the name whose turn it is."""
        name, entries = self._names.popitem(last=False)
        entry = entries.popleft()
        if entries:
            self._names[name] = entries
        self._lengths.add(name, -1)
        self._size -= 1
        return entry

    def take_last(self) -> T:
        """The last entry of the name that has the most."""
        name = self._lengths.longest_key()
        entries = self._names[name]
        entry = entries.pop()
        if not entries:
            del self._names[name]
        self._lengths.add(name, -1)
        self._size -= 1
        return entry


class _Lengths:
    """How many entries each key has, and which has the most; all in constant time.

    Attributes:
        longest: the greatest number of entries that a key has.
    """

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._keys: dict[int, dict[str, None]] = {}
        self.longest = 0

    def longest_key(self) -> str:
        """A key with the most entries. Raises KeyError when there is none."""
        return next(iter(self._keys[self.longest]))

    def add(self, key: str, count: int) -> None:
        """One entry more, or with -1 one less."""
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
