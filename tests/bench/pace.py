"""When each of many callers makes its next call."""

import asyncio
import time


class Pace:
    """One of `callers` that together make `rate` calls a second, evenly spread; None: no pause."""

    def __init__(self, number: int, callers: int, rate: float | None) -> None:
        self._interval = callers / rate if rate else 0.0
        self._next = time.perf_counter() + self._interval * number / callers

    async def next(self) -> float:
        """Waits for the next call's time, unless it is late; by `time.perf_counter`."""
        now = time.perf_counter()
        if self._interval:
            await asyncio.sleep(max(0.0, self._next - now))
            now = time.perf_counter()
            self._next = max(self._next, now - self._interval) + self._interval
        return now
