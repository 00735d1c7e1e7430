import asyncio

from tests.support.credentials import Gate
from vecguard.concurrency.fresh_call import FreshCall


class Calls:
    def __init__(self):
        self.gate = Gate()
        self.gate.close()
        self.started = 0
        self.error = None

    async def __call__(self):
        self.started += 1
        number = self.started
        await self.gate.passed()
        if self.error is not None:
            raise self.error
        return number


async def test_whoever_asks_during_a_call_shares_the_next_one():
    calls = Calls()
    fresh = FreshCall(calls)
    early = asyncio.create_task(fresh())
    await calls.gate.arrivals()
    late = [asyncio.create_task(fresh()) for _ in range(10)]
    await asyncio.sleep(0)
    assert calls.started == 1
    calls.gate.open()
    assert await early == 1
    assert await asyncio.gather(*late) == [2] * 10
    assert await fresh() == 3


async def test_whoever_hangs_up_leaves_the_others_alone():
    calls = Calls()
    fresh = FreshCall(calls)
    leaving, staying = (asyncio.create_task(fresh()) for _ in range(2))
    await calls.gate.arrivals()
    leaving.cancel()
    await asyncio.wait([leaving])
    calls.gate.open()
    assert await staying == 1


async def test_an_error_is_shared_and_the_next_call_is_another_one():
    calls = Calls()
    calls.error = ValueError("once")
    calls.gate.open()
    fresh = FreshCall(calls)
    for result in await asyncio.gather(fresh(), fresh(), return_exceptions=True):
        assert result is calls.error
    calls.error = None
    assert await fresh() == 2
