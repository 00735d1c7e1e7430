"""Schedules the reading of client connections: shares the time of the event loop among them."""

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import Final

from mypy_extensions import trait

from vecguard.proxy.http2.buffers import Buffers
from vecguard.proxy.relay.clients.reputation import KNOWN, SUSPECT, UNKNOWN
from vecguard.proxy.relay.round_robin import RoundRobin

#: The maximum time for which one connection is handled before the next one.
SLICE_SECONDS: Final = 0.001
#: The time of all connections with known logins in one iteration of the loop. Health checks,
#: timers, the session with root coord and the backend's answers run between two iterations.
_TURN_SECONDS: Final = 0.004
#: The same for all other connections, and their part of all time. A refused call costs some 30
#: microseconds, so that is thousands in a second; bcrypt admits only a few logins meanwhile.
_OTHERS_TURN_SECONDS: Final = 0.002
_OTHERS_PART: Final = 0.25
#: One in this many of the other connections' turns goes to a suspect, so that none starves.
_SUSPECTS_TURN: Final = 8
#: The maximum number of bytes that all unknown connections may leave unread together, and the bytes
#: that each of them always may.
_UNREAD_BYTES: Final = 16 * 2**20
_LITTLE_BYTES: Final = 8 * 1024
#: Only more time than this is counted towards an iteration of the loop.
_NOTED_SECONDS: Final = 0.001
#: How long a connection may wait for its turn before it is closed.
_WAIT_SECONDS: Final = 5.0


