"""Shares one call among callers. No caller gets the result of a call begun before it asked.

For callers that may join a call that has already begun see `single_flight`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from vecguard.concurrency.own_task import mark_as_seen

T = TypeVar("T")


class FreshCall(Generic[T]):
    """Shares the result, or the error, of a call that begins after each of its callers asked.

    No caller gets an answer from before its question, and any number of concurrent callers cause
    at most two calls: the running one and the next one.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Returns the result of the next call, or raises its error.

        Cancelling a caller does not affect the others.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(mark_as_seen)
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait({running})
        # From here on it is too late to join.
        self._running, self._next = self._next, None
        return await self._call()
