"""Work that runs as a task and says how long it has kept the loop busy."""

import asyncio
from time import monotonic

import pytest

from services.proxy.relay.calls.timed import Timed


def work_for(seconds):
    until = monotonic() + seconds
    while monotonic() < until:
        pass


async def test_each_step_is_told_and_no_waiting():
    async def work():
        work_for(0.02)
        await asyncio.sleep(0.1)
        work_for(0.03)

    steps = []
    await asyncio.create_task(Timed(work(), steps.append))
    assert len(steps) == 2
    assert steps[0] >= 0.02
    assert steps[1] >= 0.03


async def test_an_error_is_the_tasks_and_its_time_is_told():
    async def work():
        work_for(0.02)
        raise ValueError("a bug")

    steps = []
    with pytest.raises(ValueError, match="a bug"):
        await asyncio.create_task(Timed(work(), steps.append))
    [step] = steps
    assert step >= 0.02


async def test_it_is_cancelled_as_any_task():
    is_over = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            is_over.append(True)

    steps = []
    task = asyncio.create_task(Timed(work(), steps.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_over == [True]
    assert len(steps) == 2


async def test_it_can_be_awaited_and_closed_and_has_its_works_name():
    async def work():
        await asyncio.sleep(0)

    await Timed(work(), [].append)
    closed = Timed(work(), [].append)
    assert closed.cr_code is work.__code__
    closed.close()
