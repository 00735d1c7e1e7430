"""The timers of a client's connection: its deadlines, its idle time and its age."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Protocol

from vecguard.idle_watch import LOOKS, CallCarrier, IdleWatch

_AGE_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class LifetimePolicy:
    """Times in seconds; None: never.

    Attributes:
        greeting_seconds: the time for the TLS handshake, and then for the first frames.
        first_call_seconds: the time until a call is admitted; then the connection is closed
            gracefully, because a connection without a login must not hold a place for long.
        idle_seconds: the time without an open call; then the connection is closed gracefully.
            PINGs do not count: a pool may keep a connection alive without using it.
        age_seconds: the age at which clients are asked to reconnect, up to a tenth earlier or
            later, so that not all reconnect at once. It spreads clients over proxies that were
            added behind a balancer of connections.
        grace_seconds: the time that open calls have after that before they are ended.
    """

    greeting_seconds: float
    first_call_seconds: float | None
    idle_seconds: float | None
    age_seconds: float | None
    grace_seconds: float | None


class TimedConnection(CallCarrier, Protocol):
    """The callbacks of the timers."""

    def was_silent(self) -> None:
        """The first frames did not come in time."""

    def showed_no_call(self) -> None:
        """No call was admitted in time."""

    def was_idle(self) -> None:
        """No call was open for `idle_seconds`."""

    def grew_old(self) -> None:
        """The connection has reached its maximum age."""

    def outlived(self) -> None:
        """The grace of its open calls is over."""


class Lifetime:
    """The timers of one connection."""

    def __init__(
        self,
        connection: TimedConnection,
        policy: LifetimePolicy,
        loop: asyncio.AbstractEventLoop,
        random: Random,
    ) -> None:
        # None after the end, to break the reference cycle.
        self._connection: TimedConnection | None = connection
        self._policy = policy
        self._random = random
        self._loop = loop
        self._watch = IdleWatch()
        self._idle: asyncio.TimerHandle | None = None
        self._first_call: asyncio.TimerHandle | None = None
        self._age: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Starts the timers of a new connection."""
        connection = self._connection
        if connection is None:
            return
        self._idle = self._loop.call_later(self._policy.greeting_seconds, connection.was_silent)
        if self._policy.first_call_seconds is not None:
            self._first_call = self._loop.call_later(
                self._policy.first_call_seconds, connection.showed_no_call
            )
        if self._policy.age_seconds is not None:
            jitter = self._random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)
            self._age = self._loop.call_later(self._policy.age_seconds * jitter, self._grow_old)

    def greeted(self) -> None:
        """Starts the idle timer, because the first frames have come in time."""
        if self._idle is not None:
            self._idle.cancel()
        self._wait()

    def admitted(self) -> None:
        """Cancels the timer of the first call, which was admitted in time."""
        if self._first_call is not None:
            self._first_call.cancel()

    def end(self) -> None:
        """Cancels all timers, because the connection is closed."""
        self._connection = None
        for timer in (self._idle, self._first_call, self._age):
            if timer is not None:
                timer.cancel()

    def _wait(self) -> None:
        if self._policy.idle_seconds is not None and self._connection is not None:
            self._idle = self._loop.call_later(self._policy.idle_seconds / LOOKS, self._tick)

    def _tick(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._watch.look(connection):
            connection.was_idle()
        else:
            self._wait()

    def _grow_old(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._policy.grace_seconds is not None:
            self._age = self._loop.call_later(self._policy.grace_seconds, connection.outlived)
        connection.grew_old()
