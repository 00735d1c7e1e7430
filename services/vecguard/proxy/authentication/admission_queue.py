"""Entry to work of which only so much is done at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.proxy.authentication.buckets import TokenBucket
from vecguard.proxy.authentication.fair_queue import FairQueue

# What a client that found no place is told: about how long a queue takes to move on.
_RETRY_SECONDS = 1.0
# While others wait, one place in so many is for origins that have failed lately.
_SUSPECTS_EVERY = 8


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many may wait in all and from one origin, and for how long, in seconds."""

    total: int
    per_origin: int
    timeout_seconds: float


class Slot:
    """A place inside, given back once."""

    def __init__(self, queue: "AdmissionQueue") -> None:
        self._queue: AdmissionQueue | None = queue
        self._occupied = False

    def keep_until(self, work: asyncio.Future[Any]) -> None:
        """The place is taken until the work is done, whether or not anybody waits for it."""
        self._occupied = True
        work.add_done_callback(lambda _: self._give_back())

    def leave(self) -> None:
        """Nothing more is begun in this place."""
        if not self._occupied:
            self._give_back()

    def _give_back(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.left()


class AdmissionQueue:
    """Lets origins in by turns: so many at a time, and with a pace so many in a second.

    Within an origin user names take turns.

    Suspects stand in a queue of their own, as long as the other one. They get every eighth
    place while others wait, so that neither can keep the other out.

    Attributes:
        inside: how many are in.
    """

    def __init__(
        self, places: int, limits: QueueLimits, *, pace: TokenBucket | None, clock: Clock
    ) -> None:
        self._places = places
        self._timeout_seconds = limits.timeout_seconds
        self._others, self._suspects = (
            FairQueue[asyncio.Future[None]](limit=limits.total, limit_per_origin=limits.per_origin)
            for _ in range(2)
        )
        self._admissions = 0
        self._pace = pace
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self.inside = 0

    @property
    def waiting(self) -> int:
        """How many wait, with those who have given up and not been reached."""
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
        """A place inside, in the turn of this origin and name. A suspect has failed lately.

        The deadline, by the loop's clock, is for those who have waited elsewhere before.

        Raises:
            OverloadedError: too many wait, or it took too long.
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

    def left(self) -> None:
        """A place is free again."""
        self.inside -= 1
        self._admit()

    def close(self) -> None:
        """Nobody is let in any more by the passing of time."""
        if self._timer is not None:
            self._timer.cancel()

    async def _enter(
        self, queue: FairQueue[asyncio.Future[None]], origin: str, name: str, deadline: float
    ) -> None:
        # At the usual rate nobody waits, and nothing needs to be queued.
        if not self.waiting and self._has_room():
            self._take_place()
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        _line_up(queue, origin, name, admitted)
        self._admit()
        try:
            async with asyncio.timeout_at(deadline):
                await admitted
        except TimeoutError:
            if _was_admitted(admitted):
                self.left()
            raise OverloadedError(
                "checking the login took too long, try again later",
                retry_after_seconds=_RETRY_SECONDS,
            ) from None
        except asyncio.CancelledError:
            # Whoever was let in and hung up in the same breath must not keep the place.
            if _was_admitted(admitted):
                self.left()
            raise
        finally:
            # Else an error that was set there, and has this frame, would keep itself alive.
            del admitted

    def _admit(self) -> None:
        """Lets in as many as there is room for, and comes back when the pace allows more."""
        while self.waiting and self._has_room():
            admitted = self._next()
            if admitted is None:
                return
            self._take_place()
            admitted.set_result(None)
        if self.waiting and self._pace is not None and self.inside < self._places:
            self._come_back(self._pace.wait_seconds(self._clock()))

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

    def _has_room(self) -> bool:
        if self.inside >= self._places:
            return False
        return self._pace is None or self._pace.wait_seconds(self._clock()) <= 0

    def _take_place(self) -> None:
        self.inside += 1
        if self._pace is not None:
            self._pace.take(self._clock())

    def _come_back(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._admit()


def _line_up(
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


def _was_admitted(admitted: asyncio.Future[None]) -> bool:
    return admitted.done() and not admitted.cancelled() and admitted.exception() is None


def _full() -> OverloadedError:
    return OverloadedError(
        "too many logins are being checked, try again later", retry_after_seconds=_RETRY_SECONDS
    )
