"""Shares the time of the event loop among the connections of clients."""

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import Final

from mypy_extensions import trait

from vecguard.proxy.http2.buffers import Buffers
from vecguard.proxy.relay.clients.standing import KNOWN, NEWCOMER, SUSPECT
from vecguard.proxy.relay.round_robin import RoundRobin

#: What one connection gets before the next one has its turn.
SLICE_SECONDS: Final = 0.001
#: What all connections with known logins get in one turn of the loop, before health checks,
#: timers, the session with root coord and the backend's answers have theirs.
_TURN_SECONDS: Final = 0.004
#: The same for all others, and the part of all time that they get. A refused call costs some 30
#: microseconds, so that is thousands in a second; bcrypt lets only a few logins in meanwhile.
_OTHERS_TURN_SECONDS: Final = 0.002
_OTHERS_PART: Final = 0.25
#: One in so many of those turns is a suspect's, so that none waits for ever.
_SUSPECTS_TURN: Final = 8
#: What all connections that are not known may leave unread together, and what each of them always
#: may.
_UNREAD_BYTES: Final = 16 * 2**20
_LITTLE_BYTES: Final = 8 * 1024
#: Time after which it matters whether it was spent in one turn of the loop.
_NOTED_SECONDS: Final = 0.001
#: How long a connection waits for its turn before it is closed.
_WAIT_SECONDS: Final = 5.0


