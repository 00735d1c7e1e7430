"""Runs work in its own task, because grpclib leaves cancel requests on the task that it runs in.

grpclib wakes a waiting task by cancelling it and never takes the request back
(`Task.uncancel`). In a task that continues, every later TaskGroup and timeout would take
that for a cancellation from outside.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_own_task(work: Coroutine[Any, Any, T], timeout_seconds: float | None) -> T:
    """Runs `work` in a task that has ended when this returns; returns or raises its outcome.

    Raises:
        TimeoutError: the work was cancelled because it took too long.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(mark_as_seen)
    try:
        await asyncio.wait({task}, timeout=timeout_seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        raise TimeoutError
    try:
        return task.result()
    finally:
        # Otherwise an error, which refers to this frame, would keep itself alive.
        del task


def mark_as_seen(task: asyncio.Task[Any]) -> None:
    """Keeps asyncio from reporting an error that no caller reads because it was cancelled."""
    if not task.cancelled():
        task.exception()
