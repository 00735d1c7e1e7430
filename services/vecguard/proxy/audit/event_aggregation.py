"""Counts events that repeat, so that a storm of them becomes a few lines.

Pure: time comes in, lines go out.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, Self, TypeVar


class Scope(StrEnum):
    """What the events of one group have in common."""

    USER = "user"  # the user name and the address
    ADDRESS = "address"  # only the address: too many names were tried
    CHANGE = "change"  # all but the revision
    ACTOR = "actor"  # who, from where, what and its outcome: there were too many targets
    ALL = "all"  # nothing but the kind and the outcome: there were too many of everything


class Event(Hashable, Protocol):
    """What is counted; events that are equal are counted together."""

    def levels(self) -> Iterator[tuple[Scope, Self]]:
        """What it is counted as, the exact first. Those of `ALL` must be few."""
        ...


E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A login that was refused: who it said it was, from where, and why."""

    user: str | None
    address: str | None
    reason: str

    def levels(self) -> Iterator[tuple[Scope, "Refusal"]]:
        yield Scope.USER, self
        yield Scope.ADDRESS, Refusal(None, self.address, self.reason)
        yield Scope.ALL, Refusal(None, None, self.reason)


@dataclass(frozen=True, slots=True)
class Counted(Generic[E]):
    """So many events that are alike, between two moments (seconds since 1970)."""

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
    untold: int = 0


class StormCounter(Generic[E]):
    """Tells the first event of a kind at once, and those that follow once in a window.

    At most `max_groups` kinds are told apart in a window at each level; what has no room
    at one is counted at the next. An event that ends before `ALL` and has no room is told
    at once, alone. So memory is bounded whatever clients send, and lines where every event
    has a level that is `ALL`.
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
        """Counts an event; returns it if it is the first of its kind in its window."""
        scope, key = level = self._level(event)
        group = self._groups.get(level)
        if group is not None:
            if not group.untold:
                group.first = now
            group.untold += 1
            group.last = now
            group.latest = key
            return None
        if self._has_room(scope):
            self._groups[level] = _Group(key, now, now, now)
            self._sizes[scope] += 1
        return Counted(key, scope, 1, now, now)

    def expired(self, now: float) -> Iterator[Counted[E]]:
        """The counts of the windows that are over. Where counting goes on, a new one begins."""
        over = []
        for key, group in self._groups.items():
            # A clock that was set back must not keep a window open for ever.
            if 0 <= now - group.started < self._window_seconds:
                break
            over.append(key)
        yield from self._told(over, now)

    def rest(self, now: float) -> Iterator[Counted[E]]:
        """The counts of all windows, over or not."""
        yield from self._told(list(self._groups), now)

    def _told(self, keys: list[tuple[Scope, E]], now: float) -> Iterator[Counted[E]]:
        for key in keys:
            group = self._groups.pop(key)
            if group.untold:
                yield Counted(group.latest, key[0], group.untold, group.first, group.last)
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
