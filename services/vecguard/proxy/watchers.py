"""Calls that last as long as their clients like, of which only so many have a place."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from vecguard.errors import OverloadedError

_RETRY_SECONDS = 10.0


class Watchers:
    """A newcomer takes the newest place of the origin that holds most.

    Whoever holds all places loses by it, and nobody is kept out.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._by_origin: dict[str, dict[asyncio.Event, None]] = {}

    def __len__(self) -> int:
        return self._taken

    @contextmanager
    def place(self, origin: str) -> Iterator[asyncio.Event]:
        """A place until the end of the context, or until the event is set: somebody else's now.

        Raises:
            OverloadedError: all are taken, and by none more than by this origin.
        """
        if self._taken >= self._places:
            self._make_room(len(self._by_origin.get(origin, ())))
        displaced = asyncio.Event()
        self._by_origin.setdefault(origin, {})[displaced] = None
        self._taken += 1
        try:
            yield displaced
        finally:
            if not displaced.is_set():
                self._leave(origin, displaced)

    def _make_room(self, held: int) -> None:
        most = max(self._by_origin, key=lambda origin: len(self._by_origin[origin]))
        if len(self._by_origin[most]) <= held + 1:
            raise too_many_watchers()
        newest = next(reversed(self._by_origin[most]))
        self._leave(most, newest)
        newest.set()

    def _leave(self, origin: str, watcher: asyncio.Event) -> None:
        watchers = self._by_origin[origin]
        del watchers[watcher]
        if not watchers:
            del self._by_origin[origin]
        self._taken -= 1


def too_many_watchers() -> OverloadedError:
    """What those are told who have no place, or have it no more."""
    return OverloadedError("too many calls watch the health", retry_after_seconds=_RETRY_SECONDS)
