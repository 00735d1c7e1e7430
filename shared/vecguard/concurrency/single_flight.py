"""Lets callers join a running call for the same key.

For an answer from after the question see `fresh_call`; for a value that is made once and then
kept see `shared_attempt`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class SingleFlight(Generic[K, T]):
    """Shares the result, or the error, of one call among its concurrent callers.

    Cancelling a caller does not affect the others; the call itself is cancelled when its last
    caller has left.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    async def do(self, key: K, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns the result of `call`, or of the running call for `key`.

        A call that has ended is never joined: its answer is from an earlier moment.
        """
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = _Flight(asyncio.create_task(call()))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]
            # An error refers to the frames that it passed, this one included. Without this line
            # it would keep itself and their objects alive until the garbage collector runs.
            del flight
