"""The lease of a session: until when this proxy may decide by what it has in memory.

A lease in the sense of Gray and Cheriton (1989). Pure: the caller brings the time, taken
from a clock that keeps running while the machine sleeps.
"""

from vecguard.clock_margin import ClockMargin

# Renewals whose answer is still awaited; an older one is of no use any more.
_MAX_UNANSWERED = 64


class Lease:
    """Renewed by answers, counted from the moment at which each renewal was sent.

    Counting from the answer's receipt would be wrong: an answer may be as old as the
    network and a paused process make it.
    """

    def __init__(self, margin: ClockMargin) -> None:
        self._margin = margin
        self._usable_seconds = 0.0
        self._sent: dict[int, float] = {}
        self._number = 0
        self._valid_until = float("-inf")

    def granted_for(self, ttl_seconds: float) -> None:
        """A session was opened: its renewals will grant this much. Older answers are void."""
        self._usable_seconds = self._margin.usable_seconds(ttl_seconds)
        self._sent.clear()

    def sending(self, now: float) -> int:
        """A renewal is about to be sent. Returns its number."""
        self._number += 1
        self._sent[self._number] = now
        if len(self._sent) > _MAX_UNANSWERED:
            del self._sent[min(self._sent)]
        return self._number

    def renewed(self, number: int) -> None:
        """The answer to a renewal has come; unknown numbers are ignored."""
        sent = self._sent.get(number)
        if sent is None:
            return
        self._valid_until = max(self._valid_until, sent + self._usable_seconds)
        for earlier in [sequence for sequence in self._sent if sequence <= number]:
            del self._sent[earlier]

    def surrender(self, now: float) -> None:
        """The lease is given back, or taken back by root coord."""
        self._sent.clear()
        self._valid_until = min(self._valid_until, now)

    def is_valid(self, now: float) -> bool:
        """Whether decisions may be made from memory at this moment."""
        return now < self._valid_until

    def remaining_seconds(self, now: float) -> float:
        """How long the lease still runs; negative: for how long it is over."""
        return self._valid_until - now
