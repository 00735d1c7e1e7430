"""bcrypt off the event loop, fair to all who want it, with a bound on how much is waiting."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from vecguard.addresses import LOCAL
from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.passwords import PasswordHash, hash_password, verify_password
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits, Slot
from vecguard.proxy.authentication.limits import Suspicion
from vecguard.proxy.authentication.origin import is_user
from vecguard.proxy.cpus import usable_cpus
from vecguard.secret import Secret

T = TypeVar("T")
#: Told what was done, `verify` or `hash`, and for how many seconds; by the thread that did it.
Observe = Callable[[str, float], None]

# Known logins are decided by the event loop, and it must not queue for a core behind bcrypt. On
# a core that both want, this leaves bcrypt a tenth, so that first logins do not starve. It is the
# same for all threads: one that is pushed aside by another while it has the interpreter lock
# holds up the loop.
_NICENESS = 10
_LEAST_URGENT = 19


class Verifier:
    """A thread for each core: bcrypt releases the interpreter lock.

    Threads are entered by turns, one origin after the other, so that many jobs of one
    origin delay another one's first by at most one job for each thread. Within an origin user
    names take turns.

    Origins that have failed lately have a line of their own, of which half as many get in, so
    that they delay the others by one job more. In it, names that have failed come after those
    that have not.

    Users whose login is right already, and who change passwords, have a line that no stranger
    can enter: theirs are the origins for which `is_user` is true.
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
        """0 threads: one for each usable core. One origin may wait as all may, unless limited."""
        places = threads or usable_cpus()
        limits = QueueLimits(queue_limit, queue_limit_per_origin or queue_limit, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._line = AdmissionQueue(places, limits, pace=None, clock=clock)
        self._suspects_line = AdmissionQueue(max(1, places // 2), limits, pace=None, clock=clock)
        self._users_line = AdmissionQueue(places, limits, pace=None, clock=clock)
        self._lines = (self._line, self._suspects_line, self._users_line)
        self._threads = ThreadPoolExecutor(
            places, thread_name_prefix="bcrypt", initializer=_step_back
        )
        self._clock = clock
        self._observe = observe
        self.cost = cost
        # What an unknown user is checked against, so that a name costs the same either way.
        self._nobody = hash_password(Secret("nobody has this password"), cost)

    @property
    def waiting(self) -> int:
        """Jobs that run or wait to run."""
        return self.running + sum(line.waiting for line in self._lines)

    @property
    def running(self) -> int:
        """Those of them that run."""
        return sum(line.inside for line in self._lines)

    @asynccontextmanager
    async def slot(
        self,
        origin: str,
        name: str = "",
        suspicion: Callable[[], Suspicion] = lambda: Suspicion.NONE,
    ) -> AsyncIterator[Slot]:
        """A thread to use, in the turn of this origin and user name, for one job.

        A job that has come under suspicion while it waited goes on to wait where it belongs:
        so all that an origin has sent at once gets one turn before its first failure counts.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited too long.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        while True:
            seen = suspicion()
            name_failed = seen is Suspicion.NAME or seen is Suspicion.PAIR
            line = self._line_of(origin, seen)
            async with line.slot(origin, name=name, suspect=name_failed, deadline=deadline) as slot:
                if suspicion() <= seen:
                    yield slot
                    return

    async def verify(
        self,
        password: Secret[str],
        expected: PasswordHash | None,
        *,
        origin: str = LOCAL,
        slot: Slot | None = None,
    ) -> bool:
        """Whether the password is right; always False, after the same work, for None.

        Waits for a turn unless it is given one.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited or run too long.
        """

        def job() -> bool:
            with self._observed("verify"):
                return verify_password(password, expected or self._nobody)

        matches = await (self._run(slot, job) if slot else self._in_slot(origin, job))
        return matches and expected is not None

    async def hash(
        self, password: Secret[str], *, origin: str = LOCAL, slot: Slot | None = None
    ) -> PasswordHash:
        """Hashes a new password at the configured cost. Raises OverloadedError as above."""

        def job() -> PasswordHash:
            with self._observed("hash"):
                return hash_password(password, self.cost)

        return await (self._run(slot, job) if slot else self._in_slot(origin, job))

    def close(self) -> None:
        """Drops what is waiting; what runs ends by itself."""
        for line in self._lines:
            line.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _line_of(self, origin: str, seen: Suspicion) -> AdmissionQueue:
        if is_user(origin):
            return self._users_line
        return self._line if seen < Suspicion.ORIGIN else self._suspects_line

    @contextmanager
    def _observed(self, operation: str) -> Iterator[None]:
        began = self._clock()
        yield
        self._observe(operation, self._clock() - began)

    async def _in_slot(self, origin: str, job: Callable[[], T]) -> T:
        async with self.slot(origin) as slot:
            return await self._run(slot, job)

    async def _run(self, slot: Slot, job: Callable[[], T]) -> T:
        work = asyncio.get_running_loop().run_in_executor(self._threads, job)
        # A thread cannot be interrupted: a caller that hangs up does not make room.
        slot.keep_until(work)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(work)
        except TimeoutError:
            raise OverloadedError("checking the login took too long, try again later") from None


def _step_back() -> None:
    """Lets every other thread of the machine go before this one, where that can be said."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST_URGENT, own + _NICENESS))
