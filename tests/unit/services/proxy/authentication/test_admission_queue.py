import asyncio

import pytest

from tests.support.credentials import ManualClock
from tests.support.waiting import eventually
from vecguard.errors import OverloadedError, Status
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits
from vecguard.proxy.authentication.buckets import Rate, TokenBucket


class Work:
    """Jobs that go through a queue and stay inside until the test ends them."""

    def __init__(
        self, places=1, *, total=100, per_origin=100, timeout_seconds=10.0, pace=None, clock=None
    ):
        self.queue = AdmissionQueue(
            places,
            QueueLimits(total, per_origin, timeout_seconds),
            pace=pace,
            clock=clock or ManualClock(),
        )
        self.order = []
        self.ends = {}

    async def _job(self, origin, name):
        async with self.queue.slot(origin, suspect=origin == "S"):
            self.order.append(name)
            self.ends[name] = asyncio.Event()
            await self.ends[name].wait()

    async def start(self, *names):
        jobs = [asyncio.create_task(self._job(name[0], name)) for name in names]
        await settled()
        return jobs if len(jobs) > 1 else jobs[0]

    async def end(self, name):
        self.ends[name].set()
        await settled()


async def settled():
    """Everything that can go on without the passing of time has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def gone(*jobs):
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)


async def test_origins_are_let_in_by_turns():
    work = Work()
    jobs = await work.start("a1", "a2", "a3", "b1")
    for name in ("a1", "a2", "b1", "a3"):
        await work.end(name)
    assert work.order == ["a1", "a2", "b1", "a3"]
    assert work.queue.running == work.queue.waiting == 0
    await asyncio.gather(*jobs)


async def test_suspects_come_after_the_others_but_are_not_kept_out():
    work = Work()
    others = [f"b{number}" for number in range(10)]
    jobs = await work.start("a0", "S1", "S2", *others)
    # The first is let in without a turn; of the turns that follow each eighth is a suspect's.
    expected = ["a0", *others[:7], "S1", *others[7:], "S2"]
    for name in expected:
        await work.end(name)
    assert work.order == expected
    await asyncio.gather(*jobs)


async def test_over_the_bound_of_an_origin_the_answer_is_overloaded_at_once():
    work = Work(per_origin=1)
    first, second, third = await work.start("a1", "a2", "a3")
    assert third.done()
    assert isinstance(third.exception(), OverloadedError)
    assert third.exception().status is Status.RESOURCE_EXHAUSTED
    assert third.exception().retry_after_seconds > 0
    await gone(first, second)


async def test_in_a_full_queue_a_new_origin_takes_the_place_of_the_greediest():
    work = Work(total=2)
    running, waiting, last = await work.start("a1", "a2", "a3")
    other = await work.start("b1")
    assert isinstance(last.exception(), OverloadedError)
    assert not waiting.done()
    assert not other.done()
    await gone(running, waiting, other)


async def test_whoever_waits_too_long_is_told_so():
    work = Work(timeout_seconds=0.01)
    running, waiting = await work.start("a1", "b1")
    with pytest.raises(OverloadedError, match="too long"):
        await waiting
    await work.end("a1")
    assert work.order == ["a1"]
    assert work.queue.running == 0
    await running


async def test_whoever_hangs_up_while_waiting_is_passed_over():
    work = Work()
    running, hung_up, next_one = await work.start("a1", "b1", "c1")
    await gone(hung_up)
    await work.end("a1")
    assert work.order == ["a1", "c1"]
    await work.end("c1")
    await asyncio.gather(running, next_one)


async def test_streams_that_hung_up_count_against_their_origin_until_their_turn_comes():
    work = Work(per_origin=2)
    running, *hung_up = await work.start("x1", "a1", "a2")
    await gone(*hung_up)
    again = await work.start("a3")
    assert isinstance(again.exception(), OverloadedError)
    await work.end("x1")
    last = await work.start("a4")
    await work.end("a4")
    await asyncio.gather(running, last)


async def test_a_place_is_not_lost_when_its_owner_hangs_up_in_the_same_breath():
    work = Work()
    running, next_one = await work.start("a1", "b1")
    work.ends["a1"].set()
    await asyncio.sleep(0)  # a1 leaves and lets b1 in, who has not noticed yet
    await gone(next_one)
    await running
    assert work.queue.running == 0


async def test_a_place_is_kept_until_the_work_is_done_whoever_hangs_up():
    work = Work()
    done = asyncio.get_running_loop().create_future()

    async def job():
        async with work.queue.slot("a") as slot:
            slot.keep_until(done)
            await asyncio.Event().wait()

    task = asyncio.create_task(job())
    await settled()
    await gone(task)
    assert work.queue.running == 1
    done.set_result(None)
    await settled()
    assert work.queue.running == 0


async def test_a_pace_holds_back_what_there_would_be_room_for():
    clock = ManualClock()
    work = Work(places=10, pace=TokenBucket(Rate(2, 50.0)), clock=clock)
    jobs = await work.start("a1", "a2", "a3", "b1")
    assert work.order == ["a1", "a2"]

    async def next_is_in():
        return len(work.order) == 3

    clock.advance(0.021)
    await eventually(next_is_in)
    assert work.order[2] == "a3"
    work.queue.close()
    await gone(*jobs)


async def test_a_slot_that_comes_when_time_is_up_is_given_back_once():
    queue = Work().queue
    loop = asyncio.get_running_loop()

    async def too_late():
        async with queue.slot("b", deadline=loop.time()):
            pytest.fail("it was let in")

    async with queue.slot("a") as turn:
        waiting = asyncio.create_task(too_late())
        # In the turn of the loop in which it begins to wait, and before its time is looked at.
        loop.call_soon(turn.leave)
        with pytest.raises(OverloadedError):
            await waiting
        assert queue.running == 0
    assert queue.running == 0
