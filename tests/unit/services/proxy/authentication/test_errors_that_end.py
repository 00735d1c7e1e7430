"""An error goes when its last reader has gone, and all that those frames hold goes with it.

The collector of the processes looks for cycles seldom, and a client can cause errors often.
"""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from vecguard.concurrency.own_task import in_own_task
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import OverloadedError
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits


class Large:
    """What a caller holds while it asks."""


async def fails() -> None:
    raise OverloadedError("no")


async def alone() -> None:
    await in_own_task(fails(), None)


async def together() -> None:
    await SingleFlight[str, None]().do("key", fails)


async def displaced() -> None:
    """The last in a line that is full gives its place to a newcomer."""
    limits = QueueLimits(total=2, per_origin=2, timeout_seconds=60.0)
    queue = AdmissionQueue(0, limits, pace=None, clock=lambda: 0.0)

    async def waits(origin: str) -> None:
        async with queue.slot(origin):
            pass

    first = asyncio.create_task(waits("many"))
    await asyncio.sleep(0)
    newcomer = asyncio.get_running_loop().call_soon
    other: list[asyncio.Task[None]] = []
    newcomer(lambda: other.append(asyncio.create_task(waits("one"))))
    try:
        await waits("many")
    finally:
        for task in (first, *other):
            task.cancel()


@pytest.mark.parametrize("ask", [alone, together, displaced])
async def test_an_error_keeps_nothing_alive(ask: Callable[[], Awaitable[None]]) -> None:
    async def caller() -> weakref.ref[Large]:
        large = Large()
        try:
            await ask()
        except OverloadedError:
            return weakref.ref(large)
        pytest.fail("there was no error")

    gc.disable()
    try:
        held = await caller()
        await asyncio.sleep(0)
        assert held() is None
    finally:
        gc.enable()
