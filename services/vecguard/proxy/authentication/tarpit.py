"""Delays refusals, to slow down clients that retry at once."""

import asyncio
from random import uniform

# A held call costs a few kilobytes; more calls than this are answered at once.
_PLACES = 2000
# The bounds of the delay, as parts of the configured time.
_SHORTEST, _LONGEST = 0.75, 1.25


class Tarpit:
    """Holds calls for a moment, at no cost of CPU.

    Attributes:
        held: how many calls it holds.
    """

    def __init__(self, seconds: float, places: int = _PLACES) -> None:
        self._seconds = seconds
        self._places = places
        self.held = 0

    async def hold(self) -> None:
        """Returns after a random delay; at once if the tarpit is full."""
        if self.held >= self._places:
            return
        self.held += 1
        try:
            # Random, so that calls that came together are not all answered in one turn of the loop.
            await asyncio.sleep(self._seconds * uniform(_SHORTEST, _LONGEST))  # noqa: S311 - no secret
        finally:
            self.held -= 1
