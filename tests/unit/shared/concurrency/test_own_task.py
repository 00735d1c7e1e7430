import asyncio

import pytest

from vecguard.concurrency.cancellation import raise_if_cancelled
from vecguard.concurrency.own_task import in_own_task


class Work:
    """Goes on until it is cancelled, and then takes a turn of the loop to end."""

    def __init__(self):
        self.has_begun = asyncio.Event()
        self.has_ended = False

    async def __call__(self):
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.has_ended = True


async def test_the_outcome_is_that_of_the_work():
    async def answers():
        return 42

    async def fails():
        raise KeyError("no such thing")

    assert await in_own_task(answers(), None) == 42
    with pytest.raises(KeyError, match="no such thing"):
        await in_own_task(fails(), 10.0)


async def test_work_that_takes_too_long_has_ended_when_the_timeout_is_raised():
    work = Work()
    with pytest.raises(TimeoutError):
        await in_own_task(work(), 0.01)
    assert work.has_ended


async def test_work_has_ended_when_its_caller_was_cancelled():
    work = Work()
    caller = asyncio.create_task(in_own_task(work(), None))
    await work.has_begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.has_ended


async def test_work_that_cancels_its_task_leaves_no_mark_on_the_caller():
    async def marks_its_task():
        task = asyncio.current_task()
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return task.cancelling()

    assert await in_own_task(marks_its_task(), None) == 1
    assert asyncio.current_task().cancelling() == 0


async def test_a_cancellation_that_a_group_swallowed_is_raised_again():
    work, turns = Work(), 0

    async def fails_when_cancelled():
        try:
            await work()
        except asyncio.CancelledError:
            raise KeyError("at the last moment") from None

    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails_when_cancelled())

    async def loop():
        nonlocal turns
        while turns < 2:
            turns += 1
            try:
                await group()
            except* KeyError:
                pass
            raise_if_cancelled()

    caller = asyncio.create_task(loop())
    await work.has_begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert turns == 1


def test_without_a_cancellation_nothing_is_raised():
    async def undisturbed():
        raise_if_cancelled()
        return True

    assert asyncio.run(undisturbed())
