import asyncio
import os
import sys
import threading

import pytest

from tests.support.credentials import hashed
from tests.support.waiting import eventually
from vecguard.addresses import LOCAL
from vecguard.boot_clock import boot_clock
from vecguard.errors import OverloadedError, Status
from vecguard.proxy.authentication import verifier as module
from vecguard.proxy.authentication.admission_queue import AdmissionQueue
from vecguard.proxy.authentication.limits import Suspicion
from vecguard.proxy.authentication.origin import origin_of_user
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.secret import Secret


def verifier(*, threads=1, queue_limit=1, timeout_seconds=10.0, cost=4):
    return Verifier(
        threads=threads,
        queue_limit=queue_limit,
        timeout_seconds=timeout_seconds,
        cost=cost,
        clock=boot_clock,
    )


async def verified(checks, password, expected, origin=LOCAL):
    async with checks.slot(origin) as slot:
        return await checks.verify(password, expected, slot=slot)


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
    assert await verified(checks, Secret("Milvus"), hashed("Milvus"))
    assert not await verified(checks, Secret("milvus"), hashed("Milvus"))
    checks.close()


async def test_an_unknown_user_costs_one_bcrypt_and_never_matches(monkeypatch):
    judged = []

    def always(password, expected):
        judged.append(expected)
        return True

    monkeypatch.setattr(module, "verify_password", always)
    checks = verifier(cost=5)
    assert not await verified(checks, Secret("Milvus"), None)
    assert [expected.cost for expected in judged] == [5]
    checks.close()


async def test_no_password_opens_the_dummy_account():
    checks = verifier()
    assert not await verified(checks, Secret("nobody has this password"), None)
    checks.close()


async def test_new_passwords_are_hashed_at_the_configured_cost():
    checks = verifier(cost=5)
    assert (await checks.hash(Secret("Milvus"), origin=LOCAL)).cost == 5
    checks.close()


async def test_more_than_the_queue_holds_is_refused_at_once(bcrypt):
    checks = verifier(threads=1, queue_limit=1)
    jobs = [
        asyncio.create_task(verified(checks, Secret("Milvus"), hashed("Milvus"))) for _ in range(2)
    ]
    await bcrypt.until_started()
    assert checks.waiting == 2
    with pytest.raises(OverloadedError) as refusal:
        await verified(checks, Secret("Milvus"), hashed("Milvus"))
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED
    bcrypt.release.set()
    assert await asyncio.gather(*jobs) == [True, True]
    assert checks.waiting == 0
    checks.close()


async def test_a_job_that_waits_too_long_is_refused_and_never_runs(bcrypt):
    checks = verifier(threads=1, queue_limit=5, timeout_seconds=0.05)
    first = asyncio.create_task(verified(checks, Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    with pytest.raises(OverloadedError):
        await verified(checks, Secret("Milvus"), hashed("Milvus"))
    bcrypt.release.set()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], OverloadedError)

    async def nothing_runs_or_waits():
        return checks.waiting == 0

    await eventually(nothing_runs_or_waits)
    assert bcrypt.runs == 1
    checks.close()


async def test_a_job_whose_caller_hangs_up_is_dropped_from_the_queue(bcrypt):
    checks = verifier(threads=1, queue_limit=5)
    running, queued = (
        asyncio.create_task(verified(checks, Secret("Milvus"), hashed("Milvus"))) for _ in range(2)
    )
    await bcrypt.until_started()
    queued.cancel()
    await asyncio.wait([queued])
    bcrypt.release.set()
    assert await running
    assert await verified(checks, Secret("Milvus"), hashed("Milvus"))
    assert bcrypt.runs == 2
    checks.close()


