"""Limits the health watches, which last until their clients end them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from vecguard.errors import OverloadedError

_RETRY_SECONDS = 10.0


class WatchLimit:
    """Bounds the watches in all; when it is full, the origin with most of them loses its newest.

    So an origin that takes every place displaces its own watches, and other origins still get
    theirs.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._by_origin: dict[str, dict[asyncio.Event, None]] = {}

    def __len__(self) -> int:
        return self._taken

    @contextmanager
    def place(self, origin: str) -> Iterator[asyncio.Event]:
        """Holds a place for a watch until the end of the context.

        Yields an event that is set when the place was given to another watch: this watch must
        end then.

        Raises:
            OverloadedError: all places are taken, and no origin has more of them than this one.
        """
        if self._taken >= self._places:
            self._displace(len(self._by_origin.get(origin, ())))
        displaced = asyncio.Event()
        self._by_origin.setdefault(origin, {})[displaced] = None
        self._taken += 1
        try:
            yield displaced
        finally:
            if not displaced.is_set():
                self._leave(origin, displaced)

    def _displace(self, held: int) -> None:
        """Frees a place for an origin that holds `held`. Raises OverloadedError."""
        most = max(self._by_origin, key=lambda origin: len(self._by_origin[origin]))
        if len(self._by_origin[most]) <= held + 1:
            raise too_many_watchers()
        newest = next(reversed(self._by_origin[most]))
        self._leave(most, newest)
        newest.set()

    def _leave(self, origin: str, watch: asyncio.Event) -> None:
        watches = self._by_origin[origin]
        del watches[watch]
        if not watches:
            del self._by_origin[origin]
        self._taken -= 1


def too_many_watchers() -> OverloadedError:
    """Returns the error for a watch that gets no place, or has lost it."""
    return OverloadedError(
        "too many open calls of Watch, use Check", retry_after_seconds=_RETRY_SECONDS
    )
