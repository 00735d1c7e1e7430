"""Waiting for conditions."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], Awaitable[bool]], timeout_seconds: float = 20.0
) -> None:
    """Returns when the condition holds; fails if it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not await condition():
        if time.monotonic() > deadline:
            name = getattr(condition, "__name__", condition)
            raise AssertionError(f"{name} did not come true in {timeout_seconds} s")
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], object], timeout_seconds: float = 10.0) -> None:
    """Returns when a plain condition, of which no event tells, is true. Raises TimeoutError."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)
