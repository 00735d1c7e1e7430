import asyncio

import pytest

from tests.support.credentials import Gate
from vecguard.concurrency.single_flight import SingleFlight


class Calls:
    def __init__(self):
        self.gate = Gate()
        self.started = 0
        self.cancelled = 0

    async def __call__(self):
        self.started += 1
        number = self.started
        try:
            await self.gate.passed()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


async def test_concurrent_callers_share_one_execution():
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    callers = [asyncio.create_task(flights.do("key", calls)) for _ in range(10)]
    await calls.gate.arrivals()
    calls.gate.open()
    assert await asyncio.gather(*callers) == [1] * 10
    assert "key" not in flights


async def test_different_keys_run_beside_each_other():
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    callers = [asyncio.create_task(flights.do(key, calls)) for key in ("a", "b")]
    await calls.gate.arrivals(2)
    calls.gate.open()
    assert sorted(await asyncio.gather(*callers)) == [1, 2]


async def test_a_result_is_not_kept():
    flights, calls = SingleFlight(), Calls()
    assert await flights.do("key", calls) == 1
    assert await flights.do("key", calls) == 2


async def test_an_error_is_shared_and_not_kept():
    flights = SingleFlight()
    gate = Gate()
    gate.close()

    async def fail():
        await gate.passed()
        raise OSError("once")

    callers = [asyncio.create_task(flights.do("key", fail)) for _ in range(3)]
    await gate.arrivals()
    gate.open()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(error) for error in results] == ["once"] * 3
    assert await flights.do("key", Calls()) == 1


async def test_a_cancelled_caller_leaves_the_others_alone():
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    first, second = (asyncio.create_task(flights.do("key", calls)) for _ in range(2))
    await calls.gate.arrivals()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    calls.gate.open()
    assert await second == 1
    assert calls.cancelled == 0


async def test_the_call_is_cancelled_with_its_last_caller():
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    callers = [asyncio.create_task(flights.do("key", calls)) for _ in range(2)]
    await calls.gate.arrivals()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await asyncio.sleep(0)
    assert calls.cancelled == 1
    assert "key" not in flights


async def test_a_call_that_ends_slowly_after_cancellation_does_not_end_its_successor_early():
    """Otherwise there would be two executions for one key at one time."""
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    leaving = Gate()
    leaving.close()

    async def slow_to_leave():
        try:
            await calls.gate.passed()
        finally:
            await leaving.passed()

    abandoned = asyncio.create_task(flights.do("key", slow_to_leave))
    await calls.gate.arrivals()
    abandoned.cancel()
    await asyncio.wait([abandoned])
    await leaving.arrivals()

    successor = asyncio.create_task(flights.do("key", calls))
    await calls.gate.arrivals()
    leaving.open()
    for _ in range(5):
        await asyncio.sleep(0)
    late = asyncio.create_task(flights.do("key", calls))
    await asyncio.sleep(0)
    calls.gate.open()
    assert await asyncio.gather(successor, late) == [1, 1]


async def test_nobody_joins_a_call_that_has_ended():
    """Its answer was right when it ended; a later caller asks about a later moment."""
    flights = SingleFlight()
    ending = asyncio.get_running_loop().create_future()

    async def asks_late():
        await ending
        return await flights.do("key", Calls())

    async def ends():
        # Wakes the late one after this call has ended, before any caller learns of its end.
        ending.set_result(None)
        return "old"

    late = asyncio.create_task(asks_late())
    await asyncio.sleep(0)
    assert await flights.do("key", ends) == "old"
    assert await late == 1


async def test_a_call_that_takes_over_is_not_forgotten_with_the_one_that_has_ended():
    """The waiters of the ended call wake up after its successor has begun."""
    flights, calls = SingleFlight(), Calls()
    calls.gate.close()
    ending = asyncio.get_running_loop().create_future()

    async def asks_late():
        await ending
        return await flights.do("key", calls)

    async def ends():
        ending.set_result(None)
        return "old"

    late = asyncio.create_task(asks_late())
    await asyncio.sleep(0)
    assert await flights.do("key", ends) == "old"
    await calls.gate.arrivals()
    later = asyncio.create_task(flights.do("key", calls))
    await asyncio.sleep(0)
    calls.gate.open()
    assert await asyncio.gather(late, later) == [1, 1]


async def test_many_waves_leave_nothing_behind():
    flights, calls = SingleFlight(), Calls()
    for wave in range(1, 50):
        assert await asyncio.gather(*(flights.do("key", calls) for _ in range(3))) == [wave] * 3
    assert not flights._flights
