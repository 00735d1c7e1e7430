"""The lease of a session: until when this proxy may decide from memory.

A lease as described by Gray and Cheriton (1989). Pure: the caller passes the time, from a clock
that keeps running while the machine sleeps.
"""

from vecguard.clock_margin import ClockMargin

# Renewals whose answer is awaited. The answer to an older one would extend nothing.
_MAX_UNANSWERED = 64


class Lease:
    """Holds the lease's end; each answer extends it, from the time its renewal was sent.

    Counting from the receipt of an answer would be wrong: the network or a paused process can
    delay an answer for any time.
    """

    def __init__(self, margin: ClockMargin) -> None:
        self._margin = margin
        self._usable_seconds = 0.0
        self._sent: dict[int, float] = {}
        self._number = 0
        self._valid_until = float("-inf")
        self._answered = float("-inf")

    def granted_for(self, ttl_seconds: float) -> None:
        """Begins a session whose renewals grant `ttl_seconds` each. Voids older renewals."""
        self._usable_seconds = self._margin.usable_seconds(ttl_seconds)
        self._sent.clear()

    def sending(self, now: float) -> int:
        """Records that a renewal is about to be sent. Returns its number."""
        self._number += 1
        self._sent[self._number] = now
        if len(self._sent) > _MAX_UNANSWERED:
            del self._sent[min(self._sent)]
        return self._number

    def renewed(self, number: int) -> None:
        """Extends the lease by the answer to a renewal. Ignores unknown numbers."""
        sent = self._sent.get(number)
        if sent is None:
            return
        self._valid_until = max(self._valid_until, sent + self._usable_seconds)
        self._answered = max(self._answered, sent)
        for earlier in [sequence for sequence in self._sent if sequence <= number]:
            del self._sent[earlier]

    def surrender(self, now: float) -> None:
        """Ends the lease: this proxy gives it back, or root coord takes it back."""
        self._sent.clear()
        self._valid_until = min(self._valid_until, now)

    def is_valid(self, now: float) -> bool:
        """Returns whether decisions may be made from memory at `now`."""
        return now < self._valid_until

    def silent_seconds(self, now: float) -> float:
        """Returns how long ago the last answered renewal was sent; inf before the first answer."""
        return now - self._answered

    def remaining_seconds(self, now: float) -> float:
        """Returns how long the lease still runs; negative after its end, -inf before the first."""
        return self._valid_until - now
