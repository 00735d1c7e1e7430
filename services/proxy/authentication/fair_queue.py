"""A bounded queue in which no origin can crowd out another."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """One line for each origin, served in turn.

    When the queue is full, a newcomer takes the place of the last in the longest line
    (McKenney's stochastic fair queueing drops this way), unless its own line would be as
    long: whoever fills the queue loses by it, and an origin with fewer waiting finds room.

    An entry that nobody wants any more keeps its place, and costs its origin a turn when
    it is reached: giving up and coming again gains nothing.
    """

    def __init__(self, *, limit: int, limit_per_origin: int) -> None:
        self._limit = limit
        self._limit_per_origin = limit_per_origin
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._size = 0
        # Which lines are how long, and the greatest length there is.
        self._by_length: dict[int, dict[str, None]] = {}
        self._longest = 0

    def __len__(self) -> int:
        return self._size

    def push(self, origin: str, entry: T) -> T | None:
        """Queues an entry; returns the one that has no place: None, another, or this one."""
        length = len(self._lines.get(origin, ()))
        displaced = None
        if length >= self._limit_per_origin:
            return entry
        if self._size >= self._limit:
            if length + 1 >= self._longest:
                return entry
            displaced = self._take_last(next(iter(self._by_length[self._longest])))
        self._lines.setdefault(origin, deque()).append(entry)
        self._resized(origin, length, length + 1)
        return displaced

    def pop(self, is_wanted: Callable[[T], bool]) -> T | None:
        """The next entry that is still wanted; None when there is none."""
        while self._lines:
            origin, line = self._lines.popitem(last=False)
            entry = line.popleft()
            if line:
                self._lines[origin] = line
            self._resized(origin, len(line) + 1, len(line))
            if is_wanted(entry):
                return entry
        return None

    def _take_last(self, origin: str) -> T:
        line = self._lines[origin]
        entry = line.pop()
        if not line:
            del self._lines[origin]
        self._resized(origin, len(line) + 1, len(line))
        return entry

    def _resized(self, origin: str, before: int, after: int) -> None:
        self._size += after - before
        if before:
            del self._by_length[before][origin]
            if not self._by_length[before]:
                del self._by_length[before]
        if after:
            self._by_length.setdefault(after, {})[origin] = None
        self._longest = max(self._longest, after)
        while self._longest and self._longest not in self._by_length:
            self._longest -= 1
