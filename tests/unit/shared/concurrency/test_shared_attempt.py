import asyncio

import pytest

from tests.support.credentials import Gate
from vecguard.concurrency.shared_attempt import SharedAttempt


class Factory:
    """Makes a thing as soon as its gate opens, or fails."""

    def __init__(self):
        self.gate = Gate()
        self.gate.close()
        self.attempt = SharedAttempt()
        self.thing = None
        self.error = None
        self.begun = 0

    async def get(self):
        return await self.attempt.get(lambda: self.thing, self.make)

    async def make(self):
        self.begun += 1
        await self.gate.passed()
        if self.error is not None:
            raise self.error
        self.thing = f"thing {self.begun}"
        return self.thing

    async def callers(self, count):
        """That many tasks which wait; the first one makes the thing."""
        tasks = [asyncio.create_task(self.get()) for _ in range(count)]
        await self.gate.arrivals()
        return tasks


async def test_one_makes_it_and_all_get_it():
    factory = Factory()
    tasks = await factory.callers(5)
    factory.gate.open()
    assert await asyncio.gather(*tasks) == ["thing 1"] * 5
    assert await factory.get() == "thing 1"
    assert factory.begun == 1


async def test_all_that_wait_fail_together_and_the_next_caller_tries_again():
    factory = Factory()
    tasks = await factory.callers(5)
    factory.error = OSError("no way")
    factory.gate.open()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [factory.error] * 5
    assert factory.begun == 1
    factory.error = None
    assert await factory.get() == "thing 2"


async def test_the_next_in_line_makes_it_when_the_first_is_cancelled():
    factory = Factory()
    first, *others = await factory.callers(3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    factory.gate.open()
    assert await asyncio.gather(*others) == ["thing 2"] * 2