async def test_the_event_loop_runs_while_bcrypt_does(bcrypt):
    checks = verifier()
    job = asyncio.create_task(verified(checks, Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    await asyncio.sleep(0)
    assert not job.done()
    bcrypt.release.set()
    assert await job
    checks.close()


async def test_a_job_that_nobody_waits_for_any_more_occupies_its_thread_to_the_end(bcrypt):
    checks = verifier(threads=1, queue_limit=5)
    running = asyncio.create_task(verified(checks, Secret("Milvus"), hashed("Milvus")))
    await bcrypt.until_started()
    running.cancel()
    await asyncio.wait([running])
    assert checks.waiting == 1
    bcrypt.release.set()

    async def the_thread_is_free():
        return checks.waiting == 0

    await eventually(the_thread_is_free, 10.0)
    checks.close()


class Line:
    """Logins that wait for their turn, and what they are suspected of."""

    def __init__(self, checks):
        self.checks = checks
        self.suspicions = {}
        self.order = []
        self.ends = {}

    async def _login(self, name):
        origin = name[0]

        def suspicion():
            return self.suspicions.get(origin, Suspicion.NONE)

        async with self.checks.slot(origin, suspicion=suspicion):
            self.order.append(name)
            self.ends[name] = asyncio.Event()
            await self.ends[name].wait()

    async def comes(self, *names):
        logins = [asyncio.create_task(self._login(name)) for name in names]
        await self._settled()
        return logins

    async def ends_with(self, name, suspicion=Suspicion.NONE):
        self.suspicions[name[0]] = suspicion
        self.ends[name].set()
        await self._settled()

    async def _settled(self):
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def line():
    checks = verifier(threads=1, queue_limit=10)
    line, tasks = Line(checks), []
    come = line.comes

    async def comes(*names):
        tasks.extend(await come(*names))

    line.comes = comes
    yield line
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert checks.waiting == 0
    checks.close()


async def test_origins_that_have_failed_have_a_line_of_their_own(line):
    line.suspicions["S"] = Suspicion.ORIGIN
    await line.comes("S1", "S2", "a1", "b1")
    assert line.order == ["S1", "a1"]
    assert line.checks.running == 2
    assert line.checks.waiting == 4
    await line.ends_with("a1")
    assert line.order == ["S1", "a1", "b1"]
    await line.ends_with("S1", Suspicion.ORIGIN)
    assert line.order == ["S1", "a1", "b1", "S2"]


async def test_what_an_origin_has_sent_at_once_gets_one_turn_before_it_is_suspect(line):
    await line.comes("A1", "A2", "A3", "B1", "B2", "c1")
    await line.ends_with("A1", Suspicion.ORIGIN)
    # Its next one has gone over to the suspects, and delays no job here.
    assert sorted(line.order) == ["A1", "A2", "B1"]
    await line.ends_with("B1", Suspicion.ORIGIN)
    assert sorted(line.order) == ["A1", "A2", "B1", "c1"]


async def test_names_that_failed_elsewhere_come_after_those_that_did_not(line):
    line.suspicions["n"] = Suspicion.NAME
    await line.comes("a0", "n1", "n2", "b1", "b2")
    for name in ("a0", "b1", "b2", "n1"):
        await line.ends_with(name, line.suspicions.get(name[0], Suspicion.NONE))
    assert line.order == ["a0", "b1", "b2", "n1", "n2"]


async def test_names_that_failed_come_after_other_names_of_their_origin():
    checks = verifier(threads=1, queue_limit=20)
    order, end = [], asyncio.Event()

    async def login(name, seen):
        async with checks.slot("a", name, lambda: seen):
            order.append(name)
            await end.wait()

    logins = [asyncio.create_task(login("first", Suspicion.ORIGIN))]
    await asyncio.sleep(0)
    logins += [asyncio.create_task(login("guessed", Suspicion.PAIR)) for _ in range(4)]
    logins += [asyncio.create_task(login(f"new{each}", Suspicion.ORIGIN)) for each in range(4)]
    await asyncio.sleep(0)
    end.set()
    await asyncio.gather(*logins)
    assert order == ["first", *(f"new{each}" for each in range(4)), *["guessed"] * 4]
    checks.close()


async def test_users_whose_login_is_right_have_a_line_that_guesses_cannot_fill(bcrypt):
    checks = verifier(threads=1, queue_limit=2)
    guesses = [
        asyncio.create_task(verified(checks, Secret("wrong"), hashed("Milvus"), origin=origin))
        for origin in ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    ]
    await bcrypt.until_started()
    with pytest.raises(OverloadedError):
        await checks.hash(Secret("Milvus"), origin="192.0.2.1")
    change = asyncio.create_task(checks.hash(Secret("Milvus"), origin=origin_of_user("root")))
    await asyncio.sleep(0)
    assert not change.done()
    bcrypt.release.set()
    assert (await change).cost == 4
    await asyncio.gather(*guesses)
    checks.close()


async def test_a_login_that_goes_over_to_the_suspects_begins_no_new_wait(monkeypatch):
    deadlines = []

    class Noted(AdmissionQueue):
        def slot(self, origin, *, deadline=None, **options):
            deadlines.append(deadline)
            return super().slot(origin, deadline=deadline, **options)

    monkeypatch.setattr(module, "AdmissionQueue", Noted)
    checks = verifier()
    suspicions = iter((Suspicion.NONE, Suspicion.ORIGIN, Suspicion.ORIGIN, Suspicion.ORIGIN))
    async with checks.slot("a", suspicion=lambda: next(suspicions)):
        pass
    first, second = deadlines
    assert first == second is not None
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
    await verified(checks, Secret("Milvus"), hashed("Milvus"))
    async with checks.slot("S", suspicion=lambda: Suspicion.ORIGIN) as slot:
        await checks.verify(Secret("Milvus"), hashed("Milvus"), slot=slot)
    # A thread that holds the interpreter lock must not be preempted by another one.
    assert priorities == [min(19, own + module._NICENESS)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    checks.close()
