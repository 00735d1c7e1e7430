"""A fair queue for a bounded number of slots, such as the threads that run bcrypt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.proxy.authentication.buckets import TokenBucket
from vecguard.proxy.authentication.fair_queue import FairQueue

# The retry hint for clients that get no place: about how long a queue takes to advance.
_RETRY_SECONDS = 1.0
# While other origins wait, one in this many slots goes to an origin that has failed lately.
_SUSPECTS_EVERY = 8


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The maximum number of waiting requests, in all and of one origin, and the maximum wait."""

    total: int
    per_origin: int
    timeout_seconds: float


class Slot:
    """A slot of an admission queue, given back once."""

    def __init__(self, queue: "AdmissionQueue") -> None:
        self._queue: AdmissionQueue | None = queue
        self._occupied = False

    def keep_until(self, work: asyncio.Future[Any]) -> None:
        """Keeps the slot until `work` is done, even if its caller is gone before."""
        self._occupied = True
        work.add_done_callback(lambda _: self._give_back())

    def leave(self) -> None:
        """Gives the slot back, unless `keep_until` keeps it."""
        if not self._occupied:
            self._give_back()

    def _give_back(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.release()


class AdmissionQueue:
    """Gives a bounded number of slots to waiting requests, and with a pace only some per second.

    Origins take turns, and within an origin user names take turns.

    Suspects wait in a second queue of the same length. They get every eighth slot while others
    wait, so that neither queue can starve the other.

    Attributes:
        running: how many slots are taken.
    """

    def __init__(
        self, slots: int, limits: QueueLimits, *, pace: TokenBucket | None, clock: Clock
    ) -> None:
        self._slots = slots
        self._timeout_seconds = limits.timeout_seconds
        self._others, self._suspects = (
            FairQueue[asyncio.Future[None]](limit=limits.total, limit_per_origin=limits.per_origin)
            for _ in range(2)
        )
        self._admissions = 0
        self._pace = pace
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many requests wait, including cancelled ones that are still in the queue."""
        return len(self._others) + len(self._suspects)

    @asynccontextmanager
    async def slot(
        self,
        origin: str,
        *,
        name: str = "",
        suspect: bool = False,
        deadline: float | None = None,
    ) -> AsyncIterator[Slot]:
        """Waits for a slot, and holds it until the end of the context.

        Args:
            origin: takes turns with other origins.
            name: takes turns with other names of the origin.
            suspect: whether the origin or name has failed lately.
            deadline: the end of the wait by the loop's clock, for a request that has waited
                elsewhere before; None: the queue's own timeout.

        Raises:
            OverloadedError: too many requests wait, or the wait was too long.
        """
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        queue = self._suspects if suspect else self._others
        await self._enter(queue, origin, name, deadline)
        slot = Slot(self)
        try:
            yield slot
        finally:
            slot.leave()

    def release(self) -> None:
        """Takes a slot back, and gives it to the next request."""
        self.running -= 1
        self._admit()

    def close(self) -> None:
        """Cancels the timer of the pace."""
        if self._timer is not None:
            self._timer.cancel()

    async def _enter(
        self, queue: FairQueue[asyncio.Future[None]], origin: str, name: str, deadline: float
    ) -> None:
        # At the usual rate a slot is free at once.
        if not self.waiting and self._has_slot():
            self._take_slot()
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        _enqueue(queue, origin, name, admitted)
        self._admit()
        try:
            async with asyncio.timeout_at(deadline):
                await admitted
        except TimeoutError:
            if _is_admitted(admitted):
                self.release()
            raise OverloadedError(
                "checking the login took too long, try again later",
                retry_after_seconds=_RETRY_SECONDS,
            ) from None
        except asyncio.CancelledError:
            # A request that was admitted and cancelled at the same time must not keep its slot.
            if _is_admitted(admitted):
                self.release()
            raise
        finally:
            # Breaks the cycle of an error that was set there and its traceback with this frame.
            del admitted

    def _admit(self) -> None:
        """Gives the free slots to waiting requests, and again when the pace allows more."""
        while self.waiting and self._has_slot():
            admitted = self._next()
            if admitted is None:
                return
            self._take_slot()
            admitted.set_result(None)
        if self.waiting and self._pace is not None and self.running < self._slots:
            self._resume_later(self._pace.wait_seconds(self._clock()))

    def _next(self) -> asyncio.Future[None] | None:
        self._admissions += 1
        queues = [self._others, self._suspects]
        if self._admissions % _SUSPECTS_EVERY == 0:
            queues.reverse()
        for queue in queues:
            admitted = queue.pop(_is_pending)
            if admitted is not None:
                return admitted
        return None

    def _has_slot(self) -> bool:
        if self.running >= self._slots:
            return False
        return self._pace is None or self._pace.wait_seconds(self._clock()) <= 0

    def _take_slot(self) -> None:
        self.running += 1
        if self._pace is not None:
            self._pace.take(self._clock())

    def _resume_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._admit()


def _enqueue(
    queue: FairQueue[asyncio.Future[None]],
    origin: str,
    name: str,
    admitted: asyncio.Future[None],
) -> None:
    displaced = queue.push(origin, admitted, name)
    if displaced is admitted:
        raise _full()
    if displaced is not None and not displaced.done():
        displaced.set_exception(_full())


def _is_pending(admitted: asyncio.Future[None]) -> bool:
    return not admitted.done()


def _is_admitted(admitted: asyncio.Future[None]) -> bool:
    return admitted.done() and not admitted.cancelled() and admitted.exception() is None


def _full() -> OverloadedError:
    return OverloadedError(
        "too many logins are being checked, try again later", retry_after_seconds=_RETRY_SECONDS
    )
