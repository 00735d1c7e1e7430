"""One attempt on behalf of everybody who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Makes something that many tasks need at once: one makes it, the others wait.

    If making it fails, all who were waiting fail with it. Otherwise they would try one
    after the other, and the last would wait for as many timeouts as there are tasks.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure: Exception | None = None

    async def get(self, existing: Callable[[], T | None], make: Callable[[], Awaitable[T]]) -> T:
        """What `existing` returns, or else what `make` makes.

        If the task that makes it is cancelled, the next one in the queue makes it.
        """
        present = existing()
        if present is not None:
            return present
        seen = self._failures
        async with self._lock:
            present = existing()
            if present is not None:
                return present
            if self._failure is not None and self._failures != seen:
                raise self._failure.with_traceback(None)
            try:
                made = await make()
            except Exception as error:
                self._failures += 1
                self._failure = error
                raise
            self._failure = None
            return made