# A trait, because a compiled class has only one base.
@trait
class Reader(ABC):
    """A connection whose reading is scheduled.

    Attributes:
        line: the key by which connections take turns: the address, with the user once known.
        rank: KNOWN, UNKNOWN or SUSPECT.
        is_waiting: whether it waits for a turn or rests; its socket is not read then.
        is_heavy: whether its last turn did not suffice for what it had sent.
        counted: the bytes that `ReadScheduler` counts as left unread.
    """

    line: str
    rank: int
    is_waiting: bool
    is_heavy: bool
    counted: int

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether the connection is closed."""

    @property
    @abstractmethod
    def unread(self) -> int:
        """How many received bytes are not handled yet."""

    @abstractmethod
    def go_on(self, until: float) -> bool:
        """Handles received bytes until a time of `monotonic`. Returns whether all are handled."""

    @abstractmethod
    def take_rest(self) -> float:
        """Returns for how many seconds it must not be read after its turn."""

    @abstractmethod
    def give_up(self) -> None:
        """Closes the connection, because there is no time to handle it."""

    @abstractmethod
    def met(self, bug: Exception) -> None:
        """Closes the connection, because a bug has raised an exception in its turn."""

    @abstractmethod
    def stop_reading(self) -> None:
        """Pauses reading from the socket."""

    @abstractmethod
    def read_on(self) -> None:
        """Resumes reading from the socket."""


class ReadScheduler:
    """Decides when each connection is handled.

    Received bytes are handled at once while time is left in this iteration of the loop. After
    that, or when a connection has sent more than fits into its slice, the connection waits and
    its socket is not read. Waiting connections are served in the order of their ranks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: Buffers) -> None:
        self._loop = loop
        self._buffers = buffers
        # The waiting connections by rank and then by line, and when each began to wait.
        self._lines: tuple[RoundRobin[Reader], RoundRobin[Reader], RoundRobin[Reader]] = (
            RoundRobin(),
            RoundRobin(),
            RoundRobin(),
        )
        self._since: dict[Reader, float] = {}
        self._spent = 0.0
        self._unread = 0
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._others_turns = 0
        # Seconds that connections that are not known may use, and when that was computed.
        self._allowance = _OTHERS_TURN_SECONDS
        self._allowed_at = monotonic()

    def begin(self, reader: Reader) -> float:
        """Returns until when received bytes may be handled; 0: not now, call `wait`."""
        now = monotonic()
        if reader.is_waiting or reader.is_heavy:
            return 0.0
        if reader.rank == KNOWN and (self._spent < _TURN_SECONDS or self._is_full()):
            return now + SLICE_SECONDS
        if reader.rank == KNOWN or self._spent >= _TURN_SECONDS:
            return 0.0
        if self._lines[UNKNOWN].total or self._lines[SUSPECT].total or self._allowed(now) <= 0:
            return 0.0
        return now + SLICE_SECONDS

    def end(self, reader: Reader, until: float, *, is_done: bool) -> None:
        """Accounts for the time after `begin`, and schedules the rest."""
        seconds = monotonic() - until + SLICE_SECONDS
        self._spent += seconds
        if self._spent >= _NOTED_SECONDS and not self._is_due:
            self._be_due()
        if not is_done or reader.rank != KNOWN:
            self.charge(reader, seconds)
            self._settle(reader, is_done=is_done)

    def charge(self, reader: Reader, seconds: float) -> None:
        """Accounts for time spent outside of its turns, such as on its logins."""
        if reader.rank != KNOWN:
            self._allowance -= seconds

    def wait(self, reader: Reader) -> None:
        """Makes a connection wait for its turn."""
        if not reader.is_waiting:
            reader.is_waiting = True
            reader.stop_reading()
            self._enter(reader)
        if not self._may_keep(reader):
            reader.give_up()

    def forget(self, reader: Reader) -> None:
        """Stops counting the bytes of a connection that is closed."""
        self._unread -= reader.counted
        reader.counted = 0

    def promote(self, reader: Reader, line: str) -> None:
        """Moves a connection that has become KNOWN to this line of the known ones."""
        self._may_keep(reader)
        _, unknown, suspects = self._lines
        waits = unknown.leave(reader.line, reader) or suspects.leave(reader.line, reader)
        reader.line = line
        if waits:
            self._enter(reader)

    def _is_full(self) -> bool:
        """Returns whether known clients hold so much memory that handling beats waiting."""
        return self._buffers.held - self._unread > self._buffers.limit // 4

    def _may_keep(self, reader: Reader) -> bool:
        """Counts the unread bytes of a connection. Returns whether they are within the bounds.

        A socket delivers up to 256 KiB at once, which must not be kept for thousands.
        """
        size = 0 if reader.rank == KNOWN else reader.unread
        self._unread += size - reader.counted
        reader.counted = size
        return size <= _LITTLE_BYTES or self._unread <= _UNREAD_BYTES

    def _enter(self, reader: Reader) -> None:
        rank = reader.rank
        if rank == UNKNOWN and reader.is_heavy:
            rank = SUSPECT  # connections that have sent little go first
        self._lines[rank].enter(reader.line, reader)
        self._since[reader] = monotonic()
        # The timer is for the other connections, which may have used up their time.
        if not self._is_due and (self._timer is None or rank == KNOWN):
            self._be_due()

    def _settle(self, reader: Reader, *, is_done: bool) -> None:
        """Lets a connection continue, wait for its next turn, or rest."""
        reader.is_heavy = not is_done
        if reader.is_over:
            return
        if not self._may_keep(reader):
            reader.give_up()
            return
        rest = reader.take_rest()
        if is_done and not rest:
            if reader.is_waiting:
                reader.is_waiting = False
                reader.read_on()
            return
        if not reader.is_waiting:
            reader.is_waiting = True
            reader.stop_reading()
        if rest:
            self._loop.call_later(rest, self._rested, reader)
        else:
            self._enter(reader)

    def _rested(self, reader: Reader) -> None:
        if not reader.is_over:
            self._enter(reader)

    def _be_due(self) -> None:
        self._is_due = True
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        known, unknown, suspects = self._lines
        now = monotonic()
        end = now + _TURN_SECONDS
        while known.total and now < end:
            now = self._serve(known, now)
        end = now + _OTHERS_TURN_SECONDS
        while (unknown.total or suspects.total) and now < end and self._allowed(now) > 0:
            now = self._serve(self._next_not_known(), now)
        self._spent = 0.0
        self._is_due = False
        if known.total:
            self._be_due()
        elif unknown.total or suspects.total:
            lacking = (SLICE_SECONDS - self._allowed(now)) / _OTHERS_PART
            if lacking <= 0:
                self._be_due()
            else:
                # A timer of less than uvloop's millisecond would keep the loop busy.
                self._timer = self._loop.call_later(max(lacking, 0.001), self._run_late)

    def _run_late(self) -> None:
        self._timer = None
        if not self._is_due:
            self._is_due = True
            self._run()

    def _next_not_known(self) -> RoundRobin[Reader]:
        _, unknown, suspects = self._lines
        self._others_turns += 1
        if suspects.total and (not unknown.total or not self._others_turns % _SUSPECTS_TURN):
            return suspects
        return unknown

    def _serve(self, line: RoundRobin[Reader], now: float) -> float:
        """Gives the next connection a turn. Returns the time after it."""
        reader = line.take_next()
        since = self._since.pop(reader)
        if reader.is_over:
            return now
        try:
            if now - since > _WAIT_SECONDS and reader.rank != KNOWN:
                # Its client may be gone, which only reading the socket would show.
                reader.give_up()
                return monotonic()
            is_done = reader.go_on(now + SLICE_SECONDS)
            after = monotonic()
            self.charge(reader, after - now)
            self._settle(reader, is_done=is_done)
        except Exception as bug:  # noqa: BLE001 - the reader logs it, and the others continue
            reader.met(bug)
            return monotonic()
        return after

    def _allowed(self, now: float) -> float:
        self._allowance = min(
            _OTHERS_TURN_SECONDS,
            self._allowance + (now - self._allowed_at) * _OTHERS_PART,
        )
        self._allowed_at = now
        return self._allowance
