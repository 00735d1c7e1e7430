"""Detects a cancellation that an exception group has swallowed."""

import asyncio


def raise_if_cancelled() -> None:
    """Raises CancelledError when this task was asked to end and has not ended.

    A TaskGroup that is cancelled while one of its tasks fails raises the failure alone.
    A loop that catches it and continues would never end, so it asks here after each turn.
    The group must run in a task of its own (`in_own_task`): before Python 3.13 a group in
    which a task fails leaves the task that holds it marked as cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
