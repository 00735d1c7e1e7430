"""Counts what happens again and again, so that a storm is told in a few lines.

Pure: time comes in, lines go out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What the refusals of one group have in common, besides the reason."""

    USER = "user"  # the user name and the address
    ADDRESS = "address"  # only the address: too many names were tried
    ALL = "all"  # nothing: too many addresses tried too many names


@dataclass(frozen=True, slots=True)
class Refusal:
    """A login that was refused: who it said it was, from where, and why."""

    user: str | None
    address: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """So many refusals that are alike, between two moments (seconds since 1970)."""

    refusal: Refusal
    scope: Scope
    count: int
    first: float
    last: float


@dataclass(slots=True)
class _Group:
    started: float
    first: float
    last: float
    untold: int = 0


class StormCounter:
    """Tells the first refusal of a kind at once, and those that follow once in a window.

    At most `max_groups` kinds are told apart in a window; beyond them refusals are counted
    by address, for as many addresses again, and beyond those by reason only. So both
    memory and lines are bounded, whatever clients send.
    """

    def __init__(self, *, window_seconds: float, max_groups: int) -> None:
        self._window_seconds = window_seconds
        self._max_groups = max_groups
        # In the order in which their windows began.
        self._groups: dict[tuple[Scope, Refusal], _Group] = {}
        self._sizes = dict.fromkeys(Scope, 0)

    def __len__(self) -> int:
        return len(self._groups)

    def record(self, refusal: Refusal, now: float) -> Counted | None:
        """Counts a refusal; returns it if it is the first of its kind in its window."""
        key = self._key(refusal)
        group = self._groups.get(key)
        if group is not None:
            if not group.untold:
                group.first = now
            group.untold += 1
            group.last = now
            return None
        self._groups[key] = _Group(now, now, now)
        self._sizes[key[0]] += 1
        return Counted(key[1], key[0], 1, now, now)

    def expired(self, now: float) -> Iterator[Counted]:
        """The counts of the windows that are over. Where counting goes on, a new one begins."""
        over = []
        for key, group in self._groups.items():
            # A clock that was set back must not keep a window open for ever.
            if 0 <= now - group.started < self._window_seconds:
                break
            over.append(key)
        yield from self._told(over, now)

    def rest(self, now: float) -> Iterator[Counted]:
        """The counts of all windows, over or not."""
        yield from self._told(list(self._groups), now)

    def _told(self, keys: list[tuple[Scope, Refusal]], now: float) -> Iterator[Counted]:
        for key in keys:
            group = self._groups.pop(key)
            if group.untold:
                yield Counted(key[1], key[0], group.untold, group.first, group.last)
                self._groups[key] = _Group(now, now, now)
            else:
                self._sizes[key[0]] -= 1

    def _key(self, refusal: Refusal) -> tuple[Scope, Refusal]:
        candidates = (
            (Scope.USER, refusal),
            (Scope.ADDRESS, Refusal(None, refusal.address, refusal.reason)),
        )
        for key in candidates:
            if key in self._groups or self._sizes[key[0]] < self._max_groups:
                return key
        return Scope.ALL, Refusal(None, None, refusal.reason)
