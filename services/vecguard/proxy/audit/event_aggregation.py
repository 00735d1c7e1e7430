"""Aggregates repeated events, so that a storm of them becomes a few lines.

Pure: the caller passes the time.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, Self, TypeVar


class Scope(StrEnum):
    """The fields that the events of one group share."""

    CALL = "call"  # all of a refused call
    METHOD = "method"  # the user, address and method: there were too many objects
    USER = "user"  # the user name and the address
    ADDRESS = "address"  # only the address: there were too many names
    CHANGE = "change"  # all but the revision
    ACTOR = "actor"  # the actor, address, action and outcome: there were too many targets
    ALL = "all"  # only the kind and the outcome: there were too many actors and addresses


class Event(Hashable, Protocol):
    """An event to count; equal events are counted together."""

    def levels(self) -> Iterator[tuple[Scope, Self]]:
        """Yields the keys to count it by, the most specific first.

        Keys of scope `ALL` are not bounded, so there must be few of them.
        """
        ...


E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused login: the user name that it claimed, its address, and the reason."""

    user: str | None
    address: str | None
    reason: str

    def levels(self) -> Iterator[tuple[Scope, "Refusal"]]:
        yield Scope.USER, self
        yield Scope.ADDRESS, Refusal(None, self.address, self.reason)
        yield Scope.ALL, Refusal(None, None, self.reason)


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call that no role of its user allows.

    Attributes:
        method: the name of the method of Milvus's service; the path of our own `Explain`, or of a
            method that the configuration gives to roles; None for an unknown one.
        privilege: the missing privilege by API name, as in "Search"; or the role, as in "admin".
        objects: the names of the objects; None if the request was not read.
        database: the database by whose grants it was decided, "*" for all; None without grants.
    """

    user: str | None
    address: str | None
    method: str | None
    privilege: str | None
    objects: tuple[str, ...] | None
    database: str | None

    def levels(self) -> Iterator[tuple[Scope, "RefusedCall"]]:
        yield Scope.CALL, self
        of_method = RefusedCall(self.user, self.address, self.method, self.privilege, None, None)
        yield Scope.METHOD, of_method
        yield Scope.USER, RefusedCall(self.user, self.address, None, None, None, None)
        yield Scope.ALL, RefusedCall(None, None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Counted(Generic[E]):
    """How many times an event occurred between two times, in seconds since 1970."""

    event: E
    scope: Scope
    count: int
    first: float
    last: float


@dataclass(slots=True)
class _Group(Generic[E]):
    latest: E
    started: float
    first: float
    last: float
    pending: int = 0


class EventAggregator(Generic[E]):
    """Reports the first event of a group at once, and counts the others until the window ends.

    Holds at most `max_groups` groups for each scope in a window. An event whose group would exceed
    that is counted at its next level. An event without a level `ALL` that fits at none is reported
    at once. So memory is bounded whatever clients send, and so is the number of lines for events
    that have a level `ALL`.
    """

    def __init__(self, *, window_seconds: float, max_groups: int) -> None:
        self._window_seconds = window_seconds
        self._max_groups = max_groups
        # In the order in which their windows began.
        self._groups: dict[tuple[Scope, E], _Group[E]] = {}
        self._sizes = dict.fromkeys(Scope, 0)

    def __len__(self) -> int:
        return len(self._groups)

    def record(self, event: E, now: float) -> Counted[E] | None:
        """Counts an event. Returns it if it is to be written now, as the first of its group."""
        scope, key = level = self._level(event)
        group = self._groups.get(level)
        if group is not None:
            if not group.pending:
                group.first = now
            group.pending += 1
            group.last = now
            group.latest = key
            return None
        if self._has_room(scope):
            self._groups[level] = _Group(key, now, now, now)
            self._sizes[scope] += 1
        return Counted(key, scope, 1, now, now)

    def expired(self, now: float) -> Iterator[Counted[E]]:
        """Yields the counts of the ended windows. A group with a count begins a new window."""
        over = []
        for key, group in self._groups.items():
            # A clock that was set back must not keep a window open.
            if 0 <= now - group.started < self._window_seconds:
                break
            over.append(key)
        yield from self._flushed(over, now)

    def rest(self, now: float) -> Iterator[Counted[E]]:
        """Yields the counts of all windows, ended or not."""
        yield from self._flushed(list(self._groups), now)

    def _flushed(self, keys: list[tuple[Scope, E]], now: float) -> Iterator[Counted[E]]:
        for key in keys:
            group = self._groups.pop(key)
            if group.pending:
                yield Counted(group.latest, key[0], group.pending, group.first, group.last)
                self._groups[key] = _Group(group.latest, now, now, now)
            else:
                self._sizes[key[0]] -= 1

    def _level(self, event: E) -> tuple[Scope, E]:
        for level in event.levels():
            if level in self._groups or self._has_room(level[0]):
                break
        return level

    def _has_room(self, scope: Scope) -> bool:
        return scope is Scope.ALL or self._sizes[scope] < self._max_groups
