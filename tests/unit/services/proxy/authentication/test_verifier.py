import asyncio
import os
import sys
import threading

import pytest
from grpclib.const import Status

from services.proxy.authentication import verifier as module
from services.proxy.authentication.verifier import Verifier
from shared.errors import OverloadedError
from shared.secret import Secret
from tests.support.credentials import hashed
from tests.support.waiting import eventually


def verifier(*, threads=1, queue_limit=1, timeout_seconds=10.0, cost=4):
    return Verifier(
        threads=threads, queue_limit=queue_limit, timeout_seconds=timeout_seconds, cost=cost
    )


class HeldBcrypt:
    """Stands in for bcrypt, in the verifier's threads, and waits there."""

    def __init__(self):
        self.release = threading.Event()
        self.started = threading.Semaphore(0)
        self.runs = 0

    def __call__(self, password, expected):
        self.runs += 1
        self.started.release()
        assert self.release.wait(10)
        return True

    async def until_started(self):
        assert await asyncio.to_thread(self.started.acquire, timeout=10)


@pytest.fixture
def bcrypt(monkeypatch):
    held = HeldBcrypt()
    monkeypatch.setattr(module, "verify_password", held)
    yield held
    held.release.set()


async def test_the_right_password_matches_and_another_does_not():
    checks = verifier()
    assert await checks.verify(Secret("Milvus"), hashed("Milvus"))
    assert not await checks.verify(Secret("milvus"), hashed("Milvus"))
    checks.close()


async def test_an_unknown_user_costs_one_bcrypt_and_never_matches(monkeypatch):
    judged = []

    def always(password, expected):
        judged.append(expected)
        return True

    monkeypatch.setattr(module, "verify_password", always)
    checks = verifier(cost=5)
    assert not await checks.verify(Secret("Milvus"), None)
    assert [expected.cost for expected in judged] == [5]
    checks.close()


async def test_no_password_opens_the_dummy_account():
    checks = verifier()
    assert not await checks.verify(Secret("nobody has this password"), None)
    checks.close()


async def test_new_passwords_are_hashed_at_the_configured_cost():
    checks = verifier(cost=5)
    assert (await checks.hash(Secret("Milvus"))).cost == 5
    checks.close()


async def test_more_than_the_queue_holds_is_refused_at_once(bcrypt):
    checks = verifier(threads=1, queue_limit=1)
    jobs = [
        asyncio.create_task(checks.verify(Secret("Milvus"), hashed("Milvus"))) for _ in range(2)
    ]
    await bcrypt.until_started()
    assert checks.waiting == 2
    with pytest.raises(OverloadedError) as refusal:
        await checks.verify(Secret("Milvus"), hashed("Milvus"))
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED
    bcrypt.release.set()
    assert await asyncio.gather(*jobs) == [True, True]
    assert checks.waiting == 0
    checks.close()


async def test_a_job_that_waits_too_long_is_refused_and_never_runs(bcrypt):
    checks = verifier(threads=1, queue_limit=5, timeout_seconds=0.05)
    first = asyncio.create_task(checks.verify(Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    with pytest.raises(OverloadedError):
        await checks.verify(Secret("Milvus"), hashed("Milvus"))
    bcrypt.release.set()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], OverloadedError)
    await checks.verify(Secret("Milvus"), hashed("Milvus"))
    assert bcrypt.runs == 2
    checks.close()


async def test_a_job_whose_caller_hangs_up_is_dropped_from_the_queue(bcrypt):
    checks = verifier(threads=1, queue_limit=5)
    running, queued = (
        asyncio.create_task(checks.verify(Secret("Milvus"), hashed("Milvus"))) for _ in range(2)
    )
    await bcrypt.until_started()
    queued.cancel()
    await asyncio.wait([queued])
    bcrypt.release.set()
    assert await running
    assert await checks.verify(Secret("Milvus"), hashed("Milvus"))
    assert bcrypt.runs == 2
    checks.close()


async def test_the_event_loop_runs_while_bcrypt_does(bcrypt):
    checks = verifier()
    job = asyncio.create_task(checks.verify(Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    await asyncio.sleep(0)
    assert not job.done()
    bcrypt.release.set()
    assert await job
    checks.close()


async def test_a_job_that_nobody_waits_for_any_more_occupies_its_thread_to_the_end(bcrypt):
    checks = verifier(threads=1, queue_limit=5)
    running = asyncio.create_task(checks.verify(Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    running.cancel()
    await asyncio.wait([running])
    assert checks.waiting == 1
    bcrypt.release.set()

    async def the_thread_is_free():
        return checks.waiting == 0

    await eventually(the_thread_is_free, 10.0)
    checks.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
async def test_bcrypt_lets_the_event_loop_go_first(monkeypatch):
    priorities = []

    def note_priority(password, expected):
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return True

    monkeypatch.setattr(module, "verify_password", note_priority)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    checks = verifier()
    await checks.verify(Secret("Milvus"), hashed("Milvus"))
    assert priorities == [min(19, own + module._NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    checks.close()
