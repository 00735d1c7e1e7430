"""Ends calls at their deadlines, by one timer of the loop for all of them."""

import asyncio
from typing import Protocol

from vecguard.proxy.relay.unexpected import unexpected_error

# A call is ended at most this late, and never early. The client enforces its own deadline; ours
# only releases what the call holds.
SLOT_SECONDS = 0.01


class TimedCall(Protocol):
    """A call with a deadline."""

    def time_out(self) -> None:
        """Ends the call, because its deadline has passed."""


class Deadlines:
    """Holds calls by the time slot of their deadline.

    Most calls end well before their deadline: to enter and leave a dictionary costs a tenth of
    a timer that is created and cancelled.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, dict[TimedCall, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due_slot = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def enter(self, call: TimedCall, deadline: float) -> None:
        """Adds a call, which times out at `deadline` (of the loop's clock) unless it leaves."""
        slot = _slot(deadline)
        calls = self._slots.get(slot)
        if calls is None:
            calls = self._slots[slot] = {}
            if self._timer is None or slot < self._due_slot:
                self._arm(slot)
        calls[call] = None

    def leave(self, call: TimedCall, deadline: float) -> None:
        """Removes a call that is over, whether it has timed out or not."""
        slot = _slot(deadline)
        calls = self._slots.get(slot)
        if calls is not None:
            calls.pop(call, None)
            if not calls:
                # The timer stays, so that it is set at most once for each slot.
                del self._slots[slot]

    def close(self) -> None:
        """Removes all calls and cancels the timer."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_slot = slot
        self._timer = self._loop.call_at(slot * SLOT_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        # A loop calls a little early, by the resolution of its clock.
        past = max(self._due_slot, int(self._loop.time() / SLOT_SECONDS))
        for slot in sorted([slot for slot in self._slots if slot <= past]):
            for call in tuple(self._slots.pop(slot)):
                try:
                    call.time_out()
                except Exception as error:  # noqa: BLE001 - logged; the others have theirs
                    unexpected_error(error)
        if self._slots:
            self._arm(min(self._slots))


def _slot(deadline: float) -> int:
    return int(deadline / SLOT_SECONDS) + 1
