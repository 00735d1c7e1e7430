"""Runs bcrypt in threads, with fair and bounded queues."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.passwords import PasswordHash, hash_password, verify_password
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits, Slot
from vecguard.proxy.authentication.limits import Suspicion
from vecguard.proxy.authentication.origin import is_user
from vecguard.proxy.cpus import usable_cpus
from vecguard.secret import Secret

T = TypeVar("T")
#: Called with the operation, `verify` or `hash`, and its seconds; in the thread that ran it.
Observe = Callable[[str, float], None]

# The event loop decides known logins and must not wait for a core behind bcrypt. On a shared core
# this leaves bcrypt a tenth, so that first logins do not starve. It is the same for all threads: a
# thread that is preempted by another one while it holds the interpreter lock blocks the loop.
_NICENESS = 10
_LEAST_URGENT = 19


class Verifier:
    """Runs bcrypt in a thread for each core, because bcrypt releases the interpreter lock.

    Origins take turns, so that many jobs of one origin delay the first job of another one by at
    most one job for each thread. Within an origin user names take turns.

    Origins that have failed lately have a queue of their own with half as many slots, so that
    they delay the others by one more job. In it, names that have failed come after other
    names.

    Users whose login is right, and who change passwords, have a third queue that other logins
    cannot enter, for the origins for which `is_user` is true.
    """

    def __init__(
        self,
        *,
        threads: int,
        queue_limit: int,
        timeout_seconds: float,
        cost: int,
        queue_limit_per_origin: int | None = None,
        clock: Clock,
        observe: Observe = lambda _operation, _seconds: None,
    ) -> None:
        """Starts no thread yet.

        Args:
            threads: how many threads; 0: one for each usable core.
            queue_limit: the maximum number of waiting jobs of each queue.
            timeout_seconds: the maximum wait of a job, and its maximum run.
            cost: the bcrypt cost of new hashes.
            queue_limit_per_origin: the maximum number of waiting jobs of one origin; None:
                `queue_limit`.
            clock: measures the runs for `observe`.
            observe: called after each run of bcrypt.
        """
        places = threads or usable_cpus()
        limits = QueueLimits(queue_limit, queue_limit_per_origin or queue_limit, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._queue = AdmissionQueue(places, limits, pace=None, clock=clock)
        self._suspects_queue = AdmissionQueue(max(1, places // 2), limits, pace=None, clock=clock)
        self._users_queue = AdmissionQueue(places, limits, pace=None, clock=clock)
        self._queues = (self._queue, self._suspects_queue, self._users_queue)
        self._threads = ThreadPoolExecutor(
            places, thread_name_prefix="bcrypt", initializer=_lower_priority
        )
        self._clock = clock
        self._observe = observe
        self.cost = cost
        # The hash for unknown users, so that a check takes equally long for every name.
        self._dummy = hash_password(Secret("nobody has this password"), cost)

    @property
    def waiting(self) -> int:
        """How many jobs run or wait."""
        return self.running + sum(queue.waiting for queue in self._queues)

    @property
    def running(self) -> int:
        """How many jobs run."""
        return sum(queue.running for queue in self._queues)

    @asynccontextmanager
    async def slot(
        self,
        origin: str,
        name: str = "",
        suspicion: Callable[[], Suspicion] = lambda: Suspicion.NONE,
    ) -> AsyncIterator[Slot]:
        """Waits for a thread, and holds its slot for one job.

        A job whose suspicion has grown while it waited then waits in the queue for that. So of
        all jobs that an origin sends at once, only one gets a slot before a failure counts.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited too long.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        while True:
            seen = suspicion()
            name_failed = seen is Suspicion.NAME or seen is Suspicion.PAIR
            queue = self._queue_of(origin, seen)
            async with queue.slot(
                origin, name=name, suspect=name_failed, deadline=deadline
            ) as slot:
                if suspicion() <= seen:
                    yield slot
                    return

    async def verify(
        self,
        password: Secret[str],
        expected: PasswordHash | None,
        *,
        slot: Slot,
    ) -> bool:
        """Returns whether the password is right. For None it does the same work, and is False.

        Raises:
            OverloadedError: it has run too long.
        """

        def job() -> bool:
            with self._observed("verify"):
                return verify_password(password, expected or self._dummy)

        matches = await self._run(slot, job)
        return matches and expected is not None

    async def hash(self, password: Secret[str], *, origin: str) -> PasswordHash:
        """Returns a hash of a new password at the configured cost. Raises OverloadedError."""

        def job() -> PasswordHash:
            with self._observed("hash"):
                return hash_password(password, self.cost)

        async with self.slot(origin) as slot:
            return await self._run(slot, job)

    def close(self) -> None:
        """Drops the waiting jobs; running jobs end by themselves."""
        for queue in self._queues:
            queue.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _queue_of(self, origin: str, seen: Suspicion) -> AdmissionQueue:
        if is_user(origin):
            return self._users_queue
        return self._queue if seen < Suspicion.ORIGIN else self._suspects_queue

    @contextmanager
    def _observed(self, operation: str) -> Iterator[None]:
        began = self._clock()
        yield
        self._observe(operation, self._clock() - began)

    async def _run(self, slot: Slot, job: Callable[[], T]) -> T:
        work = asyncio.get_running_loop().run_in_executor(self._threads, job)
        # A thread cannot be interrupted, so a cancelled call keeps its slot.
        slot.keep_until(work)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(work)
        except TimeoutError:
            raise OverloadedError("checking the login took too long, try again later") from None


def _lower_priority() -> None:
    """Lowers the priority of this thread, where the system allows it."""
    if sys.platform == "linux":  # pragma: no branch - elsewhere a thread has no niceness
        with suppress(OSError):
            thread = threading.get_native_id()
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST_URGENT, own + _NICENESS))
