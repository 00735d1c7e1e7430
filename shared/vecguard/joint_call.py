"""One execution for all who ask while the one before is still under way."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class JointCall(Generic[T]):
    """Shares the result, or the error, of a call that begins after each of its callers asked.

    So nobody gets an answer from before the question, and however many ask at the same time,
    the call is made twice at most. `SingleFlight` lets callers join what has begun already.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The result of the next call. A caller that is cancelled leaves the others alone."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait({running})
        # From here on it is too late to join.
        self._running, self._next = self._next, None
        return await self._call()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Marks the outcome as seen: callers that have hung up do not ask for it."""
    if not task.cancelled():
        task.exception()