# A trait, because compiled classes have one base only.
@trait
class Reader(ABC):
    """A connection that is read in turns.

    Attributes:
        line: what takes turns: its address, and its user once that is known.
        rank: KNOWN, NEWCOMER or SUSPECT.
        is_waiting: it waits for a turn, or rests, and its socket is not read.
        is_heavy: its last turn did not suffice for what it had sent.
        counted: for `Turns`, the bytes that are counted as left unread.
    """

    line: str
    rank: int
    is_waiting: bool
    is_heavy: bool
    counted: int

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing is read any more."""

    @property
    @abstractmethod
    def unread(self) -> int:
        """Bytes that were taken from the socket and not handled."""

    @abstractmethod
    def go_on(self, until: float) -> bool:
        """Handles what was read, until then. Returns whether that was all."""

    @abstractmethod
    def take_rest(self) -> float:
        """For how many seconds it is not to be read after its turn."""

    @abstractmethod
    def give_up(self) -> None:
        """Ends it: there is no time for what it sends."""

    @abstractmethod
    def met(self, bug: Exception) -> None:
        """A bug showed itself in its turn: ends it."""

    @abstractmethod
    def stop_reading(self) -> None:
        """Leaves what comes in the socket."""

    @abstractmethod
    def read_on(self) -> None:
        """Takes what comes from the socket."""


class Turns:
    """Decides which connection is handled when.

    What is read is handled at once while there is time left in this turn of the loop. After
    that, or when a connection has sent more than fits into its slice, the connection waits and
    its socket is not read. Waiting connections are served in the order of their ranks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: Buffers) -> None:
        self._loop = loop
        self._buffers = buffers
        # What waits, by rank and then by line, and since when.
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
        # Seconds that connections which are not known may use, and when that was reckoned.
        self._allowance = _OTHERS_TURN_SECONDS
        self._allowed_at = monotonic()

    def begin(self, reader: Reader) -> float:
        """Until when what was just read may be handled; 0: not now, it must `wait`."""
        now = monotonic()
        if reader.is_waiting or reader.is_heavy:
            return 0.0
        if reader.rank == KNOWN and (self._spent < _TURN_SECONDS or self._is_full()):
            return now + SLICE_SECONDS
        if reader.rank == KNOWN or self._spent >= _TURN_SECONDS:
            return 0.0
        if self._lines[NEWCOMER].total or self._lines[SUSPECT].total or self._allowed(now) <= 0:
            return 0.0
        return now + SLICE_SECONDS

    def end(self, reader: Reader, until: float, *, is_done: bool) -> None:
        """It was handled, after `begin` has said until when."""
        seconds = monotonic() - until + SLICE_SECONDS
        self._spent += seconds
        if self._spent >= _NOTED_SECONDS and not self._is_due:
            self._be_due()
        if not is_done or reader.rank != KNOWN:
            self.charge(reader, seconds)
            self._settle(reader, is_done=is_done)

    def charge(self, reader: Reader, seconds: float) -> None:
        """Time was spent on what it sent outside of its turns, such as on logins."""
        if reader.rank != KNOWN:
            self._allowance -= seconds

    def wait(self, reader: Reader) -> None:
        """Lets a connection wait for its turn."""
        if not reader.is_waiting:
            reader.is_waiting = True
            reader.stop_reading()
            self._enter(reader)
        if not self._may_keep(reader):
            reader.give_up()

    def forget(self, reader: Reader) -> None:
        """The connection is over."""
        self._unread -= reader.counted
        reader.counted = 0

    def promote(self, reader: Reader, line: str) -> None:
        """It has become KNOWN, and has its turns with others of its kind, in this line."""
        self._may_keep(reader)
        _, newcomers, suspects = self._lines
        waits = newcomers.leave(reader.line, reader) or suspects.leave(reader.line, reader)
        reader.line = line
        if waits:
            self._enter(reader)

    def _is_full(self) -> bool:
        """Whether so much of known clients waits that it is better handled than kept."""
        return self._buffers.held - self._unread > self._buffers.limit // 4

    def _may_keep(self, reader: Reader) -> bool:
        """Counts what a connection leaves unread. Returns whether there is room for it.

        A socket gives 256 KiB at once, which thousands of connections must not make us keep.
        """
        size = 0 if reader.rank == KNOWN else reader.unread
        self._unread += size - reader.counted
        reader.counted = size
        return size <= _LITTLE_BYTES or self._unread <= _UNREAD_BYTES

    def _enter(self, reader: Reader) -> None:
        rank = reader.rank
        if rank == NEWCOMER and reader.is_heavy:
            rank = SUSPECT  # what has sent little goes first
        self._lines[rank].enter(reader.line, reader)
        self._since[reader] = monotonic()
        # The timer is for strangers, who may have used up their time.
        if not self._is_due and (self._timer is None or rank == KNOWN):
            self._be_due()

    def _settle(self, reader: Reader, *, is_done: bool) -> None:
        """After its turn a connection goes on, waits for the next one, or rests."""
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
        known, newcomers, suspects = self._lines
        now = monotonic()
        end = now + _TURN_SECONDS
        while known.total and now < end:
            now = self._serve(known, now)
        end = now + _OTHERS_TURN_SECONDS
        while (newcomers.total or suspects.total) and now < end and self._allowed(now) > 0:
            now = self._serve(self._next_but_known(), now)
        self._spent = 0.0
        self._is_due = False
        if known.total:
            self._be_due()
        elif newcomers.total or suspects.total:
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

    def _next_but_known(self) -> RoundRobin[Reader]:
        _, newcomers, suspects = self._lines
        self._others_turns += 1
        if suspects.total and (not newcomers.total or not self._others_turns % _SUSPECTS_TURN):
            return suspects
        return newcomers

    def _serve(self, line: RoundRobin[Reader], now: float) -> float:
        """One turn of the next connection. Returns the time after it."""
        reader = line.take_next()
        since = self._since.pop(reader)
        if reader.is_over:
            return now
        try:
            if now - since > _WAIT_SECONDS and reader.rank != KNOWN:
                # Its client may be gone, which shows only where a socket is read.
                reader.give_up()
                return monotonic()
            is_done = reader.go_on(now + SLICE_SECONDS)
            after = monotonic()
            self.charge(reader, after - now)
            self._settle(reader, is_done=is_done)
        except Exception as bug:  # noqa: BLE001 - the reader logs it; all others must go on
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
