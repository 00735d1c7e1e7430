"""Makes a shared thing (a connection, a token) once: one caller makes it, the others wait.

For calls that return an answer instead of a thing to keep see `single_flight` and `fresh_call`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedAttempt(Generic[T]):
    """Makes something that many tasks need at once, such as a connection or a token.

    If making it fails, all waiting callers fail with it. Otherwise they would try one
    after the other, and the last would wait for as many timeouts as there are callers.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure: Exception | None = None

    async def get(self, existing: Callable[[], T | None], make: Callable[[], Awaitable[T]]) -> T:
        """Returns the result of `existing`, or that of `make` when there is none.

        Raises the error of `make`, also to callers that began to wait before it failed. If the
        task that runs `make` is cancelled, the next waiting caller runs it.
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
