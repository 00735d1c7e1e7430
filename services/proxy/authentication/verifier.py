"""bcrypt off the event loop, fair to all who want it, with a bound on how much is waiting."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.proxy.authentication.limits import Suspicion
from services.proxy.authentication.origin import LOCAL
from services.proxy.authentication.turnstile import QueueLimits, Turn, Turnstile
from shared.clock import Clock, boot_clock
from shared.cpus import usable_cpus
from shared.errors import OverloadedError
from shared.passwords import PasswordHash, hash_password, verify_password
from shared.secret import Secret

T = TypeVar("T")
#: Told what was done, `verify` or `hash`, and for how many seconds; by the thread that did it.
Observe = Callable[[str, float], None]

# Known logins are decided by the event loop, and it must not queue for a core behind bcrypt. On
# a core that both want, this leaves bcrypt about a quarter; more and first logins would starve.
_NICENESS = 5
# The jobs of origins that have failed leave the loop nine tenths, and of a core that both kinds
# of jobs want they get a quarter: enough not to starve where an attacker shares an address.
_SUSPECTS_NICENESS = 10
_LEAST_URGENT = 19


@dataclass(frozen=True, slots=True)
class Seat:
    """A turn for one job, and the threads that it is for."""

    turn: Turn
    executor: Executor


class _Lane:
    """Threads of one priority, entered by turns."""

    def __init__(
        self, name: str, threads: int, limits: QueueLimits, *, niceness: int, clock: Clock
    ) -> None:
        self.executor = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=partial(_step_back, niceness)
        )
        self.turnstile = Turnstile(threads, limits, pace=None, clock=clock)

    def close(self) -> None:
        self.turnstile.close()
        self.executor.shutdown(wait=False, cancel_futures=True)


class Verifier:
    """A thread for each core: bcrypt releases the interpreter lock.

    Threads are entered by turns, one origin after the other, so that many jobs of one
    origin delay another one's first by at most one job for each thread. Origins that have
    failed lately have threads of their own, half as many and of lower priority.
    """

    def __init__(
        self,
        *,
        threads: int,
        queue_limit: int,
        timeout_seconds: float,
        cost: int,
        queue_limit_per_origin: int | None = None,
        clock: Clock = boot_clock,
        observe: Observe = lambda _operation, _seconds: None,
    ) -> None:
        """0 threads: one for each usable core. One origin may wait as all may, unless limited."""
        places = threads or usable_cpus()
        limits = QueueLimits(queue_limit, queue_limit_per_origin or queue_limit, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._lane = _Lane("bcrypt", places, limits, niceness=_NICENESS, clock=clock)
        self._suspects_lane = _Lane(
            "bcrypt-suspects",
            max(1, places // 2),
            limits,
            niceness=_SUSPECTS_NICENESS,
            clock=clock,
        )
        self._lanes = (self._lane, self._suspects_lane)
        self._clock = clock
        self._observe = observe
        self.cost = cost
        # What an unknown user is checked against, so that a name costs the same either way.
        self._nobody = hash_password(Secret("nobody has this password"), cost)

    @property
    def waiting(self) -> int:
        """Jobs that run or wait to run."""
        return self.running + sum(lane.turnstile.waiting for lane in self._lanes)

    @property
    def running(self) -> int:
        """Those of them that run."""
        return sum(lane.turnstile.inside for lane in self._lanes)

    @asynccontextmanager
    async def turn(
        self, origin: str, suspicion: Callable[[], Suspicion] = lambda: Suspicion.NONE
    ) -> AsyncIterator[Seat]:
        """A thread to use, in this origin's turn, for one job.

        Whoever has come under suspicion while it waited goes on to wait where it belongs:
        so all that an origin has sent at once gets one turn before its first failure counts.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited too long.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        while True:
            seen = suspicion()
            lane = self._suspects_lane if seen is Suspicion.ORIGIN else self._lane
            async with lane.turnstile.turn(
                origin, suspect=seen is Suspicion.NAME, deadline=deadline
            ) as turn:
                if suspicion() <= seen:
                    yield Seat(turn, lane.executor)
                    return

    async def verify(
        self,
        password: Secret[str],
        expected: PasswordHash | None,
        *,
        origin: str = LOCAL,
        seat: Seat | None = None,
    ) -> bool:
        """Whether the password is right; always False, after the same work, for None.

        Waits for a turn unless it is given one.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited or run too long.
        """

        def job() -> bool:
            with self._observed("verify"):
                return verify_password(password, expected or self._nobody)

        matches = await (self._run(seat, job) if seat else self._in_turn(origin, job))
        return matches and expected is not None

    async def hash(
        self, password: Secret[str], *, origin: str = LOCAL, seat: Seat | None = None
    ) -> PasswordHash:
        """Hashes a new password at the configured cost. Raises OverloadedError as above."""

        def job() -> PasswordHash:
            with self._observed("hash"):
                return hash_password(password, self.cost)

        return await (self._run(seat, job) if seat else self._in_turn(origin, job))

    def close(self) -> None:
        """Drops what is waiting; what runs ends by itself."""
        for lane in self._lanes:
            lane.close()

    @contextmanager
    def _observed(self, operation: str) -> Iterator[None]:
        began = self._clock()
        yield
        self._observe(operation, self._clock() - began)

    async def _in_turn(self, origin: str, job: Callable[[], T]) -> T:
        async with self.turn(origin) as seat:
            return await self._run(seat, job)

    async def _run(self, seat: Seat, job: Callable[[], T]) -> T:
        work = asyncio.get_running_loop().run_in_executor(seat.executor, job)
        # A thread cannot be interrupted: a caller that hangs up does not make room.
        seat.turn.keep_until(work)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(work)
        except TimeoutError:
            raise OverloadedError("checking the login took too long, try again later") from None


def _step_back(niceness: int) -> None:
    """Lets every other thread of the machine go before this one, where that can be said."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST_URGENT, own + niceness))
